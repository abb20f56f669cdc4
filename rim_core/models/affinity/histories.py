"""What a user-state did with each item, as sparse matrices: the raw material of the count models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from rim_core.datasets.log import SECOND
from rim_core.datasets.states import expand_ranges

if TYPE_CHECKING:
    from rim_core.datasets.split import Split
    from rim_core.datasets.states import UserStates

DAY = 86_400 * SECOND
"""Microseconds in a day."""


def decayed_counts(
    states: UserStates, half_life_days: float | None = None, *, targets_only: bool = True
) -> sparse.csr_matrix:
    """Σ 2^(−age / half-life) over the visible events of every state with every item; CSR float64 (m, n).

    Parameters
    ----------
    half_life_days : float, optional
        None counts every event once.
    targets_only : bool
        Count events of the target types only.

    Notes
    -----
    O(E) for E visible events.
    """
    a = states.log.arrays
    rows, events = expand_ranges(states.start, states.stop)
    columns = states.column_of_item[a.item[events]]
    kept = columns >= 0
    if targets_only:
        kept &= states.is_target_event[events]
    rows, events, columns = rows[kept], events[kept], columns[kept]
    if half_life_days is None:
        weight = np.ones(len(rows))
    else:
        weight = np.exp2(-(states.time[rows] - a.time[events]) / (half_life_days * DAY))
    matrix = sparse.coo_matrix((weight, (rows, columns)), shape=states.shape).tocsr()
    matrix.sum_duplicates()
    return matrix


def entries(matrix: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """(row, column) of the stored entries, in order."""
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    return rows, matrix.indices.astype(np.int64)


def values_at(matrix: sparse.csr_matrix, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Entries of a sparse matrix at single pairs, float64; 0 where nothing is stored."""
    if len(rows) == 0:  # a sparse matrix asked for no pairs answers with a matrix
        return np.empty(0)
    found: np.ndarray = np.asarray(matrix[rows, columns], float).ravel()
    return found


def training_counts(split: Split, half_life_days: float | None = None) -> sparse.csr_matrix:
    """Events of every training user with every item; CSR float64 (users, n).

    Parameters
    ----------
    half_life_days : float, optional
        Halves events as they lie back from the end of the training data. A split by user has no such end (every user
        runs on a clock of her own), so there every event counts once.
    """
    return decayed_counts(split.train, None if split.config.get("by") == "user" else half_life_days)


def shares(counts: sparse.csr_matrix) -> np.ndarray:
    """Share of every column in the total, float64 (n,); uniform where nothing was counted."""
    column = np.asarray(counts.sum(axis=0), float).ravel()
    total = column.sum()
    share: np.ndarray = column / total if total > 0 else np.full(len(column), 1.0 / max(len(column), 1))
    return share


def origin_of(split: Split) -> int | None:
    """First instant of the training data; None in a split by user, where each user's first event begins her clock."""
    times = split.log.arrays.time[split.train.start[split.train.stop > split.train.start]]
    return None if split.config.get("by") == "user" or len(times) == 0 else int(times.min())


def exposure(states: UserStates, origin: int | None, half_life_days: float | None) -> np.ndarray:
    """Horizons' worth of time a decayed count was gathered in: ∫ 2^(−s / half-life) ds over [0, t − t₀] / ΔT; (m,).

    A count divided by it is a count per horizon, comparable between an early and a late state. t₀ is the origin or,
    where that is None, the user's own first visible event; t − t₀ is at least one horizon.
    """
    horizon = float(max(states.horizon, 1))
    if origin is None:
        times = states.log.arrays.time
        first = np.where(states.stop > states.start, times[np.minimum(states.start, len(times) - 1)], states.time)
    else:
        first = np.full(len(states), origin)
    elapsed = np.maximum((states.time - first).astype(float), horizon)
    if half_life_days is None:
        undecayed: np.ndarray = elapsed / horizon
        return undecayed
    mean_life = half_life_days * DAY / np.log(2.0)
    gathered: np.ndarray = -np.expm1(-elapsed / mean_life) * mean_life / horizon
    return gathered
