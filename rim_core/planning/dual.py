"""The Dual planner: one price per promise such that re-ranking by λ − v keeps every promise at least loss.

Eq. 9 is a transportation problem; with b = −v its dual is the convex

    D(b) = Σₓ TopK⁺(λₓ + b) − Σ L·b⁺ + Σ U·b⁻,

a bound on the optimum for *any* b (groups, caps and budgets add the terms that :class:`Constraints` states). Three
steps bring the prices close to its minimum, and then exactly there:

1. *Newton on the smoothed dual* (eq. 11 and 12) at falling temperatures, over the pairs that are close to their
   state's threshold, from the price each promise would have if it stood alone (:mod:`newton`).
2. *Exact repair*: shortest paths from the TopK⁺ assignment to one that keeps every promise (:mod:`flow`).
3. *Certificate*: D over all pairs in one pass. What the candidates missed shows as a gap; then they are drawn anew
   around the new prices.

Groups that overlap and budgets are no part of the flow: their prices are Newton's, what the repaired assignment leaves
of them is reported, and as long as it is beyond the promise the promise is tightened by as much and planned again.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from rim_core.assignment import Assignment, assignment_matrix
from rim_core.errors import ScoreError
from rim_core.planning.candidates import Candidates, Contacts, top_of_candidates
from rim_core.planning.feasibility import reachable
from rim_core.planning.flow import FlowResult, exact_repair
from rim_core.planning.newton import COLDEST, NearPrices, newton_prices
from rim_core.planning.passes import draw, dual_value, survey
from rim_core.planning.plan import Plan, certify
from rim_core.planning.problem import resolve
from rim_core.planning.smoothing import Bounded
from rim_core.progress import Progress, silent

if TYPE_CHECKING:
    from rim_core.planning.constraints import Constraints
    from rim_core.planning.passes import Drawn, Survey
    from rim_core.planning.problem import Problem
    from rim_core.progress import Callback
    from rim_core.scores import Scores

log = logging.getLogger(__name__)

ALL_PAIRS = 400_000
"""Up to here every pair is a candidate."""
SLACK = 1e-3
"""Costs closer than this share of a typical price are not told apart in the first repair."""
REPAIR_WIDTH = 8.0
"""The same for the exact repair, in units of the last temperature; widened where the certificate is not good enough."""
GAP = 5e-5
"""Relative gap that is aimed at."""
ROUNDS = 8
NARROW, FURTHER = 3, 10.0
"""How often only items that lack something get further candidates, and how much further (in widths)."""
FINER = 1e-3
"""How much colder Newton ends on small instances with promises that the flow does not know."""
TIGHTENINGS = 8
"""How often what cannot be kept exactly is planned with less than was promised."""
CLOSE = 1e-9
"""Share of a limit that is a rounding error."""


class DualPlanner:
    """Plans all items at once.

    Parameters
    ----------
    constraints : Constraints
        What is promised.
    seed : int
        Order in which equal choices are taken.
    gap : float
        Relative gap at which no further repair is tried; the certificate says what was reached.

    Examples
    --------
    >>> plan = DualPlanner(Constraints(capacity=10, min_exposure=0.005)).fit(scores)      # doctest: +SKIP
    >>> plan.certificate.gap                                                              # doctest: +SKIP
    """

    def __init__(self, constraints: Constraints, seed: int = 0, gap: float = GAP) -> None:
        self.constraints = constraints
        self.seed = seed
        self.gap = gap

    def fit(self, scores: Scores, *, warm_start: Plan | None = None, callback: Callback = silent) -> Plan:
        """Plan these user-states.

        Parameters
        ----------
        scores : Scores (m, n)
        warm_start : Plan, optional
            A plan of the same items to start from, for example of slightly other promises.
        callback : callable
            Gets :class:`~rim_core.models.base.Progress`; may raise :class:`~rim_core.errors.Cancelled`.

        Returns
        -------
        Plan
            Where promises cannot be kept together, they are kept as far as possible: ``plan.problems`` says
            which and what would fit, ``plan.certificate.feasible`` is False and no gap is shown.

        Raises
        ------
        ConstraintError
            The promises do not fit these states and items, or contradict themselves.
        ScoreError
            There is nothing to plan, a score is NaN, infinite or negative, or ``warm_start`` is about other items.
        """
        m, n = scores.shape
        if m == 0 or n == 0:
            raise ScoreError(f"There is nothing to plan: {m} user-states and {n} items.")
        if warm_start is not None and not warm_start.assignment.items.equals(scores.item_ids):
            raise ScoreError("warm_start is a plan of other items: plan these from the beginning.")
        problem = resolve(scores, self.constraints)
        callback(Progress("reading the scores", 0.0, 1.0))
        found = survey(problem.scores)
        cut = reachable(problem, found)
        task = _Task(cut.problem, found, self.seed, self.gap, callback)
        start = None if warm_start is None else warm_start.prices_for(cut.problem)
        solution = task.solve(start, exactly=not cut.problems)
        assignment = Assignment(
            assignment_matrix(
                np.concatenate([solution.rows, problem.forced_rows]),
                np.concatenate([solution.columns, problem.forced_columns]),
                (m, n),
            ),
            scores,
            planned=self.constraints.planned(problem.promised),
        )
        callback(Progress("planned", 1.0, 1.0))
        return finished(self.constraints, problem, assignment, solution, cut.problems, self.seed)


@dataclass(frozen=True, eq=False)
class Solution:
    """Prices and an assignment beside the forced pairs.

    Attributes
    ----------
    prices : ndarray (n + r,)
        Of items, groups and budgets, as boosts.
    cap_price : ndarray (users,)
        w.
    rows, columns : ndarray of int64
        Assigned pairs.
    objective : float
        What they are worth.
    upper_bound, unconstrained : float
        The least D seen, and D(0).
    """

    prices: np.ndarray
    cap_price: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    objective: float
    upper_bound: float
    unconstrained: float


def finished(
    constraints: Constraints,
    problem: Problem,
    assignment: Assignment,
    solution: Solution,
    problems: tuple[str, ...],
    seed: int,
) -> Plan:
    """The plan that a solution makes, with its certificate."""
    objective = solution.objective + problem.forced_value
    bound = (solution.unconstrained if problems else solution.upper_bound) + problem.forced_value
    certificate, residuals = certify(problem, assignment, objective, bound)
    if not certificate.feasible and not problems:
        problems = _clashes(problem, assignment) or tuple(residuals.loc[residuals["missed"] > 0, "problem"])
        certificate, _ = certify(problem, assignment, objective, solution.unconstrained + problem.forced_value)
    return Plan(
        constraints=constraints,
        item_prices=-Bounded.of(problem.lower, problem.upper, problem.weights).boost(solution.prices) + 0.0,
        assignment=assignment,
        certificate=certificate,
        problems=problems,
        seed=seed,
        bounds=problem.promised,
        problem=problem,
        prices=solution.prices,
        cap_prices=solution.cap_price,
        residuals=residuals.assign(price=-solution.prices[len(problem.minimum) :]),
    )


@dataclass
class _Task:
    """One run over fixed scores and whole-state promises."""

    problem: Problem
    survey: Survey
    seed: int
    gap: float
    callback: Callback
    bounded: Bounded = field(init=False)
    best_bound: float = np.inf
    unconstrained: float = np.inf
    guess: np.ndarray | None = None

    def __post_init__(self) -> None:
        p = self.problem
        self.scores, self.contacts, self.tree = p.scores, p.contacts, p.tree()
        self.bounded = Bounded.of(p.lower, p.upper, p.weights)
        self.small = self.scores.shape[0] * self.scores.shape[1] <= ALL_PAIRS
        self.fixed = len(self.tree.up)  # prices of items and nested groups; beyond them those the flow does not know

    def solve(self, start: np.ndarray | None, *, exactly: bool) -> Solution:
        """Prices and an assignment, repaired unless the promises are known to be out of reach."""
        prices, level, epsilon = np.zeros(len(self.bounded.lower)), 0.0, 0.0
        value, exposure = dual_value(self.scores, np.zeros(self.tree.items), self.contacts)
        self.best_bound = self.unconstrained = value
        reached = self.bounded.exposure(exposure)
        if ((reached < self.bounded.lower) | (reached > self.bounded.upper)).any():
            near = self._newton(self.bounded, start)
            prices, level, epsilon = near.prices, near.level, near.epsilon
            self.bound(prices)
        small = self.small
        if not (exactly or small):
            drawn = draw(self.scores, self.bounded.boost(prices), 0.0, self.contacts.capacity)
            chosen, _, cap_price = top_of_candidates(drawn.pairs, self.bounded.boost(prices), self.contacts, self.seed)
            return self._solution(prices, cap_price, drawn, chosen)
        width, slack = (np.inf, 0.0) if small else (REPAIR_WIDTH * epsilon, min(SLACK * level, epsilon))
        best = self._repair(prices, width, slack)
        if len(self.bounded.lower) > self.fixed:
            best = self._tightened(best, width, slack, level)
        return best

    def _newton(self, bounded: Bounded, start: np.ndarray | None) -> NearPrices:
        colder = FINER if self.small and len(bounded.lower) > self.fixed else 1.0  # here Newton has the last word
        near = newton_prices(
            self.scores, self.contacts, bounded, start, seed=self.seed, callback=self.callback,
            gap=self.gap * colder, coldest=COLDEST * colder,
        )  # fmt: skip
        self.guess = near.guess
        return near

    def _repair(self, centre: np.ndarray, width: float, slack: float) -> Solution:
        """Exact repair over the pairs around ``centre``, further ones as long as the certificate asks for them."""
        prices = centre
        kept: tuple[int, Solution] | None = None
        everything = int(self.survey.room[self.contacts.capacity > 0].sum())
        extra = np.zeros(self.tree.items)
        for turn in range(ROUNDS):
            drawn = draw(
                self.scores, self.bounded.boost(centre), width, self.contacts.capacity,
                guess=self.guess, leave_sure=not self.contacts.capped, extra=extra,
            )  # fmt: skip
            result = self._flow(drawn, prices, slack, turn)
            found = np.concatenate([result.prices, centre[self.fixed :]])
            self.bound(found)
            solution = self._solution(found, result.cap_price, drawn, result.chosen)
            short = int(result.short.sum())
            if kept is None or (short, -solution.objective) < (kept[0], -kept[1].objective):
                kept = (short, solution)
            gap = (self.best_bound - solution.objective) / max(abs(solution.objective), 1e-300)
            log.info("repair %d: %d candidates, short %d, gap %.2g", turn, len(drawn.pairs.item), short, gap)
            complete = len(drawn.pairs.item) + len(drawn.sure_item) == everything
            if (complete and slack == 0.0) or (short == 0 and (gap <= self.gap or len(centre) > self.fixed)):
                break
            if short and turn < NARROW:  # look further for those who lack something
                extra[result.clash[: self.tree.items]] = FURTHER * width * 4**turn
                continue
            prices = centre if short else found
            width, slack = width * 5, slack / 8
        assert kept is not None
        return kept[1]

    def _flow(self, drawn: Drawn, prices: np.ndarray, slack: float, turn: int) -> FlowResult:
        """Repair beside the sure pairs, at fixed prices of what the flow does not know."""
        pairs, contacts, tree = drawn.pairs, self.contacts, self.tree
        if drawn.sure_load.any():
            contacts = Contacts(contacts.capacity - drawn.sure_load, contacts.user, contacts.user_cap)
            tree = tree.beside(self.bounded.exposure(drawn.sure_exposure)[: self.fixed].astype(np.int64))
        if len(prices) > self.fixed:
            others = np.concatenate([np.zeros(self.fixed), prices[self.fixed :]])
            shift = self.bounded.boost(others)
            pairs = Candidates(pairs.row_ptr, pairs.item, pairs.value + shift[pairs.item])
        return exact_repair(
            pairs,
            prices[: self.fixed],
            contacts,
            tree,
            seed=self.seed,
            slack=slack,
            callback=partial(self._repairing, turn),
        )

    def _tightened(self, best: Solution, width: float, slack: float, level: float) -> Solution:
        """Plan with less than was promised until overlapping groups and budgets are within their promise."""
        n, first = self.tree.items, self.fixed
        lower, upper = self.bounded.lower.copy(), self.bounded.upper.copy()
        at = best
        for _ in range(TIGHTENINGS):
            reached = self.bounded.exposure(np.bincount(at.columns, minlength=n))[first:]
            short = np.maximum(self.bounded.lower[first:] - reached, 0.0)
            over = np.maximum(reached - self.bounded.upper[first:] * (1 + CLOSE), 0.0)
            over[over <= CLOSE * self.bounded.unit[first - n :]] = 0.0
            if not (short.any() or over.any()) or level == 0.0:
                return at
            lower[first:] += short
            upper[first:] = np.maximum(upper[first:] - over, lower[first:])
            tighter = Bounded(lower, upper, self.bounded.weights, self.bounded.unit)
            near = self._newton(tighter, at.prices)
            self.bound(near.prices)
            at = self._repair(near.prices, width, slack)
        return at

    def _solution(self, prices: np.ndarray, cap_price: np.ndarray, drawn: Drawn, chosen: np.ndarray) -> Solution:
        pairs = drawn.pairs
        sure = np.repeat(np.arange(pairs.states), drawn.sure_load)
        return Solution(
            prices,
            cap_price,
            np.concatenate([pairs.rows()[chosen], sure]).astype(np.int64),
            np.concatenate([pairs.item[chosen], drawn.sure_item]).astype(np.int64),
            float(pairs.value[chosen].sum()) + drawn.sure_value,
            self.best_bound,
            self.unconstrained,
        )

    def _repairing(self, turn: int, missing: int) -> None:
        text = (
            f"keeping every promise exactly: {missing:,} places to go" if missing else "keeping every promise exactly"
        )
        self.callback(Progress(text, 0.6 + 0.4 * turn / ROUNDS, 1.0))

    def bound(self, prices: np.ndarray) -> None:
        """Remember D over all pairs if it is the least one seen."""
        value, _ = dual_value(self.scores, self.bounded.boost(prices), self.contacts, self.guess)
        self.best_bound = min(self.best_bound, max(value - self.bounded.promised(prices), 0.0))


def _clashes(problem: Problem, assignment: Assignment) -> tuple[str, ...]:
    """A sentence for every promise that was not kept although each could be alone."""
    minimum = problem.promised.minimum
    short = np.maximum(minimum - assignment.exposure, 0)
    worst = np.argsort(-short, kind="stable")[:10]
    return tuple(
        f"Item {assignment.items[y]} gets {assignment.exposure[y]:,} of {minimum[y]:,} promised user-states: "
        "the states it may go to are taken by other promises. Lower this or their minimum, or raise the capacity."
        for y in worst
        if short[y] > 0
    )
