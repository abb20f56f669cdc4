"""BoostedHawkes: HawkesPoisson, corrected by gradient-boosted trees on what the history looks like."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rim_core.errors import ModelError
from rim_core.models.ahead import drift, last_window
from rim_core.models.base import Intensity, Progress
from rim_core.models.intensity.hawkes_poisson import HawkesPoisson
from rim_core.models.intensity.history import history_features
from rim_core.models.parts import within

if TYPE_CHECKING:
    from pathlib import Path

    import lightgbm

    from rim_core.datasets.split import Split
    from rim_core.datasets.states import UserStates
    from rim_core.models.base import Callback

EARLIER = (0.0, 0.1, 0.2, 0.3)
"""A labelled state is learned from at its own time and so many horizons before it."""
SMALLEST = 0.02
"""Of the mean: no expectation is below that before trees correct it, so its logarithm is tame."""
LEAST_LEAF = 20


class BoostedHawkes(Intensity):
    """Λ(x) = HawkesPoisson(x) · exp(trees(x)): sums of fading kernels cannot say that a session has ended, trees can.

    Trees (LightGBM, Poisson loss) are grown on counts in windows, ages of past events and sessions, from the labelled
    states and the same users a little earlier; with little data none are grown and HawkesPoisson remains. One factor
    makes the total over ``split.labelled`` what really happened there; in a split by time another one follows the
    drift to the window after (:mod:`~rim_core.models.ahead`).

    Parameters
    ----------
    trees : int
    leaves : int
        Of each tree, at most.
    learning_rate : float
    kernels : int
        Of HawkesPoisson.
    max_states : int
        States learned from at most (drawn at random).
    seed : int

    Raises
    ------
    ModelError
        A setting is not positive.
    """

    def __init__(
        self,
        trees: int = 300,
        leaves: int = 7,
        learning_rate: float = 0.03,
        kernels: int = 50,
        max_states: int = 50_000,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if min(trees, leaves - 1, learning_rate, kernels, max_states) <= 0:
            raise ModelError(
                "trees, learning_rate, kernels and max_states of BoostedHawkes must be positive, leaves at least 2."
            )
        self.trees = trees
        self.leaves = leaves
        self.learning_rate = learning_rate
        self.kernels = kernels
        self.max_states = max_states
        self.seed = seed
        self._base = HawkesPoisson(kernels, max_states=max_states, seed=seed)
        self._booster: lightgbm.Booster | None = None
        self._floor = 0.0
        self._factor = 1.0

    def _fit(self, split: Split, callback: Callback, checkpoint: Path | None) -> None:
        ahead, parts = 1.0, None if split.config.get("by") == "user" else last_window(split.labelled)
        if parts is not None:
            earlier, last = parts
            self._learn(replace(split, labelled=earlier), within(callback, 0.0, 0.5))
            ahead = drift(last.target_counts.sum(), self._intensity(last).sum())
        self._learn(split, within(callback, 0.5, 0.5))
        self._factor *= ahead
        self.fit_info["ahead"] = ahead
        self.fit_info["training"] += f", times {ahead:.3f} for what a window ahead holds" if parts is not None else ""

    def _learn(self, split: Split, callback: Callback) -> None:
        labelled = split.labelled
        times = np.concatenate([labelled.time - int(share * labelled.horizon) for share in EARLIER])
        states = replace(labelled, user=np.tile(labelled.user, len(EARLIER)), time=times)
        if len(states) > self.max_states:
            rows = np.random.default_rng([self.seed, 6]).choice(len(states), self.max_states, replace=False)
            states = states.take(np.sort(rows))
        self._base.fit(replace(split, labelled=states))
        self._floor = SMALLEST * float(states.target_counts.mean()) if len(states) else 0.0
        callback(Progress("BoostedHawkes: growing trees", 0.3, 1.0))
        self._booster = self._grow(states) if states.target_counts.sum() > 0 else None
        self._factor = 1.0
        expected = self._intensity(labelled).sum()
        self._factor = float(labelled.target_counts.sum() / expected) if expected > 0 else 1.0
        grown = 0 if self._booster is None else self._booster.num_trees()
        self.fit_info["training"] = f"{grown} trees on {len(states):,} user-states; {self._base.fit_info['training']}"

    def _grow(self, states: UserStates) -> lightgbm.Booster:
        import lightgbm

        settings: dict[str, Any] = {
            "objective": "poisson",
            "boost_from_average": False,
            "learning_rate": self.learning_rate,
            "num_leaves": self.leaves,
            "min_data_in_leaf": max(LEAST_LEAF, len(states) // 75),
            "lambda_l2": 5.0,
            "feature_fraction": 0.5,
            "bagging_fraction": 0.7,
            "bagging_freq": 1,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "seed": self.seed,
            "verbosity": -1,
        }
        data = lightgbm.Dataset(
            history_features(states), states.target_counts, init_score=np.log(self._expected_by_kernels(states))
        )
        return lightgbm.train(settings, data, self.trees)

    def _expected_by_kernels(self, states: UserStates) -> np.ndarray:
        expected: np.ndarray = np.maximum(self._base.intensity(states), max(self._floor, 1e-9))
        return expected

    def _intensity(self, states: UserStates) -> np.ndarray:
        """O(E · (kernels + windows)) and the trees, which see every state as if it looked as far as they learned."""
        horizon = max(self._base.horizon, 1)
        learned = replace(states, horizon=horizon)
        expected = self._factor * (states.horizon / horizon) * self._expected_by_kernels(learned)
        if self._booster is not None and len(states):
            features = history_features(learned)
            expected = expected * np.exp(self._booster.predict(features, raw_score=True, num_threads=1))
        return np.asarray(expected, float)

    def _weights(self) -> dict[str, np.ndarray]:
        text = "" if self._booster is None else self._booster.model_to_string()
        return {
            **{f"kernels.{key}": array for key, array in self._base._weights().items()},
            "trees": np.frombuffer(text.encode(), np.uint8),
            "floor": np.array([self._floor]),
            "factor": np.array([self._factor]),
        }

    def _load_weights(self, weights: dict[str, np.ndarray]) -> None:
        self._base._load_weights(
            {k.removeprefix("kernels."): w for k, w in weights.items() if k.startswith("kernels.")}
        )
        self._base._fitted = True
        self._floor, self._factor = float(weights["floor"][0]), float(weights["factor"][0])
        text = weights["trees"].tobytes().decode()
        self._booster = _booster(text) if text else None


def _booster(text: str) -> lightgbm.Booster:
    import lightgbm

    try:
        return lightgbm.Booster(model_str=text)
    except lightgbm.basic.LightGBMError as error:
        raise ModelError("The trees of BoostedHawkes cannot be read") from error
