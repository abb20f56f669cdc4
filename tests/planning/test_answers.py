"""What a plan answers beyond an assignment: previews, reasons, margins, what clashes, and the paper's own algorithm."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from rim_core.errors import Cancelled, ConstraintError, ScoreError
from rim_core.planning import (
    Algorithm1,
    Budget,
    Constraints,
    DualPlanner,
    Group,
    Plan,
    delivered_shares,
    linear_program,
)
from rim_core.progress import Progress
from rim_core.scores import Scores


def make_scores(m: int = 400, n: int = 60, seed: int = 0) -> Scores:
    rng = np.random.default_rng(seed)
    taste = np.random.default_rng(99)
    w = taste.normal(size=(n, 4))
    w[:, 0] += taste.normal(0, 1.0, n)
    h = np.c_[np.ones(m), rng.normal(size=(m, 3)) * 0.6]
    return Scores.from_factors(h, w, link="exp", row_scale=rng.gamma(1.5, size=m))


@pytest.fixture(scope="module")
def scores() -> Scores:
    return make_scores()


@pytest.fixture(scope="module")
def plan(scores: Scores) -> Plan:
    return DualPlanner(Constraints(capacity=4, min_exposure_count=14)).fit(scores)


# -- previews --------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [10, 13, 15, 18])
def test_a_preview_is_near_the_plan_that_follows(scores: Scores, plan: Plan, count: int) -> None:
    asked = Constraints(capacity=4, min_exposure_count=count)
    seen, certified = plan.preview(asked), DualPlanner(asked).fit(scores, warm_start=plan)
    got = certified.assignment.exposure
    assert (np.abs(seen.delivered - got) <= np.maximum(2, 0.05 * got)).mean() >= 0.9
    assert seen.expected == pytest.approx(certified.certificate.objective, rel=2e-3)


def test_a_preview_of_the_same_promises_is_the_plan(plan: Plan) -> None:
    seen = plan.preview(plan.constraints)
    np.testing.assert_allclose(seen.delivered, plan.assignment.exposure, atol=0.5)
    assert seen.expected == pytest.approx(plan.certificate.objective, rel=1e-4)
    np.testing.assert_allclose(seen.item_prices, plan.item_prices, atol=1e-3 * np.abs(plan.item_prices).max())


def test_a_preview_knows_other_kinds_of_promises(scores: Scores, plan: Plan) -> None:
    asked = Constraints(capacity=3, min_exposure_count=10, groups=[Group("few", items=[0, 1, 2], max_count=60)])
    seen, certified = plan.preview(asked), DualPlanner(asked).fit(scores)
    assert seen.expected == pytest.approx(certified.certificate.objective, rel=2e-2)
    assert seen.delivered[:3].sum() == pytest.approx(certified.assignment.exposure[:3].sum(), abs=6)


def test_a_preview_can_be_stopped_and_asked_for_again(plan: Plan) -> None:
    asked: list[int] = []

    def stop() -> None:
        asked.append(1)
        if len(asked) == 3:
            raise Cancelled("The user asked to stop.")

    with pytest.raises(Cancelled):
        plan.preview(Constraints(capacity=4, min_exposure_count=12), heed=stop)
    assert plan.preview(Constraints(capacity=4, min_exposure_count=12)).expected > 0


# -- reasons --------------------------------------------------------------------------------


def test_the_price_is_what_one_more_exposure_costs(scores: Scores, plan: Plan) -> None:
    y = int(np.argmin(plan.item_prices))
    story = plan.explain_item(y)
    assert story.price > 0
    assert "cost" in story.sentence
    more = np.full(scores.shape[1], 14)
    more[y] += 1
    dearer = linear_program(scores, Constraints(capacity=4, min_exposure_count=more)).objective
    plain = linear_program(scores, Constraints(capacity=4, min_exposure_count=14)).objective
    assert plain - dearer == pytest.approx(story.price, rel=0.15)
    assert (story.gave_way["lost"] > 0).all()
    assert story.gave_way["lost"].sum() <= 1 + 1e-6
    assert story.against_free["change"].max() < 0
    assert plan.explain_item(str(y)).item_id == str(y)
    with pytest.raises(ScoreError, match="not in play"):
        plan.explain_item("nothing")


def test_every_state_says_why(plan: Plan) -> None:
    lifted = int(np.flatnonzero(plan.item_prices < 0)[0])
    state = int(plan.assignment.matrix[:, lifted].nonzero()[0][0])
    why = plan.explain_state(state)
    assert set(why.loc[why["assigned"], "item_id"].astype(int)) == set(plan.assignment.matrix[state].indices)
    assert why["reason"].str.len().gt(0).all()
    taken = why[why["assigned"]]
    assert (taken["total"] >= why.loc[~why["assigned"], "total"].max() - 1e-6).all()
    with pytest.raises(ScoreError, match="no user-state"):
        plan.explain_state(10**6)


# -- how sure --------------------------------------------------------------------------------


def test_confidence_keeps_promises_that_are_missed_half_of_the_time_without(plan: Plan, scores: Scores) -> None:
    surely = DualPlanner(plan.constraints).fit(scores, confidence=0.9)
    kept = {"plain": [], "surely": []}
    for seed in range(1, 9):
        arriving = make_scores(seed=seed)
        for name, made in (("plain", plan), ("surely", surely)):
            got = made.assign(arriving).exposure
            bound = np.flatnonzero(plan.item_prices < 0)
            kept[name].append((got[bound] >= 14).mean())
    assert np.mean(kept["plain"]) < 0.7
    assert np.mean(kept["surely"]) > np.mean(kept["plain"]) + 0.15
    margin = surely.margin
    assert margin is not None
    assert 0.5 <= margin.reached <= margin.asked == 0.9
    assert 0 < margin.cost < 1
    assert surely.certificate.feasible
    assert surely.constraints is plan.constraints
    assert (surely.assignment.exposure >= 14).all()
    assert plan.margin is None
    with pytest.raises(ConstraintError, match="confidence"):
        DualPlanner(plan.constraints).fit(scores, confidence=1.5)


def test_intervals_cover_what_other_states_get(plan: Plan) -> None:
    covered = [delivered_shares(plan, make_scores(seed=s))["covered"].mean() for s in range(1, 13)]
    assert 0.85 <= np.mean(covered) <= 0.97
    frame = plan.delivery_intervals(200)
    assert (frame["low"] <= frame["expected"]).all()
    assert (frame["expected"] <= frame["high"]).all()
    assert frame["expected"].sum() == pytest.approx(plan.assign(make_scores()).delivered / 2, rel=1e-6)


# -- what cannot be kept --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"groups": [Group("a", items=range(20), min_count=900), Group("b", items=range(20, 60), min_count=900)]},
         ["'a'", "'b'", "1,600 places", "at most 700"]),
        ({"groups": [Group("a", items=[0, 1], max_count=20)], "min_exposure_count": 15},
         ["'a'", "minimum of every item", "no less than 30"]),
        ({"budgets": [Budget(500.0, 1.0, "mail")], "min_exposure_count": 10}, ["'mail'", "no less than 600", "83 %"]),
        ({"groups": [Group("in", items=range(5), max_count=30), Group("out", items=range(4), min_count=40)]},
         ["'in'", "'out'", "at most 30", "no less than 40"]),
    ],
    ids=["two groups over the places", "a group over its items", "a budget under the minima", "overlapping groups"],
)  # fmt: skip
def test_what_clashes_is_named_with_what_would_fit(scores: Scores, wishes: dict[str, Any], words: list[str]) -> None:
    made = DualPlanner(Constraints(capacity=4, **wishes)).fit(scores)
    assert not made.certificate.feasible
    assert made.certificate.gap is None
    text = "\n".join(made.problems)
    assert all(word in text for word in words), text
    assert "without any one of them the others could be kept" in text


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"forced": [(0, 1)], "forbidden": [(0, 1)]}, "forced on user-state 0 and forbidden"),
        ({"forced": [(0, y) for y in range(5)]}, "5 items are forced on user-state 0"),
        ({"max_exposure_count": 1, "forced": [(0, 3), (1, 3)]}, "forced 2 times"),
        ({"forbidden": [(10**6, 1)]}, "names row 1000000"),
        ({"forbidden": [("ann", 1)]}, "these scores know none"),
        ({"forbidden": [(0, "nothing")]}, "not in play: nothing"),
        ({"max_per_user": 3}, "whose states these are"),
        ({"starts": {"1": "2024-01-01"}}, "when the states are"),
        ({"value": [1.0, 2.0]}, "2 numbers for 60 items"),
        ({"groups": [Group("x", where={"brand": "b"}, max_count=2)]}, "know no item catalogue"),
        ({"budgets": [Budget(3.0, (1.0, 2.0))]}, "2 numbers for 60 items"),
    ],
)
def test_what_contradicts_the_scores_is_refused(scores: Scores, wishes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConstraintError, match=words):
        DualPlanner(Constraints(capacity=4, **wishes)).fit(scores)


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"groups": [{"name": "x"}]}, "promises nothing"),
        ({"groups": [{"name": "x", "min_exposure": 1.4}]}, "a share in"),
        ({"groups": [Group("x", max_count=3), Group("x", max_count=4)]}, "are called 'x'"),
        ({"budgets": [{"limit": -3}]}, "not negative"),
        ({"max_per_user": 1.5}, "whole number"),
        ({"min_total": 5, "max_total": 4}, "above max_total"),
        ({"capacity": {"gold": 3}}, "say with segment="),
        ({"starts": {"1": "someday"}}, "is no time"),
        ({"value": [-1.0]}, "finite and not negative"),
        ({"pair_value": [(0, 1, np.nan)]}, "finite and not negative"),
        ({"forced": [(1, 2, 3)]}, "lists 2 things each"),
    ],
)
def test_wishes_that_make_no_sense_are_refused(wishes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConstraintError, match=words):
        Constraints(**wishes)


def test_every_kind_survives_being_stored() -> None:
    constraints = Constraints(
        capacity={"gold": 3, "*": 1},
        segment="tier",
        min_exposure_count=np.array([1, 2]),
        groups=[Group("g", items=["a", 1], min_count=2), Group("h", where={"brand": ["x", "y"]}, max_exposure=0.5)],
        max_total=40,
        max_per_user=4,
        starts={"a": "2024-02-03"},
        ends={"a": "2024-03-01T10:00+02:00"},
        forced=[("u", "a")],
        forbidden=[(1, 2)],
        contacted=[("v", "b")],
        eligible={"a": ["u", 3]},
        value={"a": 2.0},
        pair_value=[("u", "a", 3.5)],
        budgets=[Budget(10.0, {"a": 2.0}), Budget(5.0, (1.0, 2.0), "two")],
    )
    stored = json.loads(json.dumps(constraints.to_dict()))
    assert Constraints(**stored).to_dict() == constraints.to_dict()
    assert stored["ends"] == {"a": "2024-03-01T08:00:00+00:00"}


# -- the paper --------------------------------------------------------------------------------


def test_algorithm_1_comes_near_and_says_how_near(scores: Scores, plan: Plan) -> None:
    constraints = plan.constraints
    theirs = DualPlanner(constraints, method=Algorithm1(epochs=50, batch=100)).fit(scores)
    bound, optimum = theirs.certificate.upper_bound, plan.certificate.upper_bound
    assert optimum * (1 - 1e-9) <= bound <= optimum * 1.05
    free = DualPlanner(Constraints(capacity=4)).fit(scores).certificate.objective
    assert bound - optimum < 0.5 * (free - optimum)
    assert (theirs.assignment.load <= 4).all()
    with pytest.raises(ConstraintError, match="knows capacity and item bounds only"):
        DualPlanner(Constraints(max_total=3), method="paper").fit(scores)
    with pytest.raises(ConstraintError, match="no method"):
        DualPlanner(constraints, method="other")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"gap": "x"}, "gap is a share"), ({"gap": -1.0}, "gap is a share"), ({"seed": "x"}, "seed is a whole number"),
     ({"seed": 1.5}, "seed is a whole number"), ({"seed": -1}, "seed is a whole number")],
)  # fmt: skip
def test_arguments_that_are_no_numbers_are_named(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ConstraintError, match=words):
        DualPlanner(Constraints(capacity=1), **wrong)


@pytest.mark.parametrize("confidence", ["90%", 1.0, 0.4, float("nan"), [0.9]])
def test_confidence_is_a_probability(confidence: Any) -> None:
    scores = Scores.from_dense(np.ones((9, 3), np.float32))
    with pytest.raises(ConstraintError, match="confidence is a probability"):
        DualPlanner(Constraints(capacity=1)).fit(scores, confidence=confidence)


def test_a_plan_without_places_answers_as_well() -> None:
    plan = DualPlanner(Constraints(capacity=0, min_exposure=0.1)).fit(Scores.from_dense(np.ones((9, 3), np.float32)))
    assert plan.problems
    assert plan.preview(plan.constraints).expected == 0.0


@pytest.mark.parametrize(("states", "level"), [(-1, 0.9), (10, 2.0), (10, 0.0)])
def test_intervals_of_no_states_or_levels_are_refused(plan: Plan, states: int, level: float) -> None:
    with pytest.raises(ConstraintError, match="level between 0 and 1"):
        plan.delivery_intervals(states, level=level)


def test_promises_of_one_state_each_are_lowered_by_leaving_items_out() -> None:
    scores = Scores.from_dense(np.random.default_rng(0).random((4, 9)).astype(np.float32))
    plan = DualPlanner(Constraints(capacity=2, min_exposure_count=1)).fit(scores)
    assert any("promise 8 of these 9 items at most, or raise the capacity to 3 items" in p for p in plan.problems)


def test_a_budget_of_small_costs_is_passed_by_no_more_than_the_minimums_need() -> None:
    scores = Scores.from_dense(np.random.default_rng(0).exponential(1, (200, 6)).astype(np.float32))
    budget = Budget(0.010, 0.001)  # ten deliveries, where twenty are promised
    plan = DualPlanner(Constraints(1, min_exposure_count=[4, 4, 4, 4, 2, 2], budgets=[budget])).fit(scores)
    assert not plan.certificate.feasible
    assert plan.assignment.delivered == 20


def test_who_gave_way_does_not_depend_on_the_unit_of_the_scores() -> None:
    dense = np.random.default_rng(0).exponential(1, (300, 8)).astype(np.float32)
    large, small = (
        DualPlanner(Constraints(2, min_exposure=0.2)).fit(Scores.from_dense(dense * np.float32(unit)))
        for unit in (1.0, 1e-14)
    )
    item = int(np.argmin(large.item_prices))
    lost = [plan.explain_item(item).gave_way.set_index("item_id")["lost"].sort_index() for plan in (large, small)]
    np.testing.assert_allclose(lost[1], lost[0], rtol=1e-3)


def test_looking_for_what_clashes_can_be_cancelled() -> None:
    """Of many groups that clash it takes a linear program each."""
    groups = [Group(f"g{i}", items=[i], min_count=30) for i in range(20)]

    def tired(progress: Progress) -> None:
        if progress.stage == "finding what clashes":
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        DualPlanner(Constraints(1, groups=groups)).fit(Scores.from_dense(np.ones((40, 20))), callback=tired)
