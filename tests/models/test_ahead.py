"""Levels follow the drift of the log to the window that a model is asked about."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rim_core import (
    ALS,
    BPR,
    BoostedCounts,
    BoostedHawkes,
    EventLog,
    GraphConv,
    Hawkes,
    Split,
    split_by_time,
    split_by_user,
)
from rim_core.models.ahead import drift, last_window, trend
from rim_core.models.base import Intensity, Model

DAYS, WINDOW, LEFT = 182, 14, 0.9


def shrinking_log(users: int = 1500, items: int = 30) -> EventLog:
    """Every user buys at a pace of her own that falls by a tenth from one fortnight to the next."""
    rng = np.random.default_rng(0)
    pace = rng.gamma(2.0, 2.0, users)
    found = []
    for window in range(DAYS // WINDOW):
        count = rng.poisson(pace * LEFT**window)
        user = np.repeat(np.arange(users), count)
        found.append(pd.DataFrame({"user": user, "day": WINDOW * (window + rng.random(len(user)))}))
    events = pd.concat(found, ignore_index=True)
    return EventLog.from_frame(
        pd.DataFrame(
            {
                "user_id": "u" + events["user"].astype(str),
                "item_id": [f"i{y}" for y in rng.integers(items, size=len(events))],
                "timestamp": pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(events["day"], "D"),
            }
        )
    )


@pytest.fixture(scope="module")
def split() -> Split:
    later = split_by_time(shrinking_log(), start="2024-06-17", horizon="14D").later
    assert later is not None
    return later


def test_the_last_window_is_the_latest(split: Split) -> None:
    parts = last_window(split.labelled)
    assert parts is not None
    earlier, last = parts
    assert earlier.time.max() < last.time.min() == last.time.max()
    assert len(earlier) + len(last) == len(split.labelled)
    assert last_window(last) is None
    assert last_window(last.take(np.empty(0, np.int64))) is None


def test_few_events_tell_no_drift() -> None:
    assert drift(0, 0) == 1.0
    assert drift(120, 60) < 1.1
    assert drift(110_000, 100_000) == pytest.approx(1.1, rel=0.01)
    assert (drift(12_000, 6_000), drift(6_000, 12_000)) == (1.25, 0.8)


@pytest.mark.parametrize("kind", [Hawkes, BoostedHawkes])
def test_a_log_that_shrinks_is_not_promised_what_there_used_to_be(kind: type[Intensity], split: Split) -> None:
    happened = split.test.target_counts.sum()
    model = kind().fit(split)
    expected, ahead = model.intensity(split.test).sum(), model.fit_info["ahead"]
    assert ahead < 0.99
    assert abs(np.log(expected / happened)) < abs(np.log(expected / ahead / happened))
    assert expected == pytest.approx(happened, rel=0.08)


def test_counts_of_users_who_have_met_nearly_everything_keep_to_the_total(split: Split) -> None:
    """30 items, 27 purchases a user: what little weight is left to new items must not blow up."""
    model = BoostedCounts().fit(split)
    assert model.fit_info["ahead"] < 1.0
    assert model.score(split.test).to_dense().sum() == pytest.approx(split.test.target_counts.sum(), rel=0.08)


@pytest.mark.parametrize("kind", [ALS, BPR, GraphConv])
def test_factors_of_growing_histories_do_not_promise_ever_more(kind: type[Model], split: Split) -> None:
    happened = split.test.target_counts.sum()
    model = kind().fit(split)
    expected, ahead = model.score(split.test).to_dense().sum(), model.fit_info["ahead"]
    assert ahead < 0.97
    assert abs(np.log(expected / happened)) < abs(np.log(expected / ahead / happened))
    assert expected == pytest.approx(happened, rel=0.15)


def test_a_trend_goes_on_to_the_next_window() -> None:
    happened = 1e6 * 0.95 ** np.arange(4)
    assert trend(happened, np.full(4, 1e6)) == pytest.approx(0.95**4, rel=1e-3)
    assert trend(1e6 * 0.5 ** np.arange(4), np.full(4, 1e6)) == pytest.approx(0.8)
    assert trend(happened, happened) == pytest.approx(1.0)
    assert trend(happened[:1], happened[:1] / 2) == 1.0
    assert trend(np.zeros(3), np.zeros(3)) == pytest.approx(1.0)
    assert trend(np.array([1.0, 2.0, 4.0]), np.array([4.0, 2.0, 1.0])) == pytest.approx(1.0, abs=0.1)


def test_a_split_by_user_has_no_window_ahead() -> None:
    split = split_by_user(shrinking_log(users=200), horizon="14D", seed=0)
    assert BoostedHawkes().fit(split).fit_info["ahead"] == 1.0
