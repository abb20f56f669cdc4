"""The simulated shop: its events follow its equations, and its truth solves them."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad, solve_ivp

from rim_core.datasets import EventLog, SimulatedShop, UserStates, load_dataset, split_by_time, split_by_user
from rim_core.datasets.shop import AISLES, BLOCK, DAY, FOLLOW_UPS, FORGETTING
from rim_core.datasets.states import expand_ranges
from rim_core.errors import DataError

SHOP = SimulatedShop(users=8_000, items=60, seed=4)


@pytest.fixture(scope="module")
def log() -> EventLog:
    return SHOP.log()


def states_at(log: EventLog, day: float, days: float, users: slice = slice(None)) -> UserStates:
    """A state for every user of the log, over all items."""
    user = np.arange(len(log.users), dtype=np.int32)[users]
    time = np.full(len(user), SHOP.origin + int(day * DAY))
    return UserStates(log, user, time, int(days * DAY), np.arange(len(log.items), dtype=np.int32))


def test_one_seed_one_shop(log: EventLog) -> None:
    assert SimulatedShop(users=8_000, items=60, seed=4).log().version == log.version
    assert load_dataset("shop", users=8_000, items=60, seed=4).version == log.version
    assert load_dataset("shop", users=8_000, items=60, seed=5).version != log.version


def test_events_lie_in_the_shop_s_time_and_after_the_launch_of_their_item(log: EventLog) -> None:
    a = log.arrays
    day = (a.time - SHOP.origin) / DAY
    assert day.min() >= 0
    assert day.max() < SHOP.days
    item = log.items.index.str[1:].astype(int).to_numpy()[a.item]
    launched = SHOP.catalogue.launched[item]
    assert (day >= launched).all()
    assert launched.max() > 0
    assert np.unique(launched).size == SHOP.launches + 1
    assert (log.events["value"].to_numpy() == SHOP.catalogue.price[item]).all()
    assert log.items["launched"].nunique() == SHOP.launches + 1


def test_events_come_in_blocks_of_bounded_memory() -> None:
    def peak(users: int) -> int:
        shop = SimulatedShop(users=users, items=60)
        shop.catalogue  # noqa: B018  (made once, not for every block)
        tracemalloc.start()
        sizes = [int(block["user"].nunique()) for block in shop.events()]
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert max(sizes) <= BLOCK
        return most

    assert peak(5 * BLOCK) < 1.5 * peak(BLOCK)


def test_the_distributions_are_distributions() -> None:
    c = SHOP.catalogue
    np.testing.assert_allclose(c.taste.sum(axis=2), 1)
    np.testing.assert_allclose(c.follow.sum(axis=1), 1)
    for k, day in enumerate(c.epochs):
        assert (c.taste[k][:, c.launched > day] == 0).all()
        np.testing.assert_allclose(np.bincount(c.aisle, c.within[k]), 1)
        for f in range(len(c.shares)):  # launches move shares between items, not between aisles
            np.testing.assert_allclose(np.bincount(c.aisle, c.taste[k, f]), c.shares[f])


# The truth solves the equations


def rates(log: EventLog, states: UserStates, row: int) -> np.ndarray:
    """Expected purchases of every item by integrating the equations of the module's docstring numerically."""
    c, people = SHOP.catalogue, SHOP.customers(0)
    user = int(log.users.index[states.user[row]][1:])
    mu, theta, delta = people.rate[user], people.tastes[user], people.churn[user]
    a = log.arrays
    span = slice(states.start[row], states.stop[row])
    item = log.items.index.str[1:].astype(int).to_numpy()[a.item[span]]
    at = (states.time[row] - SHOP.origin) / DAY
    day = (a.time[span] - SHOP.origin) / DAY
    begin = max(at, people.joined[user])
    length = max(at + states.horizon / DAY - begin, 0.0)

    def falling(s: float, times: np.ndarray) -> float:
        """What earlier purchases have drawn, on average, up to s days from the last of ``times``."""
        return float(sum(FOLLOW_UPS * (1 - np.exp(-FORGETTING * (s - t))) for t in times))

    last = day[-1] if len(day) else people.joined[user]
    gap = max(begin - last, 0.0)

    def staying(s: float) -> float:
        hazard = mu * s + falling(last + s, day) - falling(last, day)
        return float(np.exp(-delta * s - hazard))

    gone = quad(lambda s: delta * staying(s), 0, gap, epsabs=1e-12, limit=200)[0]
    here = staying(gap) / (staying(gap) + gone)
    excited = np.zeros(len(AISLES))
    for d, i in zip(day, item, strict=True):
        excited += FOLLOW_UPS * FORGETTING * np.exp(-FORGETTING * (begin - d)) * c.follow[c.aisle[i]]
    shares = theta @ c.shares

    def slope(s: float, y: np.ndarray) -> np.ndarray:
        e = y[: len(AISLES)]
        epoch = np.searchsorted(c.epochs, begin + s, side="right") - 1
        de = -FORGETTING * e + FOLLOW_UPS * FORGETTING * (mu * shares + e) @ c.follow
        bought = mu * theta @ c.taste[epoch] + e[c.aisle] * c.within[epoch]
        return np.concatenate([de, np.exp(-delta * s) * bought])

    stops = [0.0, *[e - begin for e in c.epochs if 0 < e - begin < length], length]
    y = np.concatenate([excited, np.zeros(SHOP.items)])
    for lo, hi in pairwise(stops):
        y = solve_ivp(slope, (lo, hi - 1e-12), y, rtol=1e-9, atol=1e-12).y[:, -1]
    return np.asarray(here * y[len(AISLES) :])


