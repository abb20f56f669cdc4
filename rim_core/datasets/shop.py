"""A simulated shop whose truth is known: who buys what and when follows equations that can be solved.

The rate at which user u buys item y, at time t after she joined and until she leaves without a word, is

    λ(t, y) = μ_u Σ_f θ_uf Φ_f(y, t)  +  Σ_{j: t_j < t} α β exp(−β (t − t_j)) Σ_c Q[z(y_j), c] B_c(y, t)

a Hawkes process with marks. The first sum is taste: latent factors Φ_f, each a distribution over items, mixed by
θ_u, at the heterogeneous base rate μ_u. The second is a Markov chain: what was bought from aisle z(y_j) draws
purchases from the aisles Q[z(y_j), ·] after it, and forgets at the rate β. Users leave at the rate δ of their
segment. Items come in waves: before its launch an item has probability 0 and its aisle's others share what is
left. Because aisle shares do not change with launches, the expected purchases of every item in any window have
a closed form (:func:`rim_core.datasets.truth.true_scores`).

Simulated by branching (every purchase has Poisson(α) follow-ups), vectorised over blocks of users; memory is that
of one block, time about 1 s for 400 000 events.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rim_core.columns import ITEM
from rim_core.datasets.catalogue import Entry, stage_catalogue
from rim_core.datasets.importing import Reader, Staged, staged_import
from rim_core.datasets.memory import scratch_connection
from rim_core.datasets.reading import read_log
from rim_core.datasets.rows import ROWS, RowSelect, TextPart
from rim_core.errors import DataError

if TYPE_CHECKING:
    import duckdb

    from rim_core.datasets.log import EventLog
    from rim_core.datasets.states import UserStates
    from rim_core.scores import Scores

BLOCK = 8192
"""Users simulated at once. Part of what a seed means: another size gives other events."""

DAY = 86_400_000_000
"""Microseconds."""

USER_ID, ITEM_ID = "u%07d", "i%06d"
"""Ids of user and item numbers; they sort as the numbers do."""

FACTORS = 6
AISLES = (
    "Bakery", "Dairy", "Fruit", "Vegetables", "Meat", "Fish", "Frozen", "Drinks", "Snacks", "Pantry", "Care", "Home",
)  # fmt: skip

FOLLOW_UPS = 0.4
"""α: purchases that one purchase draws, on average."""

FORGETTING = 0.5
"""β: a day; follow-ups come after two days on average."""

CHURN = np.array([0.0, 1 / 180, 1 / 45])
"""δ by segment: users who stay, who leave after half a year and after six weeks on average (1/day)."""

SEGMENTS = np.array([0.4, 0.4, 0.2])


@dataclass(frozen=True, eq=False)
class Catalogue:
    """What the shop sells, and the distributions that choose among it; K epochs lie between launches.

    Attributes
    ----------
    aisle : ndarray of int64, shape (n,)
    price : ndarray of float64, shape (n,)
    launched : ndarray of float64, shape (n,)
        Day from which the item is there (0 for most).
    epochs : ndarray of float64, shape (K,)
        First day of every epoch; the first is 0.
    taste : ndarray of float64, shape (K, F, n)
        Φ_f(y) by epoch; rows sum to 1.
    within : ndarray of float64, shape (K, n)
        B_z(y)(y) by epoch: share of the item in its aisle, by popularity; every aisle sums to 1.
    shares : ndarray of float64, shape (F, C)
        Aisle shares of every factor, the same in all epochs.
    follow : ndarray of float64, shape (C, C)
        Q: aisle of the follow-up by aisle of the purchase; rows sum to 1.
    """

    aisle: np.ndarray
    price: np.ndarray
    launched: np.ndarray
    epochs: np.ndarray
    taste: np.ndarray
    within: np.ndarray
    shares: np.ndarray
    follow: np.ndarray


@dataclass(frozen=True, eq=False)
class Customers:
    """Traits of some users; times in days since the shop's first.

    Attributes
    ----------
    rate : ndarray of float64, shape (u,)
        μ: purchases a day that nothing draws.
    tastes : ndarray of float64, shape (u, F)
        θ; rows sum to 1.
    churn : ndarray of float64, shape (u,)
        δ, 1/day.
    joined, left : ndarray of float64, shape (u,)
        ``left`` is infinite for those who stay.
    """

    rate: np.ndarray
    tastes: np.ndarray
    churn: np.ndarray
    joined: np.ndarray
    left: np.ndarray


@dataclass(frozen=True)
class SimulatedShop:
    """Parameters of a simulated shop; equal parameters make equal events.

    Attributes
    ----------
    users : int
        1 to 10 million.
    items : int
        12 to 200 000.
    days : int
    rate : float
        Purchases a day of an average user who is there (follow-ups included).
    launches : int
        Waves in which new items come, evenly spread over the second half of the time.
    new_items : float
        Share of the items that come in them.
    seed : int
    start : str
        First day (UTC).

    Raises
    ------
    DataError
        A parameter is out of range.

    Examples
    --------
    >>> shop = SimulatedShop(users=2_000, items=200, seed=1)  # doctest: +SKIP
    >>> split = split_by_time(shop.log(), horizon="14D")  # doctest: +SKIP
    >>> shop.truth(split.test).to_dense()  # expected purchases  # doctest: +SKIP
    """

    users: int = 5_000
    items: int = 500
    days: int = 180
    rate: float = 0.2
    launches: int = 4
    new_items: float = 0.1
    seed: int = 0
    start: str = "2024-01-01"

    def __post_init__(self) -> None:
        bounds = {
            "users": (1, 10_000_000),
            "items": (len(AISLES), 200_000),
            "days": (1, 3650),
            "rate": (0.0, 1000.0),
            "launches": (0, 12),
            "new_items": (0.0, 0.9),
            "seed": (0, 2**63 - 1),
        }
        wrong = [f"{k} is {getattr(self, k)!r}" for k, limits in bounds.items() if not self._within(k, *limits)]
        if wrong:
            ranges = ", ".join(f"{k} in {bounds[k.split()[0]]}" for k in (w.split()[0] for w in wrong))
            raise DataError(f"The shop cannot be made: {'; '.join(wrong)}. Choose {ranges}.")
        try:
            if pd.isna(pd.Timestamp(self.start)):
                raise ValueError
        except (ValueError, TypeError) as error:
            raise DataError(f"start is {self.start!r}: give a day such as 2024-01-01.") from error

    def _within(self, parameter: str, low: float, high: float) -> bool:
        """Whether a parameter is a number of its kind and in range."""
        value, whole = getattr(self, parameter), isinstance(getattr(type(self), parameter), int)
        kinds = (int, np.integer) if whole else (int, float, np.integer, np.floating)
        return isinstance(value, kinds) and not isinstance(value, bool) and bool(low <= value <= high)

    def log(self) -> EventLog:
        """The events, in memory."""
        with scratch_connection() as connection, staged_import(connection, ShopReader.of(self)) as report:
            return read_log(connection, "shop", report=report)

    def truth(self, states: UserStates, *, churn_known: bool = False) -> Scores:
        """True λ(x, y) of user-states of this shop's log; see :func:`rim_core.datasets.truth.true_scores`."""
        from rim_core.datasets.truth import true_scores

        return true_scores(self, states, churn_known=churn_known)

    @cached_property
    def origin(self) -> int:
        """First instant, microseconds since 1970-01-01 UTC."""
        stamp = pd.Timestamp(self.start)
        stamp = stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp.tz_convert("UTC")
        return int((stamp - pd.Timestamp(0, tz="UTC")) // pd.Timedelta(1, "us"))

    @cached_property
    def catalogue(self) -> Catalogue:
        """Items, aisles, factors and launches."""
        rng = np.random.default_rng([self.seed, 0])
        n, c = self.items, len(AISLES)
        aisle = rng.permutation(n) % c
        popularity = np.exp(rng.normal(0, 0.7, n))
        launched = self._launches(rng, aisle)
        waves = np.unique(np.append(launched, 0.0))
        shares = 0.05 / c + 0.95 * rng.dirichlet(np.full(c, 0.3), FACTORS)
        appeal = popularity * np.exp(rng.normal(0, 1.3, (FACTORS, n)))
        follow = np.full((c, c), 0.2 / c)
        follow[np.arange(c), rng.permutation(c)] += 0.5
        follow[np.arange(c), np.arange(c)] += 0.3
        here = launched[None, :] <= waves[:, None]
        return Catalogue(
            aisle=aisle,
            price=np.round(np.exp(rng.normal(1, 0.7, n)), 2),
            launched=launched,
            epochs=waves,
            taste=_normalised(appeal[None] * here[:, None], aisle) * shares[None][:, :, aisle],
            within=_normalised(popularity * here, aisle),
            shares=shares,
            follow=follow,
        )

    def _launches(self, rng: np.random.Generator, aisle: np.ndarray) -> np.ndarray:
        """Day of launch of every item; every aisle has an item from the start."""
        launched = np.zeros(self.items)
        _, first = np.unique(aisle, return_index=True)
        late = np.setdiff1d(rng.permutation(self.items)[: round(self.new_items * self.items)], first)
        if self.launches:
            wave = np.arange(len(late)) % self.launches
            launched[late] = self.days * (0.5 + 0.5 * (wave + 0.5) / self.launches)
        return launched

    def customers(self, block: int) -> Customers:
        """Traits of users block · 8192 and after."""
        rng = np.random.default_rng([self.seed, 1, block])
        u = min(BLOCK, self.users - block * BLOCK)
        churn = CHURN[rng.choice(len(CHURN), size=u, p=SEGMENTS)]
        joined = np.where(rng.random(u) < 0.6, 0.0, rng.random(u) * 0.8 * self.days)
        life = rng.exponential(size=u)
        return Customers(
            rate=self.rate * (1 - FOLLOW_UPS) * rng.gamma(0.8, 1 / 0.8, u),
            tastes=rng.dirichlet(np.full(FACTORS, 0.4), u),
            churn=churn,
            joined=joined,
            left=joined + np.divide(life, churn, out=np.full(u, np.inf), where=churn > 0),
        )

    @property
    def blocks(self) -> int:
        """How many blocks of users there are."""
        return -(-self.users // BLOCK)

    def events(self) -> Iterator[pd.DataFrame]:
        """Blocks of events: user and item numbers (int64), time (microseconds), price; by user and time."""
        sampler = _Sampler(self.catalogue)
        for block in range(self.blocks):
            yield self._block(sampler, block)

    def _block(self, sampler: _Sampler, block: int) -> pd.DataFrame:
        people = self.customers(block)
        rng = np.random.default_rng([self.seed, 2, block])
        end = np.minimum(people.left, self.days)
        count = rng.poisson(people.rate * np.maximum(end - people.joined, 0))
        user = np.repeat(np.arange(len(count)), count)
        time = people.joined[user] + rng.random(len(user)) * (end - people.joined)[user]
        item = sampler.by_taste(rng, people.tastes, user, time)
        generations = [(user, time, item)]
        while len(user):
            drawn = rng.poisson(FOLLOW_UPS, len(user))
            user, time, parent = np.repeat(user, drawn), np.repeat(time, drawn), np.repeat(item, drawn)
            time = time + rng.exponential(1 / FORGETTING, len(time))
            here = time < end[user]
            user, time, parent = user[here], time[here], parent[here]
            item = sampler.by_follow(rng, parent, time)
            generations.append((user, time, item))
        user, time, item = (np.concatenate(part) for part in zip(*generations, strict=True))
        order = np.lexsort((time, user))
        return pd.DataFrame(
            {
                "user": user[order] + block * BLOCK,
                "item": item[order],
                "time": self.origin + (time[order] * DAY).astype(np.int64),
                "price": self.catalogue.price[item[order]],
            }
        )


class _Sampler:
    """Draws items from the distributions of a catalogue: one binary search a draw, in tables of K·(F + 1)·n floats."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        k, f, n = catalogue.taste.shape
        self.taste = _cumulative(catalogue.taste.reshape(k * f, n))
        self.by_aisle = np.argsort(catalogue.aisle, kind="stable")
        aisles = len(catalogue.follow)
        sizes = np.bincount(catalogue.aisle, minlength=aisles)
        self.first = np.concatenate([[0], np.cumsum(sizes)])
        within = [_cumulative(part) for part in np.split(catalogue.within[:, self.by_aisle], self.first[1:-1], axis=1)]
        offset = np.arange(k)[:, None] * aisles
        self.within = np.concatenate(
            [part - np.arange(k)[:, None] + offset + i for i, part in enumerate(within)], axis=1
        )
        self.follow = np.cumsum(catalogue.follow, axis=1)

    def by_taste(self, rng: np.random.Generator, tastes: np.ndarray, user: np.ndarray, time: np.ndarray) -> np.ndarray:
        """Items that nothing drew: a factor of the user's, then an item of the factor's."""
        factor = _choose(rng, np.cumsum(tastes, axis=1)[user])
        row = self._epoch(time) * tastes.shape[1] + factor
        n = len(self.catalogue.aisle)
        found = np.searchsorted(self.taste.ravel(), row + rng.random(len(row)), side="right") - row * n
        item: np.ndarray = np.minimum(found, n - 1)
        return item

    def by_follow(self, rng: np.random.Generator, parent: np.ndarray, time: np.ndarray) -> np.ndarray:
        """Items drawn by ``parent``: an aisle that follows its aisle, then an item of that."""
        aisle = _choose(rng, self.follow[self.catalogue.aisle[parent]])
        epoch, (_, n) = self._epoch(time), self.within.shape
        row = epoch * len(self.follow) + aisle
        found = np.searchsorted(self.within.ravel(), row + rng.random(len(row)), side="right") - epoch * n
        item: np.ndarray = self.by_aisle[np.clip(found, self.first[aisle], self.first[aisle + 1] - 1)]
        return item

    def _epoch(self, time: np.ndarray) -> np.ndarray:
        epoch: np.ndarray = np.searchsorted(self.catalogue.epochs, time, side="right") - 1
        return epoch


def _normalised(weights: np.ndarray, aisle: np.ndarray) -> np.ndarray:
    """Weights (..., n) divided by the sum over their aisle."""
    sums = weights @ (aisle[:, None] == np.arange(aisle.max() + 1)).astype(float)
    share: np.ndarray = weights / sums[..., aisle]
    return share


def _cumulative(p: np.ndarray) -> np.ndarray:
    """Row r of p (R, n) as a distribution function that rises from r to r + 1."""
    total = np.cumsum(p, axis=1)
    risen: np.ndarray = total / total[:, -1:] + np.arange(len(p))[:, None]
    return risen


def _choose(rng: np.random.Generator, cumulative: np.ndarray) -> np.ndarray:
    """One column a row, by distribution functions (N, k)."""
    below = (rng.random(len(cumulative))[:, None] >= cumulative).sum(axis=1)
    chosen: np.ndarray = np.minimum(below, cumulative.shape[1] - 1)
    return chosen


class ShopReader(Reader):
    """The events of a :class:`SimulatedShop` (see there for the parameters), of type "purchase", valued at the price.

    Raises
    ------
    DataError
        A parameter is out of range.
    """

    def __init__(
        self,
        *,
        users: int = 5_000,
        items: int = 500,
        days: int = 180,
        rate: float = 0.2,
        launches: int = 4,
        new_items: float = 0.1,
        seed: int = 0,
        start: str = "2024-01-01",
    ) -> None:
        self.shop = SimulatedShop(users, items, days, rate, launches, new_items, seed, start)
        self.name = "shop"

    @classmethod
    def of(cls, shop: SimulatedShop) -> ShopReader:
        """The reader of this shop."""
        return cls(**asdict(shop))

    @property
    def source(self) -> str:
        return f"simulated shop ({self.shop.users:,} users, {self.shop.items:,} items, seed {self.shop.seed})"

    def stage(self, connection: duckdb.DuckDBPyConnection, scratch: Path) -> Staged:
        select = RowSelect(
            user_id=f"printf('{USER_ID}', \"user\")",
            item_id=f"printf('{ITEM_ID}', item)",
            timestamp='make_timestamp("time")',
            value="price",
        )
        rows = 0
        for block in self.shop.events():
            connection.register("staged_block", block)
            connection.execute(f"INSERT INTO {ROWS} BY NAME SELECT {select.sql} FROM staged_block")
            connection.unregister("staged_block")
            rows += len(block)
        items = stage_catalogue(connection, "staged_shelf", ITEM, self._shelf())
        part = TextPart(Path(self.source), rows, rows, np.empty(0, np.int64))
        return Staged((part,), "purchase", items, distinct=True)

    def _shelf(self) -> Iterator[Entry]:
        """(id, title, features) of every item."""
        catalogue = self.shop.catalogue
        first = pd.Timestamp(self.shop.origin, unit="us")
        for i in range(self.shop.items):
            aisle = AISLES[catalogue.aisle[i]]
            launch = str((first + pd.Timedelta(days=catalogue.launched[i])).date())
            about = {"aisle": aisle, "price": float(catalogue.price[i]), "launched": launch}
            yield ITEM_ID % i, f"{aisle} {i}", about
