"""What a sequence model is to learn from its users: which states, and which events each of them predicts.

A lesson cuts the same chunks of tokens in its own way. In a chunk of L tokens, places count from 0 (the state before
the chunk) to L (after its last token).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch

from rim_core.datasets.states import expand_ranges
from rim_core.models.preference.sequences import MICRO, Sequences, gap_class
from rim_core.models.preference.softmax import Targets


class Lesson(Protocol):
    """States and their targets.

    Attributes
    ----------
    sequences : Sequences
    gap : ndarray of int64 (E + m,)
        Class of the time from each token to the state after it.
    """

    sequences: Sequences
    gap: np.ndarray

    def chunk(self, rows: np.ndarray, where: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, Targets]:
        """Places (row · (L + 1) + place) of the states of a chunk, ascending, and what they predict.

        Parameters
        ----------
        rows : (B,), where, inside : (B, L + 2)
            Sequences, places of their tokens from one before the chunk's targets on, and whether there are any.
        """

    def last(self, where: np.ndarray) -> np.ndarray:
        """Place whose state the next chunk may still begin from; (B,)."""


class NextEvents:
    """Every target event, from the state before its instant: a basket is predicted as a whole.

    With ``one_by_one`` from the event before it, in the order of the log, whether or not time has passed.
    """

    def __init__(self, sequences: Sequences, one_by_one: bool = False) -> None:
        self.sequences, self.gap = sequences, sequences.gap
        self.source = np.arange(len(sequences.tokens)) - 1 if one_by_one else sequences.source

    def _places(self, where: np.ndarray) -> np.ndarray:
        """Place of the state that each token of a chunk is predicted from; 0 where that is before the chunk."""
        places: np.ndarray = np.maximum(self.source[where] - where[:, :1] + 1, 0)
        return places

    def chunk(self, rows: np.ndarray, where: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, Targets]:
        valid = (inside & self.sequences.is_target[where])[:, 1:-1]
        row, place = np.nonzero(valid)
        source = self._places(where)[row, place + 1]
        states, of = np.unique(row * (where.shape[1] - 1) + source, return_inverse=True)
        item = self.sequences.tokens[where[row, place + 1]]
        return states, Targets(torch.from_numpy(of), torch.from_numpy(item))

    def last(self, where: np.ndarray) -> np.ndarray:
        places: np.ndarray = np.minimum(self._places(where)[:, -1], where.shape[1] - 2)
        return places


class HorizonEvents:
    """All target events of the horizon of every state, states at random times between events.

    A state stands between two instants, uniformly over the times whose horizon holds the later of them, as a state of
    a plan stands at a time of its own and not just before the next event. Each counts ``events ** −evenness`` times its
    events. Items seen before a state are hidden from it where ``hide`` (how many events back) is not 0: its p is a
    distribution over the others.
    """

    def __init__(
        self, sequences: Sequences, horizon: int, evenness: float, hide: int, rng: np.random.Generator
    ) -> None:
        self.sequences, self.evenness, self.hide = sequences, evenness, hide
        place = np.arange(len(sequences.tokens))
        following = np.minimum(place + 1, len(place) - 1)
        waiting = np.maximum(sequences.time[following] - sequences.time, 0)
        before = (rng.random(len(place)) * np.minimum(waiting, horizon)).astype(np.int64)
        self.gap = np.where(waiting > 0, gap_class(np.maximum(waiting - before, MICRO)), sequences.gap)
        self.until = sequences.until(sequences.time[following] - before + horizon)

    def chunk(self, rows: np.ndarray, where: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, Targets]:
        sequences = self.sequences
        begins = inside[:, 1:-1] & (sequences.source[where[:, 1:-1]] == where[:, :-2])  # a new instant comes next
        row, place = np.nonzero(begins)
        at = where[row, place]  # the last token of each state
        of, event = expand_ranges(at + 1, self.until[at])
        kept = sequences.is_target[event]
        hidden = None
        if self.hide:
            kept &= sequences.first[event] > at[of]
            first = np.maximum(sequences.offsets[rows[row]] + 1, at + 1 - self.hide)
            state, token = expand_ranges(first, at + 1)
            hidden = torch.from_numpy(state), torch.from_numpy(sequences.tokens[token])
        of, item = of[kept], sequences.tokens[event[kept]]
        count = np.bincount(of, minlength=len(at)).astype(np.float32)
        weight = np.maximum(count, 1.0)[of] ** -self.evenness
        targets = Targets(torch.from_numpy(of), torch.from_numpy(item), torch.from_numpy(weight), hidden)
        return row * (where.shape[1] - 1) + place + 1, targets

    def last(self, where: np.ndarray) -> np.ndarray:
        return np.zeros(len(where), np.int64)
