"""The network of :mod:`flow` and the search in it, compiled.

Nodes: items, groups, the ground, users, user-states, in this order. The arc between a node and the one above it is
named by the lower node. On the side of the items it leads up, on the side of the states down; ``flow`` is what it
carries. ``balance`` is what flows into a node and not out again.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit


class Net(NamedTuple):
    """The network and the flow in it; the fields from ``minimum`` on change.

    ``col_pair[col_ptr[y]:col_ptr[y + 1]]`` are the pairs of item y, ``slot[slot_ptr[x]:][:load[x]]`` the assigned
    pairs of state x, ``child[child_ptr[v]:child_ptr[v + 1]]`` what lies below node v.
    """

    items: int
    ground: int
    first_state: int
    row_ptr: np.ndarray
    item: np.ndarray
    value: np.ndarray
    row_of: np.ndarray
    col_ptr: np.ndarray
    col_pair: np.ndarray
    slot_ptr: np.ndarray
    up: np.ndarray
    child_ptr: np.ndarray
    child: np.ndarray
    minimum: np.ndarray
    maximum: np.ndarray
    flow: np.ndarray
    balance: np.ndarray
    potential: np.ndarray
    chosen: np.ndarray
    load: np.ndarray
    slot: np.ndarray


class Search(NamedTuple):
    """Scratch of a search, a number a node."""

    dist: np.ndarray
    via: np.ndarray
    cursor: np.ndarray
    closed: np.ndarray
    touched: np.ndarray
    path: np.ndarray

    @classmethod
    def of(cls, nodes: int) -> Search:
        return cls(
            np.full(nodes, np.inf),
            np.full(nodes, -1, np.int64),
            np.zeros(nodes, np.int64),
            np.zeros(nodes, np.bool_),
            np.empty(nodes, np.int64),
            np.empty(nodes, np.int64),
        )


@njit(cache=True, nogil=True)
def places(row_ptr, chosen, capacity):  # type: ignore[no-untyped-def]
    """(load, slot_ptr, slot) of an assignment."""
    m = len(row_ptr) - 1
    load = np.zeros(m, np.int64)
    slot_ptr = np.zeros(m + 1, np.int64)
    for x in range(m):
        slot_ptr[x + 1] = slot_ptr[x] + min(capacity[x], row_ptr[x + 1] - row_ptr[x])
    slot = np.empty(slot_ptr[m], np.int64)
    for x in range(m):
        for p in range(row_ptr[x], row_ptr[x + 1]):
            if chosen[p]:
                slot[slot_ptr[x] + load[x]] = p
                load[x] += 1
    return load, slot_ptr, slot


@njit(cache=True, nogil=True)
def first_flow(prices, net):  # type: ignore[no-untyped-def]
    """Flow of every arc and what it leaves at the nodes, as complementary slackness with the prices asks."""
    flow, balance = net.flow, net.balance
    for x in range(len(net.load)):
        v = net.first_state + x
        flow[v] = net.load[x]
        balance[net.up[v]] -= net.load[x]
    for v in range(net.ground + 1, net.first_state):  # users: what their states take
        flow[v] = -balance[v]
        balance[net.up[v]] += balance[v]
        balance[v] = 0
    for p in range(len(net.item)):
        if net.chosen[p]:
            balance[net.item[p]] += 1
    for v in range(net.ground):  # items, then groups, inner ones first
        low, high = net.minimum[v], net.maximum[v]
        if prices[v] > 0.0:
            flow[v] = low
        elif prices[v] < 0.0:
            flow[v] = high
        else:
            flow[v] = min(max(balance[v], low), high)
        balance[v] -= flow[v]
        balance[net.up[v]] += flow[v]


@njit(cache=True, nogil=True)
def augment_all(origins, slack, net, search, clash):  # type: ignore[no-untyped-def]
    """Carry surplus along all shortest paths to the nodes that lack it, then move the potentials.

    Returns False where no path is left; ``clash`` then says which nodes were reached.
    """
    seen, length = _distances(origins, slack, net, search)
    if length < np.inf:
        for origin in origins:
            while net.balance[origin] < 0 and _follow(origin, slack, length, net, search):
                pass
    for i in range(seen):
        v = search.touched[i]
        if length == np.inf:
            clash[v] = True
        elif search.dist[v] < length:
            net.potential[v] += length - search.dist[v]
        search.dist[v] = np.inf
        search.closed[v] = False
    return length < np.inf


@njit(cache=True, nogil=True)
def give_up(net, clash, short):  # type: ignore[no-untyped-def]
    """No path leads to these deficits: lower their promises to what is there, inner ones first."""
    for v in range(net.ground):
        if clash[v] and net.balance[v] < 0:
            missing = -net.balance[v]
            net.flow[v] -= missing
            net.minimum[v] = min(net.minimum[v], net.flow[v])
            short[v] += missing
            net.balance[v] = 0
            net.balance[net.up[v]] -= missing
            if net.up[v] != net.ground:
                return


@njit(cache=True, nogil=True)
def _degree(v, net):  # type: ignore[no-untyped-def]
    """Number of arcs that may lead into a node (some of them without room)."""
    if v < net.items:
        return net.col_ptr[v + 1] - net.col_ptr[v] + 1
    if v >= net.first_state:
        x = v - net.first_state
        return net.slot_ptr[x + 1] - net.slot_ptr[x] + 1
    return net.child_ptr[v + 1] - net.child_ptr[v] + 1


@njit(cache=True, nogil=True)
def _arc(v, i, net):  # type: ignore[no-untyped-def]
    """The i-th arc into node v: (node it comes from, its name); (−1, 0) where it has no room.

    Names: pair p is p ≥ 0; the arc above node t is −1 − t.
    """
    if v < net.items:
        first = net.col_ptr[v]
        if i < net.col_ptr[v + 1] - first:
            p = net.col_pair[first + i]
            if net.chosen[p]:
                return -1, np.int64(0)
            return net.first_state + net.row_of[p], p
        if net.flow[v] > net.minimum[v]:
            return net.up[v], -1 - v
        return -1, np.int64(0)
    if v >= net.first_state:
        x = v - net.first_state
        if i < net.slot_ptr[x + 1] - net.slot_ptr[x]:
            if i >= net.load[x]:
                return -1, np.int64(0)
            p = net.slot[net.slot_ptr[x] + i]
            return np.int64(net.item[p]), p
        if net.flow[v] < net.maximum[v]:
            return net.up[v], -1 - v
        return -1, np.int64(0)
    if i == 0:
        if v == net.ground:
            return -1, np.int64(0)
        if v < net.ground:
            room = net.flow[v] > net.minimum[v]
        else:
            room = net.flow[v] < net.maximum[v]
        if room:
            return net.up[v], -1 - v
        return -1, np.int64(0)
    below = net.child[net.child_ptr[v] + i - 1]
    if below < net.ground:
        room = net.flow[below] < net.maximum[below]
    else:
        room = net.flow[below] > net.minimum[below]
    if room:
        return below, -1 - below
    return -1, np.int64(0)


@njit(cache=True, nogil=True)
def _cost(v, before, name, slack, net):  # type: ignore[no-untyped-def]
    """Rounded reduced cost of the arc from ``before`` into v."""
    cost = net.potential[before] - net.potential[v]
    if name >= 0:
        cost += -net.value[name] if v < net.items else net.value[name]
    return np.floor(cost / slack) * slack if cost > 0.0 else 0.0


@njit(cache=True, nogil=True)
def _distances(origins, slack, net, search):  # type: ignore[no-untyped-def]
    """Dijkstra against the arcs, from all origins to the nearest surplus: (nodes touched, its distance)."""
    dist, closed, touched = search.dist, search.closed, search.touched
    keys, nodes, size = np.empty(1024), np.empty(1024, np.int64), 0
    stack, waiting = np.empty(1024, np.int64), 0  # nodes at the current distance: most arcs cost nothing
    seen, nearest = 0, np.inf
    for origin in origins:
        dist[origin] = 0.0
        touched[seen] = origin
        seen += 1
        if waiting == len(stack):
            stack = np.concatenate((stack, np.empty_like(stack)))
        stack[waiting] = origin
        waiting += 1
    while waiting > 0 or size > 0:
        if waiting > 0:
            waiting -= 1
            v = stack[waiting]
        else:
            if keys[0] > nearest:
                break
            v, d = nodes[0], keys[0]
            size = _heap_pop(keys, nodes, size)
            if d > dist[v]:
                continue
        if closed[v]:
            continue
        closed[v] = True
        d = dist[v]
        for i in range(_degree(v, net)):
            before, name = _arc(v, i, net)
            if before < 0 or closed[before]:
                continue
            step = d + _cost(v, before, name, slack, net)
            if step >= dist[before] or step > nearest:
                continue
            if dist[before] == np.inf:
                touched[seen] = before
                seen += 1
            dist[before] = step
            if net.balance[before] > 0:
                nearest = min(nearest, step)
            if step == d:
                if waiting == len(stack):
                    stack = np.concatenate((stack, np.empty_like(stack)))
                stack[waiting] = before
                waiting += 1
            else:
                keys, nodes, size = _heap_push(keys, nodes, size, step, before)
    for i in range(seen):
        closed[touched[i]] = False
        search.cursor[touched[i]] = 0
    return seen, nearest


@njit(cache=True, nogil=True)
def _follow(origin, slack, length, net, search):  # type: ignore[no-untyped-def]
    """Carry one unit to ``origin`` along a path of this length, found depth first; False: there is none (left)."""
    dist, cursor, closed, path = search.dist, search.cursor, search.closed, search.path
    if closed[origin]:
        return False
    depth = 0
    path[0] = origin
    closed[origin] = True
    while depth >= 0:
        v = path[depth]
        if net.balance[v] > 0 and dist[v] == length:
            for i in range(depth + 1):
                closed[path[i]] = False
            _apply(depth, net, search)
            return True
        degree = _degree(v, net)
        deeper = False
        while cursor[v] < degree:
            before, name = _arc(v, cursor[v], net)
            if (
                before >= 0
                and not closed[before]
                and dist[before] <= length
                and dist[v] + _cost(v, before, name, slack, net) == dist[before]
            ):
                depth += 1
                path[depth] = before
                search.via[before] = name
                closed[before] = True
                deeper = True
                break
            cursor[v] += 1
        if not deeper:
            depth -= 1
            if depth >= 0:
                cursor[path[depth]] += 1
    return False


@njit(cache=True, nogil=True)
def _apply(depth, net, search):  # type: ignore[no-untyped-def]
    """One unit more on every arc of the path, from its far end on: a state lets go before it takes."""
    path = search.path
    net.balance[path[depth]] -= 1
    net.balance[path[0]] += 1
    for i in range(depth, 0, -1):
        before, v, name = path[i], path[i - 1], search.via[path[i]]
        if name < 0:
            below = -1 - name
            net.flow[below] += 1 if (below == v) == (below > net.ground) else -1
        elif v < net.items:  # the state before takes this item
            x = before - net.first_state
            net.chosen[name] = True
            net.slot[net.slot_ptr[x] + net.load[x]] = name
            net.load[x] += 1
        else:  # the state lets go of the item before
            x = v - net.first_state
            net.chosen[name] = False
            at = net.slot_ptr[x]
            while net.slot[at] != name:
                at += 1
            net.load[x] -= 1
            net.slot[at] = net.slot[net.slot_ptr[x] + net.load[x]]


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
