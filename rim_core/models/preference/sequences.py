"""User histories as token sequences, cut into batches of similar length."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from rim_core.datasets.log import SECOND
from rim_core.datasets.states import expand_ranges

if TYPE_CHECKING:
    from rim_core.datasets.states import UserStates


GAPS = 40
"""Classes of waiting times: 0 before the first event, 1 for no time at all, then a doubling each from 1 s up."""

MICRO = 1
"""Microseconds: the shortest time that passes."""
MOST_AHEAD = 128
"""Events of a horizon that a state learns from, at most."""


@dataclass(frozen=True, eq=False)
class Sequences:
    """Histories of m user-states as item tokens, a start token before each.

    Attributes
    ----------
    tokens : ndarray of int64, shape (E + m,)
        Item columns; the start token is ``start_token``.
    is_target : ndarray of bool, shape (E + m,)
        Whether the token is an event that the model should predict.
    gap : ndarray of int64, shape (E + m,)
        Class of the time from the token to the next one, or to the state's time after the last one.
    instant : ndarray of int64, shape (E + m,)
        Ascending; equal for the events of a state that have the same time.
    time : ndarray of int64, shape (E + m,)
        Microseconds since 1970; of a start token, of the first event after it (the state's own without any).
    offsets : ndarray of int64, shape (m + 1,)
        Tokens of state i are ``offsets[i]:offsets[i + 1]``, the start token first.
    start_token : int
    """

    tokens: np.ndarray
    is_target: np.ndarray
    gap: np.ndarray
    instant: np.ndarray
    time: np.ndarray
    offsets: np.ndarray
    start_token: int

    @classmethod
    def of(cls, states: UserStates, token_of_item: np.ndarray, start_token: int, last: int | None = None) -> Sequences:
        """Read the visible events of ``states``, and nothing else of the log.

        Parameters
        ----------
        token_of_item : ndarray of int64, shape (len(log.items),)
            −1 for items the model does not know: those events are left out.
        last : int, optional
            Keep only the last events of each history.
        """
        first = states.start if last is None else np.maximum(states.start, states.stop - last)
        rows, events = expand_ranges(first, states.stop)
        items = token_of_item[states.log.arrays.item[events]]
        known = items >= 0
        rows, events, items = rows[known], events[known], items[known]
        offsets = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(states)) + 1)]).astype(np.int64)
        tokens = np.full(offsets[-1], start_token, np.int64)
        is_target = np.zeros(offsets[-1], bool)
        gap = np.zeros(offsets[-1], np.int64)
        again = np.zeros(offsets[-1], bool)
        place = np.arange(len(items)) + rows + 1  # one start token before every state so far
        times = states.log.arrays.time[events]
        tokens[place] = items
        is_target[place] = states.is_target_event[events]
        gap[place] = gap_class(_waiting(times, rows, states.time))
        again[place[1:]] = (np.diff(rows) == 0) & (np.diff(times) == 0)
        time = np.empty(offsets[-1], np.int64)
        time[offsets[:-1]] = states.time
        time[place] = times
        begun = np.flatnonzero(np.diff(offsets) > 1)
        time[offsets[begun]] = time[offsets[begun] + 1]
        return cls(tokens, is_target, gap, np.cumsum(~again), time, offsets, start_token)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of every sequence, the start token included; int64 (m,)."""
        return np.diff(self.offsets)

    def take(self, rows: np.ndarray, last: int) -> Sequences:
        """Some sequences cut to their last events, the start token before them."""
        stops = self.offsets[rows + 1]
        row, where = expand_ranges(np.maximum(self.offsets[rows] + 1, stops - last), stops)
        offsets = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(rows)) + 1)]).astype(np.int64)
        source = np.empty(offsets[-1], np.int64)
        source[offsets[:-1]] = self.offsets[rows]
        source[np.arange(len(where)) + row + 1] = where
        new = np.append(True, (np.diff(self.instant[source]) != 0) | (np.diff(source) != 1))[: len(source)]
        parts = (self.tokens[source], self.is_target[source], self.gap[source], np.cumsum(new), self.time[source])
        return Sequences(*parts, offsets, self.start_token)

    @cached_property
    def source(self) -> np.ndarray:
        """Position after which each token is predicted: the last one strictly before its time; int64 (E + m,).

        A basket is predicted as a whole from the state before it, since s(t) holds events before t only (Section 2).
        """
        new = np.append(True, np.diff(self.instant) != 0)[: len(self.instant)]
        source: np.ndarray = np.flatnonzero(new)[np.cumsum(new) - 1] - 1
        return source

    @cached_property
    def first(self) -> np.ndarray:
        """Place of the first token of the same item in the same sequence; int64 (E + m,)."""
        row = np.repeat(np.arange(len(self)), self.lengths)
        order = np.lexsort((self.tokens, row))
        new = np.append(True, (np.diff(row[order]) != 0) | (np.diff(self.tokens[order]) != 0))[: len(order)]
        first = np.empty(len(order), np.int64)
        first[order] = order[np.flatnonzero(new)[np.cumsum(new) - 1]]
        return first

    def until(self, end: np.ndarray) -> np.ndarray:
        """First place after each token that is not before the time ``end`` (E + m,) or not of its sequence; int64.

        At most MOST_AHEAD places are looked ahead. O(E log MOST_AHEAD).
        """
        place = np.arange(len(self.tokens))
        stop = np.repeat(self.offsets[1:], self.lengths)
        lo: np.ndarray = np.minimum(place + 1, stop)
        hi: np.ndarray = np.minimum(place + 1 + MOST_AHEAD, stop)
        while (lo < hi).any():  # bisection of all places at once
            mid = (lo + hi) // 2
            below = (lo < hi) & (self.time[np.minimum(mid, len(place) - 1)] < end)
            lo, hi = np.where(below, mid + 1, lo), np.where((lo < hi) & ~below, mid, hi)
        return lo

    def window(self, rows: np.ndarray, begin: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """Places of the tokens [begin, end) of some sequences, and whether there are any; (len(rows), end − begin).

        Where there are none the place is 0, a start token.
        """
        where = self.offsets[rows][:, None] + np.arange(begin, end)
        inside = where < self.offsets[rows + 1][:, None]
        return np.where(inside, where, 0), inside


def gap_class(waiting: np.ndarray) -> np.ndarray:
    """Class of waiting times in microseconds: 1 for none, 2 below 2 s, 3 below 4 s ...; int64."""
    seconds = np.maximum(waiting, 0) / SECOND
    classes = np.where(seconds > 0, 2 + np.floor(np.log2(np.maximum(seconds, 1.0))), 1)
    return np.minimum(classes, GAPS - 1).astype(np.int64)


def _waiting(times: np.ndarray, rows: np.ndarray, state_times: np.ndarray) -> np.ndarray:
    """Time from every event to the next of its row, or to the row's state time after the last; microseconds."""
    until = np.append(times[1:], 0)
    last = np.append(np.diff(rows) != 0, True)[: len(rows)]
    until[: len(rows)][last] = state_times[rows[last]]
    waiting: np.ndarray = until[: len(rows)] - times
    return waiting


def batches_by_length(
    lengths: np.ndarray, tokens: int, chunk: int, rng: np.random.Generator | None = None
) -> list[np.ndarray]:
    """Rows grouped so that a batch of at most ``tokens`` tokens a chunk holds similar lengths, longest first.

    With ``rng``, lengths are jittered by a tenth before sorting and the batches are shuffled.
    """
    jitter = 1.0 if rng is None else rng.uniform(0.9, 1.1, len(lengths))
    order = np.argsort(-lengths * jitter, kind="stable")
    batches, at = [], 0
    while at < len(order):
        size = max(1, tokens // int(min(lengths[order[at]], chunk)))
        rows = order[at : at + size]
        batches.append(rows[np.argsort(-lengths[rows], kind="stable")])
        at += size
    if rng is not None:
        batches = [batches[i] for i in rng.permutation(len(batches))]
    return batches
