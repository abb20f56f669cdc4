"""How a delivery comes about: visitor after visitor against the promises, and how its load falls on the users."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from scipy import sparse

    from rim_core.datasets.states import UserStates

STEPS = 60
CLASSES = 40
"""Classes of a load distribution at most."""


@dataclass(frozen=True, eq=False)
class Arrivals:
    """In which order user-states are decided online.

    Attributes
    ----------
    order : ndarray of int64 (m,)
        Rows, first to come first.
    moment : ndarray of int64 (m,)
        When each row comes, microseconds since 1970-01-01 UTC; the end of the window where it never came by itself.
    came : ndarray of bool (m,)
        Whether it came: in a window whose states all begin at one time, whether the user did anything in it.
    """

    order: np.ndarray
    moment: np.ndarray
    came: np.ndarray


def arrivals(states: UserStates, *, seed: int = 0) -> Arrivals:
    """When the user-states of a window come.

    States at times of their own come at these. Where all begin with the window, each comes with the user's first event
    in it; users who did nothing come last, in seeded order: a planner would reach them by a message.
    """
    m = len(states)
    if len(np.unique(states.time)) > 1:
        moment, came = states.time.copy(), np.ones(m, bool)
    else:
        came = states.target_stop > states.stop
        moment = states.time + states.horizon
        moment[came] = states.log.arrays.time[states.stop[came]]
    shuffled = np.random.default_rng(seed).permutation(m)
    order = shuffled[np.lexsort((moment[shuffled], ~came[shuffled]))]
    return Arrivals(order, moment, came)


@dataclass(frozen=True, eq=False)
class DeliveryCourse:
    """A delivery as it goes on.

    Attributes
    ----------
    steps : DataFrame
        decided (user-states so far), share (of all), time (of the last one, UTC), delivered (all items), on_pace (share
        of the promised items at or above their promise times the share decided; NaN without promises), kept (share of
        them that reached their whole promise), over (share of the limited items above their maximum).
    exposure : ndarray of int32 (steps, n)
        Cumulative user-states of every item.
    minimum : ndarray of int64 (n,)
    """

    steps: pd.DataFrame
    exposure: np.ndarray
    minimum: np.ndarray

    def item(self, column: int) -> pd.DataFrame:
        """One item's course: decided, time, delivered, pace (its promise times the share decided)."""
        course = self.steps[["decided", "time"]].copy()
        course["delivered"] = self.exposure[:, column]
        course["pace"] = self.minimum[column] * self.steps["share"]
        return course


def delivery_course(
    matrix: sparse.csr_matrix,
    coming: Arrivals,
    minimum: np.ndarray,
    maximum: np.ndarray | None = None,
    steps: int = STEPS,
) -> DeliveryCourse:
    """Cumulative delivery of every item after equal parts of the user-states, against its promise.

    Parameters
    ----------
    matrix : csr_matrix (m, n)
        What is delivered, 0/1.
    minimum, maximum : ndarray (n,)
        Promised user-states; 0 and m where nothing is promised.
    steps : int
        Parts at most.

    Returns
    -------
    DeliveryCourse
        O(pairs + steps · n) time and memory.
    """
    m, n = matrix.shape
    count = max(1, min(steps, m))
    place = np.empty(m, np.int64)
    place[coming.order] = np.arange(m)
    ends = np.unique(np.linspace(0, m, count + 1).round().astype(np.int64))[1:] if m else np.array([0])
    step = np.searchsorted(ends, place, side="right")
    rows = np.repeat(np.arange(m), np.diff(matrix.indptr))
    cells = step[rows] * n + matrix.indices
    exposure = np.bincount(cells, minlength=len(ends) * n).reshape(len(ends), n).cumsum(axis=0).astype(np.int32)
    share = ends / max(m, 1)
    promised = minimum > 0
    limited = (maximum < m) if maximum is not None else np.zeros(n, bool)
    pace = share[:, None] * minimum[promised][None, :] - 1e-9
    frame = pd.DataFrame(
        {
            "decided": ends,
            "share": share,
            "time": pd.to_datetime(coming.moment[coming.order[ends - 1]], unit="us", utc=True) if m else pd.NaT,
            "delivered": exposure.sum(axis=1),
            "on_pace": _share(exposure[:, promised] >= pace),
            "kept": _share(exposure[:, promised] >= minimum[promised]),
            "over": _share(exposure[:, limited] > maximum[limited]) if maximum is not None else np.nan,
        }
    )
    return DeliveryCourse(frame, exposure, np.asarray(minimum, np.int64))


def _share(which: np.ndarray) -> np.ndarray:
    return which.mean(axis=1) if which.shape[1] else np.full(len(which), np.nan)


def load_distribution(load: np.ndarray) -> pd.DataFrame:
    """How many user-states get how many items (Section F): low, high, states, share; classes of equal width.

    Parameters
    ----------
    load : ndarray of int (m,)
        Items of every user-state.
    """
    load = np.asarray(load, np.int64)
    most = int(load.max(initial=0))
    width = max(1, -(-(most + 1) // CLASSES))
    states = np.bincount(load // width, minlength=most // width + 1)
    low = np.arange(len(states)) * width
    return pd.DataFrame({"low": low, "high": low + width - 1, "states": states, "share": states / max(1, len(load))})
