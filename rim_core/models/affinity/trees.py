"""Gradient-boosted trees of counts (Poisson loss, from ``lightgbm``), stored as the text they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROWS_AT_ONCE = 500_000


@dataclass(frozen=True)
class CountTrees:
    """Expected counts by features.

    Attributes
    ----------
    text : str
        The trees as the library writes them; empty where the counts did not differ.
    constant : float
        The expected count where there are no trees.
    names : tuple of str
        Features, in order.
    """

    text: str
    constant: float
    names: tuple[str, ...]

    @classmethod
    def fit(
        cls,
        features: Sequence[np.ndarray],
        counts: np.ndarray,
        names: Sequence[str],
        *,
        rounds: int,
        leaves: int,
        learning_rate: float,
        smallest_leaf: int,
        seed: int,
        report: Callable[[float], None],
    ) -> CountTrees:
        """Boost ``rounds`` trees of ``leaves`` leaves; one thread, the same bytes for the same seed.

        Parameters
        ----------
        features : sequence of ndarray of float32 (·, F), NaN for unknown
            N rows in all: parts, so that a caller who has them in parts needs no second copy.
        counts : ndarray (N,), ≥ 0
        report : callable
            Gets the share of the rounds that is done.
        """
        import lightgbm

        mean = float(counts.mean()) if len(counts) else 0.0
        if len(counts) < 2 * smallest_leaf or counts.max(initial=0) == 0:
            return cls("", mean, tuple(names))
        settings = {
            "objective": "poisson",
            "num_leaves": leaves,
            "learning_rate": learning_rate,
            "min_data_in_leaf": smallest_leaf,
            "lambda_l2": 1.0,
            "max_bin": 127,
            "bagging_fraction": 0.8,
            "bagging_freq": 1,
            "feature_fraction": 0.8,
            "seed": seed,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "verbosity": -1,
        }
        data = lightgbm.Dataset(
            [part for part in features if len(part)], counts, feature_name=[f"f{i}" for i in range(len(names))]
        )
        booster = lightgbm.train(settings, data, rounds, callbacks=[lambda env: report((env.iteration + 1) / rounds)])
        return cls(booster.model_to_string(), mean, tuple(names))

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Expected counts, float64 (N,)."""
        if not self.text or len(features) == 0:
            return np.full(len(features), self.constant)
        import lightgbm

        booster = lightgbm.Booster(model_str=self.text)
        parts = [
            booster.predict(features[a : a + ROWS_AT_ONCE], num_threads=1)
            for a in range(0, len(features), ROWS_AT_ONCE)
        ]
        return np.concatenate(parts)

    def to_arrays(self, name: str) -> dict[str, np.ndarray]:
        """Text as bytes and the constant, for an artifact."""
        return {
            f"{name}.text": np.frombuffer(self.text.encode(), np.uint8),
            f"{name}.constant": np.array([self.constant]),
        }

    @classmethod
    def from_arrays(cls, name: str, arrays: dict[str, np.ndarray], names: Sequence[str]) -> CountTrees:
        """Inverse of :meth:`to_arrays`."""
        return cls(arrays[f"{name}.text"].tobytes().decode(), float(arrays[f"{name}.constant"][0]), tuple(names))
