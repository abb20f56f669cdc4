"""Small instances of the matching problem whose promises can be kept by construction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from rim_core.planning import Constraints
from rim_core.scores import DenseScores, Scores

SIDES = ("lower", "upper", "both")


@dataclass(frozen=True)
class Instance:
    dense: np.ndarray
    constraints: Constraints

    @property
    def scores(self) -> DenseScores:
        return Scores.from_dense(self.dense)


def make_instance(seed: int, side: str) -> Instance:
    """Popular items, heavy-tailed users, ties, forbidden pairs, a capacity per state.

    A random assignment that ignores the scores is a witness that the promises can be kept together, and makes them
    bind: it spreads evenly what the scores would pile up on few items.
    """
    rng = np.random.default_rng(seed)
    m, n = int(rng.integers(12, 40)), int(rng.integers(4, 16))
    dense = np.ceil(8 * rng.random((m, n)) ** 2) / 8  # ties
    dense *= rng.choice([0.25, 1.0, 4.0], n) * (1 + rng.pareto(1.2, m))[:, None]
    dense[rng.random((m, n)) < 0.15] = -np.inf
    capacity = rng.integers(0, min(5, n) + 1, m)
    exposure = np.zeros(n, int)
    for row, k in zip(dense, capacity, strict=True):
        allowed = np.flatnonzero(row > -np.inf)
        exposure[rng.permutation(allowed)[:k]] += 1
    minimum = rng.binomial(exposure, 0.9) if side != "upper" else None
    maximum = np.minimum(exposure + rng.integers(0, 3, n), m) if side != "lower" else None
    return Instance(dense, Constraints(capacity=capacity, min_exposure_count=minimum, max_exposure_count=maximum))


@pytest.fixture(scope="session")
def instance() -> Callable[[int, str], Instance]:
    """instance(seed, "lower" | "upper" | "both")."""
    return make_instance