@pytest.mark.parametrize(("day", "days"), [(60.0, 14.0), (95.0, 40.0), (150.0, 25.0)])
def test_the_truth_agrees_with_numerical_integration(log: EventLog, day: float, days: float) -> None:
    states = states_at(log, day, days, slice(0, 12))
    truth = SHOP.truth(states).to_dense()
    for row in range(len(states)):
        np.testing.assert_allclose(truth[row], rates(log, states, row), rtol=2e-5, atol=1e-9)


def spread(log: EventLog, counts: np.ndarray) -> np.ndarray:
    """Standard deviation of counts of clustered purchases: each draws follow-ups (Poisson would be the root)."""
    return np.asarray(np.sqrt(counts) / (1 - FOLLOW_UPS))


def test_the_truth_of_everything_is_what_happened(log: EventLog) -> None:
    """Seen from the first day, the expected purchases of the whole time by item; of those who never bought as well."""
    everybody = pd.DataFrame(index=[f"u{k:07}" for k in range(SHOP.users)])
    states = states_at(EventLog.from_frame(log.events, items=log.items, users=everybody), 0.0, SHOP.days)
    assert len(states) == SHOP.users > len(log.users)
    happened = np.asarray(states.targets.sum(axis=0)).ravel()
    expected = SHOP.truth(states).to_dense().sum(axis=0, dtype=float)
    assert happened.sum() == len(log)
    assert np.abs((expected - happened) / spread(log, expected)).max() < 5
    assert abs(expected.sum() - happened.sum()) < 4 * spread(log, expected.sum())


@pytest.mark.parametrize(
    "options",
    [
        {"start": "2024-04-01", "horizon": "14D"},  # launches inside the window
        {"horizon": "14D"},
        {"horizon": "14D", "states": "interval", "every": "2D"},
    ],
)
def test_what_happens_is_what_was_expected(log: EventLog, options: dict[str, Any]) -> None:
    """By item and by tenth of the states, within five standard deviations; so are those who churned."""
    states = split_by_time(log, **options).test
    truth = SHOP.truth(states).to_dense().astype(float)
    happened = states.targets.toarray()
    by_item = np.abs(truth.sum(axis=0) - happened.sum(axis=0)) / spread(log, truth.sum(axis=0) + 1)
    assert by_item.max() < 5
    assert np.abs(truth.sum() - happened.sum()) < 4 * spread(log, truth.sum())
    for rows in np.array_split(np.argsort(truth.sum(axis=1)), 10):
        assert abs(truth[rows].sum() - happened[rows].sum()) < 5 * spread(log, truth[rows].sum() + 1)
    known = SHOP.truth(states, churn_known=True).to_dense().sum(axis=1)
    assert happened[known == 0].sum() == 0
    assert abs(known.sum() - truth.sum()) < 4 * spread(log, truth.sum())


