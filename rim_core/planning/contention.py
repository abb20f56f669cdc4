"""Which items contend for the same user-states, told from deliveries that leave some of them short.

A short item looks for the states that it may still go to; all of them are full, with items that cannot give a place
away either, and those look further in turn. What is reached so is closed (a set that violates Hall's condition), and
its promises cannot be kept together. Items are dropped from it as long as the rest still clashes (deletion filter, by
maximum flows), so what is named is irreducible.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import maximum_flow

from rim_core.planning.passes import columns_of_scores

if TYPE_CHECKING:
    from rim_core.assignment import Assignment
    from rim_core.planning.problem import Problem

NAMED, LOOKED_AT, PAIRS = 12, 20_000_000, 500_000
"""Items that a sentence names at most; pairs that are looked at, and pairs that may be delivered, to find them."""
SENTENCES = 10


def most_of_few(
    problem: Problem, minimum: np.ndarray, eligible: np.ndarray
) -> tuple[np.ndarray, sparse.csr_matrix] | None:
    """The most that items which may go to few states can get of their minima, where that is less than promised.

    Scores play no part. Whether there can be a clash is told by counting first: all items with at most e states need
    more than the e smallest states could take.

    Parameters
    ----------
    problem : Problem
    minimum : ndarray of int64 (n,)
        At most ``eligible``.
    eligible : ndarray of int64 (n,)
        States each item may go to.

    Returns
    -------
    items : ndarray of int64 (k,)
    delivered : csr_matrix of bool (m, n)
        None where the minima can be delivered, or too many pairs would have to be looked at.
    """
    m = len(problem.contacts.capacity)
    promised = np.flatnonzero(minimum > 0)
    promised = promised[np.argsort(eligible[promised], kind="stable")]
    wanted, states = np.cumsum(minimum[promised]), eligible[promised]
    suspect = np.flatnonzero(wanted > _least_room(problem)[states])
    if not len(suspect):
        return None
    items = promised[states <= states[suspect[-1]]]
    if eligible[items].sum() > PAIRS or len(items) * m > LOOKED_AT:
        return None
    allowed = _allowed(problem, items)
    missing, flow = _missing(problem, allowed, minimum[items])
    if not missing:
        return None
    arcs, k = flow.tocoo(), len(items)
    used = (arcs.row < k) & (arcs.data > 0)
    pairs = (arcs.col[used] - k, items[arcs.row[used]])
    return items, sparse.csr_matrix((np.ones(used.sum(), bool), pairs), shape=(m, len(minimum)))


def contentions(problem: Problem, minimum: np.ndarray, delivered: sparse.csr_matrix) -> tuple[str, ...]:
    """A sentence for every set of items that contend, or for every short item where no small set is at fault.

    Parameters
    ----------
    problem : Problem
    minimum : ndarray of int64 (n,)
        Beside the forced pairs.
    delivered : csr_matrix of bool (m, n)
        Beside the forced pairs; nothing more can be delivered to a short item.
    """
    exposure = np.asarray(delivered.sum(axis=0)).ravel()
    short = np.maximum(minimum - exposure, 0)
    told: set[int] = set()
    out: list[str] = []
    for y in np.argsort(-short, kind="stable"):
        if short[y] == 0 or len(out) == SENTENCES:
            break
        if y in told:
            continue
        around, allowed = _closed(problem, minimum, delivered, exposure, int(y))
        items = _irreducible(problem, minimum, around, allowed)
        told.update(around or [int(y)])
        if len(items):
            sentence = _together(problem, items) + _in_all(problem, minimum, around, allowed, len(items))
        else:
            sentence = _alone(problem, minimum, exposure, int(y))
        if sentence not in out:
            out.append(sentence)
    return tuple(out)


def _least_room(problem: Problem) -> np.ndarray:
    """What any e states can take at least, e = 0 … m."""
    contacts = problem.contacts
    room = np.concatenate([[0], np.cumsum(np.sort(contacts.capacity))])
    if contacts.capped:
        largest = int(np.bincount(contacts.user).max(initial=1))
        of_users = np.concatenate([[0], np.cumsum(np.sort(contacts.user_cap))])
        room = np.minimum(room, of_users[np.minimum(np.arange(len(room)) // largest, len(of_users) - 1)])
    return room


def _allowed(problem: Problem, items: np.ndarray) -> np.ndarray:
    """Where each item may go, bool (k, m)."""
    allowed: np.ndarray = (columns_of_scores(problem.scores, items) > -np.inf) & (problem.contacts.capacity > 0)
    return allowed


def _irreducible(problem: Problem, minimum: np.ndarray, items: list[int], allowed: np.ndarray) -> np.ndarray:
    """Items among these whose minima clash, none of which could be left out; empty where something else clashes."""
    promised, kept = minimum[items], np.arange(len(items))
    if not items or _missing(problem, allowed, promised)[0] == 0:
        return kept[:0]
    for at in np.argsort(promised, kind="stable"):
        rest = kept[kept != at]
        if _missing(problem, allowed[rest], promised[rest])[0] > 0:
            kept = rest
    return np.sort(np.array(items)[kept])


def _closed(
    problem: Problem, minimum: np.ndarray, delivered: sparse.csr_matrix, exposure: np.ndarray, short: int
) -> tuple[list[int], np.ndarray]:
    """(items that would have to give way to each other, where each may go (k, m)); no items where one could give."""
    m, contacts = len(problem.contacts.capacity), problem.contacts
    load = np.diff(delivered.indptr)
    full_user, seen = np.zeros(m, bool), np.zeros(m, bool)
    if contacts.capped:
        full_user = (np.bincount(contacts.user, load, len(contacts.user_cap)) >= contacts.user_cap)[contacts.user]
    items, new, allowed = [short], [short], np.zeros((0, m), bool)
    while new:
        if problem.rows or len(items) * m > LOOKED_AT:
            return [], allowed
        columns = _allowed(problem, np.array(new))
        allowed = np.concatenate([allowed, columns])
        wanted = (columns & ~delivered[:, new].toarray().T).any(axis=0)
        if contacts.capped:  # where a user's cap is full, whatever she takes in any of her states could give way
            wanted |= full_user & np.isin(contacts.user, contacts.user[wanted])
        if (wanted & (load < contacts.capacity) & ~full_user).any():
            return [], allowed
        found = np.setdiff1d(np.unique(delivered[np.flatnonzero(wanted & ~seen)].indices), items)
        seen |= wanted
        if (exposure[found] > minimum[found]).any():
            return [], allowed
        new = [int(y) for y in found]
        items += new
    return items, allowed


def beside_forced(problem: Problem, assignment: Assignment) -> sparse.csr_matrix:
    """What an assignment delivers beside the forced pairs, bool (m, n)."""
    pairs, n = assignment.matrix.tocoo(), assignment.matrix.shape[1]
    free = ~np.isin(
        pairs.row.astype(np.int64) * n + pairs.col, problem.forced_rows.astype(np.int64) * n + problem.forced_columns
    )
    return sparse.csr_matrix((np.ones(free.sum(), bool), (pairs.row[free], pairs.col[free])), shape=pairs.shape)


def _missing(problem: Problem, allowed: np.ndarray, minimum: np.ndarray) -> tuple[int, sparse.csr_matrix]:
    """(how many of these minima cannot be delivered, a flow that delivers the most: items, then states)."""
    contacts, (k, m) = problem.contacts, allowed.shape
    item, state = np.nonzero(allowed)
    users = len(contacts.user_cap)
    source, sink = k + m + users, k + m + users + 1
    tail = [np.full(k, source), item, k + np.arange(m)]
    head = [np.arange(k), k + state, k + m + contacts.user if users else np.full(m, sink)]
    room = [minimum, np.ones(len(item), np.int64), contacts.capacity]
    if users:
        tail.append(k + m + np.arange(users))
        head.append(np.full(users, sink))
        room.append(contacts.user_cap)
    arcs = np.minimum(np.concatenate(room), max(int(minimum.sum()), 1)).astype(np.int32)
    graph = sparse.csr_matrix((arcs, (np.concatenate(tail), np.concatenate(head))), shape=(sink + 1, sink + 1))
    found = maximum_flow(graph, source, sink)
    return int(minimum.sum()) - int(found.flow_value), found.flow


def _together(problem: Problem, items: np.ndarray) -> str:
    ids, forced = problem.given.item_ids, np.bincount(problem.forced_columns, minlength=len(problem.minimum))
    allowed = _allowed(problem, items)
    missing, _ = _missing(problem, allowed, problem.minimum[items])
    promised = problem.minimum[items] + forced[items]
    total, states = int(promised.sum()), int(allowed.any(axis=0).sum())
    each = [
        f"item {ids[y]} {least:,} (could be {max(least - missing, forced[y]):,})"
        for y, least in list(zip(items, promised, strict=True))[:NAMED]
    ]
    if len(items) > NAMED:
        each.append(f"{len(items) - NAMED:,} more items")
    return (
        f"These minimums clash, and without any one of them the others could be kept: {'; '.join(each)}. They contend "
        f"for the same {states:,} user-states, which can take {total - missing:,} of the {total:,} promised: lower one "
        "of them, or raise the capacity there."
    )


def _in_all(problem: Problem, minimum: np.ndarray, items: list[int], allowed: np.ndarray, named: int) -> str:
    """What the others around them lack as well; nothing where there are none."""
    if len(items) == named:
        return ""
    missing, _ = _missing(problem, allowed, minimum[items])
    return (
        f" In all {len(items):,} items contend here, and {missing:,} of their {int(minimum[items].sum()):,} promised "
        "deliveries have no room."
    )


def _alone(problem: Problem, minimum: np.ndarray, exposure: np.ndarray, y: int) -> str:
    forced = problem.promised.minimum[y] - minimum[y]
    return (
        f"Item {problem.given.item_ids[y]} gets {exposure[y] + forced:,} of {problem.promised.minimum[y]:,} promised "
        "user-states: the states it may go to are taken by other promises. Lower this or their minimum, or raise the "
        "capacity."
    )
