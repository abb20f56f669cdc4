"""BPR: pairwise ranking against other items *and* other users: one model for both directions (Appendix B)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from rim_core.errors import ModelError
from rim_core.models.affinity.factors import Factorisation, Factors, History
from rim_core.models.affinity.histories import entries
from rim_core.models.base import Progress

if TYPE_CHECKING:
    from scipy import sparse

    from rim_core.models.base import Callback

TABLE = 65_536
"""Negatives drawn once for all fold-ins, so that a state's factors depend on nothing but its own history."""


class BPR(Factorisation):
    """Maximises log σ(z(u, i) − z(u, ĩ)) + log σ(z(u, i) − z(ũ, i)) over events, by Adagrad, one event at a time.

    Negative items and users are drawn with probability ∝ (count + 1)^0.5. z = h·w + b(u) + b(i).

    Parameters
    ----------
    factors, history, seed
        See :class:`Factorisation`.
    epochs : int
    learning_rate : float
    regularization : float
        Weight decay of every step.

    Notes
    -----
    O(epochs · events · d), about a million events a second and core. A new user's factors take ``fold_in_epochs``
    rounds of the same steps against the item factors and the users of training as they are.
    """

    def __init__(
        self,
        factors: int = 32,
        epochs: int = 20,
        learning_rate: float = 0.05,
        regularization: float = 0.01,
        fold_in_epochs: int = 20,
        history: History = "visible",
        seed: int = 0,
    ) -> None:
        super().__init__(factors, history, seed)
        if min(epochs, fold_in_epochs) < 1 or learning_rate <= 0 or regularization < 0:
            raise ModelError("epochs and learning_rate of BPR must be positive, regularization not negative.")
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.regularization = regularization
        self.fold_in_epochs = fold_in_epochs
        self._others = np.empty((0, 0), np.float32)
        self._table = np.empty((2, 0), np.int64)

    def _factorise(self, counts: sparse.csr_matrix, callback: Callback) -> Factors:
        rng = np.random.default_rng([self.seed, 3])
        rows, columns = entries(counts)
        times = counts.data.astype(np.int64)
        rows, columns = np.repeat(rows, times), np.repeat(columns, times)
        proposals = [_proposal(np.bincount(x, minlength=n)) for x, n in zip((rows, columns), counts.shape, strict=True)]
        h, w = (rng.normal(0, 1 / np.sqrt(self.factors), (n, self.factors)).astype(np.float32) for n in counts.shape)
        h, w = (np.concatenate([x, np.zeros((len(x), 1), np.float32)], axis=1) for x in (h, w))
        squares = np.ones_like(h), np.ones_like(w)
        for epoch in range(self.epochs):
            order = rng.permutation(len(rows))
            others = [_draw(rng, p, len(rows)) for p in proposals]
            _learn(
                rows[order], columns[order], others[0], others[1], h, w, squares[0], squares[1],
                self.learning_rate, self.regularization,
            )  # fmt: skip
            callback(Progress(f"{self.name}: epochs", 0.9 * (epoch + 1) / self.epochs, 1.0))
        self._others = h
        self._table = np.stack([_draw(rng, p, TABLE) for p in proposals])
        return Factors(_with_one(h, last=False), _with_one(w, last=True))

    def _fold_in(self, counts: sparse.csr_matrix) -> np.ndarray:
        """O(fold_in_epochs · events · d)."""
        h = np.zeros((counts.shape[0], self.factors + 1), np.float32)
        w = np.concatenate([self._item[:, : self.factors], self._item[:, -1:]], axis=1)
        _learn_users(
            counts.indptr.astype(np.int64), counts.indices.astype(np.int64), counts.data.astype(np.int64), h,
            w, self._others, self._table, self.fold_in_epochs, self.learning_rate,
            self.regularization,
        )  # fmt: skip
        return _with_one(h, last=False)

    def _weights(self) -> dict[str, np.ndarray]:
        return {**super()._weights(), "others": self._others, "table": self._table}

    def _load_weights(self, weights: dict[str, np.ndarray]) -> None:
        super()._load_weights(weights)
        self._others, self._table = weights["others"], weights["table"]


