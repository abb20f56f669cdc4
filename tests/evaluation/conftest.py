"""A log small enough to count on one's fingers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rim_core.datasets.log import EventLog
from rim_core.datasets.states import UserStates

SECOND = 1_000_000
START = pd.Timestamp("2024-01-01", tz="UTC")

HAPPENED = np.array(
    [
        [2, 0, 1, 0],
        [0, 1, 0, 0],
        [0, 0, 0, 0],
    ]
)
"""Events of users a, b, c with items w, x, y, z in the hour that is the target."""


def make_states(happened: np.ndarray) -> UserStates:
    """User-states at noon; everyone had one event with every item before, ``happened`` follows within the hour."""
    m, n = happened.shape
    users, items = np.array([f"u{i:02d}" for i in range(m)]), np.array([f"i{j:02d}" for j in range(n)])
    rows = []
    for i in range(m):
        for j in range(n):
            rows.append((users[i], items[j], START))
            rows += [(users[i], items[j], START + pd.Timedelta("12h") + pd.Timedelta(k, "s"))
                     for k in range(happened[i, j])]  # fmt: skip
            rows.append((users[i], items[j], START + pd.Timedelta("13h")))  # at the end of the horizon: too late
    log = EventLog.from_frame(pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"]))
    noon = int((START + pd.Timedelta("12h")).value // 1000)
    return UserStates(log, np.arange(m, dtype=np.int32), np.full(m, noon), 3600 * SECOND, np.arange(n, dtype=np.int32))


@pytest.fixture(scope="session")
def states() -> UserStates:
    """HAPPENED as user-states."""
    made = make_states(HAPPENED)
    np.testing.assert_array_equal(made.targets.toarray(), HAPPENED)
    return made
