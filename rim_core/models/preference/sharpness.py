"""How sure a preference may be: powers of its probabilities that fit what held-out users did in their horizons."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize

if TYPE_CHECKING:
    from rim_core.datasets.split import Split
    from rim_core.datasets.states import UserStates

ENTRIES = 8_000_000
"""Log-probabilities held at once: 64 MB for each model."""
LEAST_EVENTS = 50
LOWEST, HIGHEST = 0.0, 2.0


@dataclass(frozen=True, eq=False)
class Logits:
    """log p(y|x) = h wᵀ + b up to a constant of the row.

    Attributes
    ----------
    h : ndarray (m, d), w : ndarray (n, d), b : ndarray (n,)
    """

    h: np.ndarray
    w: np.ndarray
    b: np.ndarray

    def scaled(self, power: float) -> Logits:
        """Those of p to a power."""
        return Logits(self.h * np.float32(power), self.w, self.b * np.float32(power))

    @staticmethod
    def product(parts: list[Logits]) -> Logits:
        """Those of a product of models: what all of them hold likely (Hinton 2002)."""
        h, w = (np.concatenate([getattr(part, name) for part in parts], axis=1) for name in ("h", "w"))
        return Logits(h, w, np.sum([part.b for part in parts], axis=0))


def states_to_fit(split: Split, users: np.ndarray, items: int, seed: int) -> UserStates:
    """Labelled states of some users whose horizon holds something; as many as ENTRIES allow."""
    states = split.labelled
    states = states.take(np.flatnonzero(np.isin(states.user, users)))
    states = states.take(np.flatnonzero(states.target_counts > 0))
    most = max(1, ENTRIES // max(items, 1))
    if len(states) > most:
        states = states.take(np.sort(np.random.default_rng([seed, 11]).choice(len(states), most, replace=False)))
    return states


def fit_powers(parts: list[Logits], states: UserStates, hide_seen: bool) -> np.ndarray:
    """Powers a of each model in p ∝ Π p_k^a_k that maximise the likelihood of the events in the horizons; (K,).

    Convex in a; an equal share each where too little happened to tell. Items seen before do not count where they are
    hidden.
    """
    k = len(parts)
    share = np.full(k, 1.0 / k)
    targets = states.targets.astype(np.float64)
    seen = replace(states, exclude_seen=True).seen if hide_seen else None
    if seen is not None:
        targets = targets - targets.multiply(seen > 0)
    targets = targets.tocoo()
    total = targets.data.sum()
    if total < LEAST_EVENTS:
        return share
    z = np.stack([part.h @ part.w.T + part.b for part in parts])  # (K, m, n)
    hidden = None if seen is None else seen.nonzero()
    count = np.bincount(targets.row, targets.data, minlength=len(states))
    happened = np.array([(targets.data * part[targets.row, targets.col]).sum() for part in z])

    def loss(a: np.ndarray) -> tuple[float, np.ndarray]:
        mixed = np.tensordot(a.astype(np.float32), z, axes=1)
        if hidden is not None:
            mixed[hidden] = -np.inf
        top = mixed.max(axis=1, keepdims=True)
        mixed = np.exp(mixed - top)
        size = mixed.sum(axis=1, keepdims=True)
        value = count @ (np.log(size) + top)[:, 0] - a @ happened
        mixed *= (count[:, None] / size).astype(np.float32)
        slope = np.array([np.vdot(mixed, part) for part in z], float) - happened
        return float(value / total), slope / total

    found = minimize(loss, share, jac=True, bounds=[(LOWEST, HIGHEST)] * k, method="L-BFGS-B")
    powers: np.ndarray = found.x
    return powers
