"""The Dual planner: one price per item such that re-ranking by λ − v keeps every promise at least loss.

Eq. 9 is a transportation problem; with b = −v its dual is the convex

    D(b) = Σₓ TopK⁺(λₓ + b) − Σ L·b⁺ + Σ U·b⁻,

a bound on the optimum for *any* b. Three steps bring b close to its minimum, and then exactly there:

1. *Newton on the smoothed dual* (eq. 11 and 12) at falling temperatures, over the pairs that are close to their
   state's threshold, from the price each promise would have if it stood alone.
2. *Exact repair*: shortest paths from the TopK⁺ assignment to one that keeps every promise (:mod:`flow`).
3. *Certificate*: D over all pairs in one pass. What the candidates missed shows as a gap; then they are drawn anew
   around the new prices.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from rim_core.assignment import Assignment, assignment_matrix
from rim_core.errors import ScoreError
from rim_core.models.base import Progress, silent
from rim_core.planning.feasibility import reachable
from rim_core.planning.flow import Candidates, FlowResult, exact_repair, top_of_candidates
from rim_core.planning.online import dual_value
from rim_core.planning.plan import Plan, certify
from rim_core.planning.smoothing import SmoothedDual

if TYPE_CHECKING:
    from rim_core.models.base import Callback
    from rim_core.planning.constraints import Bounds, Constraints
    from rim_core.scores import Scores

log = logging.getLogger(__name__)

ALL_PAIRS = 400_000
"""Up to here every pair is a candidate."""
SAMPLE_PAIRS = 16_000_000
"""Pairs of the user-states that the Newton steps look at; more states are sampled."""
HOTTEST, WARM, COLDEST, COOLING = 0.3, 0.05, 3e-4, 0.4
"""Temperatures ε as shares of the typical price: the first, the first after a warm start, the last; their ratio."""
COARSE_PAIRS, FINE = 1_500_000, 0.03
"""At higher temperatures than FINE (in typical prices) a sample of this many pairs tells enough."""
REHEATING, REHEATING_ENDS, UNSETTLED = 4.0, 100.0, 0.3
"""Factor and end (in typical prices) of going back to higher temperatures, and the missed share that calls for it."""
SETTLED, SETTLED_LAST, LAST, REDRAWS = 0.02, 0.005, 3e-3, 4
"""Missed share that is good enough at a temperature, and at those below LAST (in typical prices); how often candidates
are drawn to get there."""
SLACK = 1e-3
"""Costs closer than this share of a typical price are not told apart in the first repair."""
REPAIR_WIDTH = 8.0
"""The same for the exact repair, in units of the last temperature; widened where the certificate is not good enough."""
WIDTH = 12.0
"""Pairs this many ε below their state's threshold are left out of a Newton step: π < 1e-5."""
GAP = 5e-5
"""Relative gap that is aimed at."""
ROUNDS = 6


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
        promised = self.constraints.bounds(m, n)
        callback(Progress("reading the scores", 0.0, 1.0))
        eligible, room = _allowed(scores, promised.capacity)
        cut = reachable(promised, eligible, room, scores.item_ids)
        task = _Task(scores, cut.bounds, self.seed, self.gap, callback)
        boost, rows, columns = task.solve(
            None if warm_start is None else -warm_start.item_prices, exactly=not cut.problems
        )
        assignment = Assignment(
            assignment_matrix(rows, columns, (m, n)), scores, planned=self.constraints.planned(promised)
        )
        certificate = certify(assignment, promised, task.unconstrained if cut.problems else task.best_bound)
        problems = cut.problems
        if not certificate.feasible and not problems:
            problems = _clashes(assignment, promised)
            certificate = certify(assignment, promised, task.unconstrained)
        callback(Progress("planned", 1.0, 1.0))
        return Plan(
            self.constraints, -boost + 0.0, assignment, certificate, problems=problems, seed=self.seed, bounds=promised
        )


