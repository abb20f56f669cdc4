"""Preferences over the horizon: which events a state learns from, what it hides, how sure it may be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from rim_core.datasets.log import SECOND, EventLog
from rim_core.datasets.split import Split, split_by_time, split_by_user
from rim_core.models import GRU, RIM, HawkesPoisson, HorizonBlend, HorizonGRU, load_model, save_model
from rim_core.models.preference.lessons import HorizonEvents
from rim_core.models.preference.sequences import Sequences, gap_class
from rim_core.models.preference.sharpness import Logits, fit_powers
from tests.models.logs import baskets

DAY = 86_400 * SECOND


@pytest.fixture(scope="module")
def split() -> Split:
    return split_by_time(baskets(), horizon="7D")


@pytest.fixture(scope="module")
def sequences(split: Split) -> Sequences:
    return Sequences.of(split.train, split.train.column_of_item.astype(np.int64), len(split.items))


def small(**settings: Any) -> dict[str, Any]:
    return {"dim": 16, "max_epochs": 2, "chunk": 16, "batch_tokens": 200, "dropout": 0.1, **settings}


# -- what is learned ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hide", [0, 1000])
def test_a_state_learns_from_the_events_of_its_horizon(sequences: Sequences, hide: int) -> None:
    horizon = 3 * DAY
    lesson = HorizonEvents(sequences, horizon, 0.5, hide, np.random.default_rng(0))
    row = int(np.argsort(sequences.lengths)[len(sequences) // 2])
    begin, end = sequences.offsets[row], sequences.offsets[row + 1]
    where, inside = sequences.window(np.array([row]), 0, int(end - begin) + 1)
    places, targets = lesson.chunk(np.array([row]), where, inside)
    found: dict[int, list[int]] = {int(p): [] for p in places}
    for of, item in zip(targets.of.tolist(), targets.item.tolist(), strict=True):
        found[int(places[of])].append(item)
    last_of_instant = [p for p in range(begin, end - 1) if sequences.source[p + 1] == p]
    assert sorted(found) == [p - begin + 1 for p in last_of_instant]
    assert targets.weight is not None
    for p in last_of_instant:
        # the state stands somewhere between the two instants; its gap says where, to a doubling
        times, tokens = sequences.time[p + 1 : end], sequences.tokens[p + 1 : end]
        earliest = max(times[0] - horizon, sequences.time[p])
        possibly = times < times[0] + horizon
        assert lesson.gap[p] <= max(gap_class(np.array([times[0] - sequences.time[p]]))[0], sequences.gap[p])
        if earliest > sequences.time[p]:  # after a long pause a state stands at most a horizon before the next event
            assert lesson.gap[p] >= gap_class(np.array([earliest - sequences.time[p]]))[0]
        before = set(sequences.tokens[begin : p + 1].tolist()) if hide else set()
        allowed = [t for t in tokens[possibly].tolist() if t not in before]
        mine = found[p - begin + 1]
        assert mine == allowed[: len(mine)]  # a beginning of what may lie in it, in order
        first = [t for t, time in zip(tokens, times, strict=True) if time == times[0] and t not in before]
        assert len(mine) >= len(first)  # the next instant always does
    counts = np.bincount(targets.of.numpy())
    np.testing.assert_allclose(targets.weight.numpy(), counts[targets.of.numpy()] ** -0.5, rtol=1e-6)
    if hide:
        assert targets.hidden is not None
        hidden = {(int(r), int(i)) for r, i in zip(*targets.hidden, strict=True)}
        assert not hidden & set(zip(targets.of.tolist(), targets.item.tolist(), strict=True))
    else:
        assert targets.hidden is None


def shop_of_followers(seed: int = 0) -> EventLog:
    """Users go through the items of their own half in random order, never twice, an item a day."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(80):
        items = rng.permutation(20) + 20 * (user % 2)
        rows += [(f"u{user:02d}", f"i{item:02d}", 24 * j + user % 24) for j, item in enumerate(items)]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "hour"])
    frame["timestamp"] = pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(frame.pop("hour"), unit="h")
    return EventLog.from_frame(frame)


