"""Exact repair: shortest augmenting paths from a dual solution to a feasible, optimal assignment.

For any boosts b = −v the assignment A_x = TopK⁺(λ_x + b) is optimal *for the exposures it happens to have*
(complementary slackness). Items that are short of their minimum then pull user-states along shortest residual paths,
items with too many push them away, and the prices move with the path lengths, so complementary slackness holds
throughout (the primal-dual method for minimum-cost flow; Ahuja, Magnanti & Orlin 1993, sec. 9.8). When no imbalance is
left the assignment is an optimum of eq. 9 over the candidate pairs, integral, with matching prices. When no path is
left the promise cannot be kept there.

All unbalanced items search together, and all paths of the same length are followed before prices move: near-equal
choices, of which real scores have many, then cost one search and not one each.

Reduced cost of a pair: r = λ + b − u; assigned pairs have r ≥ 0, the others r ≤ 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from collections.abc import Callable

PULL, PUSH, RISE = 0, 1, 2
"""Short items gain user-states; surplus is pushed away; then prices that are held down rise again."""
EXACT = 1e-12
"""Differences below this share of the largest value are rounding errors."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """Pairs that may be assigned, sorted by user-state; P pairs in all.

    Attributes
    ----------
    row_ptr : ndarray of int64 (m + 1,)
    item : ndarray of int32 (P,)
    value : ndarray of float64 (P,)
        λ of the pair.
    """

    row_ptr: np.ndarray
    item: np.ndarray
    value: np.ndarray

    @property
    def states(self) -> int:
        """m."""
        return len(self.row_ptr) - 1

    def rows(self) -> np.ndarray:
        """State of every pair, int32 (P,)."""
        return np.repeat(np.arange(self.states, dtype=np.int32), np.diff(self.row_ptr))


@dataclass(frozen=True, eq=False)
class FlowResult:
    """What the repair found.

    Attributes
    ----------
    chosen : ndarray of bool (P,)
        Assigned pairs.
    boost, user_price : ndarray of float64 (n,), (m,)
        b and u that satisfy complementary slackness with ``chosen``.
    short : ndarray of int64 (n,)
        Exposures that no path could provide.
    """

    chosen: np.ndarray
    boost: np.ndarray
    user_price: np.ndarray
    short: np.ndarray


def exact_repair(
    candidates: Candidates,
    boost: np.ndarray,
    capacity: np.ndarray,
    minimum: np.ndarray,
    maximum: np.ndarray,
    seed: int = 0,
    slack: float = 0.0,
    callback: Callable[[int], None] | None = None,
) -> FlowResult:
    """Assignment and prices that are optimal over the candidates, starting from boosts b.

    Parameters
    ----------
    candidates : Candidates
    boost : ndarray (n,)
        Starting b = −v; the closer to optimal, the fewer paths.
    capacity : ndarray of int64 (m,)
    minimum, maximum : ndarray of int64 (n,)
    seed : int
        Order in which equal choices are taken.
    slack : float
        Costs on a path are rounded down to multiples of it. Complementary slackness then holds to within ``slack``
        a pair, and near-equal choices need not be told apart. 0 is exact (to rounding errors).
    callback : callable, optional
        Gets the exposures still missing before every search; may raise.

    Returns
    -------
    FlowResult
        Cost: a search over the pairs, O(P log m), for every distinct length of a path.
    """
    n = len(boost)
    order = np.random.default_rng(seed).permutation(n).astype(np.int64)
    boost = boost.astype(np.float64).copy()
    chosen, user_price = _top_of_candidates(
        candidates.row_ptr, candidates.item, candidates.value, boost, capacity, order
    )
    net = _Net(
        candidates.row_ptr,
        candidates.item,
        candidates.value,
        candidates.rows(),
        np.concatenate([[0], np.cumsum(np.bincount(candidates.item, minlength=n))]).astype(np.int64),
        np.argsort(candidates.item, kind="stable").astype(np.int64),
        capacity.astype(np.int64),
        minimum.astype(np.int64),
        maximum.astype(np.int64),
        chosen,
        boost,
        user_price,
        *_places(candidates.row_ptr, candidates.item, chosen, capacity, n),
    )
    search = _Search.of(n + candidates.states)
    slack = max(slack, EXACT * float(candidates.value.max(initial=0.0)))
    turns = np.argsort(order)
    for stage in (PULL, PUSH, RISE):
        while True:
            origins = turns[_unbalanced(net, stage)[turns]]
            if callback is not None:
                callback(int(np.maximum(net.minimum - net.exposure, 0).sum()))
            if not len(origins) or not _augment_all(origins, stage, slack, net, search):
                break
    return FlowResult(chosen, boost, user_price, np.maximum(net.minimum - net.exposure, 0))


def top_of_candidates(candidates: Candidates, boost: np.ndarray, capacity: np.ndarray, seed: int = 0) -> np.ndarray:
    """TopK⁺(λ + b) of every state among its candidates: bool (P,)."""
    order = np.random.default_rng(seed).permutation(len(boost)).astype(np.int64)
    chosen: np.ndarray = _top_of_candidates(
        candidates.row_ptr, candidates.item, candidates.value, boost, capacity, order
    )[0]
    return chosen


class _Net(NamedTuple):
    """The transportation network and the flow in it; the fields from ``chosen`` on change.

    Nodes 0..n−1 are items, n..n+m−1 user-states; beyond them lies the ground (capacity left over, exposure that is
    free to vary). ``col_pair[col_ptr[y]:col_ptr[y + 1]]`` are the pairs of item y, ``slot[slot_ptr[x]:][:load[x]]`` the
    assigned pairs of state x.
    """

    row_ptr: np.ndarray
    item: np.ndarray
    value: np.ndarray
    row_of: np.ndarray
    col_ptr: np.ndarray
    col_pair: np.ndarray
    capacity: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray
    chosen: np.ndarray
    boost: np.ndarray
    user_price: np.ndarray
    load: np.ndarray
    exposure: np.ndarray
    slot_ptr: np.ndarray
    slot: np.ndarray


class _Search(NamedTuple):
    """Scratch of a search, (n + m,) each: distance, pair that led here, next arc to try, and whether it was tried."""

    dist: np.ndarray
    parent: np.ndarray
    cursor: np.ndarray
    closed: np.ndarray
    touched: np.ndarray
    path: np.ndarray

    @classmethod
    def of(cls, nodes: int) -> _Search:
        return cls(
            np.full(nodes, np.inf),
            np.full(nodes, -1, np.int64),
            np.zeros(nodes, np.int64),
            np.zeros(nodes, np.bool_),
            np.empty(nodes, np.int64),
            np.empty(nodes, np.int64),
        )


def _unbalanced(net: _Net, stage: int) -> np.ndarray:
    """Items that want to gain (pull, rise) or lose (push) a user-state: bool (n,)."""
    if stage == PULL:
        return net.exposure < net.minimum
    if stage == PUSH:
        return (net.exposure > net.maximum) | ((net.boost > 0.0) & (net.exposure > net.minimum))
    return (net.boost < 0.0) & (net.exposure < net.maximum)


@njit(cache=True, nogil=True)
def _top_of_candidates(row_ptr, item, value, boost, capacity, order):  # type: ignore[no-untyped-def]
    """TopK⁺(λ + b) of every state among its candidates, and its user price u."""
    m = len(row_ptr) - 1
    chosen = np.zeros(len(item), np.bool_)
    user_price = np.zeros(m)
    for x in range(m):
        first, last = row_ptr[x], row_ptr[x + 1]
        size = last - first
        net = np.empty(size)
        tie = np.empty(size)
        for j in range(size):
            y = item[first + j]
            net[j] = -(value[first + j] + boost[y])
            tie[j] = order[y]
        by_tie = np.argsort(tie)
        ranked = by_tie[np.argsort(net[by_tie], kind="mergesort")]
        taken = min(capacity[x], size)
        for j in range(taken):
            if net[ranked[j]] >= 0.0:
                taken = j
                break
            chosen[first + ranked[j]] = True
        if taken == capacity[x]:
            following = -net[ranked[taken]] if taken < size else 0.0
            user_price[x] = max(following, 0.0)
            if taken == 0:
                user_price[x] = max(-net[ranked[0]], 0.0) if size else 0.0
    return chosen, user_price


@njit(cache=True, nogil=True)
def _places(row_ptr, item, chosen, capacity, n):  # type: ignore[no-untyped-def]
    """(load, exposure, slot_ptr, slot) of an assignment."""
    m = len(row_ptr) - 1
    load = np.zeros(m, np.int64)
    exposure = np.zeros(n, np.int64)
    slot_ptr = np.zeros(m + 1, np.int64)
    for x in range(m):
        slot_ptr[x + 1] = slot_ptr[x] + min(capacity[x], row_ptr[x + 1] - row_ptr[x])
    slot = np.empty(slot_ptr[m], np.int64)
    for x in range(m):
        for p in range(row_ptr[x], row_ptr[x + 1]):
            if chosen[p]:
                slot[slot_ptr[x] + load[x]] = p
                load[x] += 1
                exposure[item[p]] += 1
    return load, exposure, slot_ptr, slot


@njit(cache=True, nogil=True)
def _augment_all(origins, stage, slack, net, search):  # type: ignore[no-untyped-def]
    """Shortest paths from all ``origins`` to the ground, prices moved by what is left of the distance; False: none."""
    seen, length = _distances(origins, stage, slack, net, search)
    n = len(net.boost)
    if length < np.inf:
        for origin in origins:
            while _wants(origin, stage, net) and _follow(origin, stage, slack, length, net, search):
                pass
    sign = -1.0 if stage == PUSH else 1.0
    for i in range(seen):
        node = search.touched[i]
        if length < np.inf and search.dist[node] < length:
            move = sign * (length - search.dist[node])
            if node < n:
                net.boost[node] += move
            else:
                net.user_price[node - n] += move
        search.dist[node] = np.inf
        search.closed[node] = False
    return length < np.inf


@njit(cache=True, nogil=True)
def _wants(y, stage, net):  # type: ignore[no-untyped-def]
    if stage == PULL:
        return net.exposure[y] < net.minimum[y]
    if stage == PUSH:
        return net.exposure[y] > net.maximum[y] or (net.boost[y] > 0.0 and net.exposure[y] > net.minimum[y])
    return net.boost[y] < 0.0 and net.exposure[y] < net.maximum[y]


@njit(cache=True, nogil=True)
def _to_ground(node, origin, stage, net):  # type: ignore[no-untyped-def]
    """What it costs to end a path at this node; infinite where it cannot end.

    An item gives up (or takes) exposure that its promise leaves free, at the price that keeps it from doing so. A
    state fills an empty place, or leaves one empty at its price. At the origin itself no user-state moves: its price
    alone returns to 0.
    """
    n = len(net.boost)
    if node >= n:
        x = node - n
        if stage == PUSH:
            return max(net.user_price[x], 0.0)
        return 0.0 if net.load[x] < net.capacity[x] else np.inf
    gap = 0 if origin else 1  # exposure that ending here changes
    if stage == PUSH:
        if net.exposure[node] + gap > net.maximum[node]:
            return np.inf
        return max(net.boost[node], 0.0) if net.exposure[node] >= net.minimum[node] else 0.0
    if net.exposure[node] - gap < net.minimum[node]:
        return np.inf
    return max(-net.boost[node], 0.0)


@njit(cache=True, nogil=True)
def _cost(p, node_is_item, stage, slack, net):  # type: ignore[no-untyped-def]
    """Rounded cost of pair ``p`` on a path that comes from its item (or from its state)."""
    r = net.value[p] + net.boost[net.item[p]] - net.user_price[net.row_of[p]]
    cost = -r if node_is_item != (stage == PUSH) else r
    return math.floor(cost / slack) * slack if cost > 0.0 else 0.0


@njit(cache=True, nogil=True)
def _arcs(node, stage, net):  # type: ignore[no-untyped-def]
    """Where the arcs of a node lie: (first, last) in ``col_pair`` of an item, ``slot`` or the pairs of a state."""
    n = len(net.boost)
    if node < n:
        return net.col_ptr[node], net.col_ptr[node + 1]
    x = node - n
    if stage == PUSH:
        return net.row_ptr[x], net.row_ptr[x + 1]
    return net.slot_ptr[x], net.slot_ptr[x] + net.load[x]


@njit(cache=True, nogil=True)
def _arc(node, at, stage, net):  # type: ignore[no-untyped-def]
    """(pair, node it leads to); the pair is −1 where it cannot change."""
    n = len(net.boost)
    if node < n:
        p = net.col_pair[at]
        if net.chosen[p] != (stage == PUSH):
            return -1, -1
        return p, n + net.row_of[p]
    p = at if stage == PUSH else net.slot[at]
    if net.chosen[p] == (stage == PUSH):
        return -1, -1
    return p, np.int64(net.item[p])


@njit(cache=True, nogil=True)
def _distances(origins, stage, slack, net, search):  # type: ignore[no-untyped-def]
    """Dijkstra from all origins: (nodes touched, distance of the ground); all nodes up to there are settled."""
    n = len(net.boost)
    dist, closed, touched = search.dist, search.closed, search.touched
    keys, nodes, size = np.empty(1024), np.empty(1024, np.int64), 0
    stack, waiting = np.empty(1024, np.int64), 0  # nodes at the current distance: most arcs cost nothing
    seen, ground = 0, np.inf
    for origin in origins:
        dist[origin] = 0.0
        touched[seen] = origin
        seen += 1
        ground = min(ground, _to_ground(origin, True, stage, net))
        if waiting == len(stack):
            stack = np.concatenate((stack, np.empty_like(stack)))
        stack[waiting] = origin
        waiting += 1
    while waiting > 0 or size > 0:
        if waiting > 0:
            waiting -= 1
            node = stack[waiting]
        else:
            if keys[0] > ground:
                break
            node, d = nodes[0], keys[0]
            size = _heap_pop(keys, nodes, size)
            if d > dist[node]:
                continue
        if closed[node]:
            continue
        closed[node] = True
        d = dist[node]
        first, last = _arcs(node, stage, net)
        for at in range(first, last):
            p, following = _arc(node, at, stage, net)
            if p < 0 or closed[following]:
                continue
            step = d + _cost(p, node < n, stage, slack, net)
            if step >= dist[following] or step > ground:
                continue
            if dist[following] == np.inf:
                touched[seen] = following
                seen += 1
            dist[following] = step
            ground = min(ground, step + _to_ground(following, False, stage, net))
            if step == d:
                if waiting == len(stack):
                    stack = np.concatenate((stack, np.empty_like(stack)))
                stack[waiting] = following
                waiting += 1
            else:
                keys, nodes, size = _heap_push(keys, nodes, size, step, following)
    for i in range(seen):
        closed[touched[i]] = False
        search.cursor[touched[i]] = _arcs(touched[i], stage, net)[0]
    return seen, ground


@njit(cache=True, nogil=True)
def _follow(origin, stage, slack, length, net, search):  # type: ignore[no-untyped-def]
    """Change one path of this length from ``origin``, found depth first; False: there is none (left)."""
    n = len(net.boost)
    dist, cursor, closed, path = search.dist, search.cursor, search.closed, search.path
    if closed[origin] or _to_ground(origin, True, stage, net) == length:  # its price alone returns to 0
        return False
    depth = 0
    path[0] = origin
    closed[origin] = True
    while depth >= 0:
        node = path[depth]
        if depth > 0 and dist[node] + _to_ground(node, False, stage, net) == length:
            for i in range(depth + 1):
                closed[path[i]] = False
            _apply(node, origin, stage, net, search.parent)
            return True
        last = _arcs(node, stage, net)[1]
        deeper = False
        while cursor[node] < last:
            p, following = _arc(node, cursor[node], stage, net)
            if (
                p >= 0
                and not closed[following]
                and dist[following] <= length
                and dist[node] + _cost(p, node < n, stage, slack, net) == dist[following]
            ):
                search.parent[following] = p
                closed[following] = True
                depth += 1
                path[depth] = following
                deeper = True
                break
            cursor[node] += 1
        if not deeper:
            depth -= 1
            if depth >= 0:
                cursor[path[depth]] += 1
    return False


@njit(cache=True, nogil=True)
def _apply(last, origin, stage, net, parent):  # type: ignore[no-untyped-def]
    """Walk the path back from its last node to ``origin``, flipping its pairs.

    Every pair on the path flips: away from an item towards a state and on to another item. Counts change at the
    two ends only.
    """
    n = len(net.boost)
    change = -1 if stage == PUSH else 1
    net.exposure[origin] += change
    if last < n:
        net.exposure[last] -= change
    node = last
    gained, lost, at_state = -1, -1, -1
    if last >= n:
        at_state = last - n
    while node != origin:
        p = parent[node]
        net.chosen[p] = not net.chosen[p]
        if net.chosen[p]:
            gained = p
        else:
            lost = p
        if node < n:  # the pair between an item and the state before it
            at_state = net.row_of[p]
            node = n + at_state
        else:  # the pair between the state and the item before it: the state is settled
            _swap(at_state, lost, gained, net)
            gained, lost = -1, -1
            node = net.item[p]


@njit(cache=True, nogil=True)
def _swap(x, lost, gained, net):  # type: ignore[no-untyped-def]
    """State x gives up pair ``lost`` for pair ``gained`` (−1: none)."""
    at = net.slot_ptr[x] + net.load[x]
    if lost >= 0:
        at = net.slot_ptr[x]
        while net.slot[at] != lost:
            at += 1
        if gained < 0:
            net.load[x] -= 1
            net.slot[at] = net.slot[net.slot_ptr[x] + net.load[x]]
            return
    else:
        net.load[x] += 1
    net.slot[at] = gained


@njit(cache=True, nogil=True)
def _heap_push(keys, nodes, size, key, node):  # type: ignore[no-untyped-def]
    if size == len(keys):
        keys = np.concatenate((keys, np.empty_like(keys)))
        nodes = np.concatenate((nodes, np.empty_like(nodes)))
    i = size
    while i > 0:
        parent = (i - 1) >> 1
        if keys[parent] < key or (keys[parent] == key and nodes[parent] <= node):
            break
        keys[i] = keys[parent]
        nodes[i] = nodes[parent]
        i = parent
    keys[i] = key
    nodes[i] = node
    return keys, nodes, size + 1


@njit(cache=True, nogil=True)
def _heap_pop(keys, nodes, size):  # type: ignore[no-untyped-def]
    """Remove the smallest (key, node); the caller has read keys[0] and nodes[0]."""
    size -= 1
    key, node = keys[size], nodes[size]
    i = 0
    while True:
        child = 2 * i + 1
        if child >= size:
            break
        if child + 1 < size and (
            keys[child + 1] < keys[child] or (keys[child + 1] == keys[child] and nodes[child + 1] < nodes[child])
        ):
            child += 1
        if key < keys[child] or (key == keys[child] and node <= nodes[child]):
            break
        keys[i] = keys[child]
        nodes[i] = nodes[child]
        i = child
    if size > 0:
        keys[i] = key
        nodes[i] = node
    return size
