"""Newton on the smoothed dual where promises are far from what the states would take by themselves."""

from __future__ import annotations

import numpy as np

from rim_core.planning import Constraints, DualPlanner
from rim_core.scores import Scores


def test_items_that_share_few_states_push_out_everything_else() -> None:
    """660 of the 720 places of 20 states, at prices far above what any other item is worth there."""
    rng = np.random.default_rng(1)
    m, n = 600, 700
    scores = Scores.from_dense((rng.random((m, n)) * rng.gamma(0.5, size=(m, 1))).astype(np.float32))
    eligible = {str(y): list(range(20)) for y in range(100, 160)}
    minimum = np.zeros(n)
    minimum[100:160] = 11
    plan = DualPlanner(Constraints(capacity=36, min_exposure_count=minimum, eligible=eligible)).fit(scores)
    assert plan.certificate.feasible
    assert plan.certificate.gap is not None
    assert plan.certificate.gap < 1e-4
