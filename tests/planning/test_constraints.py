"""Promises: every violation at once, rounding to whole user-states, and back from JSON."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from rim_core.errors import ConstraintError
from rim_core.planning import Constraints, Group


def test_every_violation_is_reported_at_once() -> None:
    with pytest.raises(ConstraintError) as caught:
        Constraints(
            capacity=-1,
            min_exposure=1.5,
            max_exposure=[0.1, np.nan],
            min_exposure_count=2.5,
            max_exposure_count="many",  # type: ignore[arg-type]
        )
    problems = caught.value.problems
    for words in (
        "capacity must be finite and not negative; got -1",
        "Use min_exposure_count for a number of user-states",
        "max_exposure must be finite and not negative; got nan",
        "min_exposure_count counts whole things; got 2.5",
        "max_exposure_count must be a number or a list of numbers",
        "Give min_exposure or min_exposure_count, not both.",
        "Give max_exposure or max_exposure_count, not both.",
    ):
        assert any(words in p for p in problems), (words, problems)
    assert len(problems) == 7
    assert str(caught.value) == "\n".join(problems)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"capacity": 1.5}, "whole"),
        ({"capacity": float("inf")}, "finite"),
        ({"capacity": []}, "a number or a list"),
        ({"capacity": [[1, 2]]}, "a number or a list"),
        ({"capacity": [1, -2]}, "not negative; got -2"),
        ({"capacity": None}, "capacity must be finite"),
        ({"min_exposure_count": "3"}, "min_exposure_count must be a number"),
        ({"max_per_user": "x"}, "max_per_user must be a whole number"),
        ({"min_total": "x", "max_total": 3}, "min_total must be a whole number"),
        ({"groups": [{"name": "g", "items": [0], "min_count": "3"}]}, "min_count of group 'g' must be a number"),
        ({"groups": [{"name": "g", "items": [0], "min_count": 3, "max_count": "x"}]}, "max_count of group 'g'"),
        ({"budgets": [{"limit": "x"}]}, "limit of 'budget' must be a number"),
        ({"budgets": [{"limit": 3, "costs": ["x"]}]}, "Costs of 'budget'"),
        ({"budgets": [{"limit": 3, "costs": {"a": None}}]}, "Costs of 'budget'"),
        ({"value": {"a": "x"}}, "value must be finite"),
        ({"pair_value": [(0, 1, "x")]}, "pair_value must be finite"),
        ({"forced": [([1], 1)]}, "forced names users and items by text or whole numbers"),
        ({"min_exposure": [[0.1], [0.1, 0.2]]}, "a number or a list"),
        ({"max_exposure": 2}, "cannot exceed 1; got 2"),
        ({"min_exposure": 0.5, "max_exposure": 0.4}, "above its maximum"),
        ({"min_exposure_count": [1, 5], "max_exposure_count": [2, 4]}, "above its maximum"),
        ({"min_exposure": [0.1, 0.1], "max_exposure": [0.2] * 3}, "for 2 items and the maximum for 3"),
    ],
)
def test_one_violation(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ConstraintError, match=words):
        Constraints(**wrong)


def test_wrong_lengths_are_reported_together() -> None:
    constraints = Constraints(capacity=[1, 2], min_exposure=[0.1] * 3, max_exposure_count=[5] * 4)
    with pytest.raises(ConstraintError) as caught:
        constraints.bounds(5, 2)
    assert caught.value.problems == [
        "capacity lists 2 numbers for 5 user-states: give one number or one per user-state.",
        "min_exposure lists 3 numbers for 2 items: give one number or one per item.",
        "max_exposure_count lists 4 numbers for 2 items: give one number or one per item.",
    ]


@pytest.mark.parametrize(
    ("m", "share", "minimum", "maximum"),
    [
        (1000, 0.005, 5, 5),
        (200, 0.07, 14, 14),  # 0.07 · 200 = 14.000000000000002
        (100, 0.29, 29, 29),  # 0.29 · 100 = 28.999999999999996
        (3, 0.5, 2, 1),
        (7, 0.0, 0, 0),
        (7, 1.0, 7, 7),
        (10, 1e-6, 1, 0),
    ],
)
def test_shares_round_to_the_promise_they_name(m: int, share: float, minimum: int, maximum: int) -> None:
    assert Constraints(min_exposure=share).bounds(m, 2).minimum.tolist() == [minimum] * 2
    assert Constraints(max_exposure=share).bounds(m, 2).maximum.tolist() == [maximum] * 2


@given(st.integers(0, 2000), st.integers(1, 2000))
def test_a_share_that_is_a_whole_number_of_states_stays_that_number(count: int, m: int) -> None:
    count = min(count, m)
    bounds = Constraints(min_exposure=count / m, max_exposure=count / m).bounds(m, 1)
    assert bounds.minimum[0] == bounds.maximum[0] == count


@given(st.floats(0, 1), st.integers(1, 100_000))
def test_rounding_is_ceil_and_floor_but_for_a_billionth(share: float, m: int) -> None:
    exact = Fraction(share) * m
    minimum = int(Constraints(min_exposure=share).bounds(m, 1).minimum[0])
    maximum = int(Constraints(max_exposure=share).bounds(m, 1).maximum[0])
    slack = Fraction(2, 10**9)
    assert math.ceil(exact - slack) <= minimum <= math.ceil(exact)
    assert math.floor(exact) <= maximum <= math.floor(exact + slack)


def test_a_minimum_that_crosses_its_maximum_in_whole_states() -> None:
    constraints = Constraints(min_exposure=0.4, max_exposure=0.6)
    with pytest.raises(ConstraintError, match="minimum of 1 and a maximum of 0 of 1"):
        constraints.bounds(1, 3)
    crossed = constraints.bounds(1, 3, crossing=True)
    assert (crossed.minimum.tolist(), crossed.maximum.tolist()) == ([1] * 3, [0] * 3)


def test_a_minimum_above_all_states() -> None:
    with pytest.raises(ConstraintError, match="minimum of 9 and a maximum of 5"):
        Constraints(min_exposure_count=9).bounds(5, 2)


def test_bounds_of_every_kind() -> None:
    bounds = Constraints(capacity=[9, 1, 0], min_exposure_count=[1, 0], max_exposure_count=[7, 2]).bounds(3, 2)
    assert bounds.capacity.tolist() == [2, 1, 0]  # never more than there are items
    assert bounds.minimum.tolist() == [1, 0]
    assert bounds.maximum.tolist() == [3, 2]  # never more than there are states
    free = Constraints(capacity=1).bounds(3, 2)
    assert (free.minimum.tolist(), free.maximum.tolist()) == ([0, 0], [3, 3])


@pytest.mark.parametrize(
    ("constraints", "planned"),
    [
        (Constraints(capacity=2), 20),
        (Constraints(capacity=2, min_exposure=0.1), 20),
        (Constraints(capacity=2, max_exposure_count=3), 12),
        (Constraints(capacity=2, max_exposure=1.0), 20),
        (Constraints(capacity=2, min_exposure_count=1, max_exposure_count=3), 20),
        (Constraints(capacity=2, min_exposure=0.0, max_exposure_count=3), 12),
    ],
)
def test_deliveries_the_task_asks_for(constraints: Constraints, planned: float) -> None:
    assert constraints.planned(constraints.bounds(10, 4)) == planned


@pytest.mark.parametrize(
    "constraints",
    [
        Constraints(),
        Constraints(capacity=np.int64(3), min_exposure=np.float32(0.25)),  # type: ignore[arg-type]
        Constraints(capacity=np.array([1, 2, 3]), max_exposure=[0.5, 1.0]),
        Constraints(capacity=4, min_exposure_count=np.array([1, 2]), max_exposure_count=3),
    ],
)
def test_there_and_back(constraints: Constraints) -> None:
    stored = json.loads(json.dumps(constraints.to_dict()))
    again = Constraints(**stored)
    assert again.to_dict() == constraints.to_dict()
    for a, b in zip(vars(again.bounds(3, 2)).values(), vars(constraints.bounds(3, 2)).values(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_promise_does_not_change_after_it_was_made() -> None:
    mine = np.array([0.1, 0.2])
    constraints = Constraints(min_exposure=mine)
    mine[0] = 0.9
    assert constraints.bounds(10, 2).minimum.tolist() == [1, 2]
    with pytest.raises(ValueError, match="read-only"):
        constraints.min_exposure[0] = 0.9  # type: ignore[index]
    with pytest.raises(AttributeError):
        constraints.capacity = 3  # type: ignore[misc]


def test_stored_zeros_of_a_sparse_matrix_are_no_pairs() -> None:
    pairs = sparse.csr_matrix(([1.0, 0.0], ([0, 1], [2, 1])), shape=(3, 3))
    assert Constraints(forbidden=pairs).forbidden == ((0, 2),)
    assert pairs.nnz == 2
    assert Constraints(pair_value=pairs).pair_value == ((0, 2, 1.0), (1, 1, 0.0))


def test_a_minimum_beyond_whole_numbers_is_above_the_maximum() -> None:
    with pytest.raises(ConstraintError, match="In whole user-states"):
        Constraints(2, min_exposure_count=1e19).bounds(30, 6)


def test_groups_of_numpy_numbers_and_sets_are_json() -> None:
    groups = [
        Group("a", items=[0], min_count=np.int64(2)),
        Group("b", where={"brand": {"y", "x"}}, max_exposure=np.float64(0.5)),
    ]
    told = json.loads(json.dumps(Constraints(groups=groups).to_dict()))
    assert told["groups"][0]["min_count"] == 2
    assert told["groups"][1]["where"] == {"brand": ["x", "y"]}
    assert Constraints(**told).to_dict() == told
