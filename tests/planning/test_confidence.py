"""What other states will get, against users drawn again and again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import sparse

from rim_core.assignment import Assignment
from rim_core.planning import Budget, Constraints, DualPlanner, Group, expected_deliveries
from rim_core.planning.confidence import chance, interval, user_variance
from rim_core.scores import Scores

SHARES = [0.5, 0.2, 0.05, 0.01, 0.0]


def test_the_spread_is_that_of_users_drawn_anew_with_all_their_states() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 4, 150)  # one to three states a user, each of which may get an item
    user = np.repeat(np.arange(150), sizes)
    m = len(user)
    matrix = sparse.csr_matrix((rng.random((m, 5)) < SHARES).astype(np.float32))
    of_user = np.zeros((150, 5))
    np.add.at(of_user, user, matrix.toarray())
    weights = rng.multinomial(150, np.full(150, 1 / 150), size=20_000)
    drawn = (weights @ of_user) * (m / (weights @ sizes))[:, None]  # as many states as there are
    deviation = np.sqrt(user_variance(matrix, user))
    np.testing.assert_allclose(deviation, drawn.std(axis=0), rtol=0.03)
    total = of_user.sum(axis=0)
    low, high = interval(total, deviation)
    inside = (drawn >= low - 0.5) & (drawn <= high + 0.5)
    assert (inside.mean(axis=0) > 0.88).all()
    assert low[4] == 0
    assert high[4] > 0, "a delivery to nobody may still reach somebody another time"


def test_with_one_state_a_user_the_variance_is_that_of_counting() -> None:
    matrix = sparse.csr_matrix((np.random.default_rng(1).random((200, 4)) < 0.3).astype(np.float32))
    total = np.asarray(matrix.sum(axis=0)).ravel()
    np.testing.assert_allclose(user_variance(matrix), total - total**2 / 200, rtol=1e-6)


def test_a_promise_met_on_average_is_kept_half_of_the_time() -> None:
    expected, deviation = np.array([100.0, 100.0, 100.0, 5.0, 5.0]), np.array([10.0, 10.0, 10.0, 0.0, 0.0])
    found = chance(expected, deviation, np.array([100, 70, 0, 5, 6]))
    assert found[0] == pytest.approx(0.52, abs=0.01)
    assert found[1] > 0.99
    assert list(found[2:]) == [1.0, 1.0, 0.0]


def test_an_item_with_a_price_is_less_sure_than_one_without_and_half_the_states_get_half() -> None:
    rng = np.random.default_rng(2)
    scores = Scores.from_dense(rng.random((400, 2)).astype(np.float32))
    delivered = Assignment(sparse.csr_matrix((rng.random((400, 2)) < 0.2).astype(np.float32)), scores, 800.0)
    frame = expected_deliveries(delivered, np.array([-0.5, 0.0]), Constraints(1, min_exposure=0.2), 200)
    np.testing.assert_allclose(frame["expected"], delivered.exposure / 2)
    assert list(frame["promised"]) == [40, 40]
    width = (frame["high"] - frame["low"]).to_numpy()
    assert width[0] > 1.1 * width[1]
    assert ((frame["chance"] > 0) & (frame["chance"] < 1)).all()


CROWDED: dict[str, dict[str, Any]] = {
    "few eligible": {"min_exposure_count": 2, "eligible": {str(y): list(range(8)) for y in range(6)}},
    "total": {"max_total": 40},
    "group": {"groups": [Group("pair", items=[0, 1], max_count=12)]},
    "budget": {"budgets": [Budget(36.0, 1.0)]},
}


@pytest.mark.parametrize("kind", CROWDED)
def test_a_margin_takes_no_more_room_than_the_other_promises_leave(kind: str) -> None:
    scores = Scores.from_dense(np.random.default_rng(0).exponential(1, (30, 6)).astype(np.float32))
    constraints = Constraints(**{"capacity": 3, "min_exposure_count": 5, **CROWDED[kind]})
    plan = DualPlanner(constraints).fit(scores, confidence=0.95)
    assert plan.certificate.feasible, plan.problems
    assert plan.margin is not None
    assert 0 < plan.margin.added < 30
    assert 0.5 < plan.margin.reached < 0.95