def test_expected_interactions_are_what_happens() -> None:
    split = split_by_user(shop_of_followers(), latter_half=False, start="10D", horizon="5D", exclude_seen=True)
    blend = HorizonBlend(**small(max_epochs=8, learning_rate=0.01)).fit(split)
    scores = RIM(blend, HawkesPoisson()).fit(split).score(split.test).to_dense()
    allowed = np.isfinite(scores)
    own = (split.test.user_ids.str[1:].astype(int).to_numpy()[:, None] % 2) == (
        split.test.item_ids.str[1:].astype(int).to_numpy() >= 20
    )
    assert scores[allowed].sum() == pytest.approx(split.test.target_counts.sum(), rel=0.1)
    # Five of the ten items of her own half that are left come next.
    assert scores[allowed & own].mean() == pytest.approx(0.5, rel=0.15)
    assert scores[allowed & ~own].mean() < 0.05


def test_probabilities_are_over_what_is_not_forbidden() -> None:
    split = split_by_user(shop_of_followers(), latter_half=False, start="10D", horizon="5D", exclude_seen=True)
    for model in (HorizonGRU(**small()).fit(split), HorizonBlend(**small()).fit(split)):
        p = model.preference(split.test).to_dense()
        np.testing.assert_allclose(np.where(np.isfinite(p), p, 0).sum(axis=1), 1.0, rtol=1e-4)
        whole = model.preference(replace(split.test, exclude_seen=False)).to_dense()
        np.testing.assert_allclose(whole.sum(axis=1), 1.0, rtol=1e-4)


def test_a_model_of_the_next_event_hides_nothing(split: Split) -> None:
    forbidding = split_by_time(split.log, horizon="7D", exclude_seen=True)
    p = GRU(**small()).fit(forbidding).preference(forbidding.test).to_dense()
    assert np.where(np.isfinite(p), p, 0).sum(axis=1).max() < 0.95


# -- how sure it may be ---------------------------------------------------------------------------------------------


def states_with(targets: np.ndarray, split: Split) -> Any:
    """Labelled states with other targets."""
    states = split.labelled.take(np.arange(len(targets)))
    states.__dict__["targets"] = sparse.csr_matrix(targets.astype(np.float32))
    return states


def drawn(split: Split, power: float, seed: int = 0) -> tuple[Logits, np.ndarray]:
    """Random logits, and counts of events drawn from their power."""
    rng = np.random.default_rng(seed)
    m, n = 90, len(split.items)
    logits = Logits(
        rng.normal(size=(m, 4)).astype(np.float32),
        rng.normal(size=(n, 4)).astype(np.float32),
        rng.normal(size=n).astype(np.float32),
    )
    z = power * (logits.h @ logits.w.T + logits.b)
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    return logits, np.stack([rng.multinomial(80, row / row.sum()) for row in p.astype(float)])


@pytest.mark.parametrize("power", [0.3, 0.7, 1.0, 1.6])
def test_the_power_that_made_the_events_is_found(split: Split, power: float) -> None:
    logits, counts = drawn(split, power)
    assert fit_powers([logits], states_with(counts, split), hide_seen=False) == pytest.approx(power, rel=0.05)


def test_a_model_that_knows_nothing_gets_no_say(split: Split) -> None:
    logits, counts = drawn(split, 1.0)
    noise, _ = drawn(split, 1.0, seed=1)
    powers = fit_powers([logits, noise], states_with(counts, split), hide_seen=False)
    assert powers == pytest.approx([1.0, 0.0], abs=0.08)


def test_too_few_events_leave_the_powers_as_they_are(split: Split) -> None:
    logits, counts = drawn(split, 0.5)
    assert fit_powers([logits], states_with(counts * 0, split), hide_seen=False).tolist() == [1.0]
    assert fit_powers([logits, logits], states_with(counts * 0, split), hide_seen=False).tolist() == [0.5, 0.5]


def test_a_product_of_models_is_one_pair_of_factors(split: Split, tmp_path: Any) -> None:
    model = HorizonBlend(**small()).fit(split)
    one, other = (part.logits(split.test) for part in model.parts.values())
    z = model._powers[0] * (one.h @ one.w.T + one.b) + model._powers[1] * (other.h @ other.w.T + other.b)
    expected = torch.softmax(torch.from_numpy(z), 1).numpy()
    np.testing.assert_allclose(model.preference(split.test).to_dense(), expected, rtol=1e-3, atol=1e-6)
    stored = load_model(save_model(RIM(model, HawkesPoisson()).fit(split), tmp_path / "model"))
    assert stored.name == "HorizonBlend×HawkesPoisson"
