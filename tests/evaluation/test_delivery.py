"""Delivery as it goes on: every state once, in the order in which they come, never past what is delivered in all."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import rim_core as rim
from rim_core.evaluation import arrivals, delivery_course, load_distribution

HOUR = 3_600_000_000
START = pd.Timestamp("2024-01-01", tz="UTC")


def states_of(seconds: list[int | None]) -> rim.UserStates:
    """One state a user at midnight; user i acts ``seconds[i]`` after it, or not at all within the hour."""
    rows = [(f"u{i:03d}", "a", START - pd.Timedelta("1h")) for i in range(len(seconds))]
    rows += [(f"u{i:03d}", "b", START + pd.Timedelta(s, "s")) for i, s in enumerate(seconds) if s is not None]
    log = rim.EventLog.from_frame(pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"]))
    m = len(seconds)
    at = np.full(m, START.value // 1000)
    return rim.UserStates(log, np.arange(m, dtype=np.int32), at, HOUR, np.array([0, 1], np.int32))


def test_users_come_with_their_first_event_and_the_others_last() -> None:
    coming = arrivals(states_of([50, None, 10, 3600, 30]))  # 3 600 s is after the window
    assert coming.came.tolist() == [True, False, True, False, True]
    assert coming.order[:3].tolist() == [2, 4, 0]
    assert set(coming.order[3:]) == {1, 3}
    assert (coming.moment[[2, 4, 0]] - START.value // 1000).tolist() == [10_000_000, 30_000_000, 50_000_000]
    assert (coming.moment[[1, 3]] == START.value // 1000 + HOUR).all()


def test_states_at_times_of_their_own_come_at_these() -> None:
    states = states_of([5, 5, 5])
    coming = arrivals(
        rim.UserStates(states.log, states.user, states.time + np.array([9, 3, 6]), HOUR, states.item_codes)
    )
    assert coming.order.tolist() == [1, 2, 0]
    assert coming.came.all()


def test_the_course_adds_up_to_the_delivery_whatever_the_steps() -> None:
    rng = np.random.default_rng(0)
    m, n = 83, 7
    scores = rim.Scores.from_dense(rng.random((m, n)), states=None)
    delivered = rim.item_rec(scores, k=3)
    states = states_of([int(s) for s in rng.integers(0, 3599, m)])
    coming = arrivals(states)
    minimum = np.array([0, 40, 20, 83, 30, 0, 0])
    for steps in (1, 10, 83, 500):
        course = delivery_course(delivered.matrix, coming, minimum, np.full(n, 60), steps)
        assert (course.exposure[-1] == delivered.exposure).all()
        assert course.steps["decided"].iloc[-1] == m
        assert course.steps["time"].is_monotonic_increasing
        for step in range(len(course.steps)):
            decided = int(course.steps["decided"].iloc[step])
            by_hand = delivered.matrix[coming.order[:decided]].sum(axis=0).A1
            assert (course.exposure[step] == by_hand).all()
            pace = minimum[minimum > 0] * decided / m - 1e-9
            assert course.steps["on_pace"].iloc[step] == pytest.approx((by_hand[minimum > 0] >= pace).mean())
        assert course.steps["kept"].iloc[-1] == pytest.approx((delivered.exposure >= minimum)[minimum > 0].mean())
        assert course.steps["over"].iloc[-1] == pytest.approx((delivered.exposure > 60).mean())
        item = course.item(3)
        assert item["delivered"].iloc[-1] == delivered.exposure[3]
        assert item["pace"].iloc[-1] == minimum[3]


def test_a_small_promise_is_on_pace_only_at_its_exact_share() -> None:
    late = np.zeros((9, 1))
    late[6:] = 1.0  # all three are delivered to the last third
    coming = arrivals(states_of(list(range(1, 10))))
    steps = delivery_course(sparse.csr_matrix(late), coming, np.array([3]), steps=9).steps
    assert steps["on_pace"].tolist() == [0.0] * 8 + [1.0]


def test_without_promises_nothing_is_on_or_off_pace() -> None:
    delivered = rim.item_rec(rim.Scores.from_dense(np.ones((3, 2))), k=1)
    course = delivery_course(delivered.matrix, arrivals(states_of([1, 2, 3])), np.zeros(2, int))
    assert course.steps["on_pace"].isna().all()
    assert course.steps["over"].isna().all()


def test_the_load_counts_every_user_state_once() -> None:
    load = np.array([0, 0, 1, 3, 3, 3])
    table = load_distribution(load)
    assert table["low"].tolist() == [0, 1, 2, 3]
    assert table["states"].tolist() == [2, 1, 0, 3]
    assert table["share"].sum() == pytest.approx(1)
    wide = load_distribution(np.arange(1000))
    assert len(wide) <= 40
    assert wide["states"].sum() == 1000
    assert (wide["high"] - wide["low"]).nunique() == 1
