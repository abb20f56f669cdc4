"""What a budget leaves is filled: equal scores, classes of users, random instances against the linear program."""

from __future__ import annotations

import numpy as np
import pytest

from rim_core.planning import Budget, Constraints, DualPlanner, Group
from rim_core.scores import Scores


@pytest.mark.parametrize(("m", "limit"), [(50, 12.0), (5_000, 1_250.0), (50, 75.0)])
def test_a_budget_is_used_where_all_users_have_the_same_scores(m: int, limit: float) -> None:
    row = np.random.default_rng(0).exponential(1, 20).astype(np.float32)
    constraints = Constraints(capacity=3, budgets=[Budget(limit, 1.0)])
    plan = DualPlanner(constraints).fit(Scores.from_dense(np.tile(row, (m, 1))))
    assert plan.certificate.feasible
    assert plan.assignment.exposure.sum() == limit
    assert plan.certificate.gap == pytest.approx(0.0, abs=1e-6)


def test_two_classes_of_users_and_minimums_use_the_budget() -> None:
    rng = np.random.default_rng(1)
    rows = rng.exponential(1, (2, 20)).astype(np.float32)
    scores = Scores.from_dense(rows[rng.integers(0, 2, 4_000)])
    plan = DualPlanner(Constraints(capacity=3, min_exposure=0.02, budgets=[Budget(2_500.0, 1.0)])).fit(scores)
    assert plan.certificate.feasible
    assert plan.assignment.exposure.sum() == 2_500
    assert plan.certificate.gap is not None
    assert plan.certificate.gap < 1e-3


@pytest.mark.parametrize("seed", range(12))
def test_nothing_is_broken_and_nothing_that_fits_is_left(seed: int) -> None:
    rng = np.random.default_rng(seed)
    m, n = int(rng.integers(10, 40)), int(rng.integers(3, 9))
    dense = rng.integers(0, 3, (m, n)).astype(np.float32)
    cost = rng.integers(1, 4, n).astype(float)
    limit = float(rng.integers(3, m))
    maximum = rng.integers(1, m, n)
    group = Group("g", items=range(n // 2 + 1), max_count=int(rng.integers(1, m)))
    constraints = Constraints(capacity=2, max_exposure_count=maximum, budgets=[Budget(limit, cost)], groups=[group])
    plan = DualPlanner(constraints).fit(Scores.from_dense(dense))
    exposure = plan.assignment.exposure
    assert plan.certificate.feasible
    assert cost @ exposure <= limit
    assert (exposure <= maximum).all()
    assert exposure[: n // 2 + 1].sum() <= group.max_count
    assert (plan.assignment.load <= 2).all()
    matrix = plan.assignment.matrix.toarray()
    for x, y in zip(*np.nonzero((dense > 0) & (matrix == 0)), strict=True):
        room = plan.assignment.load[x] < 2 and exposure[y] < maximum[y] and cost @ exposure + cost[y] <= limit
        in_group = y <= n // 2 and exposure[: n // 2 + 1].sum() >= group.max_count
        assert not room or in_group, (x, y)
