"""The score matrix λ(x, y): user-states by items, low rank and lazy, never m×n in memory.

Scores are asked for in float32 blocks of rows; every entry is finite and ≥ 0, or −inf where the pair is
forbidden. Memory is O(B·n + (m + n)·d) for block size B (Appendix C.2).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
import pandas as pd
import torch
from scipy import sparse

from rim_core.errors import ScoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rim_core.datasets.states import UserStates

Link = Literal["identity", "exp", "softplus"]
BLOCK_ENTRIES = 4_000_000
"""Entries of one block: 16 MB of float32."""


def default_device() -> torch.device:
    """CUDA when present, otherwise the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Scores(ABC):
    """λ(x, y) for m user-states and n items.

    Attributes
    ----------
    shape : (m, n)
    states : UserStates or None
        Whose rows these are (None for scores a user brings).
    item_ids : Index
        Ids of the columns.
    """

    def __init__(
        self, shape: tuple[int, int], states: UserStates | None = None, item_ids: pd.Index | None = None
    ) -> None:
        if states is not None and states.shape != shape:
            raise ScoreError(f"Scores of shape {shape} do not fit user-states and items of shape {states.shape}.")
        self.shape = shape
        self.states = states
        if item_ids is None:
            item_ids = states.item_ids if states is not None else pd.Index(np.arange(shape[1]).astype(str))
        if len(item_ids) != shape[1]:
            raise ScoreError(f"{len(item_ids)} item ids were given for {shape[1]} columns.")
        self.item_ids = item_ids

    @abstractmethod
    def tensor(self, start: int, stop: int) -> torch.Tensor:
        """Rows [start, stop) as float32 (stop − start, n) on the compute device; a fresh tensor."""

    @abstractmethod
    def pairs(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Scores of single (row, column) pairs, float32, in the order given."""

    @abstractmethod
    def take(self, rows: np.ndarray) -> Scores:
        """The scores of some rows (positions or a mask), in that order."""

    def __len__(self) -> int:
        return self.shape[0]

    def block(self, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop) as float32 ndarray (stop − start, n)."""
        out: np.ndarray = self.tensor(start, stop).cpu().numpy()
        return out

    def blocks(self, size: int | None = None) -> Iterator[tuple[int, int, torch.Tensor]]:
        """(start, stop, rows) over all rows; ``size`` rows a block (sized to 16 MB by default)."""
        m, n = self.shape
        size = size or max(1, BLOCK_ENTRIES // max(n, 1))
        for start in range(0, m, size):
            stop = min(start + size, m)
            yield start, stop, self.tensor(start, stop)

    def to_dense(self) -> np.ndarray:
        """The whole matrix: for tests and small instances only."""
        return self.block(0, self.shape[0])

    def row_sums(self) -> np.ndarray:
        """Σ_y λ(x, y) over the allowed items, λ(x) of every row; float64 (m,), block by block."""
        sums = [rows.clamp(min=0.0).sum(dim=1, dtype=torch.float64).cpu().numpy() for _, _, rows in self.blocks()]
        return np.concatenate([np.zeros(0), *sums])

    def validated_blocks(self) -> Iterator[tuple[int, int, torch.Tensor]]:
        """:meth:`blocks`, each checked.

        Raises
        ------
        ScoreError
            Some entry is NaN, +inf or negative.
        """
        for start, stop, rows in self.blocks():
            bad = torch.isnan(rows) | (rows == torch.inf) | ((rows < 0) & (rows != -torch.inf))
            if bool(bad.any()):
                row, column = (int(i) for i in bad.nonzero()[0])
                raise ScoreError(
                    f"The score of user-state {start + row} and item {self.item_ids[column]!r} is "
                    f"{float(rows[row, column])}: scores are expected interactions, finite and ≥ 0 "
                    "(or −inf where forbidden). Use link='exp' or 'softplus' if your model's output may be negative."
                )
            yield start, stop, rows

    def validate(self) -> Self:
        """Check every entry in one pass; returns self.

        Raises
        ------
        ScoreError
            Some entry is NaN, +inf or negative.
        """
        for _ in self.validated_blocks():
            pass
        return self

    @staticmethod
    def from_dense(a: np.ndarray, *, states: UserStates | None = None, item_ids: pd.Index | None = None) -> DenseScores:
        """Wrap a dense matrix a user brings (m, n).

        Raises
        ------
        ScoreError
            Not a matrix, or an entry is NaN, +inf or negative.
        """
        return DenseScores(a, states=states, item_ids=item_ids)

    @staticmethod
    def from_factors(
        h: np.ndarray,
        w: np.ndarray,
        *,
        link: Link = "identity",
        row_scale: np.ndarray | None = None,
        added: sparse.spmatrix | None = None,
        forbidden: sparse.spmatrix | None = None,
        states: UserStates | None = None,
        item_ids: pd.Index | None = None,
    ) -> FactorScores:
        """link(h wᵀ) · row_scale + added, −inf where forbidden; see :class:`FactorScores`."""
        return FactorScores(
            h, w, link=link, row_scale=row_scale, added=added, forbidden=forbidden, states=states, item_ids=item_ids
        )


class DenseScores(Scores):
    """Scores that are already a matrix (small instances and what a user brings)."""

    def __init__(self, a: np.ndarray, *, states: UserStates | None = None, item_ids: pd.Index | None = None) -> None:
        a = np.asarray(a)
        if a.ndim != 2:
            raise ScoreError(f"Scores must be a matrix of user-states by items; got {a.ndim} dimension(s).")
        super().__init__((a.shape[0], a.shape[1]), states, item_ids)
        try:
            self._a = np.ascontiguousarray(a, np.float32)
        except (TypeError, ValueError) as error:
            raise ScoreError(f"Scores are numbers, expected interactions; {error}.") from error
        self.validate()

    def tensor(self, start: int, stop: int) -> torch.Tensor:
        return torch.from_numpy(self._a[start:stop].copy()).to(default_device())

    def pairs(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        out: np.ndarray = self._a[rows, columns]
        return out

    def take(self, rows: np.ndarray) -> DenseScores:
        states = None if self.states is None else self.states.take(rows)
        return DenseScores(self._a[rows], states=states, item_ids=self.item_ids)


class FactorScores(Scores):
    """λ = link(h wᵀ) · row_scale + added, −inf where forbidden.

    Parameters
    ----------
    h : ndarray (m, d), w : ndarray (n, d)
        Factors; biases travel as extra columns.
    link : {"identity", "exp", "softplus"}
        What makes the product a count.
    row_scale : ndarray (m,), optional
        For RIM: λ(x), the user's intensity (eq. 5).
    added : sparse (m, n), optional
        Added after the link.
    forbidden : sparse (m, n), optional
        Non-zeros are forbidden pairs.
    """

    def __init__(
        self,
        h: np.ndarray,
        w: np.ndarray,
        *,
        link: Link = "identity",
        row_scale: np.ndarray | None = None,
        added: sparse.spmatrix | None = None,
        forbidden: sparse.spmatrix | None = None,
        states: UserStates | None = None,
        item_ids: pd.Index | None = None,
    ) -> None:
        if h.ndim != 2 or w.ndim != 2 or h.shape[1] != w.shape[1]:
            raise ScoreError(f"Factors of shapes {h.shape} and {w.shape} do not multiply: give (m, d) and (n, d).")
        shape = (h.shape[0], w.shape[0])
        super().__init__(shape, states, item_ids)
        if link not in ("identity", "exp", "softplus"):
            raise ScoreError(f"There is no link {link!r}: use identity, exp or softplus.")
        self.link: Link = link
        self.h = np.ascontiguousarray(h, np.float32)
        self.w = np.ascontiguousarray(w, np.float32)
        self.row_scale = None if row_scale is None else np.ascontiguousarray(row_scale, np.float32)
        self.added = None if added is None else _canonical(sparse.csr_matrix(added, dtype=np.float32))
        self.forbidden = None if forbidden is None else _canonical(sparse.csr_matrix(forbidden))
        for name, array in (("h", self.h), ("w", self.w), ("row_scale", self.row_scale)):
            if array is not None and not np.isfinite(array).all():
                raise ScoreError(f"Factor {name} holds NaN or infinite values: the model has diverged; train it again.")
        if self.row_scale is not None and (self.row_scale.shape != (shape[0],) or (self.row_scale < 0).any()):
            raise ScoreError("row_scale must hold one non-negative number per user-state.")
        for name, matrix in (("added", self.added), ("forbidden", self.forbidden)):
            if matrix is not None and matrix.shape != shape:
                raise ScoreError(f"{name} has shape {matrix.shape}, the scores {shape}.")
        device = default_device()
        self._w = torch.from_numpy(self.w).to(device)
        self._h = torch.from_numpy(self.h).to(device)

    def tensor(self, start: int, stop: int) -> torch.Tensor:
        z = self._h[start:stop] @ self._w.T
        if self.link == "exp":
            z.exp_()
        elif self.link == "softplus":
            z = torch.nn.functional.softplus(z)
        if self.row_scale is not None:
            z.mul_(torch.from_numpy(self.row_scale[start:stop, None]).to(z.device))
        if self.added is not None:
            rows, columns, values = _entries(self.added, start, stop)
            z[torch.from_numpy(rows), torch.from_numpy(columns)] += torch.from_numpy(values).to(z.device)
        if self.forbidden is not None:
            rows, columns, _ = _entries(self.forbidden, start, stop)
            z[torch.from_numpy(rows), torch.from_numpy(columns)] = -torch.inf
        return z

    def pairs(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        if len(rows) == 0:  # a sparse matrix asked for no pairs answers with a matrix
            return np.empty(0, np.float32)
        z = np.einsum("ij,ij->i", self.h[rows], self.w[columns])
        if self.link == "exp":
            z = np.exp(z)
        elif self.link == "softplus":
            z = np.logaddexp(0, z)
        if self.row_scale is not None:
            z = z * self.row_scale[rows]
        if self.added is not None:
            z = z + np.asarray(self.added[rows, columns]).ravel()
        if self.forbidden is not None:
            z = np.where(np.asarray(self.forbidden[rows, columns]).ravel() != 0, -np.inf, z)
        out: np.ndarray = np.asarray(z, np.float32)
        return out

    def take(self, rows: np.ndarray) -> FactorScores:
        def part(x: np.ndarray | None) -> np.ndarray | None:
            return None if x is None else x[rows]

        return FactorScores(
            self.h[rows],
            self.w,
            link=self.link,
            row_scale=part(self.row_scale),
            added=None if self.added is None else self.added[rows],
            forbidden=None if self.forbidden is None else self.forbidden[rows],
            states=None if self.states is None else self.states.take(rows),
            item_ids=self.item_ids,
        )

    def scaled(self, row_scale: np.ndarray) -> FactorScores:
        """The same scores with each row multiplied: preference × intensity (eq. 5)."""
        scale = row_scale if self.row_scale is None else self.row_scale * row_scale
        added = None if self.added is None else sparse.diags(np.asarray(row_scale, float)) @ self.added
        return FactorScores(
            self.h,
            self.w,
            link=self.link,
            row_scale=scale,
            added=added,
            forbidden=self.forbidden,
            states=self.states,
            item_ids=self.item_ids,
        )


def _canonical(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """Repeated entries added up, stored zeros dropped; the caller's matrix stays as it is."""
    if matrix.has_canonical_format and matrix.data.all():
        return matrix
    matrix = matrix.copy()
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return matrix


def _entries(matrix: sparse.csr_matrix, start: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(row − start, column, value) of the stored entries of rows [start, stop)."""
    indptr = matrix.indptr[start : stop + 1].astype(np.int64)
    rows = np.repeat(np.arange(stop - start), np.diff(indptr))
    inside = slice(indptr[0], indptr[-1])
    return rows, matrix.indices[inside].astype(np.int64), matrix.data[inside]
