"""Places that a budget or a limit of several items still has room for, filled with the best pairs there are.

The price of a budget decides all pairs that are worth just as much together: where many users have the same scores, a
little dearer takes none of them and a little cheaper takes them all. What the prices leave of a limit is filled one
pair at a time, the dearest price last.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from rim_core.planning.trimming import CLOSE

if TYPE_CHECKING:
    from rim_core.planning.passes import Drawn
    from rim_core.planning.problem import Problem
    from rim_core.planning.smoothing import Bounded
    from rim_core.planning.trimming import Solution


def fill(solution: Solution, problem: Problem, bounded: Bounded, drawn: Drawn, seed: int = 0) -> Solution:
    """Add pairs in the order of λ + e as long as every place, maximum, budget and cap allows them.

    Beyond its minimum an item is worth λ alone: what its minimum raises it by is no part of e here.

    Parameters
    ----------
    solution : Solution
    problem : Problem
    bounded : Bounded
    drawn : Drawn
        Candidates around the prices, none left out.

    Returns
    -------
    Solution
        Worth as much at least; no promise that was kept is broken. O(P log P) for P candidates.
    """
    n, m = bounded.items, drawn.pairs.states
    exposure = np.bincount(solution.columns, minlength=n)
    left = bounded.upper - bounded.exposure(exposure)
    held = np.isfinite(bounded.upper[n:])
    if not (held & (left[n:] >= bounded.least)).any():
        return solution
    pairs, contacts = drawn.pairs, problem.contacts
    row = pairs.rows().astype(np.int64)
    taken = np.isin(row * n + pairs.item, solution.rows * n + solution.columns)
    free = np.flatnonzero(~taken & (pairs.value > 0.0))
    order = np.random.default_rng(seed).permutation(n)
    beyond = np.concatenate([np.minimum(solution.prices[:n], 0.0), solution.prices[n:]])
    net = pairs.value[free] + bounded.boost(beyond)[pairs.item[free]]
    free = free[np.lexsort((row[free], order[pairs.item[free]], -net))]
    load = np.bincount(solution.rows, minlength=m)
    of_user = np.bincount(contacts.user[solution.rows], minlength=len(contacts.user_cap)) if contacts.capped else load
    room = np.where(held, left[n:] * (1 + CLOSE), np.inf)
    added = _added(
        row[free], pairs.item[free], contacts.capacity - load, left[:n], room, bounded.weights.toarray(),
        contacts.user, contacts.user_cap - of_user if contacts.capped else contacts.user_cap,
    )  # fmt: skip
    new = free[added]
    return replace(
        solution,
        rows=np.concatenate([solution.rows, row[new]]),
        columns=np.concatenate([solution.columns, pairs.item[new]]).astype(np.int64),
        objective=solution.objective + float(pairs.value[new].sum()),
    )


@njit(cache=True, nogil=True)
def _added(row, item, places, exposures, room, weights, user, of_user):  # type: ignore[no-untyped-def]
    """Which pairs are added, one after the other."""
    added = np.zeros(len(row), np.bool_)
    for p in range(len(row)):
        x, y = row[p], item[p]
        if places[x] <= 0 or exposures[y] < 1.0:
            continue
        if len(of_user) and of_user[user[x]] <= 0:
            continue
        fits = True
        for r in range(len(room)):
            fits &= weights[r, y] <= room[r]
        if not fits:
            continue
        added[p] = True
        places[x] -= 1
        exposures[y] -= 1.0
        if len(of_user):
            of_user[user[x]] -= 1
        for r in range(len(room)):
            room[r] -= weights[r, y]
    return added
