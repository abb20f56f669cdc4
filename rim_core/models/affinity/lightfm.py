"""LightFM-BPR: pairwise ranking (Rendle et al., 2009) against sampled items or sampled users, from ``lightfm``."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from rim_core.models.affinity.factors import Factorisation, Factors
from rim_core.models.base import Progress

if TYPE_CHECKING:
    from scipy import sparse

    from rim_core.models.base import Callback


class _LightFM(Factorisation):
    """BPR as the library has it: negatives on one side only, so it serves one direction.

    It has no fold-in: a user who was not in training gets the mean user's factors.
    """

    folds_in: ClassVar[bool] = False

    def __init__(self, factors: int, epochs: int, learning_rate: float, regularization: float, seed: int) -> None:
        super().__init__(factors, "training", seed)
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.regularization = regularization

    @property
    @abstractmethod
    def _negative_users(self) -> bool:
        """Whether negatives are users (of an item) rather than items (of a user)."""

    def _factorise(self, counts: sparse.csr_matrix, callback: Callback) -> Factors:
        from lightfm import LightFM

        matrix = (counts.T if self._negative_users else counts).tocoo().astype(np.float32)
        matrix.data[:] = 1.0
        model = LightFM(
            no_components=self.factors,
            loss="bpr",
            learning_schedule="adagrad",
            learning_rate=self.learning_rate,
            user_alpha=self.regularization,
            item_alpha=self.regularization,
            random_state=self.seed,
        )
        for epoch in range(self.epochs):
            model.fit_partial(matrix, epochs=1, num_threads=1)
            callback(Progress(f"{self.name}: epochs", 0.9 * (epoch + 1) / self.epochs, 1.0))
        first = _columns(model.user_embeddings, model.user_biases, last=False)
        second = _columns(model.item_embeddings, model.item_biases, last=True)
        return Factors(second, first) if self._negative_users else Factors(first, second)


def _columns(embedding: np.ndarray, bias: np.ndarray, *, last: bool) -> np.ndarray:
    """[e, b, 1] or [e, 1, b]."""
    one = np.ones_like(bias)
    both = (one, bias) if last else (bias, one)
    return np.concatenate([embedding, np.stack(both, axis=1)], axis=1)


class LightFMBPRItem(_LightFM):
    """Against sampled items: ranks items for a user (LightFM-BPR-Item).

    Parameters
    ----------
    factors, seed
        See :class:`Factorisation`.
    epochs : int
    learning_rate : float
        Of Adagrad.
    regularization : float
        L2 of user and item factors.
    """

    def __init__(
        self,
        factors: int = 32,
        epochs: int = 50,
        learning_rate: float = 0.05,
        regularization: float = 1e-5,
        seed: int = 0,
    ) -> None:
        super().__init__(factors, epochs, learning_rate, regularization, seed)

    @property
    def _negative_users(self) -> bool:
        return False

    @property
    def name(self) -> str:
        return "LightFM-BPR-Item"


class LightFMBPRUser(_LightFM):
    """Against sampled users: ranks users for an item (LightFM-BPR-User).

    Parameters
    ----------
    factors, seed
        See :class:`Factorisation`.
    epochs : int
    learning_rate : float
        Of Adagrad.
    regularization : float
        L2 of user and item factors.
    """

    def __init__(
        self,
        factors: int = 32,
        epochs: int = 30,
        learning_rate: float = 0.05,
        regularization: float = 1e-5,
        seed: int = 0,
    ) -> None:
        super().__init__(factors, epochs, learning_rate, regularization, seed)

    @property
    def _negative_users(self) -> bool:
        return True

    @property
    def name(self) -> str:
        return "LightFM-BPR-User"
