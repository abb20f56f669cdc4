"""HawkesPoisson: Hawkes states calibrated to a long horizon by Poisson regression (Section 3, eq. 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy.linalg import solve_triangular
from scipy.optimize import nnls

from rim_core.errors import ModelError
from rim_core.models.base import Intensity, Progress
from rim_core.models.intensity.kernels import (
    channels_of,
    kernel_masses,
    log_spaced_scales,
    longest_history,
)

if TYPE_CHECKING:
    from pathlib import Path

    from rim_core.datasets.split import Split
    from rim_core.datasets.states import UserStates
    from rim_core.models.base import Callback


TINY, TOLERANCE = 1e-10, 1e-10


class HawkesPoisson(Intensity):
    """Λ(x) = φ(t) · w with w ≥ 0: the event count of the horizon as a Poisson regression on Hawkes states.

    φ are the kernel states of :class:`Hawkes` (same kernels, same start marker) and a constant. Learned on
    ``split.labelled``: mean of Λ − n log Λ plus a ridge penalty. Eq. (7) writes w as softplus of a free parameter;
    here w itself is bounded below by zero, which is the same set of models and keeps the problem convex.

    Parameters
    ----------
    kernels : int
        R, of log-spaced scales from a millionth of the longest history to ten times it.
    ridge : float
        α of α/2 ‖w‖², per labelled state.
    max_states : int
        Labelled states used at most (drawn at random).
    seed : int

    Raises
    ------
    ModelError
        A setting is not positive.
    """

    _law: ClassVar[str] = "Poisson"

    def __init__(
        self,
        kernels: int = 50,
        ridge: float = 1e-4,
        max_states: int = 50_000,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if min(kernels, max_states) <= 0 or ridge < 0:
            raise ModelError(f"kernels and max_states of {self.name} must be positive, ridge not negative.")
        self.kernels = kernels
        self.ridge = ridge
        self.max_states = max_states
        self.seed = seed
        self._scales = np.empty(0)
        self._coefficients = np.empty(0)
        self._channels = 1
        self._horizon = 0

    @property
    def horizon(self) -> int:
        """Microseconds that the labelled states looked ahead."""
        return self._horizon

    def _fit(self, split: Split, callback: Callback, checkpoint: Path | None) -> None:
        self._channels = channels_of(split)
        self._horizon = split.labelled.horizon
        self._scales = log_spaced_scales(longest_history(split), self.kernels)
        labelled = self._sample(split.labelled)
        width = (self._channels + 1) * self.kernels + 1
        masses = np.zeros((len(labelled), width))
        for start, stop, block in kernel_masses(labelled, self._scales, self._channels):
            masses[start:stop] = block
        callback(Progress(f"{self.name}: regression", 0.5, 1.0))
        self._coefficients = self._regress(masses, labelled.target_counts)
        self.fit_info["training"] = (
            f"{self._law} regression on {len(labelled):,} labelled user-states, {self.kernels} kernels, "
            f"{int((self._coefficients > 0).sum())} of {width} coefficients above zero"
        )

    def _regress(self, masses: np.ndarray, counts: np.ndarray) -> np.ndarray:
        return poisson_regression(masses, counts, self.ridge)

    def _sample(self, labelled: UserStates) -> UserStates:
        if len(labelled) <= self.max_states:
            return labelled
        rows = np.random.default_rng([self.seed, 5]).choice(len(labelled), self.max_states, replace=False)
        return labelled.take(np.sort(rows))

    def _intensity(self, states: UserStates) -> np.ndarray:
        """O(P · R) for P distinct event times in the histories."""
        expected = np.zeros(len(states))
        weights = self._coefficients.copy()
        weights[-1] *= states.horizon / max(self._horizon, 1)
        for start, stop, masses in kernel_masses(states, self._scales, self._channels):
            expected[start:stop] = masses @ weights
        return expected

    def _weights(self) -> dict[str, np.ndarray]:
        return {
            "scales": self._scales,
            "coefficients": self._coefficients,
            "channels": np.array([self._channels], np.int64),
            "horizon": np.array([self._horizon], np.int64),
        }

    def _load_weights(self, weights: dict[str, np.ndarray]) -> None:
        self._scales, self._coefficients = weights["scales"], weights["coefficients"]
        self._channels, self._horizon = int(weights["channels"][0]), int(weights["horizon"][0])
        if len(self._coefficients) != (self._channels + 1) * len(self._scales) + 1:
            raise ModelError(f"The coefficients of {self.name} do not fit their kernels")


def poisson_regression(features: np.ndarray, counts: np.ndarray, ridge: float, max_iter: int = 100) -> np.ndarray:
    """argmin over w ≥ 0 of mean(Λ − n log Λ) + ridge/2 ‖w‖², Λ = features · w; float64 (F,).

    Newton's method: every step minimises the local quadratic over w ≥ 0, which is a non-negative least squares, and is
    halved until the loss falls. O(m · F²) a step, some twenty steps. Kernels next to each other are nearly equal, so
    the last digits are slow to come: the scale of all weights, and with it the total, is solved for at the end.

    Parameters
    ----------
    features : ndarray (m, F), ≥ 0
        The last column is the constant.
    counts : ndarray (m,), ≥ 0
    """
    m, width = features.shape
    w = np.zeros(width)
    if m == 0 or counts.sum() <= 0:
        return w
    size = np.maximum(features.mean(axis=0), 1e-6)
    x, penalty = features / size, ridge / size**2  # columns of one scale: z = w · size

    def loss(z: np.ndarray) -> float:
        expected = np.maximum(x @ z, TINY)
        return float((expected - counts * np.log(expected)).mean() + 0.5 * (penalty * z) @ z)

    z = np.full(width, counts.mean() / width)
    value = loss(z)
    for _ in range(max_iter):
        expected = np.maximum(x @ z, TINY)
        gradient = x.T @ (1.0 - counts / expected) / m + penalty * z
        weighted = x * (np.sqrt(counts / m) / expected)[:, None]
        hessian = weighted.T @ weighted + np.diag(penalty)
        unit = 1.0 / np.sqrt(np.maximum(np.diag(hessian), TINY))  # a kernel that nothing falls into is all ridge
        lower = _cholesky(hessian * np.outer(unit, unit))
        aim, _ = nnls(lower.T, lower.T @ (z / unit) - solve_triangular(lower, gradient * unit, lower=True))
        aim *= unit
        kept = (x @ aim)[counts > 0] / expected[counts > 0]
        step = 1.0 if kept.min() > 0.1 else 0.9  # no Λ falls below a tenth: log Λ is far from its quadratic there
        while step > TINY and (lowered := loss(z + step * (aim - z))) >= value:
            step /= 2.0
        if step <= TINY:
            break
        z, gained, value = z + step * (aim - z), value - lowered, lowered
        if gained < TOLERANCE:
            break
    total, pull = float((x @ z).mean()), float((penalty * z) @ z)
    scale = 2.0 * counts.mean() / (total + np.sqrt(total**2 + 4.0 * pull * counts.mean()))  # the best, exactly
    coefficients: np.ndarray = scale * z / size
    return coefficients


def _cholesky(matrix: np.ndarray) -> np.ndarray:
    """Lower factor; the diagonal is raised as little as it needs (kernels next to each other are nearly equal)."""
    raised = matrix.copy()
    jitter = 1e-15 * np.trace(matrix)
    while True:
        try:
            lower: np.ndarray = np.linalg.cholesky(raised)
            return lower
        except np.linalg.LinAlgError:
            raised = matrix + jitter * np.eye(len(matrix))
            jitter *= 10.0
