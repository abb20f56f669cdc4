"""Who pays for the promises, against counting by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import rim_core as rim
from rim_core.planning import Baseline, Constraints, DualPlanner, Group, who_loses, without_promises
from rim_core.planning.losses import EDGES, value_of_states
from rim_core.scores import Scores
from tests.planning.conftest import Instance


def test_what_is_given_up_falls_on_the_states_that_give_it_up() -> None:
    free = Baseline(10.0, np.array([3, 1]), np.array([4.0, 3.0, 2.0, 1.0, 0.0]))
    found = who_loses(np.array([4.0, 1.5, 1.9, 1.2, 0.0]), 9.0, free)  # one gains, which is no loss to anybody
    assert found.cost == pytest.approx(0.1)
    assert found.worse == pytest.approx(2 / 5)
    assert found.states.sum() == 5
    by_edge = dict(zip(EDGES[:-1], found.states, strict=True))
    assert by_edge[0.0] == 3
    assert by_edge[0.05] == 1  # 0.1 of 2
    assert by_edge[0.5] == 1  # 1.5 of 3
    assert found.worst_tenth == pytest.approx(1.5 / 1.6)


def test_nobody_loses_where_nothing_is_promised() -> None:
    free = Baseline(10.0, np.array([3]), np.array([4.0, 6.0]))
    found = who_loses(free.value, 10.0, free)
    assert (found.cost, found.worse, found.worst_tenth) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("seed", [1, 2])
def test_without_promises_everybody_gets_the_best_that_the_rules_allow(
    instance: Callable[[int, str], Instance], seed: int
) -> None:
    made = instance(seed, "both")
    plan = without_promises(made.scores, made.constraints)
    best = rim.item_rec(made.scores, k=made.dense.shape[1])
    assert not plan.item_prices.any()
    assert (plan.assignment.load <= np.asarray(made.constraints.capacity)).all()
    assert plan.certificate.objective >= DualPlanner(made.constraints).fit(made.scores).certificate.objective - 1e-9
    assert value_of_states(plan.assignment).sum() == pytest.approx(plan.certificate.objective)
    assert plan.certificate.objective <= best.objective + 1e-9


def test_rules_stay_and_promises_to_groups_go() -> None:
    dense = np.random.default_rng(0).random((40, 6)).astype(np.float32)
    promised = Constraints(
        2, min_exposure=0.2, groups=[Group("a", items=[0, 1], min_count=60)], max_per_user=None, forbidden=[(0, 0)],
        max_total=70,
    )  # fmt: skip
    plan = without_promises(Scores.from_dense(dense), promised)
    assert plan.assignment.delivered == 70
    assert plan.assignment.matrix[0, 0] == 0
    assert not plan.bounds.minimum.any()
