"""What is known of a user-state, an item and the two together, as features for trees.

Everything is measured in horizons, so that the same settings serve a fortnight of groceries and half an hour of films.
Item features come from the training data alone (:class:`ItemClock`), so that no later event of another user leaks in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from rim_core.datasets.states import UserStates, expand_ranges

if TYPE_CHECKING:
    from rim_core.datasets.split import Split

HALF_LIVES = (0.5, 1.5, 4.0, 12.0)
"""Half-lives of decayed counts, in horizons: 7, 21, 56 and 168 days of a fortnight's horizon."""
ITEM_HALF_LIVES = (0.5, 2.0, 8.0)
ITEM_FEATURES = (*(f"item/{h:g}" for h in ITEM_HALF_LIVES), "trend", "buyers", "per buyer", "bought again")
NEVER_SINCE = 1e4
"""Horizons since something that has not happened."""


@dataclass(frozen=True)
class UserTable:
    """Features of user-states.

    Attributes
    ----------
    names : tuple of str
    values : ndarray of float32 (m, F)
    """

    names: tuple[str, ...]
    values: np.ndarray


@dataclass(frozen=True)
class PairTable:
    """Features of the pairs of states and items that have met before, ordered by row, then column.

    Attributes
    ----------
    rows, columns : ndarray of int64 (P,)
    names : tuple of str
    values : ndarray of float32 (P, F)
    """

    rows: np.ndarray
    columns: np.ndarray
    names: tuple[str, ...]
    values: np.ndarray


@dataclass(frozen=True)
class Events:
    """Visible target events of a block of states, in the order of state, then time.

    Attributes
    ----------
    row, column : ndarray of int64 (E,)
        State and item (−1: not in play).
    age : ndarray of float64 (E,)
        Horizons before the state's time.
    money : ndarray of float64 (E,)
        log(1 + value).
    visit : ndarray of bool (E,)
        First event of a basket (an instant of the state's user).
    """

    row: np.ndarray
    column: np.ndarray
    age: np.ndarray
    money: np.ndarray
    visit: np.ndarray


def visible_events(states: UserStates) -> Events:
    """O(E) for E visible events."""
    a = states.log.arrays
    row, event = expand_ranges(states.start, states.stop)
    wanted = states.is_target_event[event]
    row, event = row[wanted], event[wanted]
    time = a.time[event]
    return Events(
        row,
        states.column_of_item[a.item[event]].astype(np.int64),
        (states.time[row] - time) / max(states.horizon, 1),
        np.log1p(np.maximum(a.value[event], 0).astype(float)),
        np.concatenate([[True], (time[1:] != time[:-1]) | (row[1:] != row[:-1])])[: len(row)],
    )


def user_table(states: UserStates, events: Events, elapsed: np.ndarray) -> UserTable:
    """Recency, frequency and monetary value of every state, and how much of what it does is new to it.

    Parameters
    ----------
    elapsed : ndarray (m,)
        Horizons of history behind each state.
    """
    m = len(states)
    row, age, first = events.row, events.age, _first_of_pair(events, states.shape[1])
    out: dict[str, np.ndarray] = {}
    for h in (0.5, 2.0, 8.0):
        weight, per = np.exp2(-age / h), gathered(elapsed, h)
        out[f"events/{h:g}"] = np.bincount(row, weight, m) / per
        out[f"visits/{h:g}"] = np.bincount(row, weight * events.visit, m) / per
        out[f"new/{h:g}"] = np.bincount(row, weight * first, m) / per
    out["since"] = _least(row, age, m)
    total = np.bincount(row, minlength=m)
    visits = np.bincount(row, events.visit, m)
    oldest = np.bincount(row[_firsts(row)], age[_firsts(row)], m)
    out["tenure"] = np.where(total > 0, oldest, 0.0)
    out["visit gap"] = np.where(
        visits > 1, (oldest - np.where(total > 0, out["since"], 0)) / np.maximum(visits - 1, 1), np.nan
    )
    out["since / gap"] = out["since"] / np.maximum(out["visit gap"], 1e-6)
    out["items"] = np.bincount(row, first, m)
    out["basket"] = total / np.maximum(visits, 1)
    out["money"] = np.bincount(row, events.money, m) / np.maximum(total, 1)
    out["last horizon"] = np.bincount(row, (age <= 1.0) * events.visit, m)
    out["horizon before"] = np.bincount(row, ((age > 1.0) & (age <= 2.0)) * events.visit, m)
    return UserTable(tuple(out), np.stack([v.astype(np.float32) for v in out.values()], axis=1).reshape(m, len(out)))


