"""ALS: implicit-feedback matrix factorisation by alternating least squares (Hu et al., 2008), from ``implicit``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from rim_core.models.affinity.factors import Factorisation, Factors, History
from rim_core.models.base import Progress

if TYPE_CHECKING:
    from scipy import sparse

    from rim_core.models.base import Callback


BLOCK = 4_000_000
"""Entries of the normal matrices held at once."""


class ALS(Factorisation):
    """Confidence 1 + events, preference 1 where there is any event; a new user's factors are a closed form.

    Parameters
    ----------
    factors, history, seed
        See :class:`Factorisation`.
    iterations : int
    regularization : float
    """

    def __init__(
        self,
        factors: int = 16,
        iterations: int = 50,
        regularization: float = 1.0,
        history: History = "visible",
        seed: int = 0,
    ) -> None:
        super().__init__(factors, history, seed)
        self.iterations = iterations
        self.regularization = regularization

    def _factorise(self, counts: sparse.csr_matrix, callback: Callback) -> Factors:
        from implicit.cpu.als import AlternatingLeastSquares

        def report(iteration: int, *_: object) -> None:
            callback(Progress(f"{self.name}: iterations", 0.9 * (iteration + 1) / self.iterations, 1.0))

        with threadpool_limits(1, "blas"):
            model = AlternatingLeastSquares(
                factors=self.factors,
                iterations=self.iterations,
                regularization=self.regularization,
                num_threads=1,
                random_state=self.seed,
            )
            model.fit(counts.astype(np.float32), show_progress=False, callback=report)
        return Factors(np.asarray(model.user_factors), np.asarray(model.item_factors))

    def _fold_in(self, counts: sparse.csr_matrix) -> np.ndarray:
        """Solve (WᵀW + Σ (c − 1) w wᵀ + λ I) h = Σ c w for every row; O(events · d² + rows · d³)."""
        d = self._item.shape[1]
        w = self._item.astype(float)
        gram = w.T @ w + self.regularization * np.eye(d)
        h = np.zeros((counts.shape[0], d))
        step = max(1, BLOCK // (d * d))
        for start in range(0, len(h), step):
            block = counts[start : start + step]
            left = np.broadcast_to(gram, (block.shape[0], d, d)).copy()
            again = block.tocsc()
            again.data = again.data - 1.0
            again.eliminate_zeros()
            repeated = np.flatnonzero(np.diff(again.indptr))
            for part in range(0, len(repeated), step):
                some = repeated[part : part + step]
                outer = np.einsum("ij,ik->ijk", w[some], w[some]).reshape(len(some), d * d)
                left += np.asarray(again[:, some] @ outer).reshape(-1, d, d)
            h[start : start + step] = np.linalg.solve(left, np.asarray(block @ w)[:, :, None])[:, :, 0]
        return h
