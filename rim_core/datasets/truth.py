"""The true λ(x, y) of a simulated shop: expected purchases in the horizon, given what is visible.

For a user-state at time t, with everything in days: let e be what her visible purchases still draw by aisle,
e = Σ_j α β exp(−β (t − t_j)) Q[z(y_j), ·]. While she stays, the expectation of e obeys the linear equation
dē/ds = −β ē + α β (μ τ + ē) Q, where τ are the aisle shares of her tastes. With Q = V diag(w) V⁻¹ it falls apart
into scalars with rates ω = β (α w − 1), and its integral over any window, times exp(−δ s) for leaving, is a sum of
exponentials. Aisles become items by B(y), tastes by Φ(y), so λ(x, y) has rank F + C for every epoch in the horizon.

Whether she has left already is not visible: P(here) follows from how long she has been silent (Bayes' rule).
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from rim_core.datasets.shop import AISLES, BLOCK, DAY, FOLLOW_UPS, FORGETTING, Customers, SimulatedShop
from rim_core.datasets.states import expand_ranges
from rim_core.errors import DataError

if TYPE_CHECKING:
    from rim_core.datasets.states import UserStates
    from rim_core.scores import Scores

ROWS_AT_ONCE = 32_768


def true_scores(shop: SimulatedShop, states: UserStates, *, churn_known: bool = False) -> Scores:
    """Expected purchases E[ΔN(x, y) | visible history, traits of the user] as lazy low-rank scores.

    Exact up to rounding (quadrature of P(here): 1e-9). About 1 s for 100 000 states; memory is that of the factors,
    m × 18 floats for every epoch that a horizon meets.

    Parameters
    ----------
    shop : SimulatedShop
        The one that made ``states.log``.
    states : UserStates
        Of any split; items already seen are forbidden where the states say so.
    churn_known : bool
        Use whether the user has in fact left instead of its probability.

    Returns
    -------
    Scores of shape (m, n).

    Raises
    ------
    DataError
        The log is not of this shop.
    """
    from rim_core.scores import FactorScores  # brings torch, which reading data needs not

    users = _numbers(states.log.users.index, "u", shop.users)[states.user]
    items = _numbers(states.log.items.index, "i", shop.items)
    people = _customers(shop, users)
    t = (states.time - shop.origin) / DAY
    begin = np.maximum(t, people.joined)
    length = np.maximum(t + states.horizon / DAY - begin, 0)
    drawn, silent, last = _excitation(shop, states, items, t)
    silent = np.where(np.isfinite(silent), silent, begin - people.joined)
    here = (begin < people.left).astype(float) if churn_known else _still_here(people, silent, last)
    met = _epochs_met(shop, begin, length)
    h = np.concatenate([_window(shop, people, drawn, begin, length, k) for k in met], axis=1) * here[:, None]
    w = np.concatenate([_items(shop, k)[items[states.item_codes]] for k in met], axis=1)
    return FactorScores(np.maximum(h, 0), w, forbidden=states.seen, states=states)


def _numbers(ids: object, prefix: str, count: int) -> np.ndarray:
    """User or item numbers of ids such as u0000012."""
    texts = np.asarray(ids, dtype=str)
    if not np.all(np.char.startswith(texts, prefix) & np.char.isdigit(np.char.lstrip(texts, prefix))):
        raise DataError("These user-states are not of a simulated shop: split the log that the shop itself made.")
    numbers = np.char.lstrip(texts, prefix).astype(np.int64)
    if numbers.max() >= count:
        raise DataError("These user-states are of a larger shop: use the parameters that made the log.")
    return numbers


def _customers(shop: SimulatedShop, users: np.ndarray) -> Customers:
    """Traits of the given users, in that order."""
    blocks, inverse = np.unique(users // BLOCK, return_inverse=True)
    made = [shop.customers(int(b)) for b in blocks]
    where = inverse * BLOCK + users % BLOCK
    names = ("rate", "tastes", "churn", "joined", "left")
    return Customers(*(np.concatenate([getattr(c, name) for c in made])[where] for name in names))


def _excitation(
    shop: SimulatedShop, states: UserStates, items: np.ndarray, t: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the visible history still draws.

    Returns
    -------
    drawn : ndarray (m, C)
        Σ_j α β exp(−β (t − t_j)) by aisle of the purchase (Q comes later).
    silent : ndarray (m,)
        Days since the last purchase, infinite without one.
    last : ndarray (m,)
        Σ drawn right after the last purchase.
    """
    m, c = len(states), len(AISLES)
    a = states.log.arrays
    drawn = np.zeros((m, c))
    for lo in range(0, m, ROWS_AT_ONCE):
        rows = slice(lo, min(lo + ROWS_AT_ONCE, m))
        row, event = expand_ranges(states.start[rows], states.stop[rows])
        age = t[rows][row] - (a.time[event] - shop.origin) / DAY
        cell = row * c + shop.catalogue.aisle[items[a.item[event]]]
        weight = FOLLOW_UPS * FORGETTING * np.exp(-FORGETTING * age)
        drawn[rows] = np.bincount(cell, weight, minlength=(rows.stop - lo) * c).reshape(-1, c)
    some = states.stop > states.start
    silent = np.full(m, np.inf)
    silent[some] = t[some] - (a.time[states.stop[some] - 1] - shop.origin) / DAY
    last = drawn.sum(axis=1) * np.exp(FORGETTING * np.where(some, silent, 0.0))
    return drawn, silent, last