def test_the_truth_of_the_best_items_beats_popularity(log: EventLog) -> None:
    """Tastes and chains are there to be found: the true top five items are bought far more often than popular ones."""
    states = split_by_time(log, horizon="14D").test
    happened = states.targets.toarray()
    truth = SHOP.truth(states).to_dense()
    _, events = expand_ranges(states.start, states.stop)
    popular = np.bincount(states.column_of_item[log.arrays.item[events]], minlength=happened.shape[1])
    best = np.take_along_axis(happened, np.argsort(-truth, axis=1)[:, :5], axis=1).sum()
    assert best > 1.15 * happened[:, np.argsort(-popular)[:5]].sum()


def test_states_before_joining_expect_what_comes_after(log: EventLog) -> None:
    joined = SHOP.customers(0).joined
    late = np.array([i for i in range(200) if joined[int(log.users.index[i][1:])] > 20])
    states = states_at(log, 10.0, 5.0).take(late)
    assert SHOP.truth(states).to_dense().sum() == 0
    longer = states_at(log, 10.0, 100.0).take(late)
    assert (SHOP.truth(longer).to_dense().sum(axis=1) >= 0).all()
    assert SHOP.truth(longer).to_dense().sum() > 0


def test_forbidden_pairs_stay_forbidden_in_user_splits(log: EventLog) -> None:
    states = split_by_user(log, exclude_seen=True).test.take(np.arange(50))
    truth = SHOP.truth(states).to_dense()
    assert states.seen is not None
    assert (np.isneginf(truth) == (states.seen.toarray() > 0)).all()
    SHOP.truth(states).validate()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"users": 0}, "users is 0"),
        ({"users": "many"}, "users is 'many'"),
        ({"items": 20.5}, "items is 20.5"),
        ({"start": "NaT"}, "start is 'NaT'"),
        ({"items": 3}, "items is 3"),
        ({"rate": -1.0, "days": 0}, "rate is -1.0"),
        ({"rate": float("nan")}, "rate is nan"),
        ({"launches": 99}, "launches"),
        ({"start": "soon"}, "start is 'soon'"),
        ({"seed": -1}, "seed"),
    ],
)
def test_a_shop_that_cannot_be_is_refused(options: dict[str, Any], word: str) -> None:
    with pytest.raises(DataError, match=word):
        load_dataset("shop", **options)


def test_the_truth_knows_its_own_log_only(log: EventLog) -> None:
    other = EventLog.from_frame(pd.DataFrame({"user_id": ["a"], "item_id": ["x"], "timestamp": ["2024-01-01"]}))
    states = UserStates(other, np.zeros(1, np.int32), np.zeros(1, np.int64), 1, np.zeros(1, np.int32))
    with pytest.raises(DataError, match="not of a simulated shop"):
        SHOP.truth(states)
    with pytest.raises(DataError, match="larger shop"):
        SimulatedShop(users=10, items=60, seed=4).truth(states_at(log, 10.0, 5.0))


@pytest.mark.parametrize("users", [1, 2, 30])
def test_a_small_shop_is_a_shop(users: int) -> None:
    found = SimulatedShop(users=users, items=12, days=400, rate=1.0, launches=0, seed=1).log()
    assert 1 <= len(found.users) <= users
    assert len(found.items) == 12


def test_a_shop_nobody_enters_says_so() -> None:
    with pytest.raises(DataError, match="No usable event"):
        SimulatedShop(users=3, items=12, rate=0.0).log()