@dataclass
class _Task:
    """One run over fixed scores and whole-state promises."""

    scores: Scores
    bounds: Bounds
    seed: int
    gap: float
    callback: Callback
    best_bound: float = np.inf
    unconstrained: float = np.inf

    def solve(self, start: np.ndarray | None, *, exactly: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(b, rows, columns): prices and an assignment, repaired unless the promises are known to be out of reach."""
        n = self.scores.shape[1]
        value, exposure = dual_value(self.scores, np.zeros(n), self.bounds.capacity)
        self.best_bound = self.unconstrained = value
        boost, level = np.zeros(n), 0.0
        if ((exposure < self.bounds.minimum) | (exposure > self.bounds.maximum)).any():
            boost, level = _newton_prices(self, start)
            self.bound(boost)
        small = self.scores.shape[0] * self.scores.shape[1] <= ALL_PAIRS
        if not (exactly or small):
            drawn = _candidates(self.scores, boost, 0.0, self.bounds.capacity)
            chosen = top_of_candidates(drawn.pairs, boost, self.bounds.capacity, seed=self.seed)
            return boost, drawn.pairs.rows()[chosen], drawn.pairs.item[chosen]
        return self._repair(boost, np.inf if small else REPAIR_WIDTH * COLDEST * level, 0.0 if small else SLACK * level)

    def _repair(self, centre: np.ndarray, width: float, slack: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Exact repair over the pairs around ``centre``, further ones as long as the certificate asks for them."""
        boost = centre
        kept: tuple[int, float, np.ndarray, np.ndarray, np.ndarray] | None = None
        for turn in range(ROUNDS):
            drawn = _candidates(self.scores, centre, width, self.bounds.capacity)
            result = exact_repair(
                drawn.pairs,
                boost,
                self.bounds.capacity,
                self.bounds.minimum,
                self.bounds.maximum,
                seed=self.seed,
                slack=slack,
                callback=partial(self._repairing, turn),
            )
            rows, columns, objective = _chosen(drawn.pairs, result)
            short = int(result.short.sum())
            if kept is None or (short, -objective) < (kept[0], -kept[1]):
                kept = (short, objective, result.boost, rows, columns)
            self.bound(result.boost)
            gap = (self.best_bound - objective) / max(objective, 1e-300)
            log.info("repair %d: %d candidates, short %d, gap %.2g", turn, len(drawn.pairs.item), short, gap)
            if (drawn.complete and slack == 0.0) or (short == 0 and gap <= self.gap):
                break
            boost = centre if short else result.boost
            width, slack = width * 5, slack / 8
        assert kept is not None
        return kept[2], kept[3], kept[4]

    def _repairing(self, turn: int, missing: int) -> None:
        text = (
            f"keeping every promise exactly: {missing:,} places to go" if missing else "keeping every promise exactly"
        )
        self.callback(Progress(text, 0.6 + 0.4 * turn / ROUNDS, 1.0))

    def bound(self, boost: np.ndarray) -> None:
        """Remember D(b) over all pairs if it is the least one seen."""
        minimum, maximum = self.bounds.minimum, self.bounds.maximum
        value, _ = dual_value(self.scores, boost, self.bounds.capacity)
        value -= float(minimum @ np.maximum(boost, 0.0)) - float(maximum @ np.maximum(-boost, 0.0))
        self.best_bound = min(self.best_bound, value)


class _SampledDual:
    """Newton on the smoothed dual of (a sample of) the user-states."""

    def __init__(self, task: _Task, pairs: int = SAMPLE_PAIRS) -> None:
        m, n = task.scores.shape
        size = min(m, max(256, pairs // n))
        self.rows = np.sort(np.random.default_rng(task.seed).permutation(m)[:size]) if size < m else np.arange(m)
        self.scores = task.scores if size == m else task.scores.take(self.rows)
        share = size / m
        self.capacity = task.bounds.capacity[self.rows]
        self.minimum, self.maximum = task.bounds.minimum * share, task.bounds.maximum * share

    def settle(self, boost: np.ndarray, epsilon: float, tolerance: float, *, first: bool) -> tuple[np.ndarray, float]:
        """Minimise the smoothed dual at one temperature: (b, share of the promised states still missed)."""
        width = np.inf if first else WIDTH * epsilon
        for _ in range(REDRAWS):
            drawn = _candidates(self.scores, boost, width, self.capacity)
            dual = SmoothedDual(drawn.pairs, self.capacity, self.minimum, self.maximum, epsilon)
            point = dual.minimise(dual.at(boost, drawn.threshold), tolerance=tolerance / 2, reach=width)
            boost, missed = point.boost, dual.missed(point)
            log.info("ε %.3g: %d candidates, F %.8g, missed %.3f", epsilon, len(drawn.pairs.item), point.value, missed)
            if first or missed <= tolerance:
                break
        return boost, missed


def _newton_prices(task: _Task, start: np.ndarray | None) -> tuple[np.ndarray, float]:
    """(b near its optimum, typical size of a price)."""
    fine = _SampledDual(task)
    alone, level = _first_prices(fine.scores, fine.capacity, fine.minimum, fine.maximum)
    if level == 0.0:
        return alone if start is None else start, level
    boost = alone if start is None else start.copy()
    hottest = epsilon = level * (HOTTEST if start is None else WARM)
    coldest = COLDEST * level
    dual = _SampledDual(task, COARSE_PAIRS) if start is None else fine
    while True:
        share = np.log(hottest / epsilon) / np.log(hottest / coldest)
        task.callback(Progress("finding prices", 0.1 + 0.5 * float(np.clip(share, 0, 1)), 1.0))
        if epsilon < FINE * level:
            dual = fine
        first = epsilon == hottest
        boost, missed = dual.settle(boost, epsilon, SETTLED if epsilon > LAST * level else SETTLED_LAST, first=first)
        if first and missed > UNSETTLED and epsilon < REHEATING_ENDS * level:  # the prices are far from here
            hottest = epsilon = REHEATING * epsilon
        elif epsilon > coldest:
            epsilon *= COOLING
        else:
            return boost, level


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Candidates around some prices; ``threshold`` (m,) is the K-th best λ + b; ``complete``: all pairs there are."""

    pairs: Candidates
    threshold: np.ndarray
    complete: bool


def _candidates(scores: Scores, boost: np.ndarray, width: float, capacity: np.ndarray) -> _Drawn:
    """Pairs whose λ + b is at most ``width`` below their state's threshold u."""
    most = max(1, min(int(capacity.max(initial=0)), scores.shape[1]))
    columns, values, sizes, thresholds = [], [], [], []
    allowed = 0
    for start, stop, z in scores.blocks():
        boosted = z.double() + torch.from_numpy(boost).to(z.device)
        best = torch.topk(boosted, most, dim=1).values
        at = torch.from_numpy(np.maximum(capacity[start:stop], 1) - 1).to(z.device)[:, None]
        threshold = best.gather(1, at).clamp(min=0.0)
        open_pairs = z > -torch.inf
        keep = open_pairs & (boosted >= threshold - width)
        row, column = keep.nonzero(as_tuple=True)
        columns.append(column.to(torch.int32).cpu().numpy())
        values.append(z[row, column].double().cpu().numpy())
        sizes.append(keep.sum(dim=1).cpu().numpy())
        thresholds.append(threshold[:, 0].cpu().numpy())
        allowed += int(open_pairs.sum())
    row_ptr = np.concatenate([[0], np.cumsum(np.concatenate(sizes))]).astype(np.int64)
    pairs = Candidates(row_ptr, np.concatenate(columns), np.concatenate(values))
    return _Drawn(pairs, np.concatenate(thresholds), complete=len(pairs.item) == allowed)


def _first_prices(
    scores: Scores, capacity: np.ndarray, minimum: np.ndarray, maximum: np.ndarray
) -> tuple[np.ndarray, float]:
    """What each promise would cost alone, and what they cost together, roughly.

    Returns
    -------
    boost : ndarray (n,)
        The item's L-th (or U-th) best λ − u, as a boost: right if no other promise moved.
    level : float
        Typical size of a price: the median of these, or the value of the last place that has to give way when the
        promises take the cheapest places of the TopK assignment; 0 when no promise binds.
    """
    m, n = scores.shape
    most = max(1, min(int(capacity.max(initial=0)), n))
    margins = np.empty((n, m), np.float32)
    exposure = np.zeros(n)
    places = []
    for start, stop, z in scores.blocks():
        best, column = torch.topk(z, most, dim=1)
        room = torch.from_numpy(capacity[start:stop, None]).to(z.device)
        best = best.clamp(min=0.0)
        filled = torch.arange(most, device=z.device)[None, :] < room
        places.append(best[filled].cpu().numpy())
        exposure += torch.bincount(column[filled & (best > 0)], minlength=n).cpu().numpy()
        margins[:, start:stop] = (z - best.gather(1, (room - 1).clamp(min=0))).T.cpu().numpy()
    boost = np.zeros(n)
    for y in np.flatnonzero((exposure < minimum) | (exposure > maximum)):
        short = exposure[y] < minimum[y]
        place = min(max(int(np.ceil(minimum[y] if short else maximum[y])), 1), m)
        reached = -np.partition(-margins[y], place - 1)[place - 1]
        if np.isfinite(reached):
            boost[y] = max(-reached, 0.0) if short else min(-reached, 0.0)
    moved = np.abs(boost[boost != 0.0])
    level = float(np.median(moved)) if len(moved) else 0.0
    missing = int(np.maximum(minimum - exposure, 0.0).sum())
    if missing:
        value = np.sort(np.concatenate(places))
        level = max(level, float(value[min(missing, len(value)) - 1]))
    return boost, level


def _allowed(scores: Scores, capacity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """States each item may go to (n,), and items each state can take (m,).

    Raises
    ------
    ScoreError
        A score is NaN, infinite or negative.
    """
    eligible = np.zeros(scores.shape[1], np.int64)
    room = []
    for _, _, z in scores.validated_blocks():
        allowed = z > -torch.inf
        eligible += allowed.sum(dim=0).cpu().numpy()
        room.append(allowed.sum(dim=1).cpu().numpy())
    return eligible, np.minimum(np.concatenate(room), capacity)


def _chosen(pairs: Candidates, result: FlowResult) -> tuple[np.ndarray, np.ndarray, float]:
    rows, columns = pairs.rows()[result.chosen], pairs.item[result.chosen]
    return rows, columns, float(pairs.value[result.chosen].sum())


def _clashes(assignment: Assignment, bounds: Bounds) -> tuple[str, ...]:
    """A sentence for every promise that was not kept although each could be alone."""
    short = np.maximum(bounds.minimum - assignment.exposure, 0)
    worst = np.argsort(-short, kind="stable")[:10]
    return tuple(
        f"Item {assignment.items[y]} gets {assignment.exposure[y]:,} of {bounds.minimum[y]:,} promised user-states: "
        "the states it may go to are taken by other promises. Lower this or their minimum, or raise the capacity."
        for y in worst
        if short[y] > 0
    )
