"""Candidate pairs, who may take them, and the best assignment at given prices.

Capacity has two levels: a state takes at most K_x items, and the states of one user together at most C. For given
boosts the best choice is greedy: the TopK⁺ of every state, and of these the TopC of the user.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

NO_CAP = np.iinfo(np.int64).max // 4
"""A user without a cap."""


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
class Contacts:
    """How much the user-states take.

    Attributes
    ----------
    capacity : ndarray of int64 (m,)
        K_x → u_x ≥ 0.
    user : ndarray of int64 (m,)
        Whose state it is, 0 … users − 1; empty where no user has a cap.
    user_cap : ndarray of int64 (users,)
        C → w ≥ 0; empty where no user has a cap.
    """

    capacity: np.ndarray
    user: np.ndarray
    user_cap: np.ndarray

    @classmethod
    def of(cls, capacity: np.ndarray, user: np.ndarray | None = None, cap: np.ndarray | None = None) -> Contacts:
        """Contacts without caps, or with one per user."""
        nobody = np.empty(0, np.int64)
        if user is None or cap is None:
            return cls(capacity.astype(np.int64), nobody, nobody)
        user, cap = user.astype(np.int64), cap.astype(np.int64)
        return cls(np.minimum(capacity, cap[user]).astype(np.int64), user, cap)

    @property
    def capped(self) -> bool:
        """Whether users have a cap."""
        return len(self.user_cap) > 0

    def states_of_users(self) -> tuple[np.ndarray, np.ndarray]:
        """(ptr, states): CSR of the states of every user."""
        ptr = np.concatenate([[0], np.cumsum(np.bincount(self.user, minlength=len(self.user_cap)))]).astype(np.int64)
        return ptr, np.argsort(self.user, kind="stable").astype(np.int64)

    def take(self, rows: np.ndarray) -> Contacts:
        """The same for some states; take all states of a user or none, for her cap stays as it is."""
        if not self.capped:
            return Contacts(self.capacity[rows], self.user, self.user_cap)
        user, position = np.unique(self.user[rows], return_inverse=True)
        return Contacts(self.capacity[rows], position.astype(np.int64), self.user_cap[user])


def top_of_candidates(
    candidates: Candidates, boost: np.ndarray, contacts: Contacts, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The best assignment of the candidates at λ + b, none of it at or below 0.

    Returns
    -------
    chosen : ndarray of bool (P,)
    user_price : ndarray (m,)
        u of every state, the cap of its user included: chosen pairs have λ + b ≥ u, the others ≤ u.
    cap_price : ndarray (users,)
        w.
    """
    order = np.random.default_rng(seed).permutation(len(boost)).astype(np.int64)
    chosen, user_price = _top_of_states(
        candidates.row_ptr, candidates.item, candidates.value, boost, contacts.capacity, order
    )
    cap_price = np.zeros(len(contacts.user_cap))
    if contacts.capped:
        ptr, states = contacts.states_of_users()
        _top_of_users(
            ptr, states, contacts.user_cap, candidates.row_ptr, candidates.item, candidates.value, boost, order,
            chosen, user_price, cap_price,
        )  # fmt: skip
    return chosen, user_price, cap_price


def top_value(candidates: Candidates, boost: np.ndarray, contacts: Contacts) -> tuple[float, np.ndarray]:
    """(Σ of the best λ + b, how often each item is among them) over the candidates."""
    chosen, _, _ = top_of_candidates(candidates, boost, contacts)
    items = candidates.item[chosen]
    value = float((candidates.value[chosen] + boost[items]).sum())
    return value, np.bincount(items, minlength=len(boost))


@njit(cache=True, nogil=True)
def _top_of_states(row_ptr, item, value, boost, capacity, order):  # type: ignore[no-untyped-def]
    """TopK⁺(λ + b) of every state among its candidates, and its price u."""
    m = len(row_ptr) - 1
    chosen = np.zeros(len(item), np.bool_)
    user_price = np.zeros(m)
    for x in range(m):
        first, last = row_ptr[x], row_ptr[x + 1]
        size = last - first
        net = np.empty(size)
        for j in range(size):
            net[j] = value[first + j] + boost[item[first + j]]
        taken = min(capacity[x], size)
        cut = max(-np.partition(-net, taken - 1)[taken - 1], 0.0) if taken > 0 else np.inf
        following, filled = 0.0, 0
        for j in range(size):
            if net[j] > cut:
                chosen[first + j] = True
                filled += 1
            elif net[j] < cut:
                following = max(following, net[j])
        if 0.0 < cut < np.inf:  # equal choices at the cut, in their order
            tied = 0
            for j in range(size):
                tied += net[j] == cut
            positions = np.empty(tied, np.int64)
            ties = np.empty(tied, np.int64)
            k = 0
            for j in range(size):
                if net[j] == cut:
                    positions[k] = first + j
                    ties[k] = order[item[first + j]]
                    k += 1
            ranked = np.argsort(ties)
            for i in range(tied):
                if filled < taken:
                    chosen[positions[ranked[i]]] = True
                    filled += 1
                else:
                    following = cut
        if filled == capacity[x]:
            user_price[x] = max(following, 0.0)
    return chosen, user_price


@njit(cache=True, nogil=True)
def _top_of_users(  # type: ignore[no-untyped-def]
    ptr, states, cap, row_ptr, item, value, boost, order, chosen, user_price, cap_price
):
    """Of what the states of a user chose, her cap keeps the best; prices rise to the best of what is dropped."""
    for g in range(len(cap)):
        count = 0
        for i in range(ptr[g], ptr[g + 1]):
            for p in range(row_ptr[states[i]], row_ptr[states[i] + 1]):
                count += chosen[p]
        if count <= cap[g]:
            continue
        pairs = np.empty(count, np.int64)
        net = np.empty(count)
        tie = np.empty(count)
        k = 0
        for i in range(ptr[g], ptr[g + 1]):
            for p in range(row_ptr[states[i]], row_ptr[states[i] + 1]):
                if chosen[p]:
                    pairs[k] = p
                    net[k] = -(value[p] + boost[item[p]])
                    tie[k] = order[item[p]]
                    k += 1
        by_tie = np.argsort(tie)
        ranked = by_tie[np.argsort(net[by_tie], kind="mergesort")]
        for i in range(cap[g], count):
            chosen[pairs[ranked[i]]] = False
        cap_price[g] = -net[ranked[cap[g]]]
        for i in range(ptr[g], ptr[g + 1]):
            user_price[states[i]] = max(user_price[states[i]], cap_price[g])
