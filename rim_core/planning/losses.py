"""Who pays for the promises: a plan against the one without them, on the same user-states."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from rim_core.planning.dual import DualPlanner
from rim_core.progress import silent

if TYPE_CHECKING:
    from rim_core.assignment import Assignment
    from rim_core.planning.constraints import Constraints
    from rim_core.planning.plan import Plan
    from rim_core.progress import Callback
    from rim_core.scores import Scores

EDGES = (0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Between them user-states are counted by the share of their expected interactions that they give up."""


@dataclass(frozen=True, eq=False)
class Baseline:
    """What everybody would get without promises.

    Attributes
    ----------
    objective : float
        Σ λπ.
    exposure : ndarray of int64 (n,)
        User-states of every item.
    value : ndarray of float64 (m,)
        Σ λ of every user-state.
    """

    objective: float
    exposure: np.ndarray
    value: np.ndarray

    @staticmethod
    def of(plan: Plan) -> Baseline:
        """The figures of a plan without promises (:func:`without_promises`)."""
        return Baseline(plan.certificate.objective, plan.assignment.exposure, value_of_states(plan.assignment))


@dataclass(frozen=True, eq=False)
class Losses:
    """How what the promises cost falls on the user-states.

    Attributes
    ----------
    cost : float
        Share of the expected interactions that the promises cost.
    states : ndarray of int64
        How many user-states give up a share between the :data:`EDGES`.
    worse : float
        Share of the user-states that give up more than one part in two hundred.
    worst_tenth : float
        Share of all that is given up which falls on the tenth of the user-states that give up most.
    """

    cost: float
    states: np.ndarray
    worse: float
    worst_tenth: float


def unpromised(constraints: Constraints) -> Constraints:
    """The same rules (capacity, caps, pairs, dates, values, budgets) without any promise to items or groups."""
    return replace(
        constraints, min_exposure=None, max_exposure=None, min_exposure_count=None, max_exposure_count=None,
        groups=(), min_total=None,
    )  # fmt: skip


def without_promises(scores: Scores, constraints: Constraints, *, seed: int = 0, callback: Callback = silent) -> Plan:
    """The plan that the same rules would give if nothing were promised to any item or group.

    Parameters
    ----------
    scores : Scores (m, n)
        Of the user-states that were planned.

    Raises
    ------
    ConstraintError
        The rules do not fit these states and items.
    """
    return DualPlanner(unpromised(constraints), seed=seed).fit(scores, callback=callback)


def value_of_states(assignment: Assignment) -> np.ndarray:
    """Σ λ of what every user-state gets, float64 (m,)."""
    m = assignment.matrix.shape[0]
    return np.bincount(np.repeat(np.arange(m), assignment.load), weights=assignment.pair_scores, minlength=m)


def who_loses(value: np.ndarray, objective: float, free: Baseline) -> Losses:
    """Compare a plan with the baseline.

    Parameters
    ----------
    value : ndarray of float64 (m,)
        Σ λ of what the plan gives to every user-state.
    objective : float
        Σ λπ of the plan.
    free : Baseline
        On the same user-states.
    """
    lost = np.maximum(free.value - value, 0.0)
    share = np.divide(lost, free.value, out=np.zeros_like(lost), where=free.value > 0)
    states, _ = np.histogram(share, bins=[-1.0, *EDGES[1:-1], 1.0 + 1e-9])
    worst = np.sort(lost)[::-1][: max(1, len(lost) // 10)].sum()
    return Losses(
        cost=max(0.0, 1 - objective / free.objective) if free.objective > 0 else 0.0,
        states=states,
        worse=float((share > EDGES[1]).mean()) if len(share) else 0.0,
        worst_tenth=float(worst / lost.sum()) if lost.sum() > 0 else 0.0,
    )
