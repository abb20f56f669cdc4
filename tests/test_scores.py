"""Scores: factors, links, sparse parts and masks against the dense matrix they stand for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from rim_core.errors import ScoreError
from rim_core.scores import FactorScores, Link, Scores

M, N, D = 13, 7, 3
LINKS: dict[Link, Callable[[np.ndarray], np.ndarray]] = {
    "identity": lambda z: z,
    "exp": np.exp,
    "softplus": lambda z: np.log1p(np.exp(z)),
}
OPTIONS = ("row_scale", "added", "forbidden")


def build(link: Link, options: tuple[str, ...], seed: int = 0) -> tuple[FactorScores, np.ndarray]:
    """Factor scores and the same in plain numpy, float64."""
    rng = np.random.default_rng(seed)
    h, w = rng.normal(size=(M, D)), rng.normal(size=(N, D))
    if link == "identity":
        h, w = np.abs(h), np.abs(w)
    dense = LINKS[link](h @ w.T)
    row_scale = added = forbidden = None
    if "row_scale" in options:
        row_scale = rng.pareto(1.5, M)
        row_scale[0] = 0.0
        dense = dense * row_scale[:, None]
    if "added" in options:
        added = sparse.random(M, N, density=0.3, random_state=seed, format="coo")
        dense = dense + added.toarray()
    if "forbidden" in options:
        forbidden = sparse.random(M, N, density=0.3, random_state=seed + 1, format="csc")
        dense = np.where(forbidden.toarray() != 0, -np.inf, dense)
    return Scores.from_factors(h, w, link=link, row_scale=row_scale, added=added, forbidden=forbidden), dense


def close(actual: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(actual, expected, rtol=2e-5, atol=1e-6)


every_kind = pytest.mark.parametrize(
    ("link", "options"),
    [(link, tuple(o for j, o in enumerate(OPTIONS) if mask >> j & 1)) for link in LINKS for mask in range(8)],
)


@every_kind
def test_factors_stand_for_a_dense_matrix(link: Link, options: tuple[str, ...]) -> None:
    scores, dense = build(link, options)
    assert scores.shape == (M, N)
    assert len(scores) == M
    close(scores.to_dense(), dense)
    assert scores.to_dense().dtype == np.float32
    assert scores.validate() is scores


@every_kind
@pytest.mark.parametrize("size", [1, 4, M, 1000])
def test_blocks_cover_every_row_once(link: Link, options: tuple[str, ...], size: int) -> None:
    scores, dense = build(link, options)
    reached = 0
    for start, stop, rows in scores.blocks(size):
        assert start == reached
        assert rows.dtype == torch.float32
        assert rows.shape == (stop - start, N)
        assert stop - start <= size
        close(rows.cpu().numpy(), dense[start:stop])
        reached = stop
    assert reached == M


@every_kind
def test_single_pairs(link: Link, options: tuple[str, ...]) -> None:
    scores, dense = build(link, options)
    rng = np.random.default_rng(5)
    rows, columns = rng.integers(0, M, 60), rng.integers(0, N, 60)  # in any order, some twice
    pairs = scores.pairs(rows, columns)
    assert pairs.dtype == np.float32
    assert pairs.shape == (60,)
    close(pairs, dense[rows, columns])
    assert scores.pairs(np.empty(0, int), np.empty(0, int)).shape == (0,)


@every_kind
def test_some_rows_in_any_order(link: Link, options: tuple[str, ...]) -> None:
    scores, dense = build(link, options)
    some = np.array([9, 2, 2, 0])
    close(scores.take(some).to_dense(), dense[some])
    mask = np.arange(M) % 3 == 1
    close(scores.take(mask).to_dense(), dense[mask])
    assert scores.take(np.empty(0, int)).shape == (0, N)
    assert scores.take(some).item_ids.equals(scores.item_ids)


@every_kind
def test_rows_scaled_by_an_intensity(link: Link, options: tuple[str, ...]) -> None:
    scores, dense = build(link, options)
    intensity = np.random.default_rng(3).gamma(1.0, size=M) + 0.1  # 0 · −inf is no number
    scaled = scores.scaled(intensity)
    close(scaled.to_dense(), dense * intensity[:, None])
    close(scores.to_dense(), dense)
    twice = scaled.scaled(1 / intensity)
    close(twice.to_dense(), dense)


def test_a_row_scaled_to_nothing_stays_forbidden_where_it_was() -> None:
    scores, dense = build("exp", ("forbidden",))
    nothing = scores.scaled(np.zeros(M)).to_dense()
    np.testing.assert_array_equal(nothing, np.where(np.isneginf(dense), -np.inf, 0))


def test_default_blocks_are_sized_in_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rim_core.scores.BLOCK_ENTRIES", 3 * N)
    scores, _ = build("exp", ())
    assert [stop - start for start, stop, _ in scores.blocks()] == [3, 3, 3, 3, 1]
    monkeypatch.setattr("rim_core.scores.BLOCK_ENTRIES", 1)
    assert len(list(scores.blocks())) == M


def test_a_block_is_the_callers_to_change() -> None:
    for scores in (build("exp", ("added",))[0], Scores.from_dense(np.ones((4, 2)))):
        before = scores.to_dense().copy()
        scores.tensor(0, len(scores)).fill_(9.0)
        np.testing.assert_array_equal(scores.to_dense(), before)


def test_stored_zeros_forbid_nothing_and_repeats_add_up() -> None:
    h, w = np.ones((2, 1)), np.ones((3, 1))
    forbidden = sparse.csr_matrix(([1.0, 0.0], ([0, 1], [1, 2])), shape=(2, 3))
    added = sparse.csr_matrix((np.array([0.5, 0.25]), np.array([0, 0]), np.array([0, 0, 2])), shape=(2, 3))
    scores = Scores.from_factors(h, w, forbidden=forbidden, added=added)
    expected = np.array([[1, -np.inf, 1], [1.75, 1, 1]])
    np.testing.assert_array_equal(scores.to_dense(), expected)
    rows, columns = np.indices((2, 3)).reshape(2, -1)
    np.testing.assert_array_equal(scores.pairs(rows, columns).reshape(2, 3), expected)
    assert forbidden.nnz == 2  # the caller's matrix is as it was
    assert added.nnz == 2


def test_dense_scores_are_a_copy_of_what_was_given() -> None:
    mine = np.arange(6.0).reshape(2, 3)
    scores = Scores.from_dense(mine, item_ids=pd.Index(["a", "b", "c"]))
    close(scores.to_dense(), np.arange(6.0).reshape(2, 3))
    close(scores.pairs(np.array([1, 0]), np.array([2, 1])), np.array([5, 1]))
    close(scores.take(np.array([1])).to_dense(), mine[1:])
    assert list(scores.take(np.array([1])).item_ids) == ["a", "b", "c"]


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -1.0])
def test_an_entry_that_is_no_count_is_named(wrong: float) -> None:
    dense = np.ones((5, 3))
    dense[3, 2] = wrong
    with pytest.raises(ScoreError, match=r"user-state 3 and item 'c'.*softplus"):
        Scores.from_dense(dense, item_ids=pd.Index(["a", "b", "c"]))
    h = np.ones((5, 1))
    added = sparse.csr_matrix(([wrong - 1], ([3], [2])), shape=(5, 3))
    scores = Scores.from_factors(h, np.ones((3, 1)), added=added)
    with pytest.raises(ScoreError, match="user-state 3 and item '2'"):
        scores.validate()


def test_an_entry_is_named_by_its_row_in_all_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rim_core.scores.BLOCK_ENTRIES", 4)
    h = np.ones((9, 1))
    h[7] = -1
    with pytest.raises(ScoreError, match="user-state 7 and item '0'"):
        Scores.from_factors(h, np.ones((2, 1))).validate()


def test_zero_and_forbidden_are_valid() -> None:
    assert Scores.from_dense(np.array([[0.0, -np.inf]])).to_dense().tolist() == [[0.0, -np.inf]]


def test_an_exponent_too_large_is_found() -> None:
    with pytest.raises(ScoreError, match="is inf"):
        Scores.from_factors(np.array([[100.0]]), np.array([[1.0]]), link="exp").validate()


H, W = np.ones((4, 2)), np.ones((3, 2))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Scores.from_dense(np.ones(3)), "1 dimension"),
        (lambda: Scores.from_factors(H, np.ones((3, 5))), "do not multiply"),
        (lambda: Scores.from_factors(np.ones(4), W), "do not multiply"),
        (lambda: Scores.from_factors(H, W, link="logit"), "no link 'logit'"),  # type: ignore[arg-type]
        (lambda: Scores.from_factors(H * np.nan, W), "Factor h .* diverged"),
        (lambda: Scores.from_factors(H, W * np.inf), "Factor w .* diverged"),
        (lambda: Scores.from_factors(H, W, row_scale=np.full(4, np.nan)), "Factor row_scale"),
        (lambda: Scores.from_factors(H, W, row_scale=np.ones(3)), "one non-negative number per user-state"),
        (lambda: Scores.from_factors(H, W, row_scale=-np.ones(4)), "one non-negative number per user-state"),
        (lambda: Scores.from_factors(H, W, added=sparse.csr_matrix((3, 4))), r"added has shape \(3, 4\)"),
        (lambda: Scores.from_factors(H, W, forbidden=sparse.csr_matrix((4, 4))), r"forbidden has shape \(4, 4\)"),
        (lambda: Scores.from_factors(H, W, item_ids=pd.Index(["a"])), "1 item ids were given for 3 columns"),
        (lambda: Scores.from_dense(np.ones((2, 2)), item_ids=pd.Index(["a"])), "1 item ids were given for 2 columns"),
    ],
)
def test_what_does_not_fit_is_refused(make: Callable[[], Scores], words: str) -> None:
    with pytest.raises(ScoreError, match=words):
        make()
