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

from rim_core.errors import ConstraintError
from rim_core.planning.online import online_match

if TYPE_CHECKING:
    from rim_core.planning.constraints import Constraints
    from rim_core.planning.plan import Plan
    from rim_core.planning.problem import Problem
    from rim_core.scores import Scores

ROOM = 0.97
"""Share of all places that minimum promises with their margins may take."""


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


def with_margin(
    problem: Problem, constraints: Constraints, confidence: float, eligible: np.ndarray
) -> tuple[Constraints, Margin]:
    """Minimum promises raised to L′ with L′ − z √(2 L′) = L, as far as there are places.

    Raises
    ------
    ConstraintError
        ``confidence`` is no probability of at least one half.
    """
    if not 0.5 <= confidence < 1.0:
        raise ConstraintError(f"confidence is a probability from 0.5 on and below 1; got {confidence:g}.")
    promised = problem.promised.minimum
    maximum = np.maximum(np.minimum(problem.promised.maximum, eligible), promised)
    places = int(problem.contacts.capacity.sum()) + len(problem.forced_rows)
    wanted = NormalDist().inv_cdf(confidence)
    low, high = 0.0, wanted
    if raised(promised, maximum, wanted).sum() > ROOM * places:
        for _ in range(40):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if raised(promised, maximum, middle).sum() <= ROOM * places else (low, middle)
        wanted = low
    minimum = raised(promised, maximum, wanted)
    margin = Margin(confidence, NormalDist().cdf(wanted), int((minimum - promised).sum()))
    return replace(constraints, min_exposure=None, min_exposure_count=minimum.astype(float)), margin


def raised(minimum: np.ndarray, maximum: np.ndarray, z: float) -> np.ndarray:
    """The smallest whole L′ with L′ − z √(2 L′) ≥ L, at most U; 0 stays 0."""
    root = z / np.sqrt(2.0) + np.sqrt(z * z / 2.0 + minimum)
    return np.where(minimum > 0, np.minimum(np.ceil(root**2 - 1e-9), maximum), 0).astype(np.int64)


def delivery_intervals(
    plan: Plan, states: int, *, level: float = 0.9, resamples: int = 400, seed: int = 0
) -> pd.DataFrame:
    """What the online rule will deliver to other states of the same kind (Figure S7), with intervals.

    Calibration users are drawn again with all their states. For items with a price the draw counts twice: once for
    the states that arrive, once for those the price was found on.

    Parameters
    ----------
    plan : Plan
    states : int
        How many states will arrive.
    level : float
        Probability that an interval covers.
    resamples : int
        Draws. O(resamples · assigned pairs) time, O(resamples · n) memory.

    Returns
    -------
    DataFrame
        item_id, promised (of those states), expected, low, high.
    """
    given = plan.problem.given
    m, n = given.shape
    delivered = online_match(
        given, plan.item_prices, plan.constraints, seed=plan.seed, cap_prices=plan.user_prices, planned=True
    )
    users = np.arange(m) if given.states is None else pd.factorize(given.states.user)[0]
    count = int(users.max(initial=-1)) + 1
    of_user = sparse.csr_matrix((np.ones(m), (users, np.arange(m))), shape=(count, m))
    by_user = sparse.csr_matrix(of_user @ delivered.matrix)
    sizes = np.bincount(users, minlength=count)
    rng = np.random.default_rng(seed)
    share = states / m
    arriving = _resampled(rng, by_user, sizes, share, resamples)
    priced = plan.item_prices != 0.0
    found_on = _resampled(rng, by_user, sizes, 1.0, resamples)
    mean = delivered.exposure * share
    draws = arriving - np.where(priced, (found_on - delivered.exposure) * share, 0.0)
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
    promised = plan.constraints.bounds(states, n, crossing=True, capacity=np.ones(states, np.int64)).minimum
    return pd.DataFrame(
        {
            "item_id": given.item_ids.astype(str),
            "promised": promised,
            "expected": mean,
            "low": np.maximum(np.floor(low), 0.0),
            "high": np.ceil(high),
        }
    )


def _resampled(
    rng: np.random.Generator, by_user: sparse.csr_matrix, sizes: np.ndarray, share: float, resamples: int
) -> np.ndarray:
    """Deliveries of drawn users, scaled to the share of the states: (resamples, n)."""
    users = len(sizes)
    wanted = max(1, round(users * share))
    weights = rng.multinomial(wanted, np.full(users, 1 / users), size=resamples).astype(float)
    states = weights @ sizes
    drawn = np.asarray((by_user.T @ weights.T).T)
    out: np.ndarray = drawn * (share * sizes.sum() / np.maximum(states, 1.0))[:, None]
    return out


def delivered_shares(plan: Plan, scores: Scores) -> pd.DataFrame:
    """Per item: what other states get by the online rule, against the promise and its interval."""
    frame = delivery_intervals(plan, scores.shape[0])
    frame["delivered"] = plan.assign(scores).exposure
    frame["covered"] = (frame["delivered"] >= frame["low"]) & (frame["delivered"] <= frame["high"])
    return frame
