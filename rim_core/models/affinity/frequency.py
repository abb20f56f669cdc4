"""Frequency: who bought it before will buy it again, the more often and the more recently the surer."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy import sparse

from rim_core.errors import ModelError
from rim_core.models.affinity.histories import (
    decayed_counts,
    entries,
    exposure,
    origin_of,
    shares,
    training_counts,
    values_at,
)
from rim_core.models.base import Model
from rim_core.scores import FactorScores

if TYPE_CHECKING:
    from pathlib import Path

    from rim_core.datasets.split import Split
    from rim_core.datasets.states import UserStates
    from rim_core.models.base import Callback


class Frequency(Model):
    """λ(x, y) = a · f(x, y) + b · F(x) · p(y): decayed counts shrunk to popularity × activity.

    f is the number of the user's events with the item, each halved every ``half_life_days``, divided by the time it
    was gathered in (:func:`exposure`): events per horizon. F is the same for all items together, with one
    pseudo-event; p the item's share of the training events, decayed the same way. a and b ≥ 0 are the Poisson
    regression of what happened in ``split.labelled`` on the two terms, so that a score is a count.

    Parameters
    ----------
    half_life_days : float

    Raises
    ------
    ModelError
        The half-life is not positive.
    """

    unit: ClassVar[str] = "expected interactions in the horizon"

    def __init__(self, half_life_days: float = 120.0) -> None:
        super().__init__()
        if not half_life_days > 0:
            raise ModelError(f"half_life_days of Frequency is {half_life_days}: give a number of days above zero.")
        self.half_life_days = half_life_days
        self._share = np.empty(0)
        self._rates = np.zeros(2)
        self._origin: int | None = None

    def _fit(self, split: Split, callback: Callback, checkpoint: Path | None) -> None:
        self._share = shares(training_counts(split, self.half_life_days))
        self._origin = origin_of(split)
        self._rates = self._regress(split.labelled)
        self.fit_info["training"] = (
            f"Poisson regression on {len(split.labelled):,} labelled user-states: an event a horizon promises "
            f"{self._rates[0]:.3g} of the same item and {self._rates[1]:.3g} spread by popularity"
        )

    def _regress(self, labelled: UserStates) -> np.ndarray:
        """(a, b) ≥ 0 of the largest Poisson likelihood over all pairs; those without a target add only to the total."""
        f, activity = self._terms(labelled)
        rows, columns = entries(labelled.targets)
        if len(rows) == 0:
            return np.zeros(2)
        terms = np.stack([values_at(f, rows, columns), activity[rows] * self._share[columns]])
        totals = np.array([f.sum(), activity.sum() * self._share.sum()])
        return mixture_rates(terms, np.asarray(labelled.targets.data, float), totals)

    def _terms(self, states: UserStates) -> tuple[sparse.csr_matrix, np.ndarray]:
        """f(x, y), sparse (m, n), and F(x), (m,)."""
        per_horizon = 1.0 / exposure(states, self._origin, self.half_life_days)
        f = decayed_counts(states, self.half_life_days)
        activity = (np.asarray(f.sum(axis=1), float).ravel() + 1.0) * per_horizon
        return sparse.csr_matrix(sparse.diags(per_horizon) @ f), activity

    def _score(self, states: UserStates) -> FactorScores:
        f, activity = self._terms(states)
        columns = self._columns(states)
        share = np.where(columns >= 0, self._share[columns], 0.0)
        repeat, new = self._rates
        return FactorScores(
            new * activity[:, None], share[:, None], added=repeat * f, forbidden=states.seen, states=states
        )

    def _weights(self) -> dict[str, np.ndarray]:
        origin = [] if self._origin is None else [self._origin]
        return {"share": self._share, "rates": self._rates, "origin": np.array(origin, np.int64)}

    def _load_weights(self, weights: dict[str, np.ndarray]) -> None:
        self._share, self._rates = weights["share"], weights["rates"]
        self._origin = int(weights["origin"][0]) if len(weights["origin"]) else None


def mixture_rates(terms: np.ndarray, counts: np.ndarray, totals: np.ndarray, rounds: int = 200) -> np.ndarray:
    """argmax over a ≥ 0 of Σ n log(aᵀ terms) − aᵀ totals: the Poisson likelihood of a sum of rates; float64 (T,).

    Parameters
    ----------
    terms : ndarray (T, P), ≥ 0
        Every term at the pairs where something happened.
    counts : ndarray (P,)
        What happened there.
    totals : ndarray (T,)
        Every term summed over all pairs, with or without a target.

    Notes
    -----
    Expectation-maximisation: each event is divided among the terms by their shares in its rate. O(T · P) a round. A
    term that is zero everywhere gets 0; an event that no term explains is left out.
    """
    alive = totals > 0
    explained = terms[alive].max(axis=0, initial=0.0) > 0
    x, n = terms[alive][:, explained], counts[explained]
    rates = np.zeros(len(terms))
    a = np.full(int(alive.sum()), n.sum() / max(totals[alive].sum(), 1e-300))
    for _ in range(rounds):
        parts = a[:, None] * x
        a = (parts / np.maximum(parts.sum(axis=0), 1e-300)) @ n / totals[alive]
    rates[alive] = a
    return rates
