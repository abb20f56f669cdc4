"""Activity: users go on as they did, λ(x) ∝ number of past events (the paper's Pop intensity)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rim_core.models.base import Intensity

if TYPE_CHECKING:
    from pathlib import Path

    from rim_core.datasets.split import Split
    from rim_core.datasets.states import UserStates
    from rim_core.models.base import Callback


class Activity(Intensity):
    """Length of the visible history, per observed time, as a count per horizon (Section 3, RNN-Pop).

    λ(x) = c · (N + 1) · ΔT / (t − t₀): N visible events, ΔT the horizon, t the state's time. t₀ is the start of
    the training data, or in a split by user the user's own first event, so among states of one time the ranking
    is by N alone, as in the paper. The one pseudo-event keeps users without history above zero. c makes the
    total over ``split.labelled`` what really happened there.
    """

    def __init__(self) -> None:
        super().__init__()
        self._scale = 0.0
        self._origin: int | None = None
        self._horizon = 0

    def _fit(self, split: Split, callback: Callback, checkpoint: Path | None) -> None:
        self._horizon = split.test.horizon
        times = split.log.arrays.time[split.train.start[split.train.stop > split.train.start]]
        by_user = split.config.get("by") == "user" or len(times) == 0
        self._origin = None if by_user else int(times.min())
        happened = split.labelled.target_counts.sum() / max(split.labelled.horizon, 1) * self._horizon
        raw = self._raw(split.labelled)
        self._scale = float(happened / raw.sum()) if raw.sum() > 0 else 0.0
        self.fit_info["training"] = f"one calibration constant on {len(split.labelled):,} labelled user-states"

    def _raw(self, states: UserStates) -> np.ndarray:
        """(N + 1) · ΔT / (t − t₀), float64 (m,)."""
        counts = (states.stop - states.start + 1).astype(float)
        if self._origin is None:
            a = states.log.arrays
            first = np.where(counts > 1, a.time[np.minimum(states.start, len(a.time) - 1)], states.time - self._horizon)
        else:
            first = np.full(len(states), self._origin)
        elapsed = np.maximum(states.time - first, max(self._horizon, 1)).astype(float)
        rate: np.ndarray = counts * self._horizon / elapsed
        return rate

    def _intensity(self, states: UserStates) -> np.ndarray:
        return self._scale * self._raw(states) * (states.horizon / max(self._horizon, 1))

    def _weights(self) -> dict[str, np.ndarray]:
        origin = [] if self._origin is None else [self._origin]
        return {
            "scale": np.array([self._scale]),
            "origin": np.array(origin, np.int64),
            "horizon": np.array([self._horizon], np.int64),
        }

    def _load_weights(self, weights: dict[str, np.ndarray]) -> None:
        self._scale = float(weights["scale"][0])
        self._origin = int(weights["origin"][0]) if len(weights["origin"]) else None
        self._horizon = int(weights["horizon"][0])
