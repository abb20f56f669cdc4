"""Relevance and diversity by examples small enough to do by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from rim_core.assignment import Assignment, Direction
from rim_core.datasets.log import EventLog
from rim_core.datasets.split import split_by_time
from rim_core.datasets.states import UserStates
from rim_core.errors import ScoreError
from rim_core.evaluation import compare, evaluate, item_rec, perplexity, user_rec
from rim_core.models.affinity.popularity import Popularity
from rim_core.models.affinity.random import Random
from rim_core.scores import Scores

GIVEN = np.array(
    [
        [1, 1, 0, 0],
        [1, 1, 0, 0],
        [0, 1, 0, 0],
    ]
)
LAMBDA = np.arange(12.0).reshape(3, 4) / 8


def assignment(
    states: UserStates, given: np.ndarray = GIVEN, planned: float = 6.0, direction: Direction = "match"
) -> Assignment:
    scores = Scores.from_dense(LAMBDA, states=states)
    return Assignment(sparse.csr_matrix(given.astype(np.float32)), scores, planned=planned, direction=direction)


def test_by_hand(states: UserStates) -> None:
    """HAPPENED is [2 0 1 0], [0 1 0 0], [0 0 0 0]: the pairs given hit a-w twice and b-x once."""
    found = evaluate(assignment(states), states)
    assert found.hits == 3
    assert found.delivered == 5
    assert found.planned == 6
    assert found.precision == 3 / 6  # hits count events; 6 were planned and 5 delivered
    assert found.hit_rate == 2 / 6  # two pairs with any event
    assert found.item_recall == pytest.approx((2 / 3 + 1 / 1 + 0) / 3)  # c did nothing: 0 of max(1, 0)
    assert found.user_recall == pytest.approx((2 / 2 + 1 / 1 + 0 / 1 + 0) / 4)
    assert found.item_perplexity == pytest.approx(math.exp(-(0.4 * math.log(0.4) + 0.6 * math.log(0.6))))
    assert found.user_perplexity == pytest.approx(math.exp(-(0.8 * math.log(0.4) + 0.2 * math.log(0.2))))
    assert found.item_coverage == 2 / 4
    assert found.user_coverage == 1
    assert found.recs_per_item_quartiles == (0.0, 1.0, 2.25)  # of exposures 2, 3, 0, 0
    assert found.expected == pytest.approx(LAMBDA[GIVEN > 0].sum())


@pytest.mark.parametrize(("planned", "wanted"), [(0, 5), (5, 5), (12, 12)])
def test_precision_is_of_what_was_planned_or_delivered_if_more(
    states: UserStates, planned: float, wanted: float
) -> None:
    found = evaluate(assignment(states, planned=planned), states)
    assert found.precision == 3 / wanted
    assert found.hit_rate == 2 / wanted


def test_recall_follows_the_direction(states: UserStates) -> None:
    for direction in ("item", "match"):
        found = evaluate(assignment(states, direction=direction), states)
        assert found.recall == found.item_recall
    found = evaluate(assignment(states, direction="user"), states)
    assert found.recall == found.user_recall != found.item_recall


def test_nothing_delivered(states: UserStates) -> None:
    found = evaluate(assignment(states, given=np.zeros((3, 4)), planned=0), states)
    for figure in ("precision", "recall", "hit_rate", "item_perplexity", "user_perplexity", "item_coverage", "hits"):
        assert getattr(found, figure) == 0


def test_everything_delivered(states: UserStates) -> None:
    found = evaluate(assignment(states, given=np.ones((3, 4)), planned=12), states)
    assert found.hits == 4
    assert found.precision == 4 / 12
    assert found.hit_rate == 3 / 12
    assert found.item_recall == pytest.approx(2 / 3)
    assert found.item_perplexity == pytest.approx(4)
    assert found.user_perplexity == pytest.approx(3)
    assert found.recs_per_item_quartiles == (3, 3, 3)


def test_rankings_by_hand(states: UserStates) -> None:
    scores = Scores.from_dense(np.array([[4, 3, 2, 1], [4, 3, 2, 1], [1, 2, 3, 4.0]]), states=states)
    by_item = evaluate(item_rec(scores, 1), states)  # w, w, z
    assert by_item.precision == 2 / 3
    assert by_item.recall == by_item.item_recall == pytest.approx((2 / 3) / 3)
    assert by_item.item_perplexity == pytest.approx(math.exp(-(2 / 3 * math.log(2 / 3) + 1 / 3 * math.log(1 / 3))))
    by_user = evaluate(user_rec(scores, 2), states)  # a and b get w and x; c gets y and z, with a or b
    assert by_user.planned == 8
    assert by_user.recall == by_user.user_recall
    assert by_user.hits in (3, 4)


def test_all_figures_as_json(states: UserStates) -> None:
    found = evaluate(assignment(states), states)
    stored = json.loads(json.dumps(found.to_dict()))
    assert stored["precision"] == 0.5
    assert stored["recs_per_item_quartiles"] == [0.0, 1.0, 2.25]


def test_other_states_or_items_are_refused(states: UserStates) -> None:
    delivered = assignment(states)
    with pytest.raises(ScoreError, match="same part of the split"):
        evaluate(delivered, states.take(np.array([0, 1])))
    with pytest.raises(ScoreError, match="same part of the split"):
        evaluate(delivered, states.with_items(np.array([0, 1, 2])))
    with pytest.raises(ScoreError, match="same part of the split"):
        evaluate(delivered, states.with_items(np.array([3, 2, 1, 0])))  # as many, in another order


@pytest.mark.parametrize(
    ("counts", "expected"),
    [([], 0), ([0, 0], 0), ([7], 1), ([7, 0], 1), ([1, 1], 2), ([5, 5, 5, 0], 3), ([3, 1], 4 / 3**0.75)],
)
def test_perplexity_is_the_effective_number(counts: list[float], expected: float) -> None:
    assert perplexity(np.array(counts)) == pytest.approx(expected)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=30))
def test_perplexity_lies_between_one_and_the_number_reached(counts: list[int]) -> None:
    reached = sum(c > 0 for c in counts)
    assert min(1, reached) - 1e-9 <= perplexity(np.array(counts)) <= reached * (1 + 1e-9)


def test_models_side_by_side() -> None:
    rng = np.random.default_rng(0)
    popularity = 1 / np.arange(1, 31) ** 1.5
    events = pd.DataFrame(
        {
            "user_id": rng.integers(0, 100, 4000),
            "item_id": rng.choice(30, 4000, p=popularity / popularity.sum()),
            "timestamp": pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(rng.uniform(0, 70, 4000), unit="D"),
        }
    )
    split = split_by_time(EventLog.from_frame(events), horizon="14D")
    models = [Popularity().fit(split), Random().fit(split)]
    table = compare(models, split.test, k=3, c=5)
    assert table.index.tolist() == ["Popularity", "Random"]
    assert table.index.name == "model"
    for model in models:
        scores, row = model.score(split.test), table.loc[model.name]
        by_item, by_user = evaluate(item_rec(scores, 3), split.test), evaluate(user_rec(scores, 5), split.test)
        assert row["item_precision"] == by_item.precision
        assert row["item_recall"] == by_item.item_recall
        assert row["item_perplexity"] == by_item.item_perplexity
        assert row["user_precision"] == by_user.precision
        assert row["user_recall"] == by_user.user_recall
        assert row["user_perplexity"] == by_user.user_perplexity
        assert row["item_expected"] == by_item.expected
        assert row["item_hits"] == by_item.hits
    assert table.loc["Popularity", "item_precision"] > 2 * table.loc["Random", "item_precision"]
