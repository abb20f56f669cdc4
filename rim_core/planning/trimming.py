"""What a plan finds, and the last few deliveries taken back where they pass a budget or an overlapping limit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from rim_core.planning.problem import Problem
    from rim_core.planning.smoothing import Bounded

CLOSE = 1e-9
"""Share of a limit that is a rounding error."""


@dataclass(frozen=True, eq=False)
class Solution:
    """Prices and an assignment beside the forced pairs.

    Attributes
    ----------
    prices : ndarray (n + r,)
        Of items, groups and budgets, as boosts.
    cap_price : ndarray (users,)
        w.
    rows, columns : ndarray of int64
        Assigned pairs.
    objective : float
        What they are worth.
    upper_bound : float
        The least D seen.
    """

    prices: np.ndarray
    cap_price: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    objective: float
    upper_bound: float


def missed_rows(bounded: Bounded, reached: np.ndarray) -> np.ndarray:
    """By how much each group or budget is beyond its promise, (r,); ``reached`` are exposures and what they come to."""
    n = bounded.items
    rows, lower, upper = reached[n:], bounded.lower[n:], bounded.upper[n:]
    size = np.maximum(np.where(np.isfinite(upper), np.abs(upper), lower), bounded.unit)
    off = np.maximum(np.maximum(lower - rows, rows - upper), 0.0)
    return np.where(off <= CLOSE * size, 0.0, off)


def trim(solution: Solution, problem: Problem, bounded: Bounded) -> Solution:
    """Take back the deliveries that are worth least for what they use, as long as a limit is passed.

    Only items and groups above their minimum give anything. Limits are passed by a few deliveries at most (Newton has
    met them but for the last temperature), so this costs next to nothing of the objective.
    """
    n = bounded.items
    reached = bounded.exposure(np.bincount(solution.columns, minlength=n))
    if not (reached[n:] > bounded.upper[n:]).any() or not missed_rows(bounded, reached).any():
        return solution
    worth = problem.scores.pairs(solution.rows, solution.columns).astype(float)
    keep = np.ones(len(worth), bool)
    weights = bounded.weights.toarray()
    for r in np.flatnonzero(missed_rows(bounded, reached) > 0):
        use = weights[r, solution.columns]
        dearness = np.divide(worth, use, out=np.full(len(worth), np.inf), where=use > 0)
        order = np.lexsort((solution.rows, dearness))
        for p in order[use[order] > 0]:
            if reached[n + r] <= bounded.upper[n + r] * (1 + CLOSE):
                break
            y = solution.columns[p]
            change = np.concatenate([[1.0], weights[:, y]])
            at = np.concatenate([[y], np.arange(n, len(reached))])
            if keep[p] and ((reached[at] - change >= bounded.lower[at]) | (change == 0)).all():
                keep[p] = False
                reached[at] -= change
    return replace(
        solution,
        rows=solution.rows[keep],
        columns=solution.columns[keep],
        objective=solution.objective - float(worth[~keep].sum()),
    )
