"""Exponential kernels over histories: the states φ(t) that Hawkes and HawkesPoisson are linear in (Section 3).

A user's process starts at her first event. That event is the start marker of Appendix A, a series of its own with
exactly one event a user; all later ones excite through R kernels φ_s(Δ) = exp(−Δ/s)/s of log-spaced scales s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rim_core.datasets.states import expand_ranges

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rim_core.datasets.split import Split
    from rim_core.datasets.states import UserStates

BLOCK_POINTS = 131_072
"""Points (distinct event times of a history) whose kernels are held at once: 52 MB for 50 kernels."""


@dataclass(frozen=True, eq=False)
class Points:
    """Events of some states, those of one instant counted together.

    Attributes
    ----------
    row : ndarray of int64 (P,)
        State of every point, ascending.
    time : ndarray of int64 (P,)
        Microseconds since 1970.
    count : ndarray of float64 (P, channels)
        Target events at that instant and, with two channels, the others. The first event of a user is in none.
    first : ndarray of int64 (m,)
        Time of every state's first event; the state's own time where it has none.
    """

    row: np.ndarray
    time: np.ndarray
    count: np.ndarray
    first: np.ndarray


def points_of(states: UserStates, channels: int, stop: np.ndarray | None = None) -> Points:
    """The visible events of ``states`` (up to positions ``stop`` where given) as points."""
    stop = states.stop if stop is None else stop
    row, event = expand_ranges(states.start, stop)
    times = states.log.arrays.time
    known = stop > states.start
    first = states.time.copy()
    first[known] = times[states.start[known]]
    keep = event != states.start[row]
    row, event = row[keep], event[keep]
    if len(row) == 0:
        return Points(row, np.empty(0, np.int64), np.empty((0, channels)), first)
    new = np.ones(len(row), bool)
    new[1:] = (np.diff(row) != 0) | (np.diff(times[event]) != 0)
    begin = np.flatnonzero(new)
    target = states.is_target_event[event].astype(float)
    kinds = target[:, None] if channels == 1 else np.stack([target, 1.0 - target], axis=1)
    return Points(row[begin], times[event[begin]], np.add.reduceat(kinds, begin, axis=0), first)


def kernel_masses(states: UserStates, scales: np.ndarray, channels: int) -> Iterator[tuple[int, int, np.ndarray]]:
    """Each kernel's mass that falls into each state's horizon, block by block of states.

    ∫ φ_s(τ − t_j) dτ over [t, t + ΔT) is exp(−(t − t_j)/s) · (1 − exp(−ΔT/s)): the kernel state φ(t) of eq. (7) times
    a constant of the kernel, in units of events.

    Parameters
    ----------
    scales : ndarray (R,), microseconds
    channels : int
        1 where all events are targets; 2 where others excite as well.

    Yields
    ------
    start, stop : int
    masses : float64 (stop − start, channels · R + R + 1)
        Per channel Σ over its events; the start marker's; 1 for the baseline.

    Notes
    -----
    O(P · R) for P points in all; memory O(BLOCK_POINTS · R), whatever the number of states.
    """
    in_horizon = -np.expm1(-states.horizon / scales)
    history = states.stop - states.start
    for start, stop in _blocks(history):
        part = states.take(np.arange(start, stop))
        points = points_of(part, channels)
        m, r = len(part), len(scales)
        masses = np.zeros((m, channels * r + r + 1))
        decayed = np.exp((points.time - part.time[points.row])[:, None] / scales)  # (P, R)
        filled, begin = np.unique(points.row, return_index=True)
        for channel in range(channels if len(begin) else 0):
            sums = np.add.reduceat(decayed * points.count[:, channel, None], begin, axis=0)
            masses[filled, channel * r : (channel + 1) * r] = sums * in_horizon
        age = (points.first - part.time)[:, None] / scales
        masses[:, channels * r : -1] = np.where(history[start:stop, None] > 0, np.exp(age) * in_horizon, 0.0)
        masses[:, -1] = 1.0
        yield start, stop, masses


def event_blocks(states: UserStates) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
    """The visible events of all states, block by block of states.

    Yields
    ------
    start, stop : int
    row : int64 (E,)
        State of every event, counted from ``start``, ascending.
    event : int64 (E,)
        Its position in ``states.log.arrays``.
    """
    for start, stop in _blocks(states.stop - states.start):
        row, event = expand_ranges(states.start[start:stop], states.stop[start:stop])
        yield start, stop, row, event


def channels_of(split: Split) -> int:
    """1 where every event is a target, 2 where others are history only."""
    return 1 if split.train.is_target_event.all() else 2


def observed_until(split: Split) -> np.ndarray:
    """When the training stops to look at each user; int64 (len(split.train),), microseconds.

    A training state whose time lies after the whole log (group A of a split by user) is looked at until the end of
    her labelled window: the ages at which intensities are asked for.
    """
    train, labelled = split.train, split.labelled
    end_of_log = int(split.log.arrays.time.max()) + 1
    until = np.full(len(split.log.users), -1, np.int64)
    np.maximum.at(until, labelled.user, labelled.time + labelled.horizon)
    by_label = until[train.user]
    fallback = np.where(by_label >= 0, by_label, end_of_log)
    return np.where(train.time > end_of_log, fallback, train.time)


def longest_history(split: Split) -> float:
    """t_max: the longest time any user is looked at, in microseconds, at least one."""
    train = split.train
    known = train.stop > train.start
    first = split.log.arrays.time[train.start[known]]
    return float(max((observed_until(split)[known] - first).max(initial=1), 1))


def log_spaced_scales(longest: float, kernels: int) -> np.ndarray:
    """R scales s_r from a millionth of the longest history to ten times it; same unit, float64 (R,)."""
    scales: np.ndarray = np.geomspace(1e-6, 10.0, kernels) * longest
    return scales


def _blocks(history: np.ndarray) -> Iterator[tuple[int, int]]:
    """Ranges of states with at most BLOCK_POINTS events, at least one state each."""
    total = np.cumsum(np.maximum(history, 1))
    start = 0
    while start < len(history):
        before = total[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(total, before + BLOCK_POINTS, side="right")))
        yield start, stop
        start = stop
