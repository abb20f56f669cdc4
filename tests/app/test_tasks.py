"""Work beside the page: the latest wish wins, and what nobody looks at any more is left."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from app import tasks
from app.tasks import Tasks

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from app.tasks import Report


def until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.005)


def endless(report: Report) -> None:
    while True:
        report("working", 0.5)
        time.sleep(0.002)


def test_work_of_a_closed_window_is_left_and_lets_the_next_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "LEFT", 0.2)
    board = Tasks(workers=1)
    left = board.request("left", endless, wish="a closed window")
    behind = board.request("behind", lambda _: 7, wish="an open window")
    until(lambda: board.request("behind", endless).settled)  # looked at, as nobody does with the first one
    assert left.state == "dropped"
    assert behind.result == 7


def test_work_that_is_looked_at_goes_on_and_so_does_what_was_asked_for_without_a_wish(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tasks, "LEFT", 0.2)
    board, go = Tasks(workers=2), threading.Event()

    def patient(report: Report) -> int:
        while not go.wait(0.002):
            report("working", 0.5)
        return 1

    seen = board.request("seen", patient, wish="an open window")
    kept = board.request("kept", patient)
    end = time.monotonic() + 0.6
    while time.monotonic() < end:
        assert board.find("seen") is seen
        time.sleep(0.01)
    go.set()
    until(lambda: seen.settled and kept.settled)
    assert (seen.state, kept.state) == ("done", "done")


def test_a_newer_wish_takes_the_place_of_the_one_before_and_the_clock_of_waiting_work_runs() -> None:
    board = Tasks(workers=1)
    first = board.request("first", endless, wish="plan")
    until(lambda: first.state == "running")
    second = board.request("second", lambda _: 2, wish="other")
    time.sleep(0.02)
    assert second.state == "waiting"
    assert second.seconds > 0
    third = board.request("third", lambda _: 3, wish="plan")
    until(lambda: third.settled)
    assert (first.state, second.result, third.result) == ("dropped", 2, 3)


def test_what_is_waited_for_is_ones_own_work_before_or_that_of_others() -> None:
    board, go = Tasks(workers=1), threading.Event()

    def deaf(report: Report) -> None:
        go.wait(30)

    mine = board.request("mine", deaf, wish="me: plan")
    until(lambda: mine.state == "running")
    newer = board.request("newer", lambda _: 1, wish="me: plan")
    others = board.request("others", lambda _: 2, wish="you: plan")
    assert board.find("newer") is newer
    assert newer.stage == "stopping what you asked for before"
    assert board.find("others") is others
    assert others.stage.startswith("waiting for other work to end (1 at work")
    go.set()
    until(lambda: newer.settled and others.settled)


def test_work_that_two_wait_for_goes_on_when_one_of_them_cancels_it() -> None:
    board = Tasks(workers=1)
    shared = board.request("plan", endless, wish="me")
    board.request("plan", endless, wish="you")
    until(lambda: shared.state == "running")
    board.leave("plan", "me")
    assert board.find("plan") is shared
    time.sleep(0.05)
    assert shared.state == "running"
    board.leave("plan", "you")
    until(lambda: shared.state == "dropped")
    assert board.find("plan") is None