def _still_here(people: Customers, silent: np.ndarray, last: np.ndarray) -> np.ndarray:
    """P(here | silence since the last purchase): Bayes' rule over when she may have left.

    With S(s) = exp(−μ s − r (1 − exp(−β s)) / β), the chance of a silence s of one who stays, it is
    e^{−δ g} S(g) / (e^{−δ g} S(g) + ∫₀^g δ e^{−δ s} S(s) ds).
    """
    nodes, weights = np.polynomial.legendre.leggauss(16)
    edges = np.concatenate([[0.0], 2.0 ** np.arange(-10, 1)])  # panels that shrink towards 0, where S falls fastest
    mu, delta, g = people.rate[:, None], people.churn[:, None], silent[:, None]

    def staying(s: np.ndarray) -> np.ndarray:
        """e^{−δ s} S(s)."""
        out: np.ndarray = np.exp(-(delta + mu) * s + last[:, None] * np.expm1(-FORGETTING * s) / FORGETTING)
        return out

    gone = np.zeros(len(silent))
    for lo, hi in pairwise(edges):
        s = g * (lo + (hi - lo) * (nodes + 1) / 2)
        gone += (staying(s) * weights).sum(axis=1) * silent * (hi - lo) / 2
    stayed = staying(g)[:, 0]
    here: np.ndarray = stayed / (stayed + people.churn * gone)
    return here


def _epochs_met(shop: SimulatedShop, begin: np.ndarray, length: np.ndarray) -> list[int]:
    """Epochs that some horizon meets (at least one)."""
    edges = np.append(shop.catalogue.epochs, np.inf)
    met = [k for k in range(len(edges) - 1) if np.any((begin < edges[k + 1]) & (begin + length > edges[k]))]
    return met or [0]


def _window(
    shop: SimulatedShop, people: Customers, drawn: np.ndarray, begin: np.ndarray, length: np.ndarray, k: int
) -> np.ndarray:
    """Expected purchases in the part of the horizon that lies in epoch k, by factor and by aisle (m, F + C)."""
    edges = np.append(shop.catalogue.epochs, np.inf)
    lo = np.clip(edges[k] - begin, 0, length)
    hi = np.clip(edges[k + 1] - begin, 0, length)
    by_taste = (people.rate * _integral(people.churn, lo, hi))[:, None] * people.tastes
    w, v = np.linalg.eig(shop.catalogue.follow)
    omega = FORGETTING * (FOLLOW_UPS * w - 1)
    begun = (drawn @ v) * w
    fed = FOLLOW_UPS * FORGETTING * people.rate[:, None] * ((people.tastes @ shop.catalogue.shares) @ v) * w / omega
    fading = _integral(people.churn[:, None] - omega, lo[:, None], hi[:, None])
    steady = _integral(people.churn, lo, hi)[:, None]
    by_follow = (((begun + fed) * fading - fed * steady) @ np.linalg.inv(v)).real
    return np.concatenate([by_taste, by_follow], axis=1)


def _integral(x: np.ndarray, lo: np.ndarray, hi: np.ndarray) -> np.ndarray:
    """∫ exp(−x s) ds over [lo, hi], elementwise; x may be complex or 0."""
    width = hi - lo
    safe = np.where(x == 0, 1, x)
    out: np.ndarray = np.where(x == 0, width, -np.exp(-x * lo) * np.expm1(-safe * width) / safe)
    return out


def _items(shop: SimulatedShop, k: int) -> np.ndarray:
    """Φ and B of epoch k (n, F + C)."""
    catalogue = shop.catalogue
    aisles = (catalogue.aisle[:, None] == np.arange(len(AISLES))) * catalogue.within[k][:, None]
    return np.concatenate([catalogue.taste[k].T, aisles], axis=1)
