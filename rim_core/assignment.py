"""Who gets what: a sparse 0/1 matrix of user-states by items."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from scipy import sparse

if TYPE_CHECKING:
    from rim_core.datasets.states import UserStates
    from rim_core.scores import Scores

Direction = Literal["item", "user", "match"]


@dataclass(frozen=True, eq=False)
class Assignment:
    """π of eq. 9, decided.

    Attributes
    ----------
    matrix : csr_matrix of float32 0/1, shape (m, n)
    scores : Scores
        λ(x, y) of the same rows and columns.
    planned : float
        Deliveries the task asks for: K·m under minimum promises, Σ U under maximum ones.
    direction : {"item", "user", "match"}
        Items were chosen for user-states, user-states for items, or both at once.
    """

    matrix: sparse.csr_matrix
    scores: Scores
    planned: float
    direction: Direction = "match"

    @property
    def states(self) -> UserStates | None:
        """The user-states of the rows (None for scores without them)."""
        return self.scores.states

    @property
    def items(self) -> pd.Index:
        """Ids of the columns."""
        return self.scores.item_ids

    @property
    def delivered(self) -> int:
        """Number of pairs assigned."""
        return int(self.matrix.nnz)

    @cached_property
    def exposure(self) -> np.ndarray:
        """User-states that get each item, int64 (n,)."""
        out: np.ndarray = np.bincount(self.matrix.indices, minlength=self.matrix.shape[1]).astype(np.int64)
        return out

    @cached_property
    def load(self) -> np.ndarray:
        """Items each user-state gets, int64 (m,)."""
        out: np.ndarray = np.diff(self.matrix.indptr).astype(np.int64)
        return out

    @cached_property
    def pair_scores(self) -> np.ndarray:
        """λ of every assigned pair, in CSR order, float32 (nnz,)."""
        rows = np.repeat(np.arange(self.matrix.shape[0]), self.load)
        return self.scores.pairs(rows, self.matrix.indices)

    @cached_property
    def objective(self) -> float:
        """Σ λ π: expected interactions of all assigned pairs."""
        return float(self.pair_scores.astype(float).sum())


def assignment_matrix(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> sparse.csr_matrix:
    """A canonical 0/1 CSR matrix from pairs without repeats."""
    data = np.ones(len(rows), np.float32)
    matrix = sparse.csr_matrix((data, (rows, columns)), shape=shape)
    matrix.sort_indices()
    return matrix
