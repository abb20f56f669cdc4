"""The Dual planner against the linear program, on promises that can and that cannot be kept, and on odd input."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from rim_core.assignment import Assignment
from rim_core.errors import Cancelled, ConstraintError, InfeasibleError, ScoreError
from rim_core.models.base import Progress
from rim_core.planning import Constraints, DualPlanner, Plan, greedy_match, linear_program
from rim_core.planning.dual import ALL_PAIRS
from rim_core.planning.online import online_match
from rim_core.planning.smoothing import SmoothedDual
from rim_core.scores import Scores


def assert_keeps(assignment: Assignment, constraints: Constraints) -> None:
    """Capacity, bounds and forbidden pairs, from the matrix itself."""
    m, n = assignment.matrix.shape
    bounds = constraints.bounds(m, n)
    taken = assignment.matrix.toarray()
    assert set(np.unique(taken)) <= {0.0, 1.0}
    assert (taken.sum(axis=1) <= bounds.capacity).all()
    assert (taken.sum(axis=0) >= bounds.minimum).all()
    assert (taken.sum(axis=0) <= bounds.maximum).all()
    assert (assignment.scores.to_dense()[taken > 0] > -np.inf).all()


def fingerprint(plan: Plan) -> tuple[bytes, ...]:
    matrix = plan.assignment.matrix
    return plan.item_prices.tobytes(), matrix.indices.tobytes(), matrix.indptr.tobytes()


# -- promises that can be kept -----------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["lower", "upper", "both"])
@pytest.mark.parametrize("seed", range(20))
def test_bound_and_repair_match_the_linear_program(instance: Callable[..., Any], seed: int, side: str) -> None:
    given = instance(seed, side)
    optimum = linear_program(given.scores, given.constraints).objective
    plan = DualPlanner(given.constraints).fit(given.scores)
    certificate = plan.certificate
    assert certificate.upper_bound == pytest.approx(optimum, rel=1e-6)
    assert certificate.feasible
    assert plan.problems == ()
    assert (certificate.max_shortfall, certificate.max_excess) == (0, 0)
    assert_keeps(plan.assignment, given.constraints)
    # bounds and capacities are whole numbers, so the optimum is integral and the repair must reach it
    dense = given.dense.astype(np.float32).astype(float)
    objective = dense[plan.assignment.matrix.nonzero()].sum()
    assert objective == pytest.approx(optimum, rel=1e-6)
    assert certificate.objective == pytest.approx(objective, rel=1e-9)
    assert certificate.gap is not None
    assert 0 <= certificate.gap <= 1e-6


@pytest.mark.parametrize("side", ["lower", "upper", "both"])
def test_the_certificate_is_the_dual_value_of_some_prices_and_prices_have_the_promises_signs(
    instance: Callable[..., Any], side: str
) -> None:
    given = instance(101, side)
    plan = DualPlanner(given.constraints).fit(given.scores)
    m, n = given.dense.shape
    bounds, boost = given.constraints.bounds(m, n), -plan.item_prices
    net = -np.sort(-(given.dense.astype(np.float32) + boost), axis=1)
    value = sum(np.maximum(row[:k], 0).sum() for row, k in zip(net, bounds.capacity, strict=True))
    value += bounds.maximum @ np.maximum(-boost, 0) - bounds.minimum @ np.maximum(boost, 0)
    assert value == pytest.approx(plan.certificate.upper_bound, rel=1e-6)
    exposure = plan.assignment.exposure
    assert (exposure[boost > 1e-9] == bounds.minimum[boost > 1e-9]).all()  # complementary slackness
    assert (exposure[boost < -1e-9] == bounds.maximum[boost < -1e-9]).all()
    assert (boost != 0).any(), "no promise binds: the instance tests nothing"


def medium(seed: int = 3) -> Scores:
    """600 × 800 factors: skewed items and users, with some pairs forbidden."""
    rng = np.random.default_rng(seed)
    h, w = rng.normal(size=(600, 6)), rng.normal(size=(800, 6)) * 0.5
    w[:, 0] += rng.normal(0, 1.0, 800)
    seen = sparse.random(600, 800, density=0.02, random_state=1, format="csr")
    return Scores.from_factors(h, w, link="exp", row_scale=rng.pareto(1.5, 600) + 0.1, forbidden=seen)


@pytest.mark.parametrize(
    "constraints",
    [
        Constraints(capacity=8, min_exposure_count=4),
        Constraints(capacity=8, max_exposure_count=9),
        Constraints(capacity=8, min_exposure_count=3, max_exposure_count=20),
    ],
    ids=["lower", "upper", "both"],
)
def test_candidates_cost_next_to_nothing_on_a_medium_instance(constraints: Constraints) -> None:
    scores = medium()
    assert scores.shape[0] * scores.shape[1] > ALL_PAIRS
    plan = DualPlanner(constraints).fit(scores)
    assert plan.problems == ()
    assert plan.certificate.max_shortfall == plan.certificate.max_excess == 0
    assert plan.certificate.gap is not None
    assert plan.certificate.gap <= 1e-4
    assert plan.certificate.objective <= plan.certificate.upper_bound * (1 + 1e-6)
    assert_keeps(plan.assignment, constraints)


def test_the_reference_scores_get_a_certificate(shared_data: Path) -> None:
    path = shared_data.parent / "reference" / "rnn-hp-scores-test.npz"
    if not path.is_file():
        pytest.skip(f"no reference scores at {path}")
    with np.load(path) as stored:
        h, w = stored["state_factors"], stored["item_factors"]
        seen = sparse.csr_matrix(
            (np.ones(len(stored["seen_indices"]), np.float32), stored["seen_indices"], stored["seen_indptr"]),
            shape=(len(h), len(w)),
        )
    constraints = Constraints(capacity=36, min_exposure_count=2)
    plan = DualPlanner(constraints).fit(Scores.from_factors(h, w, link="exp", forbidden=seen))
    assert plan.certificate.max_shortfall == 0
    assert plan.certificate.gap is not None
    assert plan.certificate.gap <= 1e-4
    assert plan.assignment.exposure.min() >= 2
    assert plan.assignment.load.max() <= 36
    assert plan.assignment.matrix.multiply(seen).nnz == 0


def test_without_promises_every_state_gets_its_best_items() -> None:
    rng = np.random.default_rng(0)
    dense = rng.random((30, 9)).astype(np.float32)
    plan = DualPlanner(Constraints(capacity=4)).fit(Scores.from_dense(dense))
    expected = np.sort(np.argsort(-dense, axis=1)[:, :4], axis=1)
    np.testing.assert_array_equal(plan.assignment.matrix.indices.reshape(30, 4), expected)
    assert (plan.item_prices == 0).all()
    assert plan.certificate.gap == pytest.approx(0, abs=1e-7)


def test_promises_that_cost_nothing_leave_prices_at_zero() -> None:
    dense = np.random.default_rng(0).random((40, 5))
    free = DualPlanner(Constraints(capacity=2)).fit(Scores.from_dense(dense))
    slack = Constraints(capacity=2, min_exposure_count=int(free.assignment.exposure.min()), max_exposure_count=40)
    plan = DualPlanner(slack).fit(Scores.from_dense(dense))
    assert (plan.item_prices == 0).all()
    assert plan.certificate.objective == pytest.approx(free.certificate.objective)


def test_nothing_is_boosted_where_no_minimum_is_promised() -> None:
    plan = DualPlanner(Constraints(capacity=8, max_exposure=0.05)).fit(medium())
    assert plan.certificate.feasible
    assert plan.certificate.gap <= 1e-4
    assert (plan.assignment.exposure == 0).any()  # any price up to where somebody would take it does for such an item
    assert (plan.item_prices >= 0).all()
    assert (plan.item_prices > 0).any()


@pytest.mark.parametrize("side", ["lower", "upper", "both"])
def test_a_warm_start_leads_to_the_same_optimum(instance: Callable[..., Any], side: str) -> None:
    given, other = instance(7, side), instance(8, side)
    cold = DualPlanner(given.constraints).fit(given.scores)
    again = DualPlanner(given.constraints).fit(given.scores, warm_start=cold)
    assert again.certificate.objective == pytest.approx(cold.certificate.objective, rel=1e-6)
    assert again.certificate.upper_bound == pytest.approx(cold.certificate.upper_bound, rel=1e-6)
    elsewhere = DualPlanner(Constraints(capacity=2)).fit(given.scores)  # a plan of other promises
    later = DualPlanner(given.constraints).fit(given.scores, warm_start=elsewhere)
    assert later.certificate.objective == pytest.approx(cold.certificate.objective, rel=1e-6)
    if other.dense.shape[1] != given.dense.shape[1]:
        with pytest.raises(ScoreError, match="other items"):
            DualPlanner(given.constraints).fit(
                given.scores, warm_start=DualPlanner(other.constraints).fit(other.scores)
            )


def test_the_same_seed_gives_the_same_bytes(instance: Callable[..., Any]) -> None:
    given = instance(5, "both")
    first, second = (DualPlanner(given.constraints, seed=4).fit(given.scores) for _ in range(2))
    assert fingerprint(first) == fingerprint(second)
    constant = Scores.from_dense(np.ones((20, 10)))
    plans = [DualPlanner(Constraints(capacity=2), seed=s).fit(constant) for s in (1, 1, 2)]
    assert fingerprint(plans[0]) == fingerprint(plans[1])
    assert fingerprint(plans[0]) != fingerprint(plans[2])  # the seed is the order of equal choices


def test_one_row_a_promise(instance: Callable[..., Any]) -> None:
    given = instance(2, "both")
    plan = DualPlanner(given.constraints).fit(given.scores)
    bounds = given.constraints.bounds(*given.dense.shape)
    assert list(plan.promises.columns) == ["item_id", "minimum", "maximum", "delivered", "price"]
    np.testing.assert_array_equal(plan.promises["minimum"], bounds.minimum)
    np.testing.assert_array_equal(plan.promises["maximum"], bounds.maximum)
    np.testing.assert_array_equal(plan.promises["delivered"], np.asarray(plan.assignment.matrix.sum(axis=0)).ravel())
    np.testing.assert_array_equal(plan.promises["price"], plan.item_prices)


# -- promises that cannot be kept ----------------------------------------------------------------------------------


def forbidding(m: int, n: int, allowed: dict[int, list[int]]) -> Scores:
    """Random scores where the items of ``allowed`` may go to these states only."""
    dense = np.random.default_rng(1).random((m, n)) + 0.5
    for item, states in allowed.items():
        dense[np.setdiff1d(np.arange(m), states), item] = -np.inf
    return Scores.from_dense(dense)


@pytest.mark.parametrize(
    ("scores", "constraints", "sentence"),
    [
        (forbidding(10, 4, {}), Constraints(capacity=1, min_exposure_count=4), "16 exposures are promised"),
        (forbidding(10, 4, {2: [0, 1]}), Constraints(capacity=3, min_exposure_count=3), "may be given to 2 only"),
        (
            forbidding(10, 4, {1: [0, 1, 2], 3: [0, 1, 2]}),
            Constraints(capacity=1, min_exposure_count=[0, 2, 0, 2]),
            "item 1 2 (could be 1); item 3 2 (could be 1). They contend for the same 3 user-states",
        ),
    ],
    ids=["total above capacity", "an item above its eligible states", "two items clash over the same states"],
)
def test_promises_out_of_reach_are_named_and_no_gap_is_claimed(
    scores: Scores, constraints: Constraints, sentence: str
) -> None:
    with pytest.raises(InfeasibleError):
        linear_program(scores, constraints)
    plan = DualPlanner(constraints).fit(scores)
    assert any(sentence in problem for problem in plan.problems), plan.problems
    assert not plan.certificate.feasible
    assert plan.certificate.gap is None
    minimum = constraints.bounds(*scores.shape).minimum
    assert plan.certificate.max_shortfall == np.maximum(minimum - plan.assignment.exposure, 0).max() > 0
    assert (plan.assignment.load <= constraints.capacity).all()
    assert (plan.assignment.pair_scores > -np.inf).all()
    assert np.isfinite(plan.item_prices).all()
    # the bound is what capacity alone allows: D(b) of promises that cannot be kept falls without end
    capacity_alone = DualPlanner(Constraints(capacity=constraints.capacity)).fit(scores).certificate.objective
    assert plan.certificate.upper_bound == pytest.approx(capacity_alone, rel=1e-6)


def test_a_clash_costs_no_more_than_it_must() -> None:
    scores = forbidding(10, 4, {1: [0, 1, 2], 3: [0, 1, 2]})
    plan = DualPlanner(Constraints(capacity=1, min_exposure_count=[0, 2, 0, 2])).fit(scores)
    assert plan.assignment.exposure[[1, 3]].sum() == 3  # three states, one place each
    assert plan.certificate.max_shortfall == 1


def test_a_promise_out_of_reach_says_what_would_fit() -> None:
    scores = forbidding(10, 4, {})
    (problem,) = DualPlanner(Constraints(capacity=1, min_exposure_count=4)).fit(scores).problems
    assert "10 places" in problem
    assert "62 %" in problem  # 10 / 16
    assert "capacity to 2" in problem
    assert DualPlanner(Constraints(capacity=2, min_exposure_count=4)).fit(scores).certificate.feasible


# -- odd input -----------------------------------------------------------------------------------------------------


def test_constant_scores_are_dealt_out_evenly() -> None:
    constraints = Constraints(capacity=1, min_exposure_count=5, max_exposure_count=5)
    plan = DualPlanner(constraints).fit(Scores.from_dense(np.full((20, 4), 0.3)))
    assert (plan.assignment.exposure == 5).all()
    assert plan.certificate.gap == pytest.approx(0, abs=1e-6)


def test_scores_of_zero_can_still_be_promised() -> None:
    plan = DualPlanner(Constraints(capacity=2, min_exposure_count=3)).fit(Scores.from_dense(np.zeros((6, 4))))
    assert plan.certificate.feasible
    assert plan.certificate.gap == 0
    assert (plan.assignment.exposure >= 3).all()


def test_one_item() -> None:
    dense = np.array([[0.1], [0.5], [0.2], [0.4]])
    plan = DualPlanner(Constraints(capacity=3, max_exposure_count=2)).fit(Scores.from_dense(dense))
    np.testing.assert_array_equal(plan.assignment.matrix.toarray().ravel(), [0, 1, 0, 1])
    assert 0.2 - 1e-6 <= plan.item_prices[0] <= 0.4 + 1e-6
    assert plan.certificate.gap == pytest.approx(0, abs=1e-6)


def test_one_state() -> None:
    plan = DualPlanner(Constraints(capacity=1, min_exposure_count=[0, 1])).fit(
        Scores.from_dense(np.array([[9.0, 1.0]]))
    )
    np.testing.assert_array_equal(plan.assignment.matrix.toarray(), [[0, 1]])
    assert plan.item_prices[1] <= -8 + 1e-6  # any larger boost keeps the promise as well
    assert plan.certificate.upper_bound == pytest.approx(1)


@pytest.mark.parametrize("capacity", [4, 5, 1000])
def test_capacity_for_everything(capacity: int) -> None:
    dense = np.random.default_rng(2).random((7, 4)) + 0.1
    plan = DualPlanner(Constraints(capacity=capacity, max_exposure_count=[7, 7, 7, 3])).fit(Scores.from_dense(dense))
    np.testing.assert_array_equal(plan.assignment.exposure, [7, 7, 7, 3])
    assert plan.certificate.gap == pytest.approx(0, abs=1e-6)


def test_no_capacity_at_all() -> None:
    plan = DualPlanner(Constraints(capacity=0)).fit(Scores.from_dense(np.ones((3, 2))))
    assert plan.assignment.delivered == 0
    assert plan.certificate.feasible


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_nothing_to_plan(shape: tuple[int, int]) -> None:
    with pytest.raises(ScoreError, match="nothing to plan"):
        DualPlanner(Constraints()).fit(Scores.from_dense(np.empty(shape)))


def test_scores_that_are_no_counts_are_refused() -> None:
    h, w = np.array([[1.0], [-1.0]]), np.array([[1.0], [2.0]])
    with pytest.raises(ScoreError, match="user-state 1"):
        DualPlanner(Constraints(capacity=1)).fit(Scores.from_factors(h, w))
    for wrong in (np.nan, np.inf):
        added = sparse.csr_matrix(([wrong], ([0], [1])), shape=(2, 2))
        with pytest.raises(ScoreError, match="user-state 0 and item '1'"):
            DualPlanner(Constraints(capacity=1)).fit(Scores.from_factors(np.abs(h), w, added=added))


def test_promises_of_another_shape_are_refused() -> None:
    with pytest.raises(ConstraintError, match="3 numbers for 2 items"):
        DualPlanner(Constraints(min_exposure=[0.1, 0.1, 0.1])).fit(Scores.from_dense(np.ones((4, 2))))


@pytest.mark.parametrize("after", [0, 1, 3])
def test_planning_can_be_cancelled(instance: Callable[..., Any], after: int) -> None:
    given = instance(5, "both")
    seen: list[Progress] = []

    def stop(progress: Progress) -> None:
        seen.append(progress)
        if len(seen) > after:
            raise Cancelled("The user asked to stop.")

    with pytest.raises(Cancelled):
        DualPlanner(given.constraints).fit(given.scores, callback=stop)
    assert len(seen) == after + 1


def test_a_planner_is_asked_before_every_step_and_says_what_is_still_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    unasked, stages, step = [0], set(), SmoothedDual._step

    def ask(progress: Progress) -> None:
        unasked[0] = 0
        stages.add(progress.stage)

    def counted(*arguments: Any) -> Any:
        unasked[0] += 1
        assert unasked[0] == 1, "a step without a chance to stop before it"
        return step(*arguments)

    monkeypatch.setattr(SmoothedDual, "_step", counted)
    DualPlanner(Constraints(capacity=5, min_exposure=0.02)).fit(medium(), callback=ask)
    assert any("promises missed by" in stage for stage in stages)


def test_matching_online_and_greedily_can_be_stopped_between_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    scores, constraints = medium(), Constraints(capacity=3, min_exposure=0.01)
    monkeypatch.setattr("rim_core.scores.BLOCK_ENTRIES", scores.shape[1] * scores.shape[0] // 8)
    for match in (
        lambda heed: online_match(scores, np.zeros(scores.shape[1]), constraints, heed=heed),
        lambda heed: greedy_match(scores, constraints, heed=heed),
    ):
        asked = [0]

        def stop(asked: list[int] = asked) -> None:
            asked[0] += 1
            if asked[0] == 4:
                raise Cancelled("The user asked to stop.")

        with pytest.raises(Cancelled):
            match(stop)
        assert asked == [4]


def test_progress_moves_from_nothing_to_everything(instance: Callable[..., Any]) -> None:
    given = instance(5, "both")
    seen: list[Progress] = []
    DualPlanner(given.constraints).fit(given.scores, callback=seen.append)
    shares = [p.done / p.total for p in seen]
    assert shares[0] == 0
    assert shares[-1] == 1
    assert all(0 <= s <= 1 for s in shares)


# -- other states --------------------------------------------------------------------------------------------------


def test_other_states_are_decided_one_by_one_by_the_prices() -> None:
    rng = np.random.default_rng(11)
    popularity = np.linspace(0.3, 3.0, 12)
    planned = rng.gamma(0.5, size=(80, 12)) * popularity
    arriving = (rng.gamma(0.5, size=(50, 12)) * popularity).astype(np.float32)
    arriving[rng.random(arriving.shape) < 0.1] = -np.inf
    plan = DualPlanner(Constraints(capacity=3, min_exposure=0.2, max_exposure=0.3)).fit(Scores.from_dense(planned))
    assert (plan.item_prices > 0).any()
    assert (plan.item_prices < 0).any()
    taken = plan.assign(Scores.from_dense(arriving)).matrix.toarray() > 0
    net = arriving - plan.item_prices.astype(np.float32)
    for row, chosen in zip(net, taken, strict=True):
        best = [y for y in np.argsort(-row)[:3] if row[y] > 0]
        assert set(np.flatnonzero(chosen)) == set(best)
    one_by_one = [plan.assign(Scores.from_dense(row[None])).matrix.toarray()[0] > 0 for row in arriving]
    np.testing.assert_array_equal(np.array(one_by_one), taken)


def test_a_price_above_every_score_is_never_paid() -> None:
    """One item may go to no one: its price keeps it from everyone who arrives later, ties at zero included."""
    dense = np.ones((30, 2))
    dense[:, 1] = 0.0
    plan = DualPlanner(Constraints(capacity=2, max_exposure_count=[0, 30])).fit(Scores.from_dense(dense))
    assert plan.item_prices[0] >= 1
    assert plan.assign(Scores.from_dense(np.ones((5, 2)))).exposure[0] == 0
    assert plan.assign(Scores.from_dense(np.zeros((5, 2)))).delivered == 0


def test_a_promise_in_user_states_holds_where_fewer_arrive() -> None:
    scores = Scores.from_dense(np.random.default_rng(0).random((30, 3)))
    plan = DualPlanner(Constraints(capacity=2, min_exposure_count=15)).fit(scores)
    assert plan.assign(scores.take(np.arange(4))).delivered == 8


def test_other_items_are_refused() -> None:
    plan = DualPlanner(Constraints(capacity=1)).fit(Scores.from_dense(np.ones((3, 2))))
    with pytest.raises(ScoreError, match="other items"):
        plan.assign(Scores.from_dense(np.ones((3, 3))))


def test_promises_that_clash_in_a_way_no_sum_shows_end_with_an_answer() -> None:
    a = np.zeros((3, 5))
    a[0, 1] = 0.06
    constraints = Constraints(capacity=np.array([1, 1, 4]), min_exposure_count=np.array([3, 2, 0, 0, 0]))
    plan = DualPlanner(constraints).fit(Scores.from_dense(a))  # items 0 and 1 need two places each of states 0 and 1
    assert plan.certificate.max_shortfall == 1
    assert np.abs(plan.item_prices).max() <= 6 * 0.06
    assert plan.problems
