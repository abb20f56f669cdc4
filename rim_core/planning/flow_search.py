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
    hops: np.ndarray
    via: np.ndarray
    cursor: np.ndarray
    closed: np.ndarray
    touched: np.ndarray
    path: np.ndarray

    @classmethod
    def of(cls, nodes: int) -> Search:
        return cls(
            np.full(nodes, np.inf),
            np.zeros(nodes, np.int64),
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
    """Carry surplus along shortest paths to all the nodes that lack it, then move the potentials.

    One search tells the distance of every node from the nearest surplus. Potentials that move by it make all shortest
    paths cost nothing, whatever their length, so that all deficits are served at once as far as their paths do not
    meet. Returns False where no path is left; ``clash`` then says from where the deficits cannot be reached.
    """
    seen, length = _distances(origins, slack, net, search)
    if length < np.inf:
        for origin in origins:
            if search.dist[origin] <= length:
                while net.balance[origin] < 0 and _follow(origin, slack, net, search):
                    pass
    for i in range(seen):
        v = search.touched[i]
        if search.dist[v] < length < np.inf:
            net.potential[v] += search.dist[v] - length
        search.dist[v] = np.inf
        search.closed[v] = False
    if length == np.inf:
        _reach(origins, net, search, clash)
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
def _out_degree(v, net):  # type: ignore[no-untyped-def]
    """Number of arcs that may lead out of a node (some of them without room)."""
    if v < net.items:
        return net.col_ptr[v + 1] - net.col_ptr[v] + 1
    if v >= net.first_state:
        x = v - net.first_state
        return net.row_ptr[x + 1] - net.row_ptr[x] + 1
    return net.child_ptr[v + 1] - net.child_ptr[v] + 1


@njit(cache=True, nogil=True)
def _out_arc(v, i, net):  # type: ignore[no-untyped-def]
    """The i-th arc out of node v: (node it leads to, its name); (−1, 0) where it has no room."""
    if v < net.items and i < net.col_ptr[v + 1] - net.col_ptr[v]:
        p = net.col_pair[net.col_ptr[v] + i]
        if net.chosen[p]:
            return net.first_state + net.row_of[p], p
        return -1, np.int64(0)
    if v >= net.first_state:
        x = v - net.first_state
        if i < net.row_ptr[x + 1] - net.row_ptr[x]:
            p = net.row_ptr[x] + i
            if net.chosen[p]:
                return -1, np.int64(0)
            return np.int64(net.item[p]), p
    elif v >= net.items and i > 0:
        below = net.child[net.child_ptr[v] + i - 1]
        if below < net.ground:
            room = net.flow[below] > net.minimum[below]
        else:
            room = net.flow[below] < net.maximum[below]
        if room:
            return below, -1 - below
        return -1, np.int64(0)
    if v == net.ground:
        return -1, np.int64(0)
    room = net.flow[v] < net.maximum[v] if v < net.ground else net.flow[v] > net.minimum[v]
    if room:
        return net.up[v], -1 - v
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
    """Dijkstra from all surpluses until all origins are reached: (nodes touched, distance of the furthest origin)."""
    dist, hops, closed, touched = search.dist, search.hops, search.closed, search.touched
    keys, nodes, size = np.empty(1024), np.empty(1024, np.int64), 0
    queue, first, last = np.empty(len(dist), np.int64), 0, 0  # nodes at the current distance: most arcs cost nothing
    seen, left, furthest = 0, len(origins), np.inf
    for v in range(len(dist)):
        if net.balance[v] > 0:
            dist[v], hops[v] = 0.0, 0
            touched[seen] = v
            seen += 1
            queue[last] = v
            last += 1
    while left > 0 and (first < last or size > 0):
        if first < last:
            v = queue[first]
            first += 1
        else:
            v, d = nodes[0], keys[0]
            size = _heap_pop(keys, nodes, size)
            if d > dist[v]:
                continue
        if closed[v]:
            continue
        closed[v] = True
        d = dist[v]
        if net.balance[v] < 0:
            left -= 1
            furthest = d
        for i in range(_out_degree(v, net)):
            after, name = _out_arc(v, i, net)
            if after < 0 or closed[after]:
                continue
            step = d + _cost(after, v, name, slack, net)
            if step >= dist[after]:
                continue
            if dist[after] == np.inf:
                touched[seen] = after
                seen += 1
            dist[after], hops[after] = step, hops[v] + 1
            if step == d:
                queue[last] = after
                last += 1
            else:
                keys, nodes, size = _heap_push(keys, nodes, size, step, after)
    for i in range(seen):
        closed[touched[i]] = False
        search.cursor[touched[i]] = 0
    return seen, furthest


@njit(cache=True, nogil=True)
def _reach(origins, net, search, clash):  # type: ignore[no-untyped-def]
    """Mark all nodes from which some origin can be reached."""
    stack, waiting = search.path, 0
    for origin in origins:
        clash[origin] = True
        stack[waiting] = origin
        waiting += 1
    while waiting > 0:
        waiting -= 1
        v = stack[waiting]
        for i in range(_degree(v, net)):
            before, _ = _arc(v, i, net)
            if before >= 0 and not clash[before]:
                clash[before] = True
                stack[waiting] = before
                waiting += 1


@njit(cache=True, nogil=True)
def _follow(origin, slack, net, search):  # type: ignore[no-untyped-def]
    """Carry one unit to ``origin`` along a shortest path, found depth first; False: there is none (left).

    Of the many paths that cost about nothing those with few arcs lose least to the rounding of costs.
    """
    dist, hops, cursor, closed, path = search.dist, search.hops, search.cursor, search.closed, search.path
    if closed[origin]:
        return False
    depth = 0
    path[0] = origin
    closed[origin] = True
    while depth >= 0:
        v = path[depth]
        if net.balance[v] > 0:
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
                and hops[before] < hops[v]
                and dist[before] + _cost(v, before, name, slack, net) == dist[v]
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
