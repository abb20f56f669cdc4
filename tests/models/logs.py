"""Logs that tests of sequence models are made of."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rim_core.datasets.log import EventLog

USERS, ITEMS = 30, 12


def baskets(seed: int = 0, users: int = USERS) -> EventLog:
    """Visits of 1 to 5 items at one instant, 3 to 40 visits a user."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(users):
        for hour in np.sort(rng.choice(2000, size=rng.integers(3, 40), replace=False)):
            rows += [(f"u{user:02d}", f"i{item:02d}", hour) for item in rng.choice(ITEMS, rng.integers(1, 6), False)]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "hour"])
    frame["timestamp"] = pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(frame.pop("hour"), unit="h")
    return EventLog.from_frame(frame)


def cycle(items: int = ITEMS) -> EventLog:
    """After item k comes item k + 1, always; users begin anywhere."""
    rows = [(f"u{u}", f"i{(u + j) % items:02d}", 24 * j + u) for u in range(USERS) for j in range(60)]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "hour"])
    frame["timestamp"] = pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(frame.pop("hour"), unit="h")
    return EventLog.from_frame(frame)
