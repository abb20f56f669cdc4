"""Exact repair: shortest augmenting paths from a dual solution to an assignment that keeps every promise.

The assignment is a flow: ground → (users) → user-states → items → (groups of items) → ground. A state's arc carries
its load (at most K), a user's arc the loads of her states (at most C), an item's arc its exposure (between L and U)
and a group's arc the exposures of what lies in it. Groups may lie in groups, so both sides are trees. Every node has
a potential φ: b summed up to the ground for items and groups, u for states, w for users. An arc of the trees from
node to node has the reduced cost φ_tail − φ_head, a pair φ_x − φ_y − λ.

For any prices there is a flow that satisfies complementary slackness but leaves some nodes with too little and others
with too much (items short of their minimum, items delivered beyond what their price says). Shortest residual paths
carry the surplus to the deficits, and potentials move with the path lengths, so complementary slackness holds
throughout (successive shortest paths; Ahuja, Magnanti & Orlin 1993, sec. 9.7–9.8). When no imbalance is left the
assignment is an optimum of eq. 9 over the candidate pairs, integral, with matching prices. Where no path is left the
promises cannot be kept, and the nodes that were reached are those that clash.

All surpluses search together, and potentials move by the whole distances: then every deficit has a path that costs
nothing, and all of them are followed at once. Near-equal choices, of which real scores have many, cost no search.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rim_core.planning.candidates import NO_CAP, Candidates, Contacts, top_of_candidates
from rim_core.planning.flow_search import Net, Search, augment_all, first_flow, give_up, places

if TYPE_CHECKING:
    from collections.abc import Callable

EXACT = 1e-12
"""Differences below this share of the largest value are rounding errors."""
TINY = 1e-200
HOPS = 20
"""Arcs of a path whose costs are rounded down, about."""


@dataclass(frozen=True, eq=False)
class Tree:
    """Exposures that are promised: of n items and of g groups in which they lie.

    Attributes
    ----------
    minimum, maximum : ndarray of int64 (n + g,)
        L and U.
    up : ndarray of int64 (n + g,)
        The smallest group that an item (or group) lies in, n … n + g − 1; −1 where there is none. Inner groups come
        before those around them.
    items : int
        n.
    """

    minimum: np.ndarray
    maximum: np.ndarray
    up: np.ndarray
    items: int

    @classmethod
    def of(cls, minimum: np.ndarray, maximum: np.ndarray) -> Tree:
        """Items alone."""
        return cls(
            minimum.astype(np.int64), maximum.astype(np.int64), np.full(len(minimum), -1, np.int64), len(minimum)
        )

    def beside(self, sure: np.ndarray) -> Tree:
        """What is left where so much is delivered anyway; a minimum may be below 0 then."""
        limited = self.maximum < NO_CAP
        return Tree(self.minimum - sure, np.where(limited, self.maximum - sure, self.maximum), self.up, self.items)

    def from_ground(self, prices: np.ndarray) -> np.ndarray:
        """Potential of every node: its own price and those of the groups around it, (n + g,)."""
        total, at = prices.astype(float).copy(), self.up.copy()
        while (at >= 0).any():
            inside = at >= 0
            total[inside] += prices[at[inside]]
            at[inside] = self.up[at[inside]]
        return total

    def lacking_share(self, short: np.ndarray) -> np.ndarray:
        """What an item would have to deliver were the minimums that are short shared equally, its own or a group's.

        ``short`` and what it returns are as promised exposures: (n + g,), (n,); 0 for items of no short promise.
        """
        nodes, share = len(self.up), np.zeros(self.items)
        size, at = np.zeros(nodes), np.arange(self.items)
        while len(at):
            size += np.bincount(at, minlength=nodes)
            at = self.up[at]
            at = at[at >= 0]
        part = np.where(short > 0, self.minimum / np.maximum(size, 1.0), 0.0)
        at, inside = np.arange(self.items), np.full(self.items, True)
        while inside.any():
            share[inside] = np.maximum(share[inside], part[at[inside]])
            at[inside] = self.up[at[inside]]
            inside = at >= 0
        return share


@dataclass(frozen=True, eq=False)
class FlowResult:
    """What the repair found.

    Attributes
    ----------
    chosen : ndarray of bool (P,)
        Assigned pairs.
    prices : ndarray of float64 (n + g,)
        b of items and groups: positive where a minimum binds, negative where a maximum does.
    user_price, cap_price : ndarray of float64 (m,), (users,)
        u and w that satisfy complementary slackness with ``chosen`` and the prices.
    short : ndarray of int64 (n + g,)
        What no path could provide.
    clash : ndarray of bool (n + g,)
        Promises that take part in what cannot be kept.
    clash_states : ndarray of bool (m,)
        States for which they contend.
    """

    chosen: np.ndarray
    prices: np.ndarray
    user_price: np.ndarray
    cap_price: np.ndarray
    short: np.ndarray
    clash: np.ndarray
    clash_states: np.ndarray


def exact_repair(
    candidates: Candidates,
    prices: np.ndarray,
    contacts: Contacts,
    tree: Tree,
    *,
    seed: int = 0,
    slack: float = 0.0,
    allowance: float = 0.0,
    callback: Callable[[int], None] | None = None,
) -> FlowResult:
    """Assignment and prices that are optimal over the candidates, starting from prices b.

    Parameters
    ----------
    candidates : Candidates
    prices : ndarray (n + g,)
        Starting b of items and groups; the closer to optimal, the fewer paths.
    contacts : Contacts
    tree : Tree
    seed : int
        Order in which equal choices are taken.
    slack : float
        Costs on a path are rounded down to multiples of it. Complementary slackness then holds to within ``slack``
        a pair, and near-equal choices need not be told apart. 0 is exact (to rounding errors).
    allowance : float
        What all paths together may lose of the objective: the fewer exposures are missing, the coarser the slack.
    callback : callable, optional
        Gets the exposures still missing before every search; may raise.

    Returns
    -------
    FlowResult
        Cost: a search over the pairs, O(P log m), until every deficit found a path of its own; few where the prices
        are near their optimum.
    """
    nodes = len(tree.up)
    items = tree.items
    prices = _signed(prices, tree)
    heights = tree.from_ground(prices)
    chosen, user_price, cap_price = top_of_candidates(candidates, heights[:items], contacts, seed)
    net = _net(candidates, contacts, tree, items, chosen, heights, user_price, cap_price)
    first_flow(prices, net)
    search = Search.of(len(net.flow))
    slack = max(slack, EXACT * max(float(candidates.value.max(initial=0.0)), TINY))
    turns = np.argsort(np.random.default_rng(seed).permutation(items))
    turns = np.concatenate([turns, np.arange(items, len(net.flow))]).astype(np.int64)
    short = np.zeros(nodes, np.int64)
    clash = np.zeros(len(net.flow), np.bool_)
    while True:
        origins = turns[net.balance[turns] < 0]
        if not len(origins):
            break
        missing = int(-net.balance[origins].sum())
        if callback is not None:
            callback(missing)
        slack = max(slack, allowance / (HOPS * missing))
        if not augment_all(origins, slack, net, search, clash):
            give_up(net, clash, short)
    potential = net.potential - net.potential[nodes]
    up = np.where(tree.up >= 0, tree.up, nodes)
    first_state = nodes + 1 + len(contacts.user_cap)
    return FlowResult(
        chosen=net.chosen,
        prices=potential[:nodes] - potential[up],
        user_price=potential[first_state:],
        cap_price=potential[nodes + 1 : first_state],
        short=short,
        clash=clash[:nodes] & (tree.minimum > 0),
        clash_states=clash[first_state:],
    )


def _signed(prices: np.ndarray, tree: Tree) -> np.ndarray:
    """No price where nothing is limited."""
    return np.where(tree.maximum < NO_CAP, prices, np.maximum(prices, 0.0))


def _net(
    candidates: Candidates,
    contacts: Contacts,
    tree: Tree,
    items: int,
    chosen: np.ndarray,
    heights: np.ndarray,
    user_price: np.ndarray,
    cap_price: np.ndarray,
) -> Net:
    nodes, users, m = len(tree.up), len(contacts.user_cap), candidates.states
    up = np.concatenate(
        [
            np.where(tree.up >= 0, tree.up, nodes),
            [-1],
            np.full(users, nodes),
            nodes + 1 + contacts.user if users else np.full(m, nodes),
        ]
    ).astype(np.int64)
    child = np.argsort(up, kind="stable")[1:].astype(np.int64)  # the ground itself comes first
    child_ptr = np.searchsorted(up[child], np.arange(len(up) + 1)).astype(np.int64)
    load, slot_ptr, slot = places(candidates.row_ptr, chosen, contacts.capacity)
    zeros = np.zeros(1 + users, np.int64)
    return Net(
        items,
        nodes,
        nodes + 1 + users,
        candidates.row_ptr,
        candidates.item,
        candidates.value,
        candidates.rows(),
        np.concatenate([[0], np.cumsum(np.bincount(candidates.item, minlength=items))]).astype(np.int64),
        np.argsort(candidates.item, kind="stable"),
        slot_ptr,
        up,
        child_ptr,
        child,
        np.concatenate([tree.minimum, zeros, np.zeros(m, np.int64)]),
        np.concatenate([tree.maximum, [0], contacts.user_cap, contacts.capacity]).astype(np.int64),
        np.zeros(len(up), np.int64),
        np.zeros(len(up), np.int64),
        np.concatenate([heights, [0.0], cap_price, user_price]),
        chosen,
        load,
        slot,
    )
