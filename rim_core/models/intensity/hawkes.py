"""Hawkes: past events excite future ones and the excitement fades (Section 3, RNN-Hawkes; Appendix A)."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import expm

from rim_core.errors import ModelError
from rim_core.models.ahead import drift, last_window
from rim_core.models.base import Intensity, Progress
from rim_core.models.intensity.kernels import (
    channels_of,
    kernel_masses,
    log_spaced_scales,
    longest_history,
    observed_until,
    points_of,
)

if TYPE_CHECKING:
    from pathlib import Path

    from rim_core.datasets.split import Split
    from rim_core.datasets.states import UserStates
    from rim_core.models.base import Callback

MOST_OFFSPRING = 0.95
"""Offspring of an event within the horizon at most: least squares does not rule out a process that explodes."""

START, TOLERANCE = 0.01, 1e-6
"""Where the descent starts, and the relative fall of the loss at which it ends."""


class Hawkes(Intensity):
    """λ(t) = μ + Σ_j Σ_r α_r φ_r(t − t_j), fitted by tick, as expected events in the horizon.

    Kernels are exponential, their scales log-spaced from a millionth of the longest history to ten times it. A second
    series with one event a user marks her start (Appendix A); where only some event types are targets, the others are
    a third series that excites but is not predicted.

    The score is eq. (6), E[∫ λ dτ] over the horizon, the events of the horizon excite in their turn: a linear function
    of the kernel states, whose coefficients solve a linear differential equation once. One factor makes the total
    over ``split.labelled`` what really happened there.

    Parameters
    ----------
    kernels : int
        R.
    penalty : float
        tick's C: inverse strength of the ridge penalty.
    max_iter : int
        Iterations of accelerated gradient descent at most.
    max_events : int
        Events of at most this many (of randomly drawn users) are fitted on: 200 000 take about 5 s.
    seed : int

    Raises
    ------
    ModelError
        A setting is not positive.
    """

    def __init__(
        self,
        kernels: int = 50,
        penalty: float = 1e3,
        max_iter: int = 1000,
        max_events: int = 200_000,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if min(kernels, penalty, max_iter, max_events) <= 0:
            raise ModelError("kernels, penalty, max_iter and max_events of Hawkes must be positive.")
        self.kernels = kernels
        self.penalty = penalty
        self.max_iter = max_iter
        self.max_events = max_events
        self.seed = seed
        self._scales = np.empty(0)
        self._excitation = np.empty((0, 0))
        self._baseline = 0.0
        self._factor = 1.0

    # -- training ---------------------------------------------------------------------------------------

    def _fit(self, split: Split, callback: Callback, checkpoint: Path | None) -> None:
        channels = channels_of(split)
        observed = replace(split.train, time=observed_until(split))
        rows = self._sample(observed)
        self._scales = log_spaced_scales(longest_history(split), self.kernels)
        self._excitation, self._baseline = np.zeros((channels + 1, self.kernels)), 0.0
        callback(Progress("Hawkes: fitting kernels", 0.1, 1.0))
        realisations = _realisations(observed.take(rows), channels)
        points = sum(len(series[0]) for series in realisations)
        if points:
            self._learn(realisations)
        callback(Progress("Hawkes: calibrating", 0.9, 1.0))
        ahead, parts = 1.0, None if split.config.get("by") == "user" else last_window(split.labelled)
        if parts is not None:
            self._calibrate(parts[0])
            ahead = drift(parts[1].target_counts.sum(), self._intensity(parts[1]).sum())
        self._calibrate(split.labelled)
        self._factor *= ahead
        self.fit_info["ahead"] = ahead
        self.fit_info["training"] = (
            f"least squares on {points:,} events of {len(realisations):,} users, {self.kernels} kernels from "
            f"{self._scales[0] / 1e6:.3g} s to {self._scales[-1] / 86_400e6:.3g} days, "
            f"an event excites {self._excitation[0].sum():.2f} more"
        )

    def _sample(self, observed: UserStates) -> np.ndarray:
        """Random users with events, at most ``max_events`` in all (one user at least), ascending."""
        rows = np.random.default_rng([self.seed, 4]).permutation(np.flatnonzero(observed.stop > observed.start))
        total = np.cumsum((observed.stop - observed.start)[rows])
        return np.sort(rows[: max(1, int(np.searchsorted(total, self.max_events, side="right")))])

    def _learn(self, realisations: list[list[np.ndarray]]) -> None:
        # In units of the mean time between events all coefficients are of one size, so the descent converges: in units
        # of the longest history, or from tick's own start of ones, long kernels stay where they started.
        looked_at = sum(float(series[-1][-1]) for series in realisations)
        unit = max(looked_at, 1.0) / sum(len(series[0]) for series in realisations)
        scaled = [[times / unit for times in series] for series in realisations]
        with warnings.catch_warnings():  # it imports names that its own dependencies have deprecated
            warnings.simplefilter("ignore")
            from tick.hawkes import HawkesSumExpKern

            learner = HawkesSumExpKern(unit / self._scales, C=self.penalty, max_iter=self.max_iter, tol=TOLERANCE)
            learner.fit(scaled, start=START)
        self._excitation = np.array(learner.adjacency[0], float)
        self._baseline = float(learner.baseline[0]) / unit

    def _calibrate(self, labelled: UserStates) -> None:
        self._factor = 1.0
        happened = float(labelled.target_counts.sum())
        expected = float(self._intensity(labelled).sum())
        if happened > 0 and expected > 0:
            self._factor = happened / expected
        elif happened > 0:  # nothing excites and nothing happens by itself: everyone gets the mean
            self._baseline = happened / (len(labelled) * labelled.horizon)

    # -- scoring ----------------------------------------------------------------------------------------

    def _intensity(self, states: UserStates) -> np.ndarray:
        """O(P · R) for P distinct event times in the histories."""
        expected = np.zeros(len(states))
        weights = self._factor * self._expected_per_mass(states.horizon)
        for start, stop, masses in kernel_masses(states, self._scales, len(self._excitation) - 1):
            expected[start:stop] = masses @ weights
        return expected

    def _expected_per_mass(self, horizon: int) -> np.ndarray:
        """Coefficients of eq. (6) on :func:`kernel_masses`, float64 ((channels + 1) · R + 1,).

        With time in horizons, ρ_r = ΔT/s_r and q_r what kernel r still has to give, q̇_r = −ρ_r q_r + α_r λ and
        Ṅ = λ = μ + Σ ρ_r q_r. The system is linear, so N(1) is linear in q(0); its row comes from one exponential.
        """
        r = len(self._scales)
        if horizon <= 0:
            return np.zeros(self._excitation.size + 1)
        rate = horizon / self._scales
        in_horizon = -np.expm1(-rate)
        offspring = self._excitation[0] * min(1.0, MOST_OFFSPRING / max(self._excitation[0] @ in_horizon, 1e-12))
        system = np.zeros((r + 2, r + 2))  # q_1 … q_R, 1, N
        system[:r, :r] = np.outer(offspring, rate) - np.diag(rate)
        system[:r, r] = offspring
        system[r + 1, :r] = rate
        system[r + 1, r] = 1.0
        given = expm(system)[r + 1]
        kernels = self._excitation * (given[:r] / in_horizon)
        return np.append(kernels.ravel(), self._baseline * horizon * given[r])

    # -- artifacts --------------------------------------------------------------------------------------

    def _weights(self) -> dict[str, np.ndarray]:
        return {
            "scales": self._scales,
            "excitation": self._excitation,
            "baseline": np.array([self._baseline]),
            "factor": np.array([self._factor]),
        }

    def _load_weights(self, weights: dict[str, np.ndarray]) -> None:
        self._scales, self._excitation = weights["scales"], weights["excitation"]
        self._baseline, self._factor = float(weights["baseline"][0]), float(weights["factor"][0])
        if self._excitation.ndim != 2 or self._excitation.shape[1] != len(self._scales):
            raise ModelError("The kernels of Hawkes do not fit their scales")


def _realisations(observed: UserStates, channels: int) -> list[list[np.ndarray]]:
    """What tick fits on: per user the target events, the others, the start marker; microseconds since the first event.

    tick takes the last time of all series as the end of observation: the marker's series carries it as a second
    entry, whose kernels have no time left to act.
    """
    points = points_of(observed, channels)
    since = (points.time - points.first[points.row]).astype(float)
    end = (observed.time - points.first).astype(float)
    bounds = np.searchsorted(points.row, np.arange(len(observed) + 1))
    counts = points.count.astype(np.int64)
    realisations = []
    for i in range(len(observed)):
        own = slice(bounds[i], bounds[i + 1])
        series = [np.repeat(since[own], counts[own, channel]) for channel in range(channels)]
        realisations.append([*series, np.array([0.0, end[i]])])
    return realisations
