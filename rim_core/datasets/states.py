"""User-states: a user together with a time, and what may be seen of her then."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from rim_core.datasets.log import SECOND

if TYPE_CHECKING:
    from rim_core.datasets.log import EventLog


@dataclass(frozen=True, eq=False)
class UserStates:
    """m user-states x = s(t) (Section 2): only events strictly before ``time`` are visible.

    Several states of one user are allowed. ``start``/``stop`` point into ``log.arrays``; a model reads a
    state's history as ``arrays.item[start[i]:stop[i]]`` and never anything else.

    Attributes
    ----------
    log : EventLog
    user : ndarray of int32, shape (m,)
        Positions in ``log.users.index``.
    time : ndarray of int64, shape (m,)
        Microseconds since 1970-01-01 UTC.
    horizon : int
        Microseconds: what happens in [time, time + horizon) is the target.
    item_codes : ndarray of int32, shape (n,)
        The items in play, as positions in ``log.items.index``: the columns of every score matrix.
    exclude_seen : bool
        Forbid items the user has already interacted with.
    target_types : tuple of str or None
        Event types that count as targets (all by default); the others are history only.
    """

    log: EventLog
    user: np.ndarray
    time: np.ndarray
    horizon: int
    item_codes: np.ndarray
    exclude_seen: bool = False
    target_types: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.user)

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n): user-states and items."""
        return len(self.user), len(self.item_codes)

    @property
    def horizon_seconds(self) -> float:
        """Length of the target window in seconds."""
        return self.horizon / SECOND

    @cached_property
    def user_ids(self) -> pd.Index:
        """Id of the user of every state, shape (m,)."""
        return self.log.users.index[self.user]

    @cached_property
    def item_ids(self) -> pd.Index:
        """Id of every item in play, shape (n,)."""
        return self.log.items.index[self.item_codes]

    @cached_property
    def start(self) -> np.ndarray:
        """First event of each state's user in ``log.arrays``, int64 (m,)."""
        first: np.ndarray = self.log.arrays.offsets[self.user]
        return first

    @cached_property
    def stop(self) -> np.ndarray:
        """One past the last visible event (strictly before ``time``), int64 (m,)."""
        return self._position(self.time)

    @cached_property
    def target_stop(self) -> np.ndarray:
        """One past the last event of the target window, int64 (m,)."""
        return self._position(self.time + self.horizon)

    @cached_property
    def column_of_item(self) -> np.ndarray:
        """Column of every item of the log, −1 when not in play; int32 (len(log.items),)."""
        columns = np.full(len(self.log.items), -1, np.int32)
        columns[self.item_codes] = np.arange(len(self.item_codes), dtype=np.int32)
        return columns

    @cached_property
    def is_target_event(self) -> np.ndarray:
        """Whether each event of the log is of a target type, bool (E,)."""
        if self.target_types is None:
            return np.ones(len(self.log), bool)
        wanted = [i for i, name in enumerate(self.log.event_types) if name in self.target_types]
        return np.isin(self.log.arrays.type, wanted)

    @cached_property
    def targets(self) -> sparse.csr_matrix:
        """What happened in the horizon: counts of target events, CSR float32 (m, n)."""
        return self._counts(self.stop, self.target_stop, targets_only=True)

    @cached_property
    def target_counts(self) -> np.ndarray:
        """Target events per state over all items in play, float64 (m,)."""
        return np.asarray(self.targets.sum(axis=1), float).ravel()

    @cached_property
    def seen(self) -> sparse.csr_matrix | None:
        """Forbidden pairs (already interacted with) when ``exclude_seen``, else None; CSR float32 (m, n)."""
        if not self.exclude_seen:
            return None
        seen = self._counts(self.start, self.stop, targets_only=False)
        seen.data[:] = 1.0
        return seen

    def take(self, rows: np.ndarray) -> UserStates:
        """The states at ``rows`` (positions or mask), in that order."""
        return replace(self, user=self.user[rows], time=self.time[rows])

    def with_items(self, item_codes: np.ndarray) -> UserStates:
        """The same states over other items."""
        return replace(self, item_codes=np.asarray(item_codes, np.int32))

    def frame(self) -> pd.DataFrame:
        """user_id and state time (UTC), one row a state."""
        return pd.DataFrame(
            {"user_id": self.user_ids, "state_time": pd.to_datetime(self.time, unit="us", utc=True)}
        ).reset_index(drop=True)

    def _position(self, time: np.ndarray) -> np.ndarray:
        """First event of each state's user that is at or after ``time``."""
        a = self.log.arrays
        lo: np.ndarray = a.offsets[self.user].copy()
        hi: np.ndarray = a.offsets[self.user + 1].copy()
        while True:  # bisection of all states at once
            active = lo < hi
            if not active.any():
                return lo
            mid = (lo + hi) // 2
            before = np.zeros(len(lo), bool)
            before[active] = a.time[mid[active]] < time[active]
            lo = np.where(active & before, mid + 1, lo)
            hi = np.where(active & ~before, mid, hi)

    def _counts(self, first: np.ndarray, last: np.ndarray, *, targets_only: bool) -> sparse.csr_matrix:
        rows, events = expand_ranges(first, last)
        columns = self.column_of_item[self.log.arrays.item[events]]
        keep = columns >= 0
        if targets_only:
            keep &= self.is_target_event[events]
        data = np.ones(int(keep.sum()), np.float32)
        matrix = sparse.coo_matrix((data, (rows[keep], columns[keep])), shape=self.shape).tocsr()
        matrix.sum_duplicates()
        return matrix


def expand_ranges(first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(row, position) of every position in the half-open ranges [first[i], last[i])."""
    lengths = np.maximum(last - first, 0)
    rows = np.repeat(np.arange(len(first)), lengths)
    inner = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return rows, np.repeat(first, lengths) + inner
