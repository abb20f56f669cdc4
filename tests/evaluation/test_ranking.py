"""ItemRec and UserRec against sorting the whole matrix."""

from __future__ import annotations

import numpy as np
import pytest

from rim_core.errors import ScoreError
from rim_core.evaluation import item_rec, user_rec
from rim_core.scores import Scores


def best(line: np.ndarray, count: int, order: np.ndarray) -> list[int]:
    """The ``count`` largest allowed entries; equal ones in the seeded order."""
    allowed = [i for i in range(len(line)) if line[i] > -np.inf]
    return sorted(allowed, key=lambda i: (-line[i], order[i]))[:count]


def item_rec_by_hand(dense: np.ndarray, k: int, seed: int) -> np.ndarray:
    out, order = np.zeros(dense.shape), np.random.default_rng(seed).permutation(dense.shape[1])
    for x, row in enumerate(dense):
        out[x, best(row, k, order)] = 1
    return out


def user_rec_by_hand(dense: np.ndarray, c: int, seed: int) -> np.ndarray:
    out, order = np.zeros(dense.shape), np.random.default_rng(seed).permutation(dense.shape[0])
    for y, column in enumerate(dense.T):
        out[best(column, c, order), y] = 1
    return out


def matrix(seed: int, levels: int | None) -> np.ndarray:
    """Few levels make many ties; a tenth of the pairs is forbidden, and one row and one column wholly."""
    rng = np.random.default_rng(seed)
    dense = rng.random((17, 11)) if levels is None else rng.integers(0, levels, (17, 11)).astype(float)
    dense[rng.random(dense.shape) < 0.1] = -np.inf
    dense[3] = -np.inf
    dense[:, 5] = -np.inf
    return dense.astype(np.float32)


@pytest.mark.parametrize("block", [1, 30, 120, 10**6])
@pytest.mark.parametrize("levels", [None, 3, 1])
@pytest.mark.parametrize("count", [1, 4, 11, 17, 50])
def test_the_best_of_rows_and_columns_whatever_the_block_size(
    monkeypatch: pytest.MonkeyPatch, count: int, levels: int | None, block: int
) -> None:
    monkeypatch.setattr("rim_core.scores.BLOCK_ENTRIES", block)  # rows a block
    monkeypatch.setattr("rim_core.evaluation.ranking.BLOCK_ENTRIES", block)  # ties kept before they are thinned
    for seed in range(3):
        dense = matrix(seed, levels)
        scores = Scores.from_dense(dense)
        by_item, by_user = item_rec(scores, count, seed=seed), user_rec(scores, count, seed=seed)
        np.testing.assert_array_equal(by_item.matrix.toarray(), item_rec_by_hand(dense, count, seed))
        np.testing.assert_array_equal(by_user.matrix.toarray(), user_rec_by_hand(dense, count, seed))
        assert by_item.direction == "item"
        assert by_user.direction == "user"
        assert by_item.planned == min(count, 11) * 17
        assert by_user.planned == min(count, 17) * 11


def test_the_seed_orders_ties_and_nothing_else() -> None:
    tied, distinct = Scores.from_dense(np.ones((20, 20))), Scores.from_dense(np.random.default_rng(0).random((20, 20)))
    for rank in (item_rec, user_rec):
        assert (rank(tied, 3, seed=1).matrix != rank(tied, 3, seed=2).matrix).nnz > 0
        assert (rank(distinct, 3, seed=1).matrix != rank(distinct, 3, seed=2).matrix).nnz == 0


def test_one_percent_rounded_up_by_default() -> None:
    scores = Scores.from_dense(np.random.default_rng(0).random((150, 301)))
    assert (item_rec(scores).load == 4).all()
    assert (user_rec(scores).exposure == 2).all()


@pytest.mark.parametrize("count", [0, -1])
def test_none_were_asked_for(count: int) -> None:
    scores = Scores.from_dense(np.ones((3, 3)))
    with pytest.raises(ScoreError, match="at least one"):
        item_rec(scores, count)
    with pytest.raises(ScoreError, match="at least one"):
        user_rec(scores, count)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_nothing_to_rank(shape: tuple[int, int]) -> None:
    scores = Scores.from_dense(np.empty(shape))
    for ranked in (item_rec(scores), user_rec(scores), item_rec(scores, 2), user_rec(scores, 2)):
        assert ranked.delivered == 0
        assert ranked.planned == 0
        assert ranked.matrix.shape == shape
