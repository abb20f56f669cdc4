"""Why: what a promise costs, who gave way to it, and why a user-state is shown what it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rim_core.errors import ScoreError
from rim_core.evaluation.ranking import item_rec
from rim_core.planning.groups import columns_of
from rim_core.planning.hessian import Hessian
from rim_core.planning.newton import Level
from rim_core.planning.passes import draw
from rim_core.planning.smoothing import Bounded, SmoothedDual

if TYPE_CHECKING:
    from rim_core.planning.plan import Plan

PAIRS, EPSILON = 4_000_000, 0.02


@dataclass(frozen=True, eq=False)
class ItemStory:
    """Why an item costs what it costs.

    Attributes
    ----------
    item_id : str
    delivered, minimum, maximum : int
    price : float
        −v: objective that one further exposure costs (negative: earns).
    sentence : str
    gave_way : DataFrame
        item_id, exposures lost for every exposure this item gains (others in this plan, at the margin): largest first.
    against_free : DataFrame
        item_id, change: exposures in the plan less those of the best assignment without promises, largest loss first.
    """

    item_id: str
    delivered: int
    minimum: int
    maximum: int
    price: float
    sentence: str
    gave_way: pd.DataFrame
    against_free: pd.DataFrame


def explain_item(plan: Plan, item: str | int, *, top: int = 10) -> ItemStory:
    """What one item's promise costs, and at whose expense.

    Parameters
    ----------
    item : str or int
        Id or column.

    Raises
    ------
    ScoreError
        No such item.
    """
    y = _column(plan, item)
    price = -float(plan.item_prices[y])
    ids = plan.assignment.items.astype(str)
    cost = 1000 * price
    if price > 0:
        sentence = f"Each further 1,000 exposures of {ids[y]} cost {cost:,.4g} of the objective."
    elif price < 0:
        sentence = (
            f"Its limit holds {ids[y]} back: each further 1,000 exposures would add {-cost:,.4g} to the objective."
        )
    else:
        sentence = f"No promise binds {ids[y]}: it gets what its scores earn it."
    displaced = _displaced(plan, y)
    order = np.argsort(displaced, kind="stable")[:top]
    order = order[displaced[order] < -1e-6]
    free = item_rec(plan.problem.scores, k=max(1, int(plan.bounds.capacity.max(initial=1)))).exposure
    change = plan.assignment.exposure - free
    losers = np.argsort(change, kind="stable")[:top]
    losers = losers[change[losers] < 0]
    return ItemStory(
        ids[y],
        int(plan.assignment.exposure[y]),
        int(plan.bounds.minimum[y]),
        int(plan.bounds.maximum[y]),
        price,
        sentence,
        pd.DataFrame({"item_id": ids[order], "lost": -displaced[order]}),
        pd.DataFrame({"item_id": ids[losers], "change": change[losers]}),
    )


def _displaced(plan: Plan, y: int) -> np.ndarray:
    """∂ exposure of all items for one more of item y at the margin, (n,): a column of the Hessian, scaled."""
    problem = plan.problem
    level = Level.sample(
        problem.scores, problem.contacts, Bounded.of(problem.lower, problem.upper, problem.weights), PAIRS, plan.seed
    )
    boost = -plan.item_prices
    size = np.abs(boost[boost != 0.0])
    drawn = draw(level.scores, boost, 0.0, level.contacts.capacity)
    typical = float(np.median(size)) if len(size) else float(np.mean(drawn.threshold))
    epsilon = EPSILON * typical if typical > 0 else 1e-12
    drawn = draw(
        level.scores, boost, 12 * epsilon, level.contacts.capacity,
        guess=drawn.threshold, leave_sure=not level.contacts.capped,
    )  # fmt: skip
    dual = SmoothedDual(drawn, level.contacts, level.bounded, epsilon)
    point = dual.at(plan.prices, drawn.threshold)
    unit = np.zeros(len(plan.prices))
    unit[y] = 1.0
    n = len(boost)
    column: np.ndarray = (Hessian(dual, point) @ unit)[:n]
    return column / column[y] if column[y] > 0 else np.zeros(n)


def explain_state(plan: Plan, state: int) -> pd.DataFrame:
    """Why a user-state is shown what it is shown, best first.

    Returns
    -------
    DataFrame
        item_id, score (λ, or its value), boost (−v), total, rank by score alone, rank by total, assigned, reason. All
        assigned items, and the ones that stood next in either order.
    """
    problem = plan.problem
    if not 0 <= state < problem.scores.shape[0]:
        raise ScoreError(f"There is no user-state {state}: there are {problem.scores.shape[0]}.")
    z = problem.scores.take(np.array([state])).block(0, 1)[0].astype(float)
    boost = -plan.item_prices
    row = plan.assignment.matrix[state].indices
    forced = problem.forced_columns[problem.forced_rows == state]
    total = z + boost
    by_score = np.argsort(np.argsort(-z, kind="stable"), kind="stable") + 1
    by_total = np.argsort(np.argsort(-total, kind="stable"), kind="stable") + 1
    k = int(plan.bounds.capacity[state])
    shown = np.unique(np.concatenate([row, np.flatnonzero((by_total <= k + 2) | (by_score <= k + 2))]))
    shown = shown[(z[shown] > -np.inf) | np.isin(shown, forced)]
    assigned = np.isin(shown, row)
    reasons = []
    for y, taken in zip(shown, assigned, strict=True):
        if y in forced:
            reasons.append("forced")
        elif taken and by_score[y] <= k:
            reasons.append("among the best by score")
        elif taken:
            reasons.append(f"lifted by {boost[y]:.4g} for its promise")
        elif by_score[y] <= k:
            reasons.append("gave way" if boost[y] >= 0 else f"held back by its limit at {-boost[y]:.4g}")
        else:
            reasons.append("not among the best")
    frame = pd.DataFrame(
        {
            "item_id": plan.assignment.items.astype(str)[shown],
            "score": z[shown],
            "boost": boost[shown],
            "total": total[shown],
            "rank_by_score": by_score[shown],
            "rank_by_total": by_total[shown],
            "assigned": assigned,
            "reason": reasons,
        }
    )
    return frame.sort_values(["assigned", "total"], ascending=False, kind="stable", ignore_index=True)


def _column(plan: Plan, item: str | int) -> int:
    problems: list[str] = []
    found = columns_of([item], plan.assignment.items, "this plan", problems)
    if problems:
        raise ScoreError(problems[0])
    return int(found[0])
