"""Affinities against closed forms, the library they come from, and what a planner relies on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.optimize import minimize

from rim_core.datasets import EventLog, SimulatedShop, Split, split_by_time, split_by_user
from rim_core.errors import ModelError
from rim_core.models import (
    ALS,
    BPR,
    GRU,
    RFMGBDT,
    RIM,
    BoostedCounts,
    Frequency,
    GraphConvExtra,
    HawkesPoisson,
    HorizonBlend,
    HorizonCounts,
    LightFMBPRItem,
    LogisticMF,
    Model,
)
from rim_core.models.affinity.factors import count_link
from rim_core.models.affinity.frequency import mixture_rates
from rim_core.models.affinity.histories import decayed_counts, training_counts
from rim_core.models.affinity.pair_features import ItemClock
from rim_core.models.affinity.trees import CountTrees


@pytest.fixture(scope="module")
def split() -> Split:
    log = SimulatedShop(users=600, items=40, days=120, seed=3).log()
    return split_by_time(log, horizon="14D", calibration=1)


@pytest.fixture(scope="module")
def by_user() -> Split:
    """Users of many lengths of history, so that group A shows more of itself in training than group B."""
    log = SimulatedShop(users=900, items=40, days=120, seed=5).log()
    return split_by_user(log, latter_half=False, exclude_seen=False, start="30D", horizon="30D")


# -- Frequency -------------------------------------------------------------------------------------------------


def frame(*rows: tuple[str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])


def test_a_past_event_counts_half_after_a_half_life() -> None:
    events = frame(
        ("a", "x", "2024-01-01"), ("a", "x", "2024-01-31"), ("a", "y", "2024-03-01"), ("b", "y", "2024-01-01"),
        ("b", "x", "2024-04-20"),
    )  # fmt: skip
    log = EventLog.from_frame(events)
    states = split_by_time(log, start="2024-03-31", horizon="20D", calibration=1).test
    found = decayed_counts(states, half_life_days=30.0).toarray()
    np.testing.assert_allclose(found, [[0.125 + 0.25, 0.5], [0.0, 0.125]])


def test_rates_of_a_mixture_are_the_most_likely_ones() -> None:
    rng = np.random.default_rng(0)
    terms = rng.gamma(1.0, size=(2, 300))
    counts = rng.poisson(np.array([0.7, 0.2]) @ terms).astype(float)
    totals = terms.sum(axis=1) * 1.5  # pairs without an event are only in the totals

    def loss(a: np.ndarray) -> float:
        return float(a @ totals - counts @ np.log(a @ terms))

    best = minimize(loss, np.array([0.3, 0.3]), bounds=[(1e-9, None)] * 2)
    np.testing.assert_allclose(mixture_rates(terms, counts, totals, rounds=2000), best.x, rtol=1e-3)


def test_frequency_expects_as_much_as_happened_where_it_learned(split: Split) -> None:
    model = Frequency().fit(split)
    expected = model.score(split.labelled).to_dense().sum()
    assert expected == pytest.approx(split.labelled.target_counts.sum(), rel=1e-3)


# -- factorisations --------------------------------------------------------------------------------------------


def test_folding_in_solves_what_the_library_solves(split: Split) -> None:
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    model = ALS(factors=5, iterations=10, regularization=1.0).fit(split)
    counts = training_counts(split).astype(np.float32)
    with threadpool_limits(1, "blas"):
        other = AlternatingLeastSquares(factors=5, regularization=1.0, num_threads=1)
        other.item_factors = model._item
        other.user_factors = np.zeros((counts.shape[0], 5), np.float32)
        theirs = other.recalculate_user(np.arange(counts.shape[0]), counts)
    np.testing.assert_allclose(model._fold_in(counts), theirs, rtol=0.02, atol=2e-3)


def test_the_link_keeps_the_order_and_makes_counts(split: Split) -> None:
    rng = np.random.default_rng(1)
    states = split.labelled
    h, w = rng.normal(size=(len(states), 3)), rng.normal(size=(len(split.items), 3))
    a, k, s = count_link(h, w, states, 0, states.horizon)
    assert a > 0
    assert k > 0
    total = (a * np.logaddexp(0, k * (h @ w.T) + s)).sum()
    assert total == pytest.approx(states.target_counts.sum(), rel=0.02)


@pytest.mark.parametrize("kind", [ALS, LogisticMF, BPR])
def test_scores_of_equal_histories_do_not_fall_from_group_to_group(by_user: Split, kind: type) -> None:
    """Appendix F: trained factors know more of group A, so prices found on A are too high for B."""
    settings = {"factors": 8, "epochs": 10} if kind is BPR else {"factors": 8, "iterations": 10}

    def level(history: str) -> float:
        model = kind(history=history, **settings).fit(by_user)
        before, after = (model.score(s).to_dense().sum() / len(s) for s in (by_user.calibration, by_user.test))
        return float(after / before)

    assert level("visible") == pytest.approx(1.0, abs=0.1)
    assert level("training") < level("visible")


def test_a_model_that_cannot_fold_in_says_so(split: Split) -> None:
    model = LightFMBPRItem(factors=4, epochs=3).fit(split)
    assert not model.folds_in
    stranger = replace(split.test.take(np.array([0])), user=split.test.user[:1])
    model._user_ids = model._user_ids[1:]  # the first user was never trained
    np.testing.assert_allclose(model._state_factors(stranger)[0], model._user.mean(axis=0))
    with pytest.raises(ModelError, match="visible"):
        ALS(history="all")  # type: ignore[arg-type]


def test_more_periods_are_more_labels(by_user: Split) -> None:
    windows = GraphConvExtra()._windows(by_user)
    assert len(windows) == 4
    allowed = set(by_user.labelled.user)
    assert all(set(w.user) <= allowed for w in windows)  # group B's windows are the test


# -- trees -----------------------------------------------------------------------------------------------------


def test_items_at_an_instant_do_not_know_what_came_after(split: Split) -> None:
    time = int(split.labelled.time.max())
    before = ItemClock.at(split, time, None)
    a = split.log.arrays
    shuffled = split.log.events.copy()
    late = a.time >= time
    rng = np.random.default_rng(0)
    codes = shuffled["item_id"].cat.codes.to_numpy().copy()
    codes[late] = rng.permutation(codes[late])
    shuffled["item_id"] = pd.Categorical.from_codes(codes, categories=shuffled["item_id"].cat.categories)
    other = replace(split, train=replace(split.train, log=replace(split.log, events=shuffled)))
    np.testing.assert_array_equal(ItemClock.at(other, time, None).values, before.values)


def test_new_items_are_as_many_as_expected_and_go_where_the_direction_points(split: Split) -> None:
    model = BoostedCounts(ALS(factors=4), rounds=40, smallest_leaf=20).fit(split)
    scores = model.score(split.test).to_dense()
    met = decayed_counts(split.test).toarray() > 0
    direction = model.direction.score(split.test).to_dense()
    unmet = np.where(met, 0.0, scores)
    share = np.where(met, 0.0, direction)
    wanted = share / share.sum(axis=1, keepdims=True) * unmet.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(unmet, wanted, rtol=1e-3, atol=1e-7)
    learned = model.score(split.labelled).to_dense().sum()
    assert learned == pytest.approx(model.fit_info["ahead"] * split.labelled.target_counts.sum(), rel=0.05)


def test_next_to_nothing_is_expected_of_users_who_have_left() -> None:
    rng = np.random.default_rng(0)
    days = [rng.choice(120 if user % 2 else 25, 20 if user % 2 else 5, replace=False) for user in range(400)]
    bought = [(f"u{user}", f"i{rng.choice(80)}", day) for user, when in enumerate(days) for day in when]
    events = pd.DataFrame(bought, columns=["user_id", "item_id", "day"])
    events["timestamp"] = pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(events.pop("day"), "D")
    states = (split := split_by_time(EventLog.from_frame(events), horizon="14D")).test
    expected = BoostedCounts(ALS(factors=2)).fit(split).score(states).to_dense().sum(axis=1)
    left = states.user_ids.str[1:].astype(int).to_numpy() % 2 == 0
    assert expected[~left].mean() == pytest.approx(states.target_counts[~left].mean(), rel=0.2)
    assert expected[left].mean() < 0.02 * expected[~left].mean()


def test_new_items_are_chosen_as_the_product_does_and_counted_by_trees_that_are_told_of_it(split: Split) -> None:
    product = RIM(GRU(dim=8, max_epochs=1), HawkesPoisson(kernels=8))
    model = HorizonCounts(product, rounds=40, smallest_leaf=20).fit(split)
    scores, direction = model.score(split.test).to_dense(), product.score(split.test).to_dense()
    unmet = decayed_counts(split.test).toarray() == 0
    level = np.where(unmet, scores, 0.0).sum(axis=1) / np.where(unmet, direction, 0.0).sum(axis=1)
    np.testing.assert_allclose(scores[unmet], (level[:, None] * direction)[unmet], rtol=1e-3, atol=1e-7)
    assert level.std() > 0.05 * level.mean()
    learned = model.score(split.labelled).to_dense().sum()
    assert learned == pytest.approx(split.labelled.target_counts.sum(), rel=0.05)


def test_trees_of_how_many_new_items_see_what_the_product_foresees() -> None:
    days = pd.date_range("2024-01-01", periods=120, tz="UTC")
    events = pd.DataFrame({"user_id": ["a", "b"] * 60, "item_id": ["x", "x", "y", "z"] * 30, "timestamp": days})
    split = split_by_time(EventLog.from_frame(events), horizon="14D")
    assert "foreseen" in _people_names(HorizonCounts(RIM(GRU(dim=4, max_epochs=1), HawkesPoisson()), rounds=5), split)
    assert "foreseen" not in _people_names(BoostedCounts(ALS(factors=2), rounds=5), split)


def _people_names(model: BoostedCounts, split: Split) -> tuple[str, ...]:
    lesson = model.fit(split)._lesson(split.labelled, model._clock)
    assert lesson.people.shape == (len(split.labelled), len(lesson.names[1]))
    return lesson.names[1]


def test_trees_of_an_earlier_version_say_that_they_must_be_grown_again(split: Split) -> None:
    model = RFMGBDT(rounds=5).fit(split)
    earlier = {key: array for key, array in model._weights().items() if key != "horizon"}
    with pytest.raises(ModelError, match="earlier version"):
        model._load_weights(earlier)


def test_horizon_counts_begin_with_the_most_accurate_product() -> None:
    model = HorizonCounts(max_epochs=2, seed=3)
    assert model.name == "HorizonCounts"
    assert model.direction.get_config() == RIM(HorizonBlend(max_epochs=2, seed=3), HawkesPoisson()).get_config()
    assert Model.from_config(model.get_config()).get_config() == model.get_config()


def test_a_state_that_has_met_every_item_has_no_new_ones() -> None:
    days = pd.date_range("2024-01-01", periods=120, tz="UTC")
    events = pd.DataFrame({"user_id": ["a", "b"] * 60, "item_id": ["x", "x", "y", "y"] * 30, "timestamp": days})
    split = split_by_time(EventLog.from_frame(events), horizon="14D")
    scores = BoostedCounts(ALS(factors=2), rounds=5, smallest_leaf=2).fit(split).score(split.test).validate()
    assert (scores.to_dense() > 0).all()
    assert isinstance(scores.added, sparse.csr_matrix)


def test_trees_of_parts_are_the_trees_of_the_whole() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 3)).astype(np.float32)
    counts = rng.poisson(np.exp(x[:, 0]))

    def grown(parts: list[np.ndarray]) -> CountTrees:
        return CountTrees.fit(
            parts,
            counts,
            "abc",
            rounds=10,
            leaves=4,
            learning_rate=0.1,
            smallest_leaf=10,
            seed=0,
            report=lambda _: None,
        )

    assert grown([x[:0], x[:200], x[200:]]) == grown([x])
    assert grown([x]).text
