"""What a planner returns: item prices, an assignment of the planned states, and a certificate of both."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rim_core.errors import ScoreError
from rim_core.planning.online import online_match

if TYPE_CHECKING:
    from rim_core.assignment import Assignment
    from rim_core.planning.constraints import Bounds, Constraints
    from rim_core.scores import Scores


@dataclass(frozen=True)
class Certificate:
    """How good a plan provably is, on the states it was made for.

    Attributes
    ----------
    objective : float
        Σ λπ of the assignment: expected interactions.
    upper_bound : float
        D(b) = Σₓ TopK⁺(λₓ + b) − Σ L·b⁺ + Σ U·b⁻ with b = −v: no assignment that keeps the promises has more.
        D(0), what capacity alone allows, where no assignment keeps them.
    gap : float or None
        (upper_bound − objective) / upper_bound; None while a promise is unmet.
    max_shortfall, max_excess : int
        User-states that the worst item lacks to its minimum, or has above its maximum.
    feasible : bool
        Every promise is kept.
    """

    objective: float
    upper_bound: float
    gap: float | None
    max_shortfall: int
    max_excess: int
    feasible: bool


@dataclass(frozen=True, eq=False)
class Plan:
    """Prices and what they lead to.

    Attributes
    ----------
    constraints : Constraints
    item_prices : ndarray of float64 (n,)
        v, in expected interactions per exposure: negative where a minimum binds (−v is the boost the item
        needs), positive where a maximum does.
    assignment : Assignment
        Offline: on the planned states, every promise kept where that is possible.
    certificate : Certificate
    problems : tuple of str
        Promises that cannot be kept, each with the way out; empty for a feasible plan.
    seed : int
        Order of equal choices.
    """

    constraints: Constraints
    item_prices: np.ndarray
    assignment: Assignment
    certificate: Certificate
    problems: tuple[str, ...] = ()
    seed: int = 0
    bounds: Bounds = field(kw_only=True, repr=False)

    def assign(self, scores: Scores) -> Assignment:
        """Decide for other user-states by the online rule TopK⁺(λ − v), one state at a time.

        Parameters
        ----------
        scores : Scores (m′, n)
            Any states over the same items.

        Raises
        ------
        ScoreError
            Other items than planned.
        """
        if not scores.item_ids.equals(self.assignment.items):
            raise ScoreError("These scores are about other items than the plan: score the same split's items.")
        return online_match(scores, self.item_prices, self.constraints, seed=self.seed)

    @cached_property
    def promises(self) -> pd.DataFrame:
        """item_id, minimum, maximum, delivered (user-states), price (v): a row an item."""
        return pd.DataFrame(
            {
                "item_id": self.assignment.items.astype(str),
                "minimum": self.bounds.minimum,
                "maximum": self.bounds.maximum,
                "delivered": self.assignment.exposure,
                "price": self.item_prices,
            }
        )


def certify(assignment: Assignment, bounds: Bounds, upper_bound: float) -> Certificate:
    """Compare an assignment with its promises and with a bound on every assignment that keeps them."""
    exposure = assignment.exposure
    shortfall = int(np.maximum(bounds.minimum - exposure, 0).max(initial=0))
    excess = int(np.maximum(exposure - bounds.maximum, 0).max(initial=0))
    feasible = shortfall == 0 and excess == 0
    objective = assignment.objective
    gap = (upper_bound - objective) / upper_bound if upper_bound > 0 else 0.0
    return Certificate(objective, upper_bound, max(gap, 0.0) if feasible else None, shortfall, excess, feasible)
