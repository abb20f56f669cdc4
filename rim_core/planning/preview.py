"""What other promises would come to, in the blink of an eye: the answer a slider shows while it moves.

The pairs near their state's threshold are drawn once, at the plan's prices, and the smoothed dual over them is solved
for the plan's promises. Other promises are one Newton step away from there, mostly: the Hessian is made already, so a
move costs some products with it and one pass over the pairs. The *difference* of the two is what moves the certified
figures of the plan, so that what smoothing adds cancels; items that a promise binds get exactly what is promised.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from rim_core.evaluation.metrics import perplexity
from rim_core.planning.hessian import Hessian
from rim_core.planning.newton import Level, typical_price
from rim_core.planning.passes import draw
from rim_core.planning.problem import resolve
from rim_core.planning.smoothing import Bounded, Point, SmoothedDual
from rim_core.progress import unheeded

if TYPE_CHECKING:
    from rim_core.planning.constraints import Constraints
    from rim_core.planning.passes import Drawn
    from rim_core.planning.plan import Plan
    from rim_core.planning.problem import Problem
    from rim_core.progress import Heed

PAIRS = 60_000_000
"""Most pairs looked at for candidates; a sample of the user-states is taken where there are more."""
STEPS, TOLERANCE, SOLVED = 3, 0.03, 1e-2
"""Newton steps, the missed share of the promises at which they end, and how closely a step is solved."""
SETTLED = 1e-3
"""Missed share for the plan's own promises, where every move starts."""
FAR = 0.3
"""Moves by more than this share of the promises, and moves of anything else, are looked at from :data:`FROM_AFAR`."""


@dataclass(frozen=True)
class Sight:
    """What is looked at.

    Attributes
    ----------
    epsilon : float
        Temperature, in typical prices.
    width : float
        How far from their threshold candidates lie, in temperatures: what a move may move.
    candidates : int
        Most of them; fewer states are looked at where there would be more. All pairs are candidates if they are fewer.
    """

    epsilon: float
    width: float
    candidates: int


CLOSE, FROM_AFAR = Sight(0.04, 3.5, 2_000_000), Sight(0.1, 6.0, 700_000)


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
    """Answers for one plan; prepared at the first question (a pass or two over the scores), asked often."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        p = plan.problem
        self.bounded = Bounded.of(p.lower, p.upper, p.weights)
        self.typical = typical_price(p.scores, p.contacts, self.bounded, plan.seed)
        self.bases: dict[Sight, Base] = {}

    def base(self, sight: Sight, heed: Heed) -> Base:
        """Where moves start: close ones of what is promised, or any from afar."""
        if sight not in self.bases:
            self.bases[sight] = Base(self.plan, sight, self.typical, heed)
        return self.bases[sight]

    def preview(self, constraints: Constraints, heed: Heed = unheeded) -> Preview:
        """The promises of ``constraints`` on the planned states, starting from the plan's prices.

        ``heed`` is asked before every step and may raise.
        """
        heed()
        plan = self.plan
        planned, problem = plan.problem, resolve(plan.problem.given, constraints)
        base = self.base(CLOSE if problem.moved_from(planned) <= FAR else FROM_AFAR, heed)
        point, worth = base.move(problem, heed)
        n, m = len(problem.minimum), planned.scores.shape[0]
        forced = np.bincount(problem.forced_columns, minlength=n)
        lower, upper = problem.lower[:n], problem.upper[:n]
        moved = (point.exposure[:n] - base.point.exposure[:n]) / base.share
        delivered = np.clip(plan.assignment.exposure - forced + moved, lower, np.minimum(upper, m))
        delivered = np.where(point.prices[:n] > 0, lower, np.where(point.prices[:n] < 0, upper, delivered)) + forced
        gained = (worth - base.worth) / base.share + problem.forced_value - planned.forced_value
        boost = Bounded.of(problem.lower, problem.upper, problem.weights).boost(point.prices)
        return Preview(
            constraints,
            plan.certificate.objective + gained,
            delivered,
            plan.item_prices - (boost - self.bounded.boost(base.point.prices)),
            perplexity(np.maximum(delivered, 0)),
        )


class Base:
    """The smoothed dual at a plan's own promises, where every move starts.

    Attributes
    ----------
    share : float
        Of the user-states that are looked at.
    point : Point
        Its minimum.
    worth : float
        Σ λπ there.
    """

    def __init__(self, plan: Plan, sight: Sight, typical: float, heed: Heed) -> None:
        self.plan, problem = plan, plan.problem
        m, n = problem.scores.shape
        self.epsilon = sight.epsilon * typical if typical > 0 else 1e-12
        self.width = np.inf if m * n <= sight.candidates else sight.width * self.epsilon
        self.pairs = PAIRS
        level = self._level(problem)
        prices = level.bounded.sensible(plan.prices)
        self.drawn = self._draw(level, prices)
        near = len(self.drawn.pairs.item)
        heed()
        if near > sight.candidates:
            self.pairs = int(min(PAIRS, m * n) * sight.candidates / near)
            level = self._level(problem)
            self.drawn = self._draw(level, prices)
        self.share = len(level.contacts.capacity) / m
        self.bounded, dual = level.bounded, self._dual(level, self.drawn)
        self.point = dual.minimise(dual.at(prices, self.drawn.threshold), SETTLED, self.width, heed=heed)
        self.worth, self.hessian = dual.worth(self.point), Hessian(dual, self.point)

    def move(self, problem: Problem, heed: Heed) -> tuple[Point, float]:
        """The minimum for another problem, about, and Σ λπ there."""
        planned, level = self.plan.problem, self._level(problem)
        start, same = level.bounded.sensible(self._start(problem)), problem.same_states(planned)
        drawn = self.drawn if same else self._draw(level, start)
        heed()
        dual = self._dual(level, drawn)
        if same and np.array_equal(problem.weights, planned.weights) and np.array_equal(start, self.point.prices):
            # the same point of a function that differs in what is promised only
            value = self.point.value + self.bounded.promised(start) - level.bounded.promised(start)
            point, hessian = replace(self.point, value=value), self.hessian
        else:
            point, hessian = dual.at(start, drawn.threshold), None
        point = dual.minimise(point, TOLERANCE, self.width, STEPS, hessian, heed)
        return point, dual.worth(point)

    def _start(self, problem: Problem) -> np.ndarray:
        """Prices to start from: the plan's, and what smoothing made of them."""
        prices = self.point.prices
        if [row.name for row in problem.rows] == [row.name for row in self.plan.problem.rows]:
            return prices
        start, n = self.plan.prices_for(problem), len(problem.minimum)
        start[:n] += prices[:n] - self.plan.prices[:n]
        return start

    def _level(self, problem: Problem) -> Level:
        bounded = Bounded.of(problem.lower, problem.upper, problem.weights)
        return Level.sample(problem.scores, problem.contacts, bounded, self.pairs, self.plan.seed)

    def _draw(self, level: Level, prices: np.ndarray) -> Drawn:
        return draw(
            level.scores, level.bounded.boost(prices), self.width, level.contacts.capacity,
            leave_sure=not level.contacts.capped,
        )  # fmt: skip

    def _dual(self, level: Level, drawn: Drawn) -> SmoothedDual:
        return SmoothedDual(drawn, level.contacts, level.bounded, self.epsilon, SOLVED)
