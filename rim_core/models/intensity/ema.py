"""EMA: recent events count more; λ(x) from an exponentially weighted count of the past ones (the paper's EMA)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rim_core.datasets.log import SECOND
from rim_core.errors import ModelError
from rim_core.models.base import Intensity
from rim_core.models.intensity.hawkes_poisson import poisson_regression
from rim_core.models.intensity.kernels import event_blocks

if TYPE_CHECKING:
    from pathlib import Path

    from rim_core.datasets.split import Split
    from rim_core.datasets.states import UserStates
    from rim_core.models.base import Callback


class EMA(Intensity):
    """λ(x) = a · Σ_j exp(−(t − t_j)/s) + b, one time scale s for all: a Hawkes process of a single kernel.

    a, b ≥ 0 make it a count: a Poisson regression on ``split.labelled``. A target event and one that is history only
    count alike.

    Parameters
    ----------
    scale : float, optional
        s in seconds; the horizon by default, as in the paper's own code.

    Raises
    ------
    ModelError
        ``scale`` is not positive.
    """

    def __init__(self, scale: float | None = None) -> None:
        super().__init__()
        if scale is not None and scale <= 0:
            raise ModelError("scale of EMA must be a positive number of seconds, or None for the horizon.")
        self.scale = scale
        self._scale = 0.0
        self._coefficients = np.zeros(2)
        self._horizon = 0

    def _fit(self, split: Split, callback: Callback, checkpoint: Path | None) -> None:
        labelled = split.labelled
        self._horizon = labelled.horizon
        self._scale = float(max(self._horizon if self.scale is None else self.scale * SECOND, 1))
        features = np.stack([self._average(labelled), np.ones(len(labelled))], axis=1)
        self._coefficients = poisson_regression(features, labelled.target_counts, ridge=0.0)
        self.fit_info["training"] = (
            f"Poisson regression on {len(labelled):,} labelled user-states, "
            f"weights fall by e in {self._scale / SECOND:.4g} s"
        )

    def _average(self, states: UserStates) -> np.ndarray:
        """Σ exp(−(t − t_j)/s) over the visible events, float64 (m,); O(E) in blocks."""
        times, total = states.log.arrays.time, np.zeros(len(states))
        for start, stop, row, event in event_blocks(states):
            age = (states.time[start:stop][row] - times[event]) / self._scale
            total[start:stop] = np.bincount(row, np.exp(-age), minlength=stop - start)
        return total

    def _intensity(self, states: UserStates) -> np.ndarray:
        slope, level = self._coefficients * (states.horizon / max(self._horizon, 1))
        expected: np.ndarray = slope * self._average(states) + level
        return expected

    def _weights(self) -> dict[str, np.ndarray]:
        return {
            "scale": np.array([self._scale]),
            "coefficients": self._coefficients,
            "horizon": np.array([self._horizon], np.int64),
        }

    def _load_weights(self, weights: dict[str, np.ndarray]) -> None:
        self._scale, self._coefficients = float(weights["scale"][0]), weights["coefficients"]
        self._horizon = int(weights["horizon"][0])
