"""The smoothed dual: thresholds that are right from wherever their search starts."""

from __future__ import annotations

import numpy as np
import pytest

from rim_core.planning import Constraints, DualPlanner
from rim_core.planning.candidates import Contacts
from rim_core.planning.passes import draw
from rim_core.planning.problem import resolve
from rim_core.planning.smoothing import Bounded, SmoothedDual
from rim_core.scores import Scores


@pytest.mark.parametrize("epsilon", [1e-4, 1e-2, 1.0])
def test_thresholds_do_not_depend_on_where_their_search_starts(epsilon: float) -> None:
    rng = np.random.default_rng(0)
    scores = Scores.from_dense(rng.random((80, 40)).astype(np.float32))
    problem = resolve(scores, Constraints(capacity=7, min_exposure_count=20))
    contacts = Contacts(problem.contacts.capacity, problem.contacts.user, problem.contacts.user_cap)
    bounded = Bounded.of(problem.lower, problem.upper, problem.weights)
    prices = 25.0 + rng.random(40)  # far above every score, as where few states have to take many items
    drawn = draw(scores, bounded.boost(prices), np.inf, contacts.capacity)
    dual = SmoothedDual(drawn, contacts, bounded, epsilon)
    found = [dual.at(prices, np.full(80, start)) for start in (0.0, 1e-3, 24.0, 25.0, 25.5, 26.0, 27.0, 1e3)]
    for point in found[1:]:
        assert point.value == pytest.approx(found[0].value, rel=1e-9)
        assert point.exposure == pytest.approx(found[0].exposure, rel=1e-4, abs=1e-4)
    assert found[0].exposure.sum() == pytest.approx(80 * 7, rel=1e-6)


@pytest.mark.parametrize("moved", [-0.2, 0.0, 0.2])
@pytest.mark.parametrize("seed", range(4))
def test_no_item_is_moved_out_of_what_was_drawn_around_it(seed: int, moved: float) -> None:
    """Nine tenths of the places are promised: a common move of the priced items leaves the popular ones behind.

    The pairs are those near the thresholds at the start. Beyond them F is that of other promises, and below D's least.
    """
    rng = np.random.default_rng(seed)
    taste = rng.gamma(0.3, size=60)
    taste[:3] *= 30
    scores = Scores.from_dense((rng.random((300, 60)) * taste * rng.gamma(1.0, size=(300, 1))).astype(np.float32))
    constraints = Constraints(capacity=10, min_exposure_count=45)
    problem, plan = resolve(scores, constraints), DualPlanner(constraints).fit(scores)
    bounded = Bounded.of(problem.lower, problem.upper, problem.weights)
    start = np.where(plan.prices > 0, np.maximum(plan.prices + moved * plan.prices.max(), 1e-9), 0.0)
    assert (start == 0).any()
    epsilon, reach = 1e-4, 1e-3
    drawn = draw(scores, bounded.boost(start), reach, problem.contacts.capacity, leave_sure=True)
    dual = SmoothedDual(drawn, problem.contacts, bounded, epsilon)
    found = dual.minimise(dual.at(start, drawn.threshold), tolerance=1e-3, reach=reach)
    move = found.prices - start
    assert np.abs(move - np.median(move)).max() <= 1.5 * reach
    assert found.value >= plan.certificate.objective * (1 - 1e-9)
