"""What a history looks like from its user-state: counts, ages and sessions, for models that find their own shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rim_core.datasets.log import SECOND
from rim_core.models.intensity.kernels import event_blocks

if TYPE_CHECKING:
    from rim_core.datasets.states import UserStates

AGES_OF = (1, 2, 3, 5, 8, 13, 20)
"""The event so many places back: how long ago it was."""
WINDOWS = 2.0 ** np.arange(-9, 3)
"""Windows to count in, in horizons. Longer ones would tell the date: everybody's history grows until the test."""
BREAKS = (1 / 25, 1 / 5, 4 / 5)
"""A pause longer than that, in horizons, begins a new session."""


def feature_names() -> list[str]:
    """Columns of :func:`history_features`, in order."""
    return [
        "log pace since the first event",
        "share of targets",
        "log pace of instants",
        "events an instant",
        *(f"log age of the event {k} back" for k in AGES_OF),
        *(f"log events in {w:g} horizons" for w in WINDOWS),
        *(
            f"{what}, broken by {b:g} horizons"
            for b in BREAKS
            for what in ("log pace of sessions", "log events", "log length")
        ),
        *(f"log pace of the last {k}" for k in (5, 20)),
    ]


def history_features(states: UserStates) -> np.ndarray:
    """Features of the visible events of every state, float32 (m, F); NaN where a history is too short for one.

    Ages are in log seconds, so that only their order matters to trees. O(E · (windows + breaks)) in blocks of states.
    """
    parts = [_of_block(states, start, stop, row, event) for start, stop, row, event in event_blocks(states)]
    width = len(feature_names())
    features: np.ndarray = np.concatenate([np.empty((0, width), np.float32), *parts])
    return features


def _of_block(states: UserStates, start: int, stop: int, row: np.ndarray, event: np.ndarray) -> np.ndarray:
    times, m = states.log.arrays.time, stop - start
    now, horizon = states.time[start:stop], max(states.horizon, 1)
    first, last = states.start[start:stop], states.stop[start:stop]
    count = last - first
    age = (now[row] - times[event]).astype(float)
    pause = np.diff(times[event], prepend=0).astype(float)
    opening = event == first[row]
    pause[opening] = np.inf

    def sums(values: np.ndarray) -> np.ndarray:
        return np.bincount(row, values, minlength=m)

    def age_of(place: np.ndarray, there: np.ndarray) -> np.ndarray:
        known = now - times[np.clip(place, 0, len(times) - 1)]
        return np.where(there, np.log(np.maximum(known, 1) / SECOND), np.nan)

    instants = sums(pause > 0)
    observed = np.where(count > 0, now - times[np.clip(first, 0, len(times) - 1)], 0) / horizon + 1.0
    columns = [
        np.log((count + 1) / observed),
        sums(states.is_target_event[event]) / np.maximum(count, 1),
        np.log((instants + 1) / observed),
        count / np.maximum(instants, 1),
    ]
    ages = {k: age_of(last - k, count >= k) for k in AGES_OF}
    columns += ages.values()
    columns += [np.log1p(sums(age < window * horizon)) for window in WINDOWS]
    for border in BREAKS:
        begins = pause > border * horizon
        begun = np.full(m, -1, np.int64)
        np.maximum.at(begun, row[begins], event[begins])
        pace = np.log((sums(begins) + 1) / observed)
        columns += [pace, np.where(count > 0, np.log1p(last - begun), 0.0), age_of(begun, count > 0)]
    columns += [np.log(np.exp(ages[k]) / k) for k in (5, 20)]
    return np.stack(columns, axis=1).astype(np.float32)
