"""Scores as a planner may use them: worth instead of interactions, and pairs that are not allowed taken out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse

from rim_core.scores import Scores


@dataclass(frozen=True, eq=False)
class Restriction:
    """What is changed in the scores of m states and n items.

    Attributes
    ----------
    value : ndarray of float32 (n,) or None
        Every column is multiplied by it.
    pair_ratio : csr_matrix (m, n) or None
        Single pairs whose worth is another: stored entries are multiplied by these instead.
    forbidden : csr_matrix (m, n) or None
        Stored entries may not be assigned.
    eligible : csr_matrix of bool (m, e) or None
        For the columns ``eligible_columns``: only stored entries may be assigned.
    eligible_columns : ndarray of int64 (e,)
    time : ndarray of int64 (m,) or None
        Times of the states, for the columns ``dated``: first ≤ time < last.
    dated, first, last : ndarray of int64 (k,)
    """

    value: np.ndarray | None = None
    pair_ratio: sparse.csr_matrix | None = None
    forbidden: sparse.csr_matrix | None = None
    eligible: sparse.csr_matrix | None = None
    eligible_columns: np.ndarray | None = None
    time: np.ndarray | None = None
    dated: np.ndarray | None = None
    first: np.ndarray | None = None
    last: np.ndarray | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing changes."""
        return all(p is None for p in (self.value, self.pair_ratio, self.forbidden, self.eligible, self.dated))

    def take(self, rows: np.ndarray) -> Restriction:
        """The same for some states."""

        def part(x: sparse.csr_matrix | np.ndarray | None) -> sparse.csr_matrix | np.ndarray | None:
            return None if x is None else x[rows]

        return Restriction(
            self.value, part(self.pair_ratio), part(self.forbidden), part(self.eligible), self.eligible_columns,
            part(self.time), self.dated, self.first, self.last,
        )  # fmt: skip


class RestrictedScores(Scores):
    """value · λ, −inf where a pair is not allowed; blocks are made from those of the scores underneath."""

    def __init__(self, scores: Scores, restriction: Restriction) -> None:
        super().__init__(scores.shape, scores.states, scores.item_ids)
        self.scores, self.restriction = scores, restriction

    def tensor(self, start: int, stop: int) -> torch.Tensor:
        r = self.restriction
        z = self.scores.tensor(start, stop)
        if r.value is not None or r.pair_ratio is not None:
            factor = torch.ones(z.shape[1]) if r.value is None else torch.from_numpy(r.value)
            plain = z.clone() if r.pair_ratio is not None else z
            z = torch.where(z == -torch.inf, z, z * factor.to(z.device))
            if r.pair_ratio is not None:
                row, column, ratio = _entries(r.pair_ratio[start:stop])
                z[row, column] = torch.where(
                    plain[row, column] == -torch.inf,
                    plain[row, column],
                    plain[row, column] * torch.from_numpy(ratio.astype(np.float32)).to(z.device),
                )
        if r.eligible is not None:
            columns = torch.from_numpy(r.eligible_columns)
            allowed = torch.from_numpy(r.eligible[start:stop].toarray() != 0).to(z.device)
            z[:, columns] = torch.where(allowed, z[:, columns], -torch.inf)
        if r.dated is not None and r.time is not None:
            columns = torch.from_numpy(r.dated)
            time = r.time[start:stop, None]
            inside = torch.from_numpy((time >= r.first) & (time < r.last)).to(z.device)
            z[:, columns] = torch.where(inside, z[:, columns], -torch.inf)
        if r.forbidden is not None:
            row, column, _ = _entries(r.forbidden[start:stop])
            z[row, column] = -torch.inf
        return z

    def pairs(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        r = self.restriction
        rows, columns = np.asarray(rows, np.int64), np.asarray(columns, np.int64)
        plain = self.scores.pairs(rows, columns)
        if not len(rows):
            return plain
        allowed = plain > -np.inf
        z = plain if r.value is None else np.where(allowed, plain * r.value[columns], plain)
        if r.pair_ratio is not None:
            known = _at(_pattern(r.pair_ratio), rows, columns) != 0
            z = np.where(allowed & known, plain * _at(r.pair_ratio, rows, columns).astype(np.float32), z)
        if r.eligible is not None and r.eligible_columns is not None:
            place = np.full(self.shape[1], -1)
            place[r.eligible_columns] = np.arange(len(r.eligible_columns))
            at = np.flatnonzero(place[columns] >= 0)
            z[at[_at(r.eligible, rows[at], place[columns[at]]) == 0]] = -np.inf
        if r.dated is not None and r.time is not None and r.first is not None and r.last is not None:
            place = np.full(self.shape[1], -1)
            place[r.dated] = np.arange(len(r.dated))
            at = np.flatnonzero(place[columns] >= 0)
            which, time = place[columns[at]], r.time[rows[at]]
            z[at[(time < r.first[which]) | (time >= r.last[which])]] = -np.inf
        if r.forbidden is not None:
            z = np.where(_at(r.forbidden, rows, columns) != 0, -np.inf, z)
        out: np.ndarray = np.asarray(z, np.float32)
        return out

    def take(self, rows: np.ndarray) -> RestrictedScores:
        return RestrictedScores(self.scores.take(rows), self.restriction.take(rows))


class DrawnScores(Scores):
    """Between 1 and 2 by chance, −inf where a pair is not allowed: for scores that tell no pair from another.

    Parameters
    ----------
    scores : Scores (m, n)
        Say what is allowed.
    rows, columns : ndarray (m,), (n,)
        A score is 1 and the fraction of the product of its two numbers.
    """

    def __init__(self, scores: Scores, rows: np.ndarray, columns: np.ndarray) -> None:
        super().__init__(scores.shape, scores.states, scores.item_ids)
        self.scores, self.rows, self.columns = scores, rows, columns

    @classmethod
    def like(cls, scores: Scores, seed: int) -> DrawnScores:
        """Drawn for the allowed pairs of ``scores``."""
        rng, (m, n) = np.random.default_rng(seed), scores.shape
        return cls(scores, 1e4 * rng.random(m), rng.random(n))

    def tensor(self, start: int, stop: int) -> torch.Tensor:
        z = self.scores.tensor(start, stop)
        drawn = torch.from_numpy(self._drawn(self.rows[start:stop, None], self.columns)).to(z.device)
        return torch.where(z == -torch.inf, z, drawn)

    def pairs(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        z = self.scores.pairs(rows, columns)
        out: np.ndarray = np.where(z == -np.inf, z, self._drawn(self.rows[rows], self.columns[columns]))
        return out

    def take(self, rows: np.ndarray) -> DrawnScores:
        return DrawnScores(self.scores.take(rows), self.rows[rows], self.columns)

    @staticmethod
    def _drawn(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        out: np.ndarray = (1.0 + (rows * columns) % 1.0).astype(np.float32)
        return out


def pair_matrix(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> sparse.csr_matrix | None:
    """1 at every pair; None where there is none."""
    if not len(rows):
        return None
    matrix = sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)
    matrix.data[:] = 1.0
    return matrix


def _pattern(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    return sparse.csr_matrix((np.ones(len(matrix.data)), matrix.indices, matrix.indptr), shape=matrix.shape)


def _at(matrix: sparse.csr_matrix, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    if not len(rows):  # a sparse matrix asked for no pairs answers with a matrix
        return np.empty(0)
    return np.asarray(matrix[rows, columns]).ravel()


def _entries(matrix: sparse.csr_matrix) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    return torch.from_numpy(rows), torch.from_numpy(matrix.indices.astype(np.int64)), matrix.data
