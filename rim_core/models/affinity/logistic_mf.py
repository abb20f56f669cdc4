"""LogisticMF: P(the user chooses the item) = σ(h · w + biases) (Johnson, 2014), from ``implicit``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.special import expit
from threadpoolctl import threadpool_limits

from rim_core.models.affinity.factors import Factorisation, Factors, History
from rim_core.models.affinity.histories import entries
from rim_core.models.base import Progress

if TYPE_CHECKING:
    from rim_core.models.base import Callback

EVENTS_AT_ONCE = 200_000
"""Past choices whose factors are held at once in a fold-in."""


class LogisticMF(Factorisation):
    """Events are positives, sampled other items negatives; user and item biases are columns of the factors.

    The library draws ``factors`` + 2 negatives a user and round (fewer where ``negatives`` a positive are fewer), by
    popularity. A new user's factors take the same steps on the same penalised likelihood, from zero, with the item
    factors as they are.

    Parameters
    ----------
    factors, history, seed
        See :class:`Factorisation`.
    iterations : int
    learning_rate : float
    regularization : float
    negatives : int
        Sampled per positive.
    """

    def __init__(
        self,
        factors: int = 30,
        iterations: int = 30,
        learning_rate: float = 1.0,
        regularization: float = 0.6,
        negatives: int = 30,
        history: History = "visible",
        seed: int = 0,
    ) -> None:
        super().__init__(factors, history, seed)
        self.iterations = iterations
        self.learning_rate = learning_rate
        self.regularization = regularization
        self.negatives = negatives
        self._popularity = np.empty(0)

    def _factorise(self, counts: sparse.csr_matrix, callback: Callback) -> Factors:
        from implicit.cpu.lmf import LogisticMatrixFactorization

        def report(iteration: int, *_: object) -> None:
            callback(Progress(f"{self.name}: iterations", 0.9 * (iteration + 1) / self.iterations, 1.0))

        with threadpool_limits(1, "blas"):
            model = LogisticMatrixFactorization(
                factors=self.factors,
                learning_rate=self.learning_rate,
                regularization=self.regularization,
                iterations=self.iterations,
                neg_prop=self.negatives,
                num_threads=1,
                random_state=self.seed,
            )
            self._popularity = np.bincount(counts.indices, minlength=counts.shape[1]).astype(float)
            model.fit(counts.astype(np.float32), show_progress=False, callback=report)
        return Factors(np.asarray(model.user_factors), np.asarray(model.item_factors))

    def _fold_in(self, counts: sparse.csr_matrix) -> np.ndarray:
        """O(iterations · choices · d). The negatives of a round are the same for every state."""
        rng = np.random.default_rng([self.seed, 11])
        share = self._popularity / max(self._popularity.sum(), 1.0)
        sampled = self.factors + 2 if share.sum() > 0 else 0
        rounds = [
            rng.choice(len(share), sampled, p=share) if sampled else np.empty(0, int) for _ in range(self.iterations)
        ]
        h = np.zeros((counts.shape[0], self._item.shape[1]), np.float32)
        start = 0
        while start < len(h):
            stop = int(np.searchsorted(counts.indptr, counts.indptr[start] + EVENTS_AT_ONCE, side="right"))
            stop = min(max(stop - 1, start + 1), len(h))
            h[start:stop] = self._ascend(counts[start:stop], rounds)
            start = stop
        return h

    def _ascend(self, counts: sparse.csr_matrix, rounds: list[np.ndarray]) -> np.ndarray:
        """Adagrad, as the library does it, on all rows at once."""
        rows, columns = entries(counts)
        weight = np.float32(counts.data)
        w = self._item[columns]
        sums = sparse.csr_matrix((weight, (rows, np.arange(len(rows)))), shape=(counts.shape[0], len(rows)))
        known = np.diff(counts.indptr) > 0
        h = np.zeros((counts.shape[0], self._item.shape[1]), np.float32)
        h[:, -2] = known
        squares = np.full_like(h, 1e-6)
        for negatives in rounds:
            missing = 1.0 - expit(np.einsum("ij,ij->i", h[rows], w))
            others = self._item[negatives]
            ascent = sums @ (missing[:, None] * w) - expit(h @ others.T) @ others - self.regularization * h
            ascent[~known] = 0.0
            squares += ascent**2
            h += self.learning_rate / np.sqrt(squares) * ascent
            h[:, -2] = known
        return h

    def _weights(self) -> dict[str, np.ndarray]:
        return {**super()._weights(), "popularity": self._popularity}

    def _load_weights(self, weights: dict[str, np.ndarray]) -> None:
        super()._load_weights(weights)
        self._popularity = weights["popularity"]
