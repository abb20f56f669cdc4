"""Why this user: the parts multiply to the score, and the past that is shown is the one that is near."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import rim_core as rim
from rim_core.audiences import explain

ITEMS = ["tea", "herbal tea", "nails", "hammer"]
TASTES = np.array([[2.0, -2.0], [1.9, -1.9], [-2.0, 2.0], [-1.8, 1.8]])


@pytest.fixture
def scores() -> rim.Scores:
    """Forty users who like tea or tools, of very different activity; each has bought one of either."""
    rng = np.random.default_rng(0)
    users = [f"u{i:02d}" for i in range(40)]
    rows = [(u, i, d) for u in users for i, d in (("tea", 1), ("nails", 2), ("hammer", 3))]
    events = pd.DataFrame(rows, columns=["user_id", "item_id", "day"])
    events["timestamp"] = pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(events["day"], unit="D")
    log = rim.EventLog.from_frame(events, items=pd.DataFrame({"title": ITEMS}, index=ITEMS))
    at = pd.Timestamp("2024-01-10").value // 1000
    codes = log.items.index.get_indexer(ITEMS).astype(np.int32)
    states = rim.UserStates(log, np.arange(40, dtype=np.int32), np.full(40, at), 14 * 86_400_000_000, codes)
    preference = np.exp(rng.normal(size=(40, 2)) @ TASTES.T)
    preference /= preference.sum(axis=1, keepdims=True)
    return rim.Scores.from_dense(preference * rng.gamma(1.0, 2.0, (40, 1)), states=states)


def test_intensity_times_preference_is_the_score_and_less_the_price_is_what_decides(scores: rim.Scores) -> None:
    prices = np.array([0.0, -0.3, 0.1, 0.0])
    dense = scores.to_dense().astype(float)
    for row in range(5):
        found = explain(scores, row, "herbal tea", prices, 2)
        assert found.intensity * found.preference == pytest.approx(found.score) == pytest.approx(dense[row, 1])
        assert found.intensity == pytest.approx(dense[row].sum())
        assert found.value == pytest.approx(found.score + 0.3)
        value = dense[row] - prices
        assert found.place == 1 + int((value > value[1]).sum())
        assert found.place_without_prices == 1 + int((dense[row] > dense[row, 1]).sum())
        assert found.threshold == pytest.approx(max(0.0, np.sort(value)[-2]))
        assert (found.place <= 2) == (found.value >= found.threshold)
    assert found.usual_intensity == pytest.approx(np.median(dense.sum(axis=1)))


def test_the_past_nearest_to_the_item_comes_first(scores: rim.Scores) -> None:
    events = explain(scores, 3, "herbal tea", np.zeros(4), 2).events
    assert events["item_id"].tolist()[0] == "tea"
    assert events["alike"].iloc[0] > 0.9
    assert (events["alike"].iloc[1:] < 0).all()
    assert events["days_before"].iloc[0] == pytest.approx(8.0)
    assert (events["time"] < pd.Timestamp("2024-01-10", tz="UTC")).all()


def test_where_everybody_has_the_same_preference_the_latest_come_first(scores: rim.Scores) -> None:
    flat = rim.Scores.from_factors(np.ones((40, 1)), np.full((4, 1), 0.25), states=scores.states)
    events = explain(flat, 0, "tea", np.zeros(4), 1).events
    assert events["alike"].isna().all()
    assert events["item_id"].tolist() == ["hammer", "nails", "tea"]


def test_forbidden_pairs_count_for_nothing_and_unknown_ones_are_named(scores: rim.Scores) -> None:
    dense = scores.to_dense()
    dense[0, 2] = -np.inf
    found = explain(rim.Scores.from_dense(dense, states=scores.states), 0, "tea", np.zeros(4), 1)
    assert found.intensity == pytest.approx(dense[0, [0, 1, 3]].sum())
    with pytest.raises(rim.NotFoundError, match="no item 'coffee'"):
        explain(scores, 0, "coffee", np.zeros(4), 1)
    with pytest.raises(rim.ScoreError, match="no user-states"):
        explain(rim.Scores.from_dense(dense), 0, "0", np.zeros(4), 1)