def _with_one(factors: np.ndarray, *, last: bool) -> np.ndarray:
    """[h, b(u), 1] or [w, 1, b(i)], so that the product of the two is z."""
    bias, one = factors[:, -1:], np.ones((len(factors), 1), np.float32)
    return np.concatenate([factors[:, :-1], *((one, bias) if last else (bias, one))], axis=1)


def _proposal(counts: np.ndarray) -> np.ndarray:
    """Cumulative probabilities ∝ (count + 1)^0.5."""
    weight = np.sqrt(counts + 1.0)
    cumulative: np.ndarray = np.cumsum(weight) / weight.sum()
    return cumulative


def _draw(rng: np.random.Generator, cumulative: np.ndarray, size: int) -> np.ndarray:
    return np.minimum(np.searchsorted(cumulative, rng.random(size)), len(cumulative) - 1)


@njit(cache=True)
def _z(h: np.ndarray, w: np.ndarray) -> float:
    """h · w + b(u) + b(i); the bias is the last entry of each."""
    d = len(h) - 1
    z: float = h[d] + w[d]
    for f in range(d):
        z += h[f] * w[f]
    return z


@njit(cache=True)
def _step(x: np.ndarray, squares: np.ndarray, f: int, slope: float, rate: float, decay: float) -> None:
    """Adagrad ascent of one entry."""
    slope -= decay * x[f]
    x[f] += rate * slope / np.sqrt(squares[f])
    squares[f] += slope * slope


@njit(cache=True)
def _learn(
    users: np.ndarray,
    items: np.ndarray,
    other_users: np.ndarray,
    other_items: np.ndarray,
    h: np.ndarray,
    w: np.ndarray,
    h_squares: np.ndarray,
    w_squares: np.ndarray,
    rate: float,
    decay: float,
) -> None:
    """One epoch; h (U, d + 1) and w (n, d + 1) are changed in place."""
    d = h.shape[1] - 1
    for e in range(len(users)):
        u, i, v, j = users[e], items[e], other_users[e], other_items[e]
        z = _z(h[u], w[i])
        by_item = 1.0 / (1.0 + np.exp(z - _z(h[u], w[j])))
        by_user = 1.0 / (1.0 + np.exp(z - _z(h[v], w[i])))
        for f in range(d):
            hu, hv, wi, wj = h[u, f], h[v, f], w[i, f], w[j, f]
            _step(h[u], h_squares[u], f, by_item * (wi - wj) + by_user * wi, rate, decay)
            _step(h[v], h_squares[v], f, -by_user * wi, rate, decay)
            _step(w[i], w_squares[i], f, by_item * hu + by_user * (hu - hv), rate, decay)
            _step(w[j], w_squares[j], f, -by_item * hu, rate, decay)
        _step(h[u], h_squares[u], d, by_user, rate, decay)
        _step(h[v], h_squares[v], d, -by_user, rate, decay)
        _step(w[i], w_squares[i], d, by_item, rate, decay)
        _step(w[j], w_squares[j], d, -by_item, rate, decay)


@njit(cache=True)
def _learn_users(
    indptr: np.ndarray,
    items: np.ndarray,
    times: np.ndarray,
    h: np.ndarray,
    w: np.ndarray,
    others: np.ndarray,
    table: np.ndarray,
    epochs: int,
    rate: float,
    decay: float,
) -> None:
    """h (m, d + 1) of every row from its own events; w and the other users stay. Changed in place."""
    d = h.shape[1] - 1
    squares = np.ones(d + 1, h.dtype)
    for x in range(len(indptr) - 1):
        squares[:] = 1.0
        at = 0
        for _ in range(epochs):
            for e in range(indptr[x], indptr[x + 1]):
                i = items[e]
                for _ in range(times[e]):
                    v, j = table[0, at], table[1, at]
                    at = (at + 1) % table.shape[1]
                    z = _z(h[x], w[i])
                    by_item = 1.0 / (1.0 + np.exp(z - _z(h[x], w[j])))
                    by_user = 1.0 / (1.0 + np.exp(z - _z(others[v], w[i])))
                    for f in range(d):
                        _step(h[x], squares, f, by_item * (w[i, f] - w[j, f]) + by_user * w[i, f], rate, decay)
                    _step(h[x], squares, d, by_user, rate, decay)
