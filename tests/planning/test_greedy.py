"""Greedy matching against a plain loop over all sorted pairs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rim_core.planning import Constraints, DualPlanner, greedy_match
from rim_core.scores import Scores


def by_hand(dense: np.ndarray, constraints: Constraints, seed: int = 0) -> np.ndarray:
    """Best pair first, minimum promises before the rest; equal scores in the order of states, then of the seed."""
    m, n = dense.shape
    bounds = constraints.bounds(m, n)
    turn = np.random.default_rng(seed).permutation(n)
    taken = np.zeros((m, n))
    pairs = sorted((-dense[x, y], x, turn[y], y) for x in range(m) for y in range(n) if dense[x, y] > -np.inf)
    for quota, promised in ((bounds.minimum, True), (bounds.maximum, False)):
        for worth, x, _, y in pairs:
            wanted = promised or worth < 0  # beyond the promises nothing without worth is delivered
            if wanted and not taken[x, y] and taken[x].sum() < bounds.capacity[x] and taken[:, y].sum() < quota[y]:
                taken[x, y] = 1
    return taken


@pytest.mark.parametrize("block", [None, 40, 7], ids=["one layer", "some layers", "many layers"])
@pytest.mark.parametrize("side", ["lower", "upper", "both"])
@pytest.mark.parametrize("seed", range(6))
def test_greedy_is_the_loop_over_sorted_pairs(
    instance: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, seed: int, side: str, block: int | None
) -> None:
    given = instance(seed, side)
    if block is not None:
        monkeypatch.setattr("rim_core.planning.greedy.BLOCK_ENTRIES", block)
        monkeypatch.setattr("rim_core.scores.BLOCK_ENTRIES", block)
    dense = given.dense.astype(np.float32)
    matching = greedy_match(given.scores, given.constraints, seed=seed)
    np.testing.assert_array_equal(matching.matrix.toarray(), by_hand(dense, given.constraints, seed))


def test_layers_really_were_several(instance: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from rim_core.planning import greedy

    given, layers = instance(0, "upper"), []
    plain = greedy._Matching._layer
    monkeypatch.setattr(greedy, "BLOCK_ENTRIES", 40)
    monkeypatch.setattr(greedy._Matching, "_layer", lambda *a: layers.append(a[2]) or plain(*a))
    greedy_match(given.scores, given.constraints)
    assert len(layers) > 3
    assert layers == sorted(layers, reverse=True)


def test_one_item_is_open_in_few_states_the_sample_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers are sized by a sample of the states; pairs the sample does not see are delivered all the same."""
    monkeypatch.setattr("rim_core.planning.greedy.SAMPLED_STATES", 2)
    monkeypatch.setattr("rim_core.planning.greedy.BLOCK_ENTRIES", 5)
    dense = np.random.default_rng(0).random((60, 3))
    dense[:-2, 2] = -np.inf
    constraints = Constraints(capacity=1, min_exposure_count=[0, 0, 2])
    for seed in range(5):
        matching = greedy_match(Scores.from_dense(dense), constraints, seed=seed)
        assert matching.exposure[2] == 2
        assert matching.delivered == 60


@pytest.mark.parametrize("side", ["lower", "upper", "both"])
@pytest.mark.parametrize("seed", range(100, 110))
def test_greedy_keeps_capacity_and_maximum_and_is_no_better_than_the_dual_bound(
    instance: Callable[..., Any], seed: int, side: str
) -> None:
    given = instance(seed, side)
    matching = greedy_match(given.scores, given.constraints)
    bounds = given.constraints.bounds(*given.dense.shape)
    assert (matching.load <= bounds.capacity).all()
    assert (matching.exposure <= bounds.maximum).all()
    assert (matching.pair_scores > -np.inf).all()
    if (matching.exposure >= bounds.minimum).all():
        bound = DualPlanner(given.constraints).fit(given.scores).certificate.upper_bound
        assert matching.objective <= bound * (1 + 1e-6)


def test_greedy_is_blind_to_what_a_promise_displaces() -> None:
    """Both items are promised to one state: the better pair first, though the other way round is worth more."""
    scores = Scores.from_dense(np.array([[10.0, 9.0], [8.0, 1.0]]))
    constraints = Constraints(capacity=1, min_exposure_count=1)
    assert greedy_match(scores, constraints).objective == 11
    assert DualPlanner(constraints).fit(scores).certificate.objective == 17


def test_nothing_to_match() -> None:
    assert greedy_match(Scores.from_dense(np.empty((0, 3))), Constraints(capacity=1)).delivered == 0
    assert greedy_match(Scores.from_dense(np.full((2, 3), -np.inf)), Constraints(capacity=1)).delivered == 0
    assert greedy_match(Scores.from_dense(np.ones((2, 3))), Constraints(capacity=0)).delivered == 0
