"""Items that contend for too few states are named: irreducible, with what each could have; checked by other plans."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from rim_core.datasets import EventLog, UserStates
from rim_core.planning import Constraints, DualPlanner
from rim_core.scores import Scores


def only(m: int, n: int, allowed: dict[int, range]) -> Scores:
    """Random scores where the items of ``allowed`` may go to these states only."""
    dense = np.random.default_rng(1).random((m, n)) + 0.5
    for item, states in allowed.items():
        dense[np.setdiff1d(np.arange(m), states), item] = -np.inf
    return Scores.from_dense(dense.astype(np.float32))


def named(problem: str) -> dict[int, tuple[int, int]]:
    """Item → (its minimum, what it could be)."""
    found = re.findall(r"item (\d+) ([\d,]+) \(could be ([\d,]+)\)", problem)
    return {int(y): (int(minimum), int(could)) for y, minimum, could in found}


CASES = {
    "three over the same ten": (only(40, 8, dict.fromkeys((1, 3, 5), range(10))), 1, {1: 5, 3: 4, 5: 3}, [1, 3, 5]),
    "a bystander nearby": (
        only(40, 8, {1: range(10), 3: range(10), 5: range(12)}), 1, {1: 6, 3: 6, 5: 1, 6: 9}, [1, 3],
    ),
    "a chain": (only(30, 8, {1: range(3), 3: range(1, 5), 5: range(5)}), 1, {1: 3, 3: 2, 5: 1, 0: 2}, [1, 3, 5]),
    "two places a state": (only(20, 8, dict.fromkeys((1, 3, 5), range(4))), 2, {1: 4, 3: 3, 5: 2}, [1, 3, 5]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_set_is_irreducible_and_says_what_each_could_have(case: str) -> None:
    scores, capacity, minimum, expected = CASES[case]
    n = scores.shape[1]

    def fitted(promises: dict[int, int]) -> bool:
        count = np.zeros(n, int)
        count[list(promises)] = list(promises.values())
        plan = DualPlanner(Constraints(capacity, min_exposure_count=count)).fit(scores)
        problems[:] = plan.problems
        return plan.certificate.feasible

    problems: list[str] = []
    assert not fitted(minimum)
    (problem,) = problems
    found = named(problem)
    assert sorted(found) == expected
    clash = {y: minimum[y] for y in expected}
    assert not fitted(clash)
    for y, (promised, could) in found.items():
        assert promised == minimum[y]
        assert fitted({**clash, y: could})
        assert not fitted({**clash, y: could + 1})
        assert fitted({other: count for other, count in clash.items() if other != y})


def test_a_users_cap_counts_for_all_her_states() -> None:
    frame = pd.DataFrame({"user_id": list("abcdef"), "item_id": list("012345"), "timestamp": 1_600_000_000})
    log = EventLog.from_frame(frame)
    two_each = np.repeat(np.arange(6), 2)
    times = 1_600_000_100_000_000 + np.arange(12)
    states = UserStates(log, two_each, times, 10_000_000, np.arange(6, dtype=np.int32))
    dense = np.random.default_rng(0).random((12, 6)) + 0.5
    dense[8:, :2] = -np.inf  # eight states of four users
    scores = Scores.from_dense(dense.astype(np.float32), states=states)
    constraints = Constraints(2, max_per_user=1, min_exposure_count=np.array([3, 2, 0, 0, 0, 0]))
    plan = DualPlanner(constraints).fit(scores)
    assert not plan.certificate.feasible
    assert named(plan.problems[0]) == {0: (3, 2), 1: (2, 1)}


def test_items_beside_the_named_ones_are_counted() -> None:
    scores = only(30, 6, dict.fromkeys(range(3), range(5)))
    count = np.array([4, 4, 4, 0, 0, 0])
    (problem,) = DualPlanner(Constraints(1, min_exposure_count=count)).fit(scores).problems
    assert len(named(problem)) == 2
    assert "In all 3 items contend here, and 7 of their 12 promised deliveries have no room." in problem


def test_what_is_left_of_minimums_that_were_cut_already_is_what_clashes() -> None:
    """Items 0 and 2 are first cut to the states they may go to: one of them as promised is too much alone."""
    allowed = np.ones((13, 3), bool)
    allowed[3:, 0] = allowed[4:, 2] = False
    dense = np.where(allowed, np.random.default_rng(0).random((13, 3)), -np.inf)
    capacity = np.array([1, 1, 1, 1] + [1] * 9)
    plan = DualPlanner(Constraints(capacity, min_exposure_count=[6, 6, 7])).fit(Scores.from_dense(dense))
    clash = next(problem for problem in plan.problems if "clash" in problem)
    found = [int(number) for number in re.findall(r"item \d+ (\d+) \(could be \d+\)", clash)]
    assert len(found) == 2
    assert found[0] <= 3
    assert found[1] <= 4
