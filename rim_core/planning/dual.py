"""The Dual planner: one price per promise such that re-ranking by λ − v keeps every promise at least loss.

Eq. 9 is a transportation problem; with b = −v its dual is the convex

    D(b) = Σₓ TopK⁺(λₓ + b) − Σ L·b⁺ + Σ U·b⁻,

a bound on the optimum for *any* b (groups, caps and budgets add the terms that :class:`Constraints` states). Three
steps bring the prices close to its minimum, and then exactly there:

1. *Newton on the smoothed dual* (eq. 11 and 12) at falling temperatures, over the pairs that are close to their
   state's threshold, from the price each promise would have if it stood alone (:mod:`newton`).
2. *Exact repair*: shortest paths from the TopK⁺ assignment to one that keeps every promise (:mod:`flow`).
3. *Certificate*: D over all pairs in one pass. Where the gap is wider than what is aimed at, prices are cooled further
   and repaired again, and at last further pairs are looked at.

Groups that overlap and budgets are no part of the flow: their prices are Newton's, what the repaired assignment leaves
of them is reported, and as long as it is beyond the promise the promise is tightened by as much and planned again.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from rim_core.assignment import Assignment, assignment_matrix
from rim_core.errors import ConstraintError, ScoreError
from rim_core.planning.candidates import Candidates, Contacts, top_of_candidates, top_value
from rim_core.planning.centring import centred
from rim_core.planning.confidence import check_confidence, with_margin
from rim_core.planning.contention import beside_forced, contentions
from rim_core.planning.cutting import cut_down
from rim_core.planning.feasibility import reachable
from rim_core.planning.filling import fill
from rim_core.planning.flow import FlowResult, exact_repair
from rim_core.planning.groups import is_amount
from rim_core.planning.newton import NearPrices, Start, colder, leaves_little, newton_prices
from rim_core.planning.paper import Algorithm1
from rim_core.planning.passes import Unpromised, draw, dual_value, with_further
from rim_core.planning.plan import Plan, certify
from rim_core.planning.problem import resolve
from rim_core.planning.restricted import DrawnScores
from rim_core.planning.smoothing import Bounded
from rim_core.planning.trimming import Solution, missed_rows, trim
from rim_core.progress import Progress, silent

if TYPE_CHECKING:
    from rim_core.planning.constraints import Constraints
    from rim_core.planning.passes import Drawn
    from rim_core.planning.problem import Problem
    from rim_core.progress import Callback
    from rim_core.scores import Scores

log = logging.getLogger(__name__)

ALL_PAIRS = 400_000
"""Up to here every pair is a candidate."""
REPAIR_WIDTH = 8.0
"""How far around the thresholds the repair looks, in units of the last temperature."""
COOLINGS = 3
"""How often prices are cooled further where the certificate is not good enough, before the repair looks wider."""
GAP = 8e-5
"""Relative gap that is aimed at."""
ACCEPTED, WORTHWHILE = 6.0, 0.7
"""A gap so many times as wide will do where the last round left more than this share of it: what is left are pairs far
from every threshold, and a round that looks at them all takes minutes where promises take nearly every place."""
ROUNDS = 8
NARROW, FURTHER = 3, 4.0
"""How often only items that lack something get further candidates, and how many times as many."""
MORE, FEW, COLUMNS = 1.0, 4.0, 20_000_000
"""Candidates that an item has at least, as a multiple of its minimum and beside it; pairs looked at to find them."""
ALLOWED = 0.3
"""Share of the gap that the repair may use up by not telling near-equal choices apart."""
PARTS_OF_MARGIN = (1.0, 0.5, 0.0)
"""Of the margin that counting has room for: less where the plan shows that there is none."""
TIGHTENINGS = 8
"""How often what cannot be kept exactly is planned with less than was promised."""


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
    online : bool
        Whether prices are meant for other user-states as well (``plan.assign``) and moved to the middle of the optimal
        ones (:mod:`~rim_core.planning.centring`).
    method : "dual" or Algorithm1
        ``"paper"`` or an :class:`~rim_core.planning.paper.Algorithm1`: the algorithm of the paper, to compare with.

    Examples
    --------
    >>> plan = DualPlanner(Constraints(capacity=10, min_exposure=0.005)).fit(scores)      # doctest: +SKIP
    >>> plan.certificate.gap                                                              # doctest: +SKIP
    """

    def __init__(
        self,
        constraints: Constraints,
        seed: int = 0,
        gap: float = GAP,
        *,
        online: bool = True,
        method: Literal["dual", "paper"] | Algorithm1 = "dual",
    ) -> None:
        if not isinstance(method, Algorithm1) and method not in ("dual", "paper"):
            raise ConstraintError(f"There is no method {method!r}: use 'dual' or 'paper'.")
        if not is_amount(gap):
            raise ConstraintError(f"gap is a share of the objective that is not negative; got {gap!r}.")
        if not is_amount(seed) or seed % 1:
            raise ConstraintError(f"seed is a whole number that is not negative; got {seed!r}.")
        self.constraints = constraints
        self.seed = int(seed)
        self.gap = gap
        self.online = online
        self.method = Algorithm1() if method == "paper" else method

    def fit(
        self,
        scores: Scores,
        *,
        warm_start: Plan | None = None,
        confidence: float | None = None,
        callback: Callback = silent,
    ) -> Plan:
        """Plan these user-states.

        Parameters
        ----------
        scores : Scores (m, n)
        warm_start : Plan, optional
            A plan of the same items to start from, for example of slightly other promises.
        confidence : float, optional
            Probability with which every minimum should be kept where prices meet other states (``plan.assign``): it is
            planned with a margin, ``plan.margin`` says which and what it costs, and the certificate is about the
            promises with their margin. No margin is taken without it.
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
        if confidence is not None:
            check_confidence(confidence)
            return self._surely(scores, confidence, warm_start, callback)
        problem = resolve(scores, self.constraints)
        callback(Progress("reading the scores", 0.0, 1.0))
        if warm_start is not None and problem.same_states(warm_start.problem):
            found = warm_start.unpromised
        else:
            found = Unpromised.of(problem.scores, problem.contacts)
        cut = reachable(problem, found.survey, partial(callback, Progress("finding what clashes", 0.05, 1.0)))
        task = _Task(cut.problem, found, self.seed, self.gap, callback, self.online)
        if isinstance(self.method, Algorithm1):
            solution = task.priced(-self.method.prices(problem, seed=self.seed, callback=callback))
        else:
            start = None
            if warm_start is not None:
                start = Start(warm_start.prices_for(cut.problem), cut.problem.moved_from(warm_start.problem))
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
        return finished(
            self.constraints, problem, assignment, solution, found, cut.problems, self.seed,
            repaired=not isinstance(self.method, Algorithm1),
        )  # fmt: skip

    def _surely(self, scores: Scores, confidence: float, warm_start: Plan | None, callback: Callback) -> Plan:
        """Plan as promised, then with the margin, from there: the difference is what the margin costs."""
        plain = self.fit(scores, warm_start=warm_start, callback=callback)
        for part in PARTS_OF_MARGIN:
            raised, margin = with_margin(plain.problem, self.constraints, confidence, plain.unpromised.survey, part)
            planner = DualPlanner(raised, self.seed, self.gap, online=self.online, method=self.method)
            plan = planner.fit(scores, warm_start=plain, callback=callback)
            if plan.certificate.feasible or not plain.certificate.feasible:
                break
        before = plain.certificate.objective
        cost = max(0.0, 1 - plan.certificate.objective / before) if before > 0 else 0.0
        return replace(plan, constraints=self.constraints, bounds=plain.bounds, margin=replace(margin, cost=cost))


def finished(
    constraints: Constraints,
    problem: Problem,
    assignment: Assignment,
    solution: Solution,
    unpromised: Unpromised,
    problems: tuple[str, ...],
    seed: int,
    *,
    repaired: bool = True,
) -> Plan:
    """The plan that a solution makes, with its certificate."""
    objective = solution.objective + problem.forced_value
    bound = (unpromised.value if problems else solution.upper_bound) + problem.forced_value
    certificate, residuals = certify(problem, assignment, objective, bound)
    if not certificate.feasible and not problems:
        unkept = residuals[residuals["missed"] > 0]
        problems = (*contentions(problem, problem.minimum, beside_forced(problem, assignment)), *unkept["problem"])
        if repaired and (
            certificate.max_excess > 0
            or unkept["exact"].any()
            or (problem.promised.minimum > assignment.exposure).any()
        ):
            # what the flow keeps wherever it can be kept: D of promises that cannot be kept falls without end
            certificate, _ = certify(problem, assignment, objective, unpromised.value + problem.forced_value)
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
        unpromised=unpromised,
    )


@dataclass
class _Task:
    """One run over fixed scores and whole-state promises."""

    problem: Problem
    unpromised: Unpromised
    seed: int
    gap: float
    callback: Callback
    online: bool
    bounded: Bounded = field(init=False)
    best_bound: float = field(init=False)
    guess: np.ndarray | None = None
    so_far: str = ""

    def __post_init__(self) -> None:
        p = self.problem
        self.scores, self.contacts, self.tree = p.scores, p.contacts, p.tree()
        self.bounded = Bounded.of(p.lower, p.upper, p.weights)
        self.best_bound = self.unpromised.value
        self.small = self.scores.shape[0] * self.scores.shape[1] <= ALL_PAIRS
        self.fixed = len(self.tree.up)  # prices of items and nested groups; beyond them those the flow does not know

    def solve(self, start: Start | None, *, exactly: bool) -> Solution:
        """Prices and an assignment, repaired unless the promises are known to be out of reach."""
        near = NearPrices(np.zeros(len(self.bounded.lower)), 0.0, 0.0, None)
        reached = self.bounded.exposure(self.unpromised.exposure)
        if ((reached < self.bounded.lower) | (reached > self.bounded.upper)).any():
            near = self._newton(self.bounded, start)
        if not (exactly or self.small):
            return self.priced(near.prices)
        worthless = self.unpromised.value == 0.0 and not isinstance(self.scores, DrawnScores)
        if worthless and len(near.prices) > self.fixed:
            return self._worthless()
        if self.small and near.level > 0.0 and len(near.prices) > self.fixed:
            near = replace(near, prices=self._cut_down(near))
        best = self._repair(near, self.bounded)
        if len(self.bounded.lower) > self.fixed:
            best = self._tightened(best, near.level)
            width = np.inf if self.small else REPAIR_WIDTH * near.epsilon
            drawn = draw(self.scores, self.bounded.boost(best.prices), width, self.contacts.capacity)
            best = fill(best, self.problem, self.bounded, drawn, self.seed)
        return best

    def _worthless(self) -> Solution:
        """Where every score is 0, prices are 0 and say nothing of overlapping groups: scores are drawn instead."""
        drawn = DrawnScores.like(self.scores, self.seed)
        task = replace(
            self, problem=replace(self.problem, scores=drawn), unpromised=Unpromised.of(drawn, self.contacts)
        )
        found = task.solve(None, exactly=True)
        nothing = np.zeros_like(found.prices)
        return replace(found, prices=nothing, cap_price=0.0 * found.cap_price, objective=0.0, upper_bound=0.0)

    def priced(self, prices: np.ndarray) -> Solution:
        """What given prices lead to, as they are."""
        self.bound(prices)
        boost = self.bounded.boost(prices)
        drawn = draw(self.scores, boost, 0.0, self.contacts.capacity)
        chosen, _, cap_price = top_of_candidates(drawn.pairs, boost, self.contacts, self.seed)
        return self._solution(prices, cap_price, drawn, chosen)

    def _newton(self, bounded: Bounded, start: Start | None) -> NearPrices:
        near = newton_prices(
            self.scores, self.contacts, bounded, start,
            eligible=self.unpromised.survey.eligible, seed=self.seed, callback=self.callback, gap=self.gap,
        )  # fmt: skip
        self.guess = near.guess
        return near

    def _repair(self, near: NearPrices, bounded: Bounded) -> Solution:
        """Exact repair over the pairs around the prices; as the certificate asks for it around better ones, or wider.

        ``bounded`` are the promises that the prices are for.
        """
        centre, everything = near.prices, int(self.unpromised.survey.room[self.contacts.capacity > 0].sum())
        width, slack = (np.inf, 0.0) if self.small else (REPAIR_WIDTH * near.epsilon, near.epsilon)
        allowance = ALLOWED * self.gap * self.best_bound if np.isfinite(width) else 0.0
        kept: tuple[int, Solution] | None = None
        extra, lower = np.zeros(self.tree.items), self.bounded.lower[: self.tree.items]
        wanted = np.where(lower > 0, MORE * lower + FEW, 0.0)
        # nearly every place is taken by a promise: what must give way may be among the sure pairs
        coolings, leave_sure, lacking = 0, not leaves_little(self.contacts, bounded), (np.inf, np.inf)
        for turn in range(ROUNDS):
            drawn = self._draw(centre, width, extra, wanted, leave_sure=leave_sure)
            result = self._flow(drawn, centre, slack, allowance, turn)
            # an item that nobody takes may have any price up to where somebody would: without a minimum it has none
            found = self.bounded.sensible(np.concatenate([result.prices, centre[self.fixed :]]))
            self.bound(found)
            solution = self._solution(found, result.cap_price, drawn, result.chosen)
            short = int(result.short.sum())
            hopeless = self.best_bound < -self.gap * self.unpromised.value and kept is not None and kept[0] <= short
            if kept is None or (short, -solution.objective) < (kept[0], -kept[1].objective):
                kept, at = (short, solution), (drawn, result, width)
            gap = self._gap(solution)
            if short == 0 and gap > self.gap:  # the prices before the repair may tell more
                self.bound(centre)
                gap = self._gap(solution)
            self.so_far = f"at most {100 * gap:.2g} % from the best so far" if not short else f"{short:,} short so far"
            log.info("repair %d: %d candidates, short %d, gap %.2g", turn, len(drawn.pairs.item), short, gap)
            complete = len(drawn.pairs.item) + len(drawn.sure_item) == everything
            if hopeless or (complete and slack == 0.0):
                break
            good = gap <= self.gap or WORTHWHILE * lacking[1] < gap <= ACCEPTED * self.gap
            if short == 0 and (good or len(centre) > self.fixed):
                break
            lacking, before_that = (short, gap if short == 0 else np.inf), lacking
            if lacking[0] > WORTHWHILE * before_that[0] or lacking[1] > WORTHWHILE * before_that[1]:
                leave_sure = False  # no closer
            if short and turn < NARROW:  # look further for those who lack something
                share = self.tree.lacking_share(result.short)
                wanted = np.where(share > 0, FURTHER * np.maximum(wanted, share) + FEW, wanted)
                extra[result.clash[: self.tree.items]] = width * 4**turn
            elif not short and near.epsilon > 0.0 and coolings < COOLINGS:
                heed = partial(self._repairing, turn, None)
                near = colder(self.scores, self.contacts, bounded, near, self.gap, heed)
                coolings += 1
                centre, slack, self.guess = near.prices, near.epsilon, near.guess
            else:
                width, slack, allowance = width * 5, slack / 8, allowance / 8
        assert kept is not None
        prices = kept[1].prices if kept[0] or not self.online else self._centred(kept[1].prices, *at)
        return replace(kept[1], prices=prices, upper_bound=max(self.best_bound, 0.0))

    def _centred(self, prices: np.ndarray, drawn: Drawn, result: FlowResult, width: float) -> np.ndarray:
        """Prices that are as good for these states, and better for others."""
        n, own = self.tree.items, np.zeros(len(prices))
        own[:n] = prices[:n]
        contacts = Contacts(self.contacts.capacity - drawn.sure_load, self.contacts.user, self.contacts.user_cap)
        found = prices.copy()
        found[:n] = centred(
            drawn, prices[:n], self.bounded.boost(prices - own), contacts,
            np.bincount(drawn.pairs.item[result.chosen], minlength=n), width, self.seed,
            partial(self.callback, Progress(f"settling the prices: {self.so_far}", 0.98, 1.0)),
        )  # fmt: skip
        before = self.best_bound
        return found if self.bound(found) <= before * (1 + self.gap) else prices

    def _gap(self, solution: Solution) -> float:
        return (self.best_bound - solution.objective) / max(abs(solution.objective), 1e-300)

    def _draw(
        self, centre: np.ndarray, width: float, extra: np.ndarray, wanted: np.ndarray, *, leave_sure: bool
    ) -> Drawn:
        """Pairs around the prices, and of every item for ``wanted`` states at least.

        What hardly any state wants lies far below all thresholds, and a few such items would lack a path.
        """
        boost, n = self.bounded.boost(centre), self.tree.items
        first = draw(
            self.scores, boost, width, self.contacts.capacity,
            guess=self.guess, leave_sure=leave_sure and not self.contacts.capped, extra=extra,
        )  # fmt: skip
        have = np.bincount(first.pairs.item, minlength=n) + first.sure_exposure
        wanted = np.minimum(wanted, self.unpromised.survey.eligible)
        few = np.flatnonzero(have < wanted)
        few = few[np.argsort((have - wanted)[few], kind="stable")][: max(1, COLUMNS // self.scores.shape[0])]
        if not len(few):
            return first
        place = np.ceil(wanted[few]).astype(np.int64)
        drawn, further = with_further(self.scores, boost, first, width, extra, self.contacts.capacity, few, place)
        extra[few] = np.maximum(extra[few], further)
        return drawn

    def _flow(self, drawn: Drawn, prices: np.ndarray, slack: float, allowance: float, turn: int) -> FlowResult:
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
            allowance=allowance,
            callback=partial(self._repairing, turn),
        )

    def _tightened(self, best: Solution, level: float) -> Solution:
        """Plan with less than was promised until overlapping groups and budgets are within their promise."""
        n, first = self.tree.items, self.fixed
        lower, upper = self.bounded.lower.copy(), self.bounded.upper.copy()
        at = best
        for turn in range(TIGHTENINGS):
            trimmed = trim(at, self.problem, self.bounded)
            reached = self.bounded.exposure(np.bincount(trimmed.columns, minlength=n))
            if not missed_rows(self.bounded, reached)[first - n :].any() or level == 0.0:
                return trimmed
            reached = self.bounded.exposure(np.bincount(at.columns, minlength=n))
            off = missed_rows(self.bounded, reached)[first - n :]
            below = reached[first:] < self.bounded.lower[first:]
            lower[first:] += np.where(below, off, 0.0)
            upper[first:] = np.maximum(upper[first:] - np.where(below, 0.0, off), lower[first:])
            if turn < TIGHTENINGS - 1:
                tighter = replace(self.bounded, lower=lower, upper=upper)
                near = self._newton(tighter, Start(at.prices, moved=0.0))
                at = self._repair(near, tighter)
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
            max(self.best_bound, 0.0),
        )

    def _cut_down(self, near: NearPrices) -> np.ndarray:
        """Prices of what the flow does not know, to rounding errors; every pair is a candidate."""
        at, n, prices = self.fixed, self.tree.items, near.prices
        drawn = draw(self.scores, self.bounded.boost(prices), np.inf, self.contacts.capacity)
        state = {"prices": prices.copy()}

        def evaluate(rows: np.ndarray) -> tuple[float, np.ndarray]:
            state["prices"] = np.concatenate([state["prices"][:at], rows])
            result = self._flow(drawn, state["prices"], 0.0, 0.0, 0)
            state["prices"] = np.concatenate([result.prices, rows])
            value, _ = top_value(drawn.pairs, self.bounded.boost(state["prices"]), self.contacts)
            known = np.concatenate([result.prices, np.zeros(len(rows))])
            exposure = np.bincount(drawn.pairs.item[result.chosen], minlength=n)
            return value - self.bounded.promised(known), self.bounded.exposure(exposure)[at:]

        reach = 2.0 * float(drawn.pairs.value.max(initial=0.0)) / self.bounded.least[at - n :]
        close = REPAIR_WIDTH * near.epsilon / self.bounded.unit[at - n :]
        rows = cut_down(evaluate, prices[at:], self.bounded.lower[at:], self.bounded.upper[at:], reach, close)
        evaluate(rows)
        return state["prices"]

    def _repairing(self, turn: int, missing: int | None) -> None:
        """Say how many places still have to be found (None: prices are sought once more) and what there is so far."""
        to_go = "" if not missing else f"{missing:,} {'place' if missing == 1 else 'places'} to go"
        doing = "keeping every promise exactly" if missing is not None else "finding finer prices"
        said = ", ".join(s for s in (to_go, self.so_far) if s)
        self.callback(Progress(f"{doing}: {said}" if said else doing, 0.6 + 0.4 * turn / ROUNDS, 1.0))

    def bound(self, prices: np.ndarray) -> float:
        """D over all pairs; remembered if it is the least one seen. Below 0 it proves that the promises clash."""
        value, _ = dual_value(self.scores, self.bounded.boost(prices), self.contacts, self.guess)
        value -= self.bounded.promised(prices)
        self.best_bound = min(self.best_bound, value)
        return value
