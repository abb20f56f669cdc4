"""Offline greedy matching (Section 5.2): the best pair first, as long as a promise or a place is open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numba import njit

from rim_core.assignment import Assignment, assignment_matrix
from rim_core.errors import ConstraintError
from rim_core.planning.problem import resolve
from rim_core.progress import unheeded
from rim_core.scores import BLOCK_ENTRIES

if TYPE_CHECKING:
    from rim_core.planning.constraints import Constraints
    from rim_core.progress import Heed
    from rim_core.scores import Scores

LAYER, A_PLACE = 1_000_000, 8
"""Pairs of a layer at most, or so many a place if those are more; never more than a block."""
SAMPLED_STATES = 256


def greedy_match(scores: Scores, constraints: Constraints, *, seed: int = 0, heed: Heed = unheeded) -> Assignment:
    """Take pairs in the order of their scores, first for the minimum promises, then for the places left.

    The baseline of Section 5.2: it keeps a minimum promise as long as the item still finds an open state,
    but is blind to what the promise displaces.

    Parameters
    ----------
    scores : Scores (m, n)
    constraints : Constraints
    seed : int
        Order of equal scores.
    heed : callable
        Asked before every block of every layer; what it raises ends the work.

    Raises
    ------
    ConstraintError
        Promises over several items or several states of a user, which it does not know.

    Notes
    -----
    Pairs are taken in layers of some millions, best layer first; full states and items leave the later
    layers. Memory O(layer), time one pass over the scores a layer.
    """
    m, n = scores.shape
    problem = resolve(scores, constraints)
    if problem.rows or problem.contacts.capped:
        raise ConstraintError("Greedy matching knows no groups, totals, budgets or caps per user: use DualPlanner.")
    matching = _Matching(problem.scores, problem.contacts.capacity.copy(), seed, heed)
    matching.fill(problem.minimum.copy(), floor=-1.0)
    matching.fill(problem.maximum - matching.exposure, floor=0.0)
    rows, columns = matching.pairs()
    rows, columns = np.concatenate([rows, problem.forced_rows]), np.concatenate([columns, problem.forced_columns])
    planned = constraints.planned(problem.promised)
    return Assignment(assignment_matrix(rows, columns, (m, n)), scores, planned=planned, direction="match")


class _Matching:
    """Pairs taken so far and the places that are left."""

    def __init__(self, scores: Scores, places: np.ndarray, seed: int, heed: Heed) -> None:
        self.scores, self.places, self.heed = scores, places, heed
        self.taken: list[np.ndarray] = [np.empty(0, np.int64)]
        self.exposure = np.zeros(scores.shape[1], np.int64)
        self.rng = np.random.default_rng(seed)
        self.turn = self.rng.permutation(scores.shape[1])

    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """(rows, columns) of everything taken."""
        keys = np.concatenate(self.taken)
        n = self.scores.shape[1]
        return keys // n, keys % n

    def fill(self, quota: np.ndarray, floor: float) -> None:
        """Take open pairs with scores above ``floor``, best first, until nothing is open."""
        top = np.inf
        while top > floor and quota.any() and self.places.any():
            bottom = self._layer_bottom(quota, top, floor)
            row, column = self._best_first(*self._layer(quota, bottom, top, floor))
            keep = _take(row, column, self.places, quota)
            self.taken.append(row[keep] * self.scores.shape[1] + column[keep])
            self.exposure += np.bincount(column[keep], minlength=len(quota))
            top = bottom

    def _best_first(self, row: np.ndarray, column: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The pairs by falling score, then by state, then by the items' turn."""
        m, n = self.scores.shape
        place = row.astype(np.int64) * n + self.turn[column]
        key = _falling(value)
        if m * n < 1 << 32:  # both fit into one integer: an order of magnitude faster than sorting by two keys
            place = (np.sort(key.astype(np.uint64) << np.uint64(32) | place.astype(np.uint64)) & 0xFFFFFFFF).astype(
                np.int64
            )
        else:
            place = place[np.lexsort((place, key))]
        return place // n, np.argsort(self.turn)[place % n]

    def _layer_bottom(self, quota: np.ndarray, top: float, floor: float) -> float:
        """A score below which the layer would hold more open pairs than are worth sorting for the places left."""
        open_states = np.flatnonzero(self.places > 0)
        sampled = np.sort(self.rng.choice(open_states, min(SAMPLED_STATES, len(open_states)), replace=False))
        z = self.scores.take(sampled).block(0, len(sampled))[:, quota > 0]
        values = z[(z > floor) & (z < top)]
        if not values.size:
            return floor
        entries = min(BLOCK_ENTRIES, max(LAYER, A_PLACE * int(self.places.sum())))
        share = entries / (len(open_states) * z.shape[1]) * z.size / values.size
        return float(np.quantile(values, 1 - share)) if share < 1 else floor

    def _layer(
        self, quota: np.ndarray, bottom: float, top: float, floor: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Open pairs with bottom ≤ score < top and above the floor, not taken before."""
        n = len(quota)
        known = np.sort(np.concatenate(self.taken))
        rows, columns, values = [], [], []
        for start, stop, z in self.scores.blocks():
            self.heed()
            open_here = torch.from_numpy(self.places[start:stop] > 0).to(z.device)[:, None]
            wanted = open_here & torch.from_numpy(quota > 0).to(z.device)[None, :] & (z > -torch.inf)
            wanted &= (z >= bottom) & (z > floor) & (z < top)
            row, column = wanted.nonzero(as_tuple=True)
            new = ~np.isin(((row + start) * n + column).cpu().numpy(), known, kind="sort")
            rows.append(row.cpu().numpy()[new] + start)
            columns.append(column.cpu().numpy()[new])
            values.append(z[row, column].cpu().numpy()[new])
        return np.concatenate(rows), np.concatenate(columns), np.concatenate(values)


def _falling(value: np.ndarray) -> np.ndarray:
    """uint32 keys that grow as the float32 values fall: their bits, those of negative numbers turned round."""
    bits = (value.astype(np.float32) + np.float32(0.0)).view(np.uint32)  # −0 is 0
    return np.where(bits >> 31, bits, ~(bits | np.uint32(0x80000000)))


@njit(cache=True, nogil=True)
def _take(row, column, places, quota):  # type: ignore[no-untyped-def]
    """Which of the ordered pairs are taken; ``places`` and ``quota`` go down in place."""
    keep = np.zeros(len(row), np.bool_)
    for i in range(len(row)):
        if places[row[i]] > 0 and quota[column[i]] > 0:
            keep[i] = True
            places[row[i]] -= 1
            quota[column[i]] -= 1
    return keep
