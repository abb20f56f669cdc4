"""Which items contend for the same user-states, told from an assignment that leaves some of them short.

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

NAMED, LOOKED_AT = 12, 4_000_000
"""Items that a sentence names at most, and pairs that are looked at to find them."""
SENTENCES = 10


def contentions(problem: Problem, assignment: Assignment) -> tuple[str, ...]:
    """A sentence for every set of items that contend, or for every short item where no small set is at fault."""
    exposure = assignment.exposure - np.bincount(problem.forced_columns, minlength=len(problem.minimum))
    short = np.maximum(problem.minimum - exposure, 0)
    told: set[int] = set()
    out: list[str] = []
    for y in np.argsort(-short, kind="stable"):
        if short[y] == 0 or len(out) == SENTENCES:
            break
        if y in told:
            continue
        items = _irreducible(problem, assignment, exposure, int(y))
        told.update(items or [int(y)])
        out.append(_together(problem, items) if items else _alone(problem, assignment, int(y)))
    return tuple(out)


def _irreducible(problem: Problem, assignment: Assignment, exposure: np.ndarray, short: int) -> list[int]:
    """Items whose minima clash, ``short`` among those looked at first; empty where the clash is of another kind."""
    items, eligible = _closed(problem, assignment, exposure, short)
    if not items or _missing(problem, eligible, problem.minimum[items]) == 0:
        return []
    kept = np.arange(len(items))
    for at in np.argsort(problem.minimum[items], kind="stable"):
        rest = kept[kept != at]
        if _missing(problem, eligible[rest], problem.minimum[items][rest]) > 0:
            kept = rest
    return sorted(items[i] for i in kept)


def _closed(problem: Problem, assignment: Assignment, exposure: np.ndarray, short: int) -> tuple[list[int], np.ndarray]:
    """(items that would have to give way to each other, where each may go to (k, m)); empty where one could give."""
    m, contacts = len(problem.contacts.capacity), problem.contacts
    by_state = _beside_forced(problem, assignment)
    load = np.diff(by_state.indptr)
    full_user, seen = np.zeros(m, bool), np.zeros(m, bool)
    if contacts.capped:
        full_user = (np.bincount(contacts.user, load, len(contacts.user_cap)) >= contacts.user_cap)[contacts.user]
    items, new, eligible = [short], [short], np.zeros((0, m), bool)
    while new:
        if len(items) * m > LOOKED_AT:
            return [], eligible
        columns = (columns_of_scores(problem.scores, np.array(new)) > -np.inf) & (contacts.capacity > 0)
        eligible = np.concatenate([eligible, columns])
        wanted = (columns & ~by_state[:, new].toarray().T).any(axis=0)
        if contacts.capped:  # where a user's cap is full, whatever she takes in any of her states could give way
            wanted |= full_user & np.isin(contacts.user, contacts.user[wanted])
        if (wanted & (load < contacts.capacity) & ~full_user).any():
            return [], eligible
        open_states = wanted & ~seen
        seen |= open_states
        found = np.setdiff1d(np.unique(by_state[np.flatnonzero(open_states)].indices), items)
        if (exposure[found] > problem.minimum[found]).any() or problem.rows:
            return [], eligible
        new = [int(y) for y in found]
        items += new
    return items, eligible


def _beside_forced(problem: Problem, assignment: Assignment) -> sparse.csr_matrix:
    """What the promises got, (m, n)."""
    pairs, n = assignment.matrix.tocoo(), assignment.matrix.shape[1]
    free = ~np.isin(
        pairs.row.astype(np.int64) * n + pairs.col, problem.forced_rows.astype(np.int64) * n + problem.forced_columns
    )
    return sparse.csr_matrix((np.ones(free.sum(), bool), (pairs.row[free], pairs.col[free])), shape=pairs.shape)


def _missing(problem: Problem, eligible: np.ndarray, minimum: np.ndarray) -> int:
    """How many of these minima no assignment can deliver."""
    contacts, (k, m) = problem.contacts, eligible.shape
    item, state = np.nonzero(eligible)
    users = len(contacts.user_cap)
    source, sink = k + m + users, k + m + users + 1
    states = np.arange(m)
    tail = [np.full(k, source), item, k + states]
    head = [np.arange(k), k + state, k + m + contacts.user if users else np.full(m, sink)]
    room = [minimum, np.ones(len(item)), contacts.capacity]
    if users:
        tail.append(k + m + np.arange(users))
        head.append(np.full(users, sink))
        room.append(contacts.user_cap)
    arcs = np.minimum(np.concatenate(room), max(int(minimum.sum()), 1)).astype(np.int32)
    graph = sparse.csr_matrix((arcs, (np.concatenate(tail), np.concatenate(head))), shape=(sink + 1, sink + 1))
    return int(minimum.sum()) - int(maximum_flow(graph, source, sink).flow_value)


def _together(problem: Problem, items: list[int]) -> str:
    ids, minimum = problem.given.item_ids, problem.promised.minimum
    columns = (columns_of_scores(problem.scores, np.array(items)) > -np.inf) & (problem.contacts.capacity > 0)
    missing = _missing(problem, columns, problem.minimum[items])
    total, states = int(minimum[items].sum()), int(columns.any(axis=0).sum())
    each = [f"item {ids[y]} {minimum[y]:,} (could be {max(minimum[y] - missing, 0):,})" for y in items[:NAMED]]
    if len(items) > NAMED:
        each.append(f"{len(items) - NAMED:,} more items")
    return (
        f"These minimums clash, and without any one of them the others could be kept: {'; '.join(each)}. They contend "
        f"for the same {states:,} user-states, which can take {total - missing:,} of the {total:,} promised: lower one "
        "of them, or raise the capacity there."
    )


def _alone(problem: Problem, assignment: Assignment, y: int) -> str:
    return (
        f"Item {assignment.items[y]} gets {assignment.exposure[y]:,} of {problem.promised.minimum[y]:,} promised "
        "user-states: the states it may go to are taken by other promises. Lower this or their minimum, or raise the "
        "capacity."
    )
