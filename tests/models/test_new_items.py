"""Items nobody has bought yet: who is expected to buy them, and how often."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rim_core.datasets import EventLog, Split, split_by_time
from rim_core.models import ALS, GRU, RIM, Activity, Frequency, LightFMBPRItem, NewItems
from rim_core.models.affinity.item_features import directions, nearest, rarity, words_of
from rim_core.models.affinity.new_items import _growth

START = pd.Timestamp("2024-01-01", tz="UTC")


def items(n: int) -> pd.DataFrame:
    """Half coffees, half teas, of two makers and many prices."""
    kind = np.where(np.arange(n) % 2 == 0, "coffee", "tea")
    return pd.DataFrame(
        {"title": [f"{k} no {i}" for i, k in enumerate(kind)], "kind": kind, "price": np.arange(n, dtype=float)},
        index=[f"i{i:02d}" for i in range(n)],
    )


@pytest.fixture(scope="module")
def split() -> Split:
    """Even users buy coffees, odd ones teas; item i04 comes in the ninth week, i06 and i07 at the test window."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(60):
        for day in np.sort(rng.choice(112, 30, replace=False)):
            kinds = [i for i in range(user % 2, 12, 2) if not (i == 4 and day < 56) and not (i in (6, 7) and day < 98)]
            rows.append((f"u{user:02d}", f"i{rng.choice(kinds):02d}", START + pd.Timedelta(int(day), "D")))
    log = EventLog.from_frame(pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"]), items=items(12))
    return split_by_time(log, start="2024-04-08", horizon="14D", calibration=1)


def test_what_resembles_an_item_shares_its_rare_words() -> None:
    words = words_of(items(40))
    shape = directions(words, rarity(words))
    alike = nearest(shape[:2], shape[2:], k=5)
    np.testing.assert_allclose(np.asarray(alike.sum(axis=1)).ravel(), 1.0)
    assert all(c % 2 == 0 for c in alike[0].indices)  # coffees resemble coffees
    assert all(c % 2 == 1 for c in alike[1].indices)


@pytest.mark.parametrize("base", [Frequency(), ALS(factors=2, iterations=10)], ids=lambda m: m.name)
def test_a_launch_is_offered_to_those_who_buy_what_it_resembles(split: Split, base: Frequency | ALS) -> None:
    assert split.later is not None
    model = NewItems(base).fit(split, refit=True)
    launches = np.flatnonzero(split.log.items.index.isin(["i06", "i07"])).astype(np.int32)
    states = split.later.test.with_items(launches)
    assert not set(launches) & set(split.later.test.item_codes)
    scores = model.score(states).validate().to_dense()
    likes_coffee = states.user_ids.str[1:].astype(int).to_numpy() % 2 == 0
    assert scores[likes_coffee, 0].min() > scores[~likes_coffee, 0].max()
    assert scores[~likes_coffee, 1].min() > scores[likes_coffee, 1].max()


def test_a_launch_is_expected_as_often_as_past_launches_were_bought(split: Split) -> None:
    assert split.later is not None
    model = NewItems(Frequency(), shrinkage=1e9).fit(split, refit=True)
    assert len(model._launches.happened) == 1  # i04
    a, gamma = model._curve
    assert np.exp(a + gamma * np.log(model._launches.expected)) == pytest.approx(model._launches.happened, rel=0.02)
    launches = np.flatnonzero(split.log.items.index == "i06").astype(np.int32)
    got = model.score(split.later.test.with_items(launches)).to_dense().sum()
    assert got == pytest.approx(model._launches.happened[0], rel=0.35)


def test_launches_among_many_items_that_hardly_sell_are_not_expected_to_sell_like_the_few_that_do() -> None:
    rng = np.random.default_rng(1)
    days = np.sort(rng.choice(140, (2, 300)))
    often = [(f"u{rng.integers(20):02d}", rng.integers(10), day) for day in days[0]]  # one of every kind
    once = [(f"u{rng.integers(20):02d}", 10 + i, day) for i, day in enumerate(days[1])]
    rows = pd.DataFrame([*often, *once], columns=["user_id", "item_id", "day"])
    rows["timestamp"] = START + pd.to_timedelta(rows.pop("day"), "D")
    rows["item_id"] = rows["item_id"].map("i{:03d}".format)
    kinds = pd.DataFrame({"kind": [f"kind {i % 10}" for i in range(310)]}, index=[f"i{i:03d}" for i in range(310)])
    log = EventLog.from_frame(rows, items=kinds)
    later = split_by_time(log, horizon="14D", calibration=1).later
    assert later is not None
    seen = log.arrays.item[log.arrays.time < later.test.time[0]]
    launches = np.setdiff1d(np.arange(len(log.items), dtype=np.int32), seen)
    expected = NewItems(Frequency()).fit(later).score(later.test.with_items(launches)).to_dense().sum()
    assert expected == pytest.approx(len(launches), rel=0.25)  # each is bought once


def test_items_known_well_keep_the_score_of_the_model(split: Split) -> None:
    model = NewItems(Frequency(), few=1.0).fit(split)
    known = np.flatnonzero(model._events >= 10)
    both = model.score(split.test).to_dense(), model.base.score(split.test).to_dense()
    np.testing.assert_allclose(both[0][:, known], both[1][:, known], rtol=1e-6)


def test_what_a_score_is_and_of_whom_is_what_the_base_says() -> None:
    assert NewItems(RIM(GRU(), Activity())).unit.startswith("expected")
    assert NewItems(GRU()).unit == GRU().unit
    assert NewItems(ALS()).folds_in
    assert not NewItems(ALS(history="training")).folds_in
    assert not NewItems(NewItems(LightFMBPRItem())).folds_in


def test_launches_like_nothing_else_do_not_make_others_promise_more() -> None:
    rng = np.random.default_rng(0)
    titles = [f"{kind} no {i}" for kind in ("coffee", "tea") for i in range(10)] + ["zither", "quartz", "coffee new"]
    names = pd.DataFrame({"title": titles}, index=[f"i{i:02d}" for i in range(23)])
    rows = []
    for user in range(80):
        for day in np.sort(rng.choice(140, 30, replace=False)):
            there = 20 + 2 * (day >= 84) + (day >= 126)  # two that resemble nothing, then one that does
            rows.append((f"u{user:02d}", f"i{rng.choice(there):02d}", START + pd.Timedelta(int(day), "D")))
    log = EventLog.from_frame(pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"]), items=names)
    later = split_by_time(log, start=START + pd.Timedelta(126, "D"), horizon="14D").later
    assert later is not None
    scores = NewItems().fit(later).score(later.test.with_items(np.arange(23, dtype=np.int32))).to_dense().sum(axis=0)
    assert scores[22] == pytest.approx(scores[:10].mean(), rel=0.2)


def test_what_few_launches_did_is_drawn_to_what_the_items_alike_sell() -> None:
    one, many = (_growth(np.full(n, 8.0), np.ones(n))[0] for n in (1, 1000))
    assert np.exp(one) == pytest.approx((8 + 20) / (1 + 20), rel=0.01)
    assert np.exp(many) == pytest.approx(8.0, rel=0.02)
