"""Prices stand in the middle of those that are optimal: a closed form, ties dissolved, and other states."""

from __future__ import annotations

import numpy as np
import pytest

from rim_core.planning import Constraints, DualPlanner, Plan
from rim_core.planning import dual as dual_module
from rim_core.scores import Scores


def plans(scores: Scores, constraints: Constraints, monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """The plan as it is, and with the prices that the repair ends at."""
    centred = DualPlanner(constraints).fit(scores)
    with monkeypatch.context() as patch:
        patch.setattr(dual_module, "centred", lambda drawn, prices, *rest: prices)
        return [centred, DualPlanner(constraints).fit(scores)]


@pytest.mark.parametrize(("count", "price"), [(1, -0.2), (2, -0.45)])
def test_a_price_is_the_middle_between_the_last_state_and_the_next(count: int, price: float) -> None:
    scores = Scores.from_dense(np.array([[0.9, 1.0], [0.7, 1.0], [0.4, 1.0]], np.float32))  # lacks 0.1, 0.3, 0.6
    plan = DualPlanner(Constraints(1, min_exposure_count=np.array([count, 0]))).fit(scores)
    np.testing.assert_allclose(plan.item_prices, [price, 0.0], atol=1e-6)


def test_a_maximum_has_the_middle_as_well() -> None:
    scores = Scores.from_dense(np.array([[1.0, 0.9], [1.0, 0.7], [1.0, 0.4]], np.float32))
    plan = DualPlanner(Constraints(1, max_exposure_count=np.array([1, 3]))).fit(scores)
    np.testing.assert_allclose(plan.item_prices, [0.45, 0.0], atol=1e-6)


def uneven(seed: int, m: int = 1_500, n: int = 500) -> Scores:
    """Activity over orders of magnitude, many items nobody cares for, preferences of rank 8."""
    rng = np.random.default_rng(seed)
    items = np.random.default_rng(0).normal(size=(n, 8)) * np.linspace(0.2, 1.0, n)[:, None]
    liked = rng.normal(size=(m, 8)) @ items.T + np.linspace(-5, 0, n)
    liked = np.exp(liked) / np.exp(liked).sum(axis=1, keepdims=True)
    return Scores.from_dense((rng.lognormal(0.0, 2.0, size=(m, 1)) * liked).astype(np.float32))


def test_the_prices_alone_decide_the_planned_states_and_are_still_optimal(monkeypatch: pytest.MonkeyPatch) -> None:
    scores, constraints = uneven(1), Constraints(15, min_exposure_count=20)
    centred, vertex = plans(scores, constraints, monkeypatch)

    def missed(plan: Plan) -> int:
        return int(np.maximum(20 - plan.assign(scores).exposure, 0).sum())

    assert centred.certificate.gap is not None
    assert vertex.certificate.gap is not None
    assert centred.certificate.gap <= vertex.certificate.gap + 1e-9
    assert centred.certificate.objective == vertex.certificate.objective
    assert missed(centred) < 0.25 * missed(vertex)


def test_other_states_keep_more_of_the_promises(monkeypatch: pytest.MonkeyPatch) -> None:
    missed = []
    for seed in range(3):
        test = uneven(seed + 100)
        both = plans(uneven(seed), Constraints(15, min_exposure_count=20), monkeypatch)
        missed.append([float(np.maximum(20 - plan.assign(test).exposure, 0).mean()) for plan in both])
    centred, vertex = np.mean(missed, axis=0)
    assert centred < 0.95 * vertex
