"""Numbers of things as people say them."""

from __future__ import annotations

import pytest

from rim_core.datasets import ImportReport
from rim_core.wording import counted


@pytest.mark.parametrize(
    ("number", "things", "said"),
    [
        (1, "users", "1 user"), (0, "users", "0 users"), (1_234, "users", "1,234 users"), (1.2, "items", "1 item"),
        (1, "deliveries", "1 delivery"), (1, "user-states", "1 user-state"),
        (1, "held-out users were", "1 held-out user was"),
        (2, "users are", "2 users are"), (1, "users are", "1 user is"), (1, "more rows", "1 more row"),
    ],
)  # fmt: skip
def test_one_thing_is_said_as_one(number: float, things: str, said: str) -> None:
    assert counted(number, things) == said


def test_a_report_of_one_row_says_one_of_each() -> None:
    report = ImportReport("a.csv", 1, 1, users=1, items=1, first="2024", last="2024", defaults={"value": 1})
    assert report.summary() == (
        "a.csv: 1 of 1 row kept; 1 user, 1 item, 2024 to 2024.\n1 empty cell of value got the default."
    )
