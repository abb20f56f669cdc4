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
