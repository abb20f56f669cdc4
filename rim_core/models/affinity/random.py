"""Random: the floor every model has to beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from rim_core.models.base import Model
from rim_core.scores import Scores, default_device

if TYPE_CHECKING:
    from pathlib import Path

    from rim_core.datasets.split import Split
    from rim_core.datasets.states import UserStates
    from rim_core.models.base import Callback


class Random(Model):
    """Uniform scores whose mean is the mean count of a pair in ``split.labelled``.

    A score is a hash of (seed, user, time, item): the same pair gets the same score whatever the order, the block
    size or the other states are.

    Parameters
    ----------
    seed : int
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.seed = seed
        self._top = 0.0

    def _fit(self, split: Split, callback: Callback, checkpoint: Path | None) -> None:
        happened = split.labelled.target_counts.sum() / max(split.labelled.horizon, 1) * split.test.horizon
        pairs = len(split.labelled) * len(split.items)
        self._top = 2.0 * float(happened) / max(pairs, 1)
        self.fit_info["training"] = "nothing but the mean count of a pair"

    def _score(self, states: UserStates) -> HashedScores:
        return HashedScores(states, self.seed, self._top * self._horizons(states))

    def _weights(self) -> dict[str, np.ndarray]:
        return {"top": np.array([self._top])}

    def _load_weights(self, weights: dict[str, np.ndarray]) -> None:
        self._top = float(weights["top"][0])


class HashedScores(Scores):
    """Uniform on [0, top): a hash of (seed, user id, time, item id), computed block by block.

    Parameters
    ----------
    states : UserStates
    seed : int
    top : float
    """

    def __init__(self, states: UserStates, seed: int, top: float) -> None:
        super().__init__(states.shape, states)
        self.seed, self.top = seed, top
        self._states = states
        user = _hash_ids(states.user_ids)
        self._rows = _mix(user ^ _mix(states.time.astype(np.uint64) + np.uint64(seed % 2**64)))
        self._columns = _hash_ids(states.item_ids)

    def tensor(self, start: int, stop: int) -> torch.Tensor:
        z = torch.from_numpy(self._uniform(self._rows[start:stop, None], self._columns[None, :]))
        if self._states.seen is not None:
            seen = self._states.seen[start:stop].tocoo()
            z[torch.from_numpy(seen.row.astype(np.int64)), torch.from_numpy(seen.col.astype(np.int64))] = -torch.inf
        return z.to(default_device())

    def pairs(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        z = self._uniform(self._rows[rows], self._columns[columns])
        if self._states.seen is not None:
            z[np.asarray(self._states.seen[rows, columns]).ravel() != 0] = -np.inf
        return z

    def take(self, rows: np.ndarray) -> HashedScores:
        return HashedScores(self._states.take(rows), self.seed, self.top)

    def _uniform(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        share = (_mix(rows ^ columns) >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)
        uniform: np.ndarray = share * np.float32(self.top)
        return uniform


def _hash_ids(ids: pd.Index) -> np.ndarray:
    """64-bit hash of every id."""
    hashes: np.ndarray = pd.util.hash_array(np.asarray(ids, dtype=object), categorize=False)
    return hashes


def _mix(x: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64: every input bit moves every output bit."""
    with np.errstate(over="ignore"):
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = x ^ (x >> np.uint64(31))
    return mixed