def pair_table(states: UserStates, events: Events, elapsed: np.ndarray) -> PairTable:
    """Recency, frequency, rhythm and monetary value of every state with every item it has met."""
    n = states.shape[1]
    kept = events.column >= 0
    key = events.row[kept] * n + events.column[kept]
    order = np.argsort(key, kind="stable")  # within a pair events stay in the order of time
    key, age, money = key[order], events.age[kept][order], events.money[kept][order]
    number = np.cumsum(events.visit)[kept][order]
    pair, begin, count = np.unique(key, return_index=True, return_counts=True)
    rows, columns = pair // n, pair % n
    of, size = np.repeat(np.arange(len(pair)), count), len(pair)
    end = begin + count - 1
    out: dict[str, np.ndarray] = {}
    for h in HALF_LIVES:
        out[f"count/{h:g}"] = np.bincount(of, np.exp2(-age / h), size) / gathered(elapsed, h)[rows]
    out["count"] = count
    out["since"], out["tenure"] = age[end], age[begin]
    again = count > 1
    gap = np.where(again, (age[begin] - age[end]) / np.maximum(count - 1, 1), np.nan)
    out["gap"], out["since / gap"] = gap, age[end] / np.maximum(gap, 0.02)
    out["last gap"] = np.where(again, age[np.maximum(end - 1, 0)] - age[end], np.nan)
    gaps = -np.diff(age, prepend=age[:1])
    gaps[begin] = 0.0
    spread = np.bincount(of, gaps**2, size) / np.maximum(count - 1, 1) - np.where(again, gap, 0.0) ** 2
    out["gap spread"] = np.sqrt(np.maximum(spread, 0.0))
    out["money"] = np.bincount(of, money, size) / np.maximum(count, 1)
    latest = np.zeros(len(states), np.int64)
    np.maximum.at(latest, events.row, np.cumsum(events.visit))
    out["visits since"] = latest[rows] - number[end]
    values = np.stack([np.asarray(v, np.float32) for v in out.values()], axis=1).reshape(size, len(out))
    return PairTable(rows, columns, tuple(out), values)


@dataclass(frozen=True)
class ItemClock:
    """Features of items as they stood at an instant of the training data.

    Attributes
    ----------
    names : tuple of str
    values : ndarray of float32 (n, F)
    """

    names: tuple[str, ...]
    values: np.ndarray

    @classmethod
    def at(cls, split: Split, time: int | None, origin: int | None) -> ItemClock:
        """From the training events before ``time`` (all of them where None, and in a split by user)."""
        train = split.train
        by_user = split.config.get("by") == "user"
        if time is not None and not by_user:
            train = UserStates(
                train.log, train.user, np.full(len(train), time), train.horizon, train.item_codes,
                train.exclude_seen, train.target_types,
            )  # fmt: skip
        horizon, n = max(split.test.horizon, 1), train.shape[1]
        a = train.log.arrays
        row, event = expand_ranges(train.start, train.stop)
        column = train.column_of_item[a.item[event]]
        kept = train.is_target_event[event] & (column >= 0)
        row, event, column = row[kept], event[kept], column[kept].astype(np.int64)
        out: dict[str, np.ndarray] = {}
        end = int(train.time[0]) if len(train) and not by_user else 0
        age = np.zeros(len(event)) if by_user else (end - a.time[event]) / horizon
        span = np.full(1, 1.0 if by_user or origin is None else max((end - origin) / horizon, 1.0))
        for h in ITEM_HALF_LIVES:
            out[f"item/{h:g}"] = np.bincount(column, np.exp2(-age / h), n) / gathered(span, h)
        out["trend"] = (out[f"item/{ITEM_HALF_LIVES[0]:g}"] + 0.5) / (out[f"item/{ITEM_HALF_LIVES[-1]:g}"] + 0.5)
        met = sparse.coo_matrix((np.ones(len(row)), (row, column)), shape=(len(train), n)).tocsr()
        met.sum_duplicates()
        buyers = np.bincount(met.indices, minlength=n)
        out["buyers"] = buyers
        out["per buyer"] = np.bincount(met.indices, met.data, n) / np.maximum(buyers, 1)
        out["bought again"] = (np.bincount(met.indices, met.data > 1, n) + 0.5) / (buyers + 2.0)
        return cls(tuple(out), np.stack([v.astype(np.float32) for v in out.values()], axis=1).reshape(n, len(out)))


def gathered(elapsed: np.ndarray, half_life: float) -> np.ndarray:
    """Time behind a decayed count in horizons: ∫ 2^(−s / half-life) ds over [0, elapsed], at least a half."""
    mean_life = half_life / np.log(2.0)
    worth: np.ndarray = np.maximum(-np.expm1(-np.maximum(elapsed, 0.0) / mean_life) * mean_life, 0.5)
    return worth


def _firsts(row: np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.diff(row, prepend=-1) != 0)


def _least(row: np.ndarray, age: np.ndarray, m: int) -> np.ndarray:
    least = np.full(m, NEVER_SINCE)
    np.minimum.at(least, row, age)
    return least


def _first_of_pair(events: Events, n: int) -> np.ndarray:
    """Whether each event is the state's first with its item, bool (E,)."""
    key = events.row * (n + 1) + events.column + 1
    first = np.zeros(len(key), bool)
    first[np.unique(key, return_index=True)[1]] = True
    return first
