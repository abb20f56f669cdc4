"""What a planner returns: item prices, an assignment of the planned states, and a certificate of both."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rim_core.errors import ScoreError
from rim_core.planning.confidence import LEVEL, delivery_intervals
from rim_core.planning.explain import ItemStory, explain_item, explain_state
from rim_core.planning.online import online_match
from rim_core.planning.preview import Preview, Previewer
from rim_core.progress import unheeded

if TYPE_CHECKING:
    from rim_core.assignment import Assignment
    from rim_core.planning.confidence import Margin
    from rim_core.planning.constraints import Bounds, Constraints
    from rim_core.planning.passes import Unpromised
    from rim_core.planning.problem import Problem
    from rim_core.progress import Heed
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
        v, in expected interactions (or their value) per exposure: negative where a minimum binds (−v is the boost the
        item needs), positive where a maximum does. Prices of the item's groups and of its costs are part of it.
    assignment : Assignment
        Offline: on the planned states, every promise kept where that is possible.
    certificate : Certificate
    problems : tuple of str
        Promises that cannot be kept, each with the way out; empty for a feasible plan.
    seed : int
        Order of equal choices.
    bounds : Bounds
        Item promises in whole user-states.
    problem : Problem
        The promises on the planned states.
    prices : ndarray of float64 (n + r,)
        Boosts of items, groups and budgets, each by itself.
    cap_prices : ndarray of float64 (users,)
        w of every user with a cap.
    residuals : DataFrame
        name, kind, minimum, maximum, delivered, missed, price, exact: a row a group or budget.
    unpromised : Unpromised
        What these states would take if nothing were promised.
    margin : Margin or None
        What ``fit(confidence=...)`` added to the minimum promises; the certificate is about them then.
    """

    constraints: Constraints
    item_prices: np.ndarray
    assignment: Assignment
    certificate: Certificate
    problems: tuple[str, ...] = ()
    seed: int = 0
    bounds: Bounds = field(kw_only=True, repr=False)
    problem: Problem = field(kw_only=True, repr=False)
    prices: np.ndarray = field(kw_only=True, repr=False)
    cap_prices: np.ndarray = field(kw_only=True, repr=False)
    residuals: pd.DataFrame = field(kw_only=True, repr=False)
    unpromised: Unpromised = field(kw_only=True, repr=False)
    margin: Margin | None = field(default=None, kw_only=True)

    def assign(self, scores: Scores, *, heed: Heed = unheeded) -> Assignment:
        """Decide for other user-states by the online rule TopK⁺(λ − v), one state at a time.

        Parameters
        ----------
        scores : Scores (m′, n)
            Any states over the same items.
        heed : callable
            Asked before every block of states; what it raises ends the work.

        Raises
        ------
        ScoreError
            Other items than planned.
        """
        if not scores.item_ids.equals(self.assignment.items):
            raise ScoreError("These scores are about other items than the plan: score the same split's items.")
        return online_match(
            scores, self.item_prices, self.constraints, seed=self.seed, cap_prices=self.user_prices,
            planned=scores is self.problem.given, heed=heed,
        )  # fmt: skip

    @cached_property
    def _previewer(self) -> Previewer:
        return Previewer(self)

    def preview(self, constraints: Constraints, *, heed: Heed = unheeded) -> Preview:
        """What other promises would come to, about, in well under a second; plan them to be sure.

        The first call prepares a sample of the states; the following ones take a few Newton steps on it. ``heed`` is
        asked all along; what it raises ends the work.
        """
        return self._previewer.preview(constraints, heed)

    def explain_item(self, item: str | int, *, top: int = 10) -> ItemStory:
        """What an item's promise costs, and who gave way to it (:func:`~rim_core.planning.explain.explain_item`)."""
        return explain_item(self, item, top=top)

    def explain_state(self, state: int) -> pd.DataFrame:
        """Why a user-state is shown what it is shown (:func:`~rim_core.planning.explain.explain_state`)."""
        return explain_state(self, state)

    def delivery_intervals(self, states: int, *, level: float = LEVEL) -> pd.DataFrame:
        """What other states will get, with intervals (:func:`~rim_core.planning.confidence.delivery_intervals`)."""
        return delivery_intervals(self, states, level=level)

    @cached_property
    def user_prices(self) -> pd.Series | None:
        """w by user id, where users have a cap."""
        if not len(self.cap_prices) or self.problem.given.states is None:
            return None
        first = np.unique(self.problem.contacts.user, return_index=True)[1]
        return pd.Series(self.cap_prices, self.problem.given.states.user_ids[first].astype(str))

    def prices_for(self, problem: Problem) -> np.ndarray:
        """These prices where another problem of the same items makes the same kinds of promises."""
        known = dict(zip([row.name for row in self.problem.rows], self.prices[len(self.item_prices) :], strict=True))
        others = [known.get(row.name, 0.0) for row in problem.rows]
        own = self.prices[: len(self.item_prices)]
        if set(known) - {row.name for row in problem.rows}:  # what is gone now was part of what the items cost
            own = -self.item_prices - np.array(others) @ problem.weights if others else -self.item_prices
        return np.concatenate([own, others])

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


