"""ItemRec and UserRec: the best items of every user-state, the best user-states of every item.

Both read the scores in blocks of rows. Ties at the cut are broken by a seeded order of the items (or
states), so the answer does not depend on the block size.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from rim_core.assignment import Assignment, assignment_matrix
from rim_core.errors import ScoreError
from rim_core.scores import BLOCK_ENTRIES

if TYPE_CHECKING:
    from rim_core.scores import Scores


def item_rec(scores: Scores, k: int | None = None, *, seed: int = 0) -> Assignment:
    """The k best items of every user-state (Section 1, ItemRec).

    Parameters
    ----------
    k : int, optional
        Items per user-state; 1 % of the items, rounded up, by default. Fewer where fewer are allowed.
    seed : int
        Order in which ties at the cut are broken.

    Returns
    -------
    Assignment
        ``planned`` is k·m. Cost O(m·n·d); memory O(B·n + m·k).
    """
    m, n = scores.shape
    k = _count(k, n, "items")
    order = seeded_order(n, seed)
    rows, columns = [], []
    for start, _, z in scores.blocks():
        row, column = top_of_rows(z, k, order)
        rows.append(row + start)
        columns.append(column)
    matrix = assignment_matrix(_join(rows), _join(columns), (m, n))
    return Assignment(matrix, scores, planned=float(k * m), direction="item")


def user_rec(scores: Scores, c: int | None = None, *, seed: int = 0) -> Assignment:
    """The c best user-states of every item (eq. 8, UserRec).

    Two passes over the scores: the c-th value of every column, then the pairs at or above it.

    Parameters
    ----------
    c : int, optional
        User-states per item; 1 % of the states, rounded up, by default. Fewer where fewer are allowed.

    Returns
    -------
    Assignment
        ``planned`` is c·n. Cost O(m·n·d); memory O(B·n + c·n).
    """
    m, n = scores.shape
    c = _count(c, m, "user-states")
    best = None
    for _, _, z in scores.blocks():
        both = z if best is None else torch.cat([best, z])
        best = torch.topk(both, min(c, len(both)), dim=0, sorted=False).values
    if best is None:
        return Assignment(assignment_matrix(_join([]), _join([]), (m, n)), scores, planned=0.0, direction="user")
    cut = best.min(dim=0).values
    order = seeded_order(m, seed)
    kept = _Columns(c, order)
    for start, _, z in scores.blocks():
        row, column = ((z >= cut) & (z > -torch.inf)).nonzero(as_tuple=True)
        tied = z[row, column] == cut[column]
        kept.add(column.cpu().numpy(), row.cpu().numpy() + start, tied.cpu().numpy())
    columns, rows = kept.resolve()
    return Assignment(assignment_matrix(rows, columns, (m, n)), scores, planned=float(c * n), direction="user")


class _Columns:
    """Pairs at or above their column's cut; surplus ties are dropped as they pile up (bounded memory)."""

    def __init__(self, quota: int, order: np.ndarray) -> None:
        self.quota, self.order = quota, order
        self.parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self.size = 0

    def add(self, column: np.ndarray, row: np.ndarray, tied: np.ndarray) -> None:
        self.parts.append((column, row, tied))
        self.size += len(column)
        if self.size > BLOCK_ENTRIES:
            self._compact()

    def resolve(self) -> tuple[np.ndarray, np.ndarray]:
        """(column, row), at most ``quota`` rows a column."""
        self._compact()
        return self.parts[0][:2]

    def _compact(self) -> None:
        column, row, tied = (np.concatenate([p[i] for p in self.parts]) for i in range(3))
        keep = _resolve_ties(column, row, tied, self.quota, self.order)
        self.parts, self.size = [(column[keep], row[keep], tied[keep])], len(keep)


def top_of_rows(z: torch.Tensor, k: int, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(row, column) of the k largest entries above −inf of every row."""
    if k == 0:
        return _join([]), _join([])
    values, columns = torch.topk(z, k, dim=1, sorted=False)
    cut = values.min(dim=1, keepdim=True).values
    at_cut = (z == cut).sum(dim=1) > (values == cut).sum(dim=1)  # more equal entries than places
    plain = (values > -torch.inf) & ~at_cut[:, None]
    rows = torch.arange(len(z), device=z.device)[:, None].expand_as(columns)
    row, column = rows[plain].cpu().numpy(), columns[plain].cpu().numpy()
    contested = at_cut.nonzero().ravel()
    if len(contested):
        sub = z[contested]
        r, c = ((sub >= cut[contested]) & (sub > -torch.inf)).nonzero(as_tuple=True)
        tied = (sub[r, c] == cut[contested].ravel()[r]).cpu().numpy()
        group, member = r.cpu().numpy(), c.cpu().numpy()
        keep = _resolve_ties(group, member, tied, k, order)
        row = np.concatenate([row, contested.cpu().numpy()[group[keep]]])
        column = np.concatenate([column, member[keep]])
    return row, column


def _resolve_ties(group: np.ndarray, member: np.ndarray, tied: np.ndarray, quota: int, order: np.ndarray) -> np.ndarray:
    """Positions of ``quota`` members of every group: all that are not tied, then tied ones in seeded order."""
    sequence = np.lexsort((order[member], tied, group))
    ordered = group[sequence]
    first = np.flatnonzero(np.diff(ordered, prepend=-1))
    rank = np.arange(len(ordered)) - np.repeat(first, np.diff(np.append(first, len(ordered))))
    return sequence[rank < quota]


def seeded_order(size: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(size)


def _count(given: int | None, size: int, what: str) -> int:
    if given is None:
        return math.ceil(size / 100)
    if given < 1:
        raise ScoreError(f"{given} {what} were asked for: ask for at least one.")
    return min(int(given), size)


def _join(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.empty(0, np.int64)
