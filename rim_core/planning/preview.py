"""What other promises would come to, in the blink of an eye: the answer a slider shows while it moves.

The smoothed dual of a fixed sample of the user-states is solved for the promises of the plan once, and from there for
the promises asked for: a few Newton steps over pairs that are drawn once. The *difference* of the two is what moves the
certified figures of the plan, so that the sample's own error cancels; items that a promise binds get exactly what is
promised.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rim_core.evaluation.metrics import perplexity
from rim_core.planning.newton import Level, first_prices
from rim_core.planning.passes import draw
from rim_core.planning.problem import resolve
from rim_core.planning.smoothing import Bounded, Point, SmoothedDual

if TYPE_CHECKING:
    from rim_core.planning.constraints import Constraints
    from rim_core.planning.passes import Drawn
    from rim_core.planning.plan import Plan
    from rim_core.planning.problem import Problem

PAIRS, CANDIDATES = 12_000_000, 700_000
"""Most pairs of the sample, and most of them that lie near enough to a threshold to be looked at in every move."""
EPSILON, WIDTH = 0.07, 6.0
"""Temperature in typical prices, and the reach of the candidates in temperatures: drawn once, for all moves."""
STEPS, TOLERANCE, SOLVED = 3, 0.01, 1e-3


@dataclass(frozen=True, eq=False)
class Preview:
    """A point of the frontier before it is planned.

    Attributes
    ----------
    constraints : Constraints
    expected : float
        Σ λπ (or its value) that a plan would reach, about.
    delivered : ndarray of float64 (n,)
        User-states that each item would get, about.
    item_prices : ndarray of float64 (n,)
        v, about.
    item_perplexity : float
        Of ``delivered``.
    """

    constraints: Constraints
    expected: float
    delivered: np.ndarray
    item_prices: np.ndarray
    item_perplexity: float


class Previewer:
    """Answers for one plan; made once (a pass over the sample), asked often."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        problem = plan.problem
        self.pairs = PAIRS
        level = self._level(problem)
        typical = first_prices(level)[1]
        self.epsilon = EPSILON * typical if typical > 0 else 1e-12
        prices = level.bounded.sensible(plan.prices)
        self.drawn = self._draw(level, prices)
        near = len(self.drawn.pairs.item)
        if near > CANDIDATES:
            self.pairs = int(min(PAIRS, level.scores.shape[0] * level.scores.shape[1]) * CANDIDATES / near)
            level = self._level(problem)
            self.drawn = self._draw(level, prices)
        self.share = len(level.contacts.capacity) / problem.scores.shape[0]
        self.threshold = self.drawn.threshold
        self.before, self.worth = self._settle(level, self.drawn, prices)
        self.threshold = self.before.user_price

    def preview(self, constraints: Constraints) -> Preview:
        """The promises of ``constraints`` on the planned states, starting from the plan's prices."""
        problem = resolve(self.plan.problem.given, constraints)
        start = self.plan.prices_for(problem)
        own = self.plan.prices[: len(problem.minimum)]
        shift = self.before.prices[: len(own)] - own  # what the sample makes of the same promises
        start[: len(own)] += shift
        level = self._level(problem)
        start = level.bounded.sensible(start)
        drawn = self.drawn if problem.same_states(self.plan.problem) else self._draw(level, start)
        point, worth = self._settle(level, drawn, start)
        n = len(problem.minimum)
        forced = np.bincount(problem.forced_columns, minlength=n)
        moved = (point.exposure[:n] - self.before.exposure[:n]) / self.share
        delivered = np.clip(
            self.plan.assignment.exposure - forced + moved,
            problem.lower[:n],
            np.minimum(problem.upper[:n], self.states),
        )
        bound_below, bound_above = point.prices[:n] > 0, point.prices[:n] < 0
        delivered = (
            np.where(bound_below, problem.lower[:n], np.where(bound_above, problem.upper[:n], delivered)) + forced
        )
        gained = (worth - self.worth) / self.share + problem.forced_value - self.plan.problem.forced_value
        prices = self.plan.item_prices - (
            Bounded.of(problem.lower, problem.upper, problem.weights).boost(point.prices)
            - Bounded.of(
                self.plan.problem.lower, self.plan.problem.upper, self.plan.problem.weights
            ).boost(self.before.prices)
        )  # fmt: skip
        return Preview(
            constraints,
            self.plan.certificate.objective + gained,
            delivered,
            prices,
            perplexity(np.maximum(delivered, 0)),
        )

    @property
    def states(self) -> int:
        """m."""
        return self.plan.problem.scores.shape[0]

    def _level(self, problem: Problem) -> Level:
        bounded = Bounded.of(problem.lower, problem.upper, problem.weights)
        return Level.sample(problem.scores, problem.contacts, bounded, self.pairs, self.plan.seed)

    def _draw(self, level: Level, prices: np.ndarray) -> Drawn:
        return draw(
            level.scores, level.bounded.boost(prices), WIDTH * self.epsilon, level.contacts.capacity,
            leave_sure=not level.contacts.capped,
        )  # fmt: skip

    def _settle(self, level: Level, drawn: Drawn, prices: np.ndarray) -> tuple[Point, float]:
        dual = SmoothedDual(drawn, level.contacts, level.bounded, self.epsilon, SOLVED)
        start = dual.at(prices, self.threshold if drawn is self.drawn else drawn.threshold)
        point = dual.minimise(start, tolerance=TOLERANCE, reach=WIDTH * self.epsilon, steps=STEPS)
        return point, dual.worth(point)
