"""Every kind of promise against the linear program, and against its own words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from rim_core.datasets.log import EventLog
from rim_core.datasets.states import UserStates
from rim_core.errors import ConstraintError
from rim_core.planning import Budget, Constraints, DualPlanner, Group, greedy_match, linear_program
from rim_core.scores import Scores

USERS, STATES, ITEMS = 12, 30, 9


def log_of_shop() -> EventLog:
    rng = np.random.default_rng(0)
    events = pd.DataFrame(
        {
            "user_id": [f"u{i % USERS}" for i in range(200)],
            "item_id": [f"i{i % ITEMS}" for i in range(200)],
            "timestamp": pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(rng.uniform(0, 30, 200), unit="D"),
        }
    )
    users = pd.DataFrame({"tier": ["gold", "plain", "plain"] * 4}, index=[f"u{i}" for i in range(USERS)])
    items = pd.DataFrame({"brand": list("aaabbbccc")}, index=[f"i{i}" for i in range(ITEMS)])
    return EventLog.from_frame(events, users=users, items=items)


LOG = log_of_shop()


def make_scores(seed: int) -> Scores:
    """Some users have several states, on different days; popular items, active users, some pairs forbidden."""
    rng = np.random.default_rng(seed)
    user = np.sort(rng.integers(0, USERS, STATES)).astype(np.int32)
    day = pd.Timestamp("2024-02-01", tz="UTC").value // 1000
    time = day + rng.integers(0, 14, STATES).astype(np.int64) * 86_400_000_000
    states = UserStates(LOG, user, time, 86_400_000_000, np.arange(ITEMS, dtype=np.int32))
    dense = (
        rng.random((STATES, ITEMS)) ** 2 * rng.choice([0.2, 1.0, 3.0], ITEMS) * (1 + rng.pareto(1.5, STATES))[:, None]
    )
    hidden = rng.random(dense.shape) < 0.1
    hidden[5:7] = False
    dense[hidden] = -np.inf
    return Scores.from_dense(dense, states=states)


KINDS: dict[str, dict[str, Any]] = {
    "group minimum": {"groups": [Group("c", where={"brand": "c"}, min_count=30)]},
    "group maximum": {"groups": [Group("a", where={"brand": "a"}, max_count=6)]},
    "nested groups": {
        "groups": [
            Group("c", where={"brand": "c"}, min_count=16, max_count=20),
            Group("b and c", where={"brand": ["b", "c"]}, min_count=45),
            Group("one", items=["i8"], min_count=8),
        ],
        "min_exposure_count": 3,
    },
    "overlapping groups": {
        "groups": [Group("left", items=[0, 1, 2, 3], max_count=20), Group("right", items=[3, 4, 5], min_count=25)],
        "min_exposure_count": 2,
    },
    "total": {"max_total": 31, "min_exposure_count": 2},
    "cap per user": {"max_per_user": 4, "min_exposure_count": 3},
    "cap and group": {"max_per_user": 4, "groups": [Group("c", where={"brand": "c"}, min_count=14, max_count=15)]},
    "segments": {"capacity": {"gold": 3, "*": 1}, "segment": "tier", "min_exposure_count": 3},
    "dates": {
        "starts": {"i0": "2024-02-05", "i1": "2024-02-10"},
        "ends": {"i1": "2024-02-12"},
        "min_exposure_count": 2,
    },
    "pairs": {
        "forced": [("u1", "i3"), (5, "i8"), (6, 7)],
        "forbidden": [("u2", "i4"), (7, 1)],
        "contacted": [("u3", "i0"), ("u4", "i0"), ("nobody", "i0")],
        "min_exposure_count": 3,
        "max_per_user": 5,
    },
    "eligible": {"eligible": {"i5": ["u0", "u1", "u2", "u5"], "i6": ["u7", 3]}, "min_exposure_count": 1},
    "values": {
        "value": {"i0": 0.1, "i8": 4.0},
        "pair_value": [("u1", "i1", 5.0), (2, 2, 0.0)],
        "min_exposure_count": 3,
    },
    "budget": {"budgets": [Budget(24.0, (1.0, 2.0, 0.5) * 3)], "min_exposure_count": 2},
    "two budgets": {"budgets": [Budget(20.0, {"i0": 3.0, "i1": 1.0, "i4": 2.0}, "a"), Budget(40.0, 1.0, "b")]},
}


def constraints_of(kind: str) -> Constraints:
    return Constraints(**{"capacity": 2, **KINDS[kind]})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_the_bound_is_the_linear_program_and_the_promise_is_kept(kind: str, seed: int) -> None:
    scores, constraints = make_scores(seed), constraints_of(kind)
    optimum = linear_program(scores, constraints).objective
    plan = DualPlanner(constraints).fit(scores)
    certificate = plan.certificate
    assert certificate.upper_bound >= optimum * (1 - 1e-9)
    assert certificate.upper_bound == pytest.approx(optimum, rel=1e-6)
    assert certificate.objective <= optimum * (1 + 1e-9)
    if kind not in ("overlapping groups", "budget", "two budgets"):
        assert certificate.feasible, plan.problems
        assert certificate.objective == pytest.approx(optimum, rel=1e-6)


def test_what_is_promised_of_pairs_users_and_dates_is_so() -> None:
    scores = make_scores(0)
    states = scores.states
    assert states is not None
    pairs = DualPlanner(constraints_of("pairs")).fit(scores)
    taken = pairs.assignment.matrix.toarray() > 0
    user = states.user_ids.astype(str).to_numpy()
    assert taken[5, 8]
    assert taken[6, 7]
    assert taken[user == "u1", 3].any() == (user == "u1").any()
    assert not taken[user == "u2", 4].any()
    assert not taken[np.isin(user, ["u3", "u4"]), 0].any()
    assert pd.Series(taken.sum(axis=1)).groupby(user).sum().max() <= 5
    dates = DualPlanner(constraints_of("dates")).fit(scores).assignment.matrix.toarray() > 0
    time = pd.to_datetime(states.time, unit="us")
    assert (time[dates[:, 0]] >= "2024-02-05").all()
    assert ((time[dates[:, 1]] >= "2024-02-10") & (time[dates[:, 1]] < "2024-02-12")).all()
    segments = DualPlanner(constraints_of("segments")).fit(scores).assignment.load
    tier = LOG.users["tier"].to_numpy()[states.user]
    assert segments[tier == "plain"].max() == 1
    assert segments[tier == "gold"].max() == 3


@pytest.mark.parametrize("kind", ["nested groups", "overlapping groups", "total", "budget", "two budgets"])
def test_residuals_say_what_every_group_and_budget_came_to(kind: str) -> None:
    plan = DualPlanner(constraints_of(kind)).fit(make_scores(1))
    for row, told in zip(plan.problem.rows, plan.residuals.to_dict("records"), strict=True):
        delivered = float(row.weight @ plan.assignment.exposure)
        assert told["delivered"] == pytest.approx(delivered)
        assert told["missed"] == pytest.approx(max(row.lower - delivered, delivered - row.upper, 0.0), abs=1e-6)
        assert told["exact"] == row.exact
    assert plan.certificate.feasible == (plan.residuals["missed"] == 0).all()
    assert (plan.certificate.gap is None) == (not plan.certificate.feasible)


def test_the_online_rule_keeps_pairs_dates_and_caps_on_other_states() -> None:
    for kind in ("cap per user", "pairs", "dates", "segments", "eligible", "values"):
        plan = DualPlanner(constraints_of(kind)).fit(make_scores(0))
        other = make_scores(5)
        assert other.states is not None
        delivered = plan.assign(other)
        taken, user = delivered.matrix.toarray() > 0, other.states.user_ids.astype(str).to_numpy()
        assert (delivered.load <= (3 if kind == "segments" else 2)).all()
        loads = pd.Series(taken.sum(axis=1)).groupby(user).sum()
        if kind == "cap per user":
            assert loads.max() <= 4
        if kind == "pairs":
            assert loads.max() <= 5
            assert not taken[user == "u2", 4].any()
        if kind == "eligible":
            assert not taken[~np.isin(user, ["u0", "u1", "u2", "u5"]), 5].any()


def test_greedy_refuses_what_it_does_not_know_and_keeps_the_rest() -> None:
    scores = make_scores(0)
    with pytest.raises(ConstraintError, match="Greedy matching knows no groups"):
        greedy_match(scores, constraints_of("total"))
    matching = greedy_match(scores, constraints_of("segments")).matrix.toarray()
    assert not (matching[scores.to_dense() == -np.inf] > 0).any()
    eligible = greedy_match(scores, constraints_of("eligible")).matrix.toarray() > 0
    assert scores.states is not None
    assert not eligible[~np.isin(scores.states.user_ids.astype(str), ["u0", "u1", "u2", "u5"]), 5].any()


@pytest.mark.parametrize("seed", range(12))
def test_overlapping_groups_are_kept_where_every_score_is_zero(seed: int) -> None:
    rng = np.random.default_rng(seed)
    m, n, k = int(rng.integers(10, 60)), int(rng.integers(4, 12)), int(rng.integers(1, 4))
    some = np.zeros((m, n), bool)  # promises are what some assignment keeps
    for x in range(m):
        some[x, rng.permutation(n)[:k]] = True
    parts = [np.flatnonzero(rng.random(n) < 0.5) for _ in range(3)]
    groups = [
        Group(f"g{i}", items=part.tolist(), min_count=int(some[:, part].sum()) - 1)
        for i, part in enumerate(parts)
        if len(part)
    ]
    plan = DualPlanner(Constraints(capacity=k, groups=groups)).fit(Scores.from_dense(np.zeros((m, n), np.float32)))
    assert plan.certificate.feasible
    assert not plan.problems
    assert (plan.item_prices == 0).all()


def test_a_group_finds_all_the_few_pairs_its_items_have() -> None:
    """900 promised of the 900 pairs there are, for which states let go of what they want a hundred times as much."""
    m, n = 12_000, 60
    rng = np.random.default_rng(3)
    values = (rng.exponential(1, (m, n)) * rng.exponential(1, (m, 1))).astype(np.float32)
    values[:, :30] *= 0.01
    eligible: dict[str, Any] = {str(y): rng.choice(m, 30, replace=False).tolist() for y in range(30)}
    group = Group("few", items=tuple(range(30)), min_count=900)
    plan = DualPlanner(Constraints(capacity=3, groups=[group], eligible=eligible)).fit(Scores.from_dense(values))
    assert not plan.problems
    assert plan.certificate.feasible
    assert plan.certificate.gap is not None
    assert plan.certificate.gap < 1e-6


def test_overlapping_groups_without_a_place_are_a_clash() -> None:
    groups = [Group("a", items=[0, 1], min_count=2), Group("b", items=[1, 2], min_count=2)]
    plan = DualPlanner(Constraints(capacity=0, groups=groups)).fit(Scores.from_dense(np.ones((5, 3), np.float32)))
    assert plan.problems
    assert not plan.certificate.feasible


def test_dates_far_off_are_dates_and_empty_ones_are_none() -> None:
    scores = make_scores(0)
    open_ended = DualPlanner(Constraints(2, starts={"i0": "0001-01-01"}, ends={"i0": "9999-12-31"})).fit(scores)
    assert open_ended.certificate == DualPlanner(Constraints(2)).fit(scores).certificate
    for empty in (None, "", pd.NaT):
        with pytest.raises(ConstraintError, match="ends of item 'i0' is no time"):
            Constraints(2, ends={"i0": empty})


def test_a_budget_of_which_nothing_costs_anything_changes_nothing() -> None:
    plain = DualPlanner(Constraints(2, min_exposure_count=4)).fit(make_scores(0))
    budgeted = DualPlanner(Constraints(2, min_exposure_count=4, budgets=[Budget(0.0, 0.0)])).fit(make_scores(0))
    assert budgeted.certificate.feasible
    assert budgeted.certificate.objective == pytest.approx(plain.certificate.objective, rel=1e-6)


@pytest.mark.parametrize("size", [1e-10, 1e10])
@pytest.mark.parametrize("kind", ["overlapping groups", "two budgets"])
def test_the_bound_is_as_close_whatever_the_unit_of_the_scores(kind: str, size: float) -> None:
    scores = make_scores(0)
    scaled = Scores.from_dense(scores.to_dense() * np.float32(size), states=scores.states)
    constraints = constraints_of(kind)
    optimum = linear_program(scores, constraints).objective
    assert DualPlanner(constraints).fit(scaled).certificate.upper_bound / size == pytest.approx(optimum, rel=1e-6)


def test_whole_numbers_may_be_large_or_come_as_floats() -> None:
    plan = DualPlanner(Constraints(2, max_per_user=10**30), seed=1.0).fit(make_scores(0))  # type: ignore[arg-type]
    assert plan.certificate == DualPlanner(Constraints(2), seed=1).fit(make_scores(0)).certificate


def test_a_cap_per_user_of_one_visit_delivers_like_a_smaller_capacity() -> None:
    """Nothing of a place is kept for a later visit where there is none: scores of the next window are others."""
    rng = np.random.default_rng(3)
    log = LOG
    users = np.arange(USERS, dtype=np.int32)

    def window(day: str) -> Scores:
        time = np.full(USERS, pd.Timestamp(day, tz="UTC").value // 1000)
        states = UserStates(log, users, time, 86_400_000_000, np.arange(ITEMS, dtype=np.int32))
        return Scores.from_dense(rng.random((USERS, ITEMS)) * (1 + rng.pareto(1.5, USERS))[:, None], states=states)

    planned, later = window("2024-02-01"), window("2024-02-15")
    capped = DualPlanner(Constraints(6, max_per_user=3)).fit(planned)
    smaller = DualPlanner(Constraints(3)).fit(planned)
    assert capped.certificate.upper_bound == pytest.approx(smaller.certificate.upper_bound)
    given = capped.assign(later).matrix.toarray()
    assert (given.sum(axis=1) == 3).all()
    assert (given == smaller.assign(later).matrix.toarray()).all()
