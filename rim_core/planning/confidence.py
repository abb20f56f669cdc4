"""How sure a promise is where states arrive one at a time: intervals, and margins that keep it.

Prices come from calibration states; the states that arrive are others of the same kind. What an item gets of them
varies for two reasons of the same size: which states arrive, and which the prices were found on. One item's count has
noise of about √(2 L), so a promise of 9 is met half of the time and means 9 ± 4.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.special import ndtr

from rim_core.errors import ConstraintError
from rim_core.planning.feasibility import countable
from rim_core.planning.groups import is_amount
from rim_core.planning.online import online_match

if TYPE_CHECKING:
    from rim_core.assignment import Assignment
    from rim_core.planning.constraints import Constraints
    from rim_core.planning.passes import Survey
    from rim_core.planning.plan import Plan
    from rim_core.planning.problem import Problem
    from rim_core.scores import Scores

LEVEL = 0.9
"""Of the intervals."""
ROOM = 0.97
"""Share of all places that minimum promises with their margins may take."""
HALVINGS = 20
"""How closely the margin that there is room for is found."""


@dataclass(frozen=True)
class Margin:
    """What planning with a margin asks for.

    Attributes
    ----------
    asked : float
        Probability with which a minimum should be kept.
    reached : float
        The same, for the margin that there is room for.
    added : int
        User-states added to all minimum promises together.
    cost : float
        Share of the objective that the margin costs.
    """

    asked: float
    reached: float
    added: int
    cost: float = 0.0


def check_confidence(confidence: float) -> None:
    """Raise :class:`~rim_core.errors.ConstraintError` where it is no probability of at least one half."""
    if not is_amount(confidence) or not 0.5 <= confidence < 1.0:
        raise ConstraintError(f"confidence is a probability from 0.5 on and below 1; got {confidence!r}.")


def with_margin(
    problem: Problem, constraints: Constraints, confidence: float, survey: Survey, part: float = 1.0
) -> tuple[Constraints, Margin]:
    """Minimum promises raised to L′ with L′ − z √(2 L′) = L, as far as there is room beside everything else.

    Parameters
    ----------
    problem : Problem
        As promised.
    constraints : Constraints
    confidence : float
    survey : Survey
        Of the problem's scores.
    part : float
        Of that room, in z.
    """
    promised, forced = problem.promised.minimum, np.bincount(problem.forced_columns, minlength=len(problem.minimum))
    maximum = np.maximum(np.minimum(problem.promised.maximum, survey.eligible + forced), promised)

    def fits(z: float) -> bool:
        return countable(problem, np.maximum(raised(promised, maximum, z) - forced, 0), survey, ROOM)

    wanted = NormalDist().inv_cdf(confidence)
    low, high = 0.0, wanted
    if not fits(wanted):
        for _ in range(HALVINGS):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if fits(middle) else (low, middle)
        wanted = low
    minimum = raised(promised, maximum, part * wanted)
    margin = Margin(confidence, NormalDist().cdf(part * wanted), int((minimum - promised).sum()))
    return replace(constraints, min_exposure=None, min_exposure_count=minimum.astype(float)), margin


def raised(minimum: np.ndarray, maximum: np.ndarray, z: float) -> np.ndarray:
    """The smallest whole L′ with L′ − z √(2 L′) ≥ L, at most U; 0 stays 0."""
    root = z / np.sqrt(2.0) + np.sqrt(z * z / 2.0 + minimum)
    return np.where(minimum > 0, np.minimum(np.ceil(root**2 - 1e-9), maximum), 0).astype(np.int64)


def delivery_intervals(plan: Plan, states: int, *, level: float = LEVEL) -> pd.DataFrame:
    """What the online rule will deliver to other states of the same kind (Figure S7), with intervals.

    The prices meet the calibration states once more by the online rule. What they deliver is drawn anew as their users
    are (the bootstrap over users, in closed form). For items with a price the draw counts twice: once for the states
    that arrive, once for those the price was found on.

    Parameters
    ----------
    plan : Plan
    states : int
        How many states will arrive.
    level : float
        Probability that an interval covers.

    Returns
    -------
    DataFrame
        item_id, promised (of those states), expected, low, high, chance (that the promise is reached). One pass over
        the scores, then O(assigned pairs).
    """
    if states < 0 or not 0.0 < level < 1.0:
        raise ConstraintError(f"Intervals are for 0 states or more, at a level between 0 and 1; got {states}, {level}.")
    given = plan.problem.given
    delivered = online_match(
        given, plan.item_prices, plan.constraints, seed=plan.seed, cap_prices=plan.user_prices, planned=True
    )
    return expected_deliveries(delivered, plan.item_prices, plan.constraints, states, level=level)


def expected_deliveries(
    delivered: Assignment, item_prices: np.ndarray, constraints: Constraints, states: int, *, level: float = LEVEL
) -> pd.DataFrame:
    """The same from what the online rule delivers to the calibration states (see :func:`delivery_intervals`)."""
    m, n = delivered.matrix.shape
    share = states / max(m, 1)
    once = user_variance(delivered.matrix, None if delivered.states is None else delivered.states.user)
    deviation = np.sqrt(once * (share + np.where(item_prices != 0.0, share**2, 0.0)))
    expected = delivered.exposure * share
    promised = constraints.bounds(states, n, crossing=True, capacity=np.ones(states, np.int64)).minimum
    low, high = interval(expected, deviation, level)
    return pd.DataFrame(
        {
            "item_id": delivered.items.astype(str),
            "promised": promised,
            "expected": expected,
            "low": np.floor(low),
            "high": np.minimum(np.ceil(high), states),
            "chance": chance(expected, deviation, promised),
        }
    )


def user_variance(matrix: sparse.csr_matrix, user: np.ndarray | None = None) -> np.ndarray:
    """Variance of every item's delivery when as many users are drawn anew with all their states (n,).

    With c_uy deliveries to user u, who has s_u of the m states, and C_y = Σ_u c_uy: Σ_u (c_uy − C_y s_u / m)². That is
    the bootstrap over users in closed form, for deliveries per state; with one state a user it is Σ c² − C² / U.

    Parameters
    ----------
    matrix : csr_matrix (m, n)
        0/1 over user-states.
    user : ndarray of int (m,), optional
        Whose state a row is; without it each is another user's.
    """
    m = matrix.shape[0]
    row = np.arange(m) if user is None else np.unique(user, return_inverse=True)[1]
    fold = sparse.csr_matrix((np.ones(m), (row, np.arange(m))), shape=(int(row.max(initial=-1)) + 1, m))
    by_user = sparse.csr_matrix(fold @ matrix)
    sizes = np.bincount(row)
    total = np.asarray(by_user.sum(axis=0), float).ravel()
    squares = np.asarray(by_user.multiply(by_user).sum(axis=0), float).ravel()
    share = total / max(m, 1)
    found: np.ndarray = squares - 2 * share * (by_user.T @ sizes) + share**2 * float(sizes @ sizes)
    return found.clip(min=0.0)


def interval(expected: np.ndarray, deviation: np.ndarray, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """Bounds between which a delivery stays with probability ``level``. (n,) each.

    The lower one is not below 0; the upper one not below what a delivery to nobody still allows (the rule of three).
    """
    tail = 0.5 - level / 2
    z = NormalDist().inv_cdf(1 - tail)
    return np.maximum(expected - z * deviation, 0.0), np.maximum(expected + z * deviation, -np.log(tail))


def chance(expected: np.ndarray, deviation: np.ndarray, minimum: np.ndarray) -> np.ndarray:
    """Probability that a delivery reaches its minimum (n,); 1 where nothing is promised.

    Normal with the correction for whole numbers; a delivery that never varies reaches it or not.
    """
    above = np.asarray(expected, float) - minimum + 0.5
    with np.errstate(divide="ignore", invalid="ignore"):
        found = ndtr(above / deviation)
    sure = (above > 0).astype(float)
    return np.where(np.asarray(minimum) <= 0, 1.0, np.where(np.asarray(deviation) > 0, found, sure))


def delivered_shares(plan: Plan, scores: Scores) -> pd.DataFrame:
    """Per item: what other states get by the online rule, against the promise and its interval."""
    frame = delivery_intervals(plan, scores.shape[0])
    frame["delivered"] = plan.assign(scores).exposure
    frame["covered"] = (frame["delivered"] >= frame["low"]) & (frame["delivered"] <= frame["high"])
    return frame
