"""Prices in the middle of those that are optimal, so that they hold for other user-states as well.

An optimal assignment has more than one vector of optimal prices: b_y may be anything between the last state that item y
gets and the first that it does not,

    g_(E) ≤ b_y ≤ g_(E+1),    g_xy = u_x − λ_xy,

with g sorted over the states, E the item's exposure and u_x what the state's other items leave as threshold. The repair
does not tell near-equal choices apart, and ends where every price is tied with another item's at some state, and that
one's with the next: good enough for an assignment, but a rule that has the prices alone decides those ties by chance.
The middle of the interval, taken for all items again and again, leads into the middle of the optimal prices (one
coordinate at a time, as in Bertsekas' auction algorithm for the same dual).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from rim_core.planning.candidates import top_of_candidates
from rim_core.progress import unheeded

if TYPE_CHECKING:
    from rim_core.planning.candidates import Contacts
    from rim_core.planning.passes import Drawn
    from rim_core.progress import Heed

SWEEPS, FEWEST, PAIRS, SETTLED = 16, 2, 6_000_000, 1e-6
"""Sweeps at most and at least, pairs that all of them may look at, and the share of all prices by which the last one
moved them. The first sweeps tell most."""


def centred(
    drawn: Drawn, prices: np.ndarray, shift: np.ndarray, contacts: Contacts, exposure: np.ndarray, width: float,
    seed: int = 0, heed: Heed = unheeded,
) -> np.ndarray:  # fmt: skip
    """Prices of the items that have one, moved into the middle of those that give the same exposures.

    Parameters
    ----------
    drawn : Drawn
        Candidates; the sure ones may have been left out.
    prices : ndarray (n,)
        b of each item by itself.
    shift : ndarray (n,)
        What its groups and costs add.
    contacts : Contacts
        Places beside the sure pairs.
    exposure : ndarray of int64 (n,)
        E among the candidates, what the plan gives every item.
    width : float
        How far around the thresholds candidates were drawn: beyond it nothing is known of an interval.
    heed : callable
        Asked before every sweep; what it raises ends the work.

    Returns
    -------
    ndarray (n,)
        Of the same signs. O(P) time a sweep for P candidates.
    """
    pairs = drawn.pairs
    row = pairs.rows()
    priced = prices != 0.0
    order = np.argsort(pairs.item, kind="stable")
    order = order[priced[pairs.item[order]]]
    item_ptr = np.concatenate([[0], np.cumsum(np.bincount(pairs.item[order], minlength=len(prices)))])
    start, sign = prices + shift, np.sign(prices)
    found, best, least = prices.copy(), prices, np.inf
    for _ in range(min(SWEEPS, max(FEWEST, PAIRS // max(len(row), 1)))):
        heed()
        chosen, leaving, _ = top_of_candidates(pairs, found + shift, contacts, seed)
        reached = np.bincount(pairs.item[chosen], minlength=len(prices))
        missed = float(np.abs(reached - exposure)[priced].sum())
        if missed <= least:
            best, least = found, missed
        entering = _entering(pairs.row_ptr, pairs.value + (found + shift)[pairs.item], chosen, contacts)
        height = np.where(chosen, leaving[row], entering[row]) - pairs.value
        middle = _middle(height[order], item_ptr, exposure, start, width)
        before, found = found, sign * np.maximum(sign * (middle - shift), 0.0)
        if np.abs(found - before).sum() <= SETTLED * np.abs(prices).sum():
            break
    return best


def _entering(row_ptr: np.ndarray, net: np.ndarray, chosen: np.ndarray, contacts: Contacts) -> np.ndarray:
    """What a further pair of a state has to beat, (m,): the worst of her full state, and of her user's full cap."""
    worst, load = _worst(row_ptr, net, chosen)
    height = np.where(load == contacts.capacity, worst, 0.0)
    if contacts.capped:
        users = len(contacts.user_cap)
        of_user = np.full(users, np.inf)
        np.minimum.at(of_user, contacts.user, worst)
        full = np.bincount(contacts.user, load, minlength=users) == contacts.user_cap
        height = np.maximum(height, np.where(full & np.isfinite(of_user), of_user, 0.0)[contacts.user])
    return height


@njit(cache=True, nogil=True)
def _worst(row_ptr, net, chosen):  # type: ignore[no-untyped-def]
    """The least λ + b that each state took, infinite where it took nothing, and how many it took."""
    m = len(row_ptr) - 1
    worst, load = np.full(m, np.inf), np.zeros(m, np.int64)
    for x in range(m):
        for p in range(row_ptr[x], row_ptr[x + 1]):
            if chosen[p]:
                worst[x] = min(worst[x], net[p])
                load[x] += 1
    return worst, load


@njit(cache=True, nogil=True)
def _middle(height, item_ptr, exposure, start, width):  # type: ignore[no-untyped-def]
    """(g_(E) + g_(E+1)) / 2 of every item, both within ``width`` of where it started; that itself where one is not."""
    middle = start.copy()
    for y in range(len(start)):
        own = height[item_ptr[y] : item_ptr[y + 1]]
        if len(own) == 0:
            continue
        e = exposure[y]
        ranked = np.partition(own, min(e, len(own) - 1))
        last = ranked[:e].max() if e > 0 else -np.inf
        following = ranked[e] if e < len(own) else np.inf
        if last > start[y] + width:
            middle[y] = last
        elif following < start[y] - width:
            middle[y] = following
        elif max(last, start[y] - width) > -np.inf and min(following, start[y] + width) < np.inf:
            middle[y] = 0.5 * (max(last, start[y] - width) + min(following, start[y] + width))
    return middle
