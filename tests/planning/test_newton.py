"""Newton on the smoothed dual where promises are far from what the states would take by themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rim_core.planning import Constraints, DualPlanner, newton
from rim_core.planning.newton import Level
from rim_core.planning.passes import Drawn, draw, survey
from rim_core.planning.problem import resolve
from rim_core.planning.smoothing import Bounded
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


def test_a_sample_promises_an_item_its_share_of_the_states_it_may_go_to() -> None:
    """Items for a few states: scaled like the sample, they would ask for more (or less) than its states can take."""
    m, n = 2_000, 40
    rng = np.random.default_rng(0)
    eligible = {str(y): list(range(20)) for y in range(5)}
    constraints = Constraints(capacity=5, min_exposure_count=np.where(np.arange(n) < 5, 15, 40), eligible=eligible)
    problem = resolve(Scores.from_dense(rng.random((m, n)).astype(np.float32)), constraints)
    bounded = Bounded.of(problem.lower, problem.upper, problem.weights)
    everywhere = survey(problem.scores).eligible
    assert everywhere[:6].tolist() == [20] * 5 + [m]
    for seed in range(5):
        level = Level.sample(problem.scores, problem.contacts, bounded, 256 * n, seed, eligible=everywhere)
        assert level.rows is not None
        there = int((level.rows < 20).sum())
        assert level.bounded.lower[:5] == pytest.approx(15 * there / 20)
        assert level.bounded.lower[5:] == pytest.approx(40 * len(level.rows) / m)


@pytest.mark.parametrize("promise", [{"min_exposure_count": 1}, {"min_exposure": 0.1}], ids=["one each", "all places"])
def test_no_more_pairs_are_held_at_once_than_there_is_memory_for(
    promise: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A promise of one visitor wants all states in its sample, one of all places makes every pair a candidate."""
    rng = np.random.default_rng(0)
    m, n = 20_000, 50
    scores = Scores.from_dense((rng.random((m, n)) * rng.random(n) ** 3).astype(np.float32))
    held = []

    def counted(*given: Any, **named: Any) -> Drawn:
        drawn = draw(*given, **named)
        held.append(len(drawn.pairs.item))
        return drawn

    monkeypatch.setattr(newton, "draw", counted)
    monkeypatch.setattr(newton, "MOST_PAIRS", 300_000)
    monkeypatch.setattr(newton, "WHOLE", 300_000)
    plan = DualPlanner(Constraints(capacity=5, **promise)).fit(scores)
    assert plan.certificate.feasible
    assert plan.certificate.gap is not None
    assert plan.certificate.gap <= 1e-4
    assert max(held) <= 300_000


def test_pairs_of_no_worth_are_no_candidates_where_only_the_best_are_asked_for() -> None:
    dense = np.zeros((30, 200), np.float32)
    dense[:, 0] = 1.0
    scores = Scores.from_dense(dense)
    boost, capacity = np.zeros(200), np.full(30, 3)
    assert len(draw(scores, boost, 0.0, capacity).pairs.item) == 30
    assert len(draw(scores, boost, 0.1, capacity).pairs.item) == 30 * 200
    boost[7] = 0.5  # a promise lifts it
    assert np.unique(draw(scores, boost, 0.0, capacity).pairs.item).tolist() == [0, 7]
