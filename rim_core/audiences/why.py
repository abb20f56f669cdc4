"""Why a plan gives an item to a user: how active she is, what she prefers, what the promise adds, what she did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rim_core.errors import NotFoundError, ScoreError

if TYPE_CHECKING:
    from rim_core.datasets.states import UserStates
    from rim_core.scores import Scores

SAMPLE = 256
"""User-states over which two items are compared."""
RECENT = 400
"""Last events of the user that are looked at."""


@dataclass(frozen=True, eq=False)
class Reasons:
    """What speaks for an item at one user-state.

    Attributes
    ----------
    user_id, item_id : str
    time : Timestamp
        Of the user-state (UTC): only what happened before it is known.
    score : float
        λ(x, y) = intensity · preference (eq. 5).
    intensity : float
        λ(x) = Σ_y λ(x, y) over the items allowed: expected interactions of the user in the horizon.
    preference : float
        p(y|x) = λ(x, y) / λ(x) (eq. 1).
    usual_intensity, usual_preference : float
        Medians over a sample of the user-states, to compare with.
    price : float
        v of the item: negative where a minimum lifts it (boost −v), positive where a maximum holds it back.
    value : float
        λ − v, what the online rule compares.
    place : int
        Of the item among the user's, by λ − v; 1 is first.
    place_without_prices : int
        The same by λ alone.
    threshold : float
        λ − v that an item needs to be among the K best of this user, at least 0: the user's own price u.
    events : DataFrame
        Past events nearest to the item: item_id, title, time, event_type, days_before and alike, the correlation of the
        two items' preferences over the sample (NaN where a model has the same for everybody; then the latest come
        first).
    """

    user_id: str
    item_id: str
    time: pd.Timestamp
    score: float
    intensity: float
    preference: float
    usual_intensity: float
    usual_preference: float
    price: float
    value: float
    place: int
    place_without_prices: int
    threshold: float
    events: pd.DataFrame


def explain(
    scores: Scores, row: int, item: str, prices: np.ndarray, capacity: int, *, count: int = 8, seed: int = 0
) -> Reasons:
    """Take apart one decision of a plan.

    Parameters
    ----------
    scores : Scores (m, n)
        With user-states.
    row : int
        The user-state.
    item : str
        Its id.
    prices : ndarray (n,)
        v of the plan.
    capacity : int
        K of this user-state.
    count : int
        Past events returned at most.

    Raises
    ------
    NotFoundError
        No such item or row.
    ScoreError
        The scores have no user-states: nothing is known of the past.

    Notes
    -----
    O(n·d) for the row and O(s·n·d) for a sample of s user-states.
    """
    states = scores.states
    if states is None:
        raise ScoreError("These scores know no user-states, so nothing is known of the past: score a split's states.")
    if item not in scores.item_ids or not 0 <= row < len(scores):
        raise NotFoundError(f"There is no item {item!r} or no user-state {row} here: choose one of the plan.")
    column = int(scores.item_ids.get_loc(item))
    own = scores.block(row, row + 1)[0].astype(float)
    allowed = np.where(np.isfinite(own), own, 0.0)
    value = own - prices
    best = np.sort(value[np.isfinite(value)])[::-1]
    intensity = float(allowed.sum())
    sample = _sample(scores, seed)
    sums = sample.row_sums()
    usual = np.maximum(_column(sample, column), 0.0) / np.maximum(sums, np.finfo(np.float32).tiny)
    return Reasons(
        user_id=str(states.user_ids[row]),
        item_id=item,
        time=pd.Timestamp(int(states.time[row]), unit="us", tz="UTC"),
        score=float(allowed[column]),
        intensity=intensity,
        preference=float(allowed[column] / intensity) if intensity > 0 else 0.0,
        usual_intensity=float(np.median(sums)),
        usual_preference=float(np.median(usual)),
        price=float(prices[column]),
        value=float(value[column]),
        place=int((value > value[column]).sum()) + 1,
        place_without_prices=int((own > own[column]).sum()) + 1,
        threshold=float(max(0.0, best[min(capacity, len(best)) - 1])) if len(best) else 0.0,
        events=_nearest(sample, sums, states, row, column, count),
    )


def _sample(scores: Scores, seed: int) -> Scores:
    rows = np.random.default_rng(seed).permutation(len(scores))[:SAMPLE]
    return scores.take(np.sort(rows))


def _column(scores: Scores, column: int) -> np.ndarray:
    rows = np.arange(len(scores))
    return scores.pairs(rows, np.full(len(rows), column)).astype(float)


def _nearest(sample: Scores, sums: np.ndarray, states: UserStates, row: int, column: int, count: int) -> pd.DataFrame:
    """The user's past events, nearest to the item first; one row an item, its latest event."""
    a, log = states.log.arrays, states.log
    first, stop = int(states.start[row]), int(states.stop[row])
    seen = np.arange(max(first, stop - RECENT), stop)[::-1]
    _, latest = np.unique(a.item[seen], return_index=True)
    seen = seen[np.sort(latest)]
    past = states.column_of_item[a.item[seen]]
    alike = np.full(len(seen), np.nan)
    inside = past >= 0
    if inside.any():
        alike[inside] = _alike(sample, sums, column, past[inside])
    order = np.lexsort((-a.time[seen], -np.nan_to_num(alike, nan=-2.0)))[:count]
    chosen = seen[order]
    ids = log.items.index[a.item[chosen]]
    times = pd.to_datetime(a.time[chosen], unit="us", utc=True)
    return pd.DataFrame(
        {
            "item_id": ids.astype(str),
            "title": log.items["title"].reindex(ids).astype(str).to_numpy(),
            "time": times,
            "event_type": np.asarray(log.event_types, object)[a.type[chosen]],
            "days_before": (states.time[row] - a.time[chosen]) / 86_400e6,
            "alike": alike[order],
        }
    )


def _alike(sample: Scores, sums: np.ndarray, column: int, past: np.ndarray) -> np.ndarray:
    """Correlation over the sample of log p(y|x) of an item with those of others; NaN where one never varies."""
    rows = np.repeat(np.arange(len(sample)), len(past) + 1)
    columns = np.tile(np.append(past, column), len(sample))
    values = sample.pairs(rows, columns).reshape(len(sample), -1).astype(float)
    usable = np.isfinite(values).all(axis=1) & (values > 0).all(axis=1) & (sums > 0)
    if usable.sum() < 3:
        return np.full(len(past), np.nan)
    logs = np.log(values[usable] / sums[usable, None])
    logs -= logs.mean(axis=0)
    spread = np.sqrt((logs**2).mean(axis=0))
    flat = spread < 1e-5
    with np.errstate(invalid="ignore", divide="ignore"):
        found: np.ndarray = (logs[:, :-1] * logs[:, -1:]).mean(axis=0) / (spread[:-1] * spread[-1])
    found[flat[:-1] | flat[-1]] = np.nan
    return found