def certify(
    problem: Problem, assignment: Assignment, objective: float, upper_bound: float
) -> tuple[Certificate, pd.DataFrame]:
    """Compare an assignment with its promises and with a bound on every assignment that keeps them.

    Returns
    -------
    certificate : Certificate
    residuals : DataFrame
        See :attr:`Plan.residuals`; the prices are filled in by the plan.
    """
    exposure, bounds = assignment.exposure, problem.promised
    residuals = _residuals(problem, exposure)
    missed = residuals["missed"].to_numpy(float) if len(residuals) else np.zeros(1)
    groups = residuals[residuals["kind"] == "group"]
    short = [*(bounds.minimum - exposure), *(groups["minimum"] - groups["delivered"]), 0]
    over = [*(exposure - bounds.maximum), *(groups["delivered"] - groups["maximum"]), 0]
    shortfall, excess = int(max(short)), int(max(over))
    feasible = shortfall <= 0 and excess <= 0 and not (missed > 0).any()
    gap = (upper_bound - objective) / upper_bound if upper_bound > 0 else 0.0
    certificate = Certificate(objective, upper_bound, max(gap, 0.0) if feasible else None, shortfall, excess, feasible)
    return certificate, residuals


def _residuals(problem: Problem, exposure: np.ndarray) -> pd.DataFrame:
    """Groups and budgets against what is delivered, forced pairs included."""
    forced = np.bincount(problem.forced_columns, minlength=len(exposure))
    out = []
    for row in problem.rows:
        delivered, beside = float(row.weight @ exposure), float(row.weight @ forced)
        low, high = row.lower + (beside if row.lower > 0 else 0.0), row.upper + beside
        missed = max(low - delivered, delivered - high, 0.0)
        missed = 0.0 if missed <= 1e-9 * max(abs(high) if np.isfinite(high) else low, 1e-300) else missed
        unit = "exposures" if row.kind == "group" else "units of cost"
        came = f"{row.kind.capitalize()} {row.name!r} comes to {delivered:,.6g} {unit}"
        side = f"at least {low:,.6g}" if delivered < low else f"at most {high:,.6g}"
        proof = "" if row.exact else ": nothing better was found, which is no proof that there is nothing better"
        out.append(
            {
                "name": row.name, "kind": row.kind, "minimum": low, "maximum": high, "delivered": delivered,
                "missed": missed, "exact": row.exact,
                "problem": f"{came}, {side} were promised{proof}.",
            }
        )  # fmt: skip
    columns = ["name", "kind", "minimum", "maximum", "delivered", "missed", "exact", "problem"]
    return pd.DataFrame(out, columns=columns)
