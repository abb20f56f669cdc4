"""What other promises would come to, in the blink of an eye: the answer a slider shows while it moves.

The smoothed dual of a fixed sample of the user-states is solved for the promises of the plan once, and from there for
the promises asked for: a few Newton steps. The *difference* of the two is what moves the certified figures of the plan,
so that the sample's own error cancels; items that a promise binds get exactly what is promised.
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
    from rim_core.planning.plan import Plan
    from rim_core.planning.problem import Problem

PAIRS = 2_000_000
"""Pairs of the sample."""
EPSILON, WIDTH = 0.01, 10.0
"""Temperature in typical prices, and the reach of the candidates in temperatures."""
DRAWS, STEPS, TOLERANCE = 3, 6, 0.01


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
        self.guess: np.ndarray | None = None
        problem = plan.problem
        level = self._level(problem)
        self.share = len(level.contacts.capacity) / problem.scores.shape[0]
        self.typical = first_prices(level)[1]
        self.before = self._settle(level, plan.prices)

    def preview(self, constraints: Constraints) -> Preview:
        """The promises of ``constraints`` on the planned states, starting from the plan's prices."""
        problem = resolve(self.plan.problem.given, constraints)
        start = self.plan.prices_for(problem)
        own = self.plan.prices[: len(problem.minimum)]
        shift = self.before.prices[: len(own)] - own  # what the sample makes of the same promises
        start[: len(own)] += shift
        point = self._settle(self._level(problem), start)
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
        gained = (point.value - self.before.value) / self.share + problem.forced_value - self.plan.problem.forced_value
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
        return Level.sample(problem.scores, problem.contacts, bounded, PAIRS, self.plan.seed)

    def _settle(self, level: Level, prices: np.ndarray) -> Point:
        epsilon = EPSILON * self.typical if self.typical > 0 else 1e-12
        prices = level.bounded.sensible(prices)
        guess = self.guess
        point: Point | None = None
        for _ in range(DRAWS):
            drawn = draw(
                level.scores, level.bounded.boost(prices), WIDTH * epsilon, level.contacts.capacity,
                guess=guess, leave_sure=not level.contacts.capped,
            )  # fmt: skip
            dual = SmoothedDual(drawn, level.contacts, level.bounded, epsilon)
            start = dual.at(prices, drawn.threshold)
            point = dual.minimise(start, tolerance=TOLERANCE, reach=WIDTH * epsilon, steps=STEPS)
            prices, guess = point.prices, point.user_price
            if dual.missed(point) <= 2 * TOLERANCE:
                break
        self.guess = guess
        assert point is not None
        return point
