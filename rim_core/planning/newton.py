"""Prices near the optimum: Newton on the smoothed dual at falling temperatures, on samples first.

High temperatures are told well enough by few states. The last ones see all states, but only the pairs close to their
state's threshold, so a pass over the scores draws them and a few Newton steps settle them.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from rim_core.planning.passes import AT_ONCE, alone, draw, survey
from rim_core.planning.smoothing import Bounded, SmoothedDual
from rim_core.progress import Progress, unheeded

if TYPE_CHECKING:
    from rim_core.planning.candidates import Contacts
    from rim_core.planning.smoothing import Point
    from rim_core.progress import Callback, Heed
    from rim_core.scores import Scores

log = logging.getLogger(__name__)

HOTTEST, COLDEST, COOLING = 0.3, 1e-5, 0.33
"""Temperatures ε as shares of the typical price: the first and the last; their ratio."""
WARM, MOVED, MOVED_FAR, WARMEST = 0.008, 0.1, 0.3, 0.05
"""The first temperature after a warm start: the share by which promises moved, times MOVED, but WARM at least; beyond
MOVED_FAR it is WARMEST, and all pairs are candidates there: prices may have moved anywhere."""
SAMPLES = ((1_500_000, 1.0, 0.03), (5_000_000, 4.0, 0.012), (16_000_000, 12.0, 0.006), (60_000_000, 50.0, 0.002))
"""Pairs of a sample of the user-states, and deliveries of a typical promise in it, at least; and the temperature (in
typical prices) down to which it tells enough."""
MOST = 0.45
"""Share of the states above which all of them are no more work than a sample and then all."""
TIGHT, TIGHT_SAMPLES = 0.1, ((16_000_000, 12.0, 0.1),)
"""Share of all places that the promises leave free, and the samples where they leave less: what the items of a sample
have too few of by chance is more than that, and its prices would be far from those of all states."""
REHEATING, REHEATING_ENDS, UNSETTLED = 4.0, 100.0, 0.3
"""Factor and end (in typical prices) of going back to higher temperatures, and the missed share that calls for it."""
WHOLE = 16_000_000
"""Pairs up to which all states may be as hot as the first sample (all pairs are candidates then): where samples misled
by far. Above, they are looked at one temperature warmer."""
MOST_PAIRS = 48_000_000
"""Candidates at once, some 45 bytes each: samples have no more pairs, and all states are looked at only when it is so
cold that no more of their pairs are near a threshold."""
SETTLED, SETTLED_LAST, LAST, REDRAWS = 0.02, 0.005, 3e-3, 4
"""Missed share that is good enough at a temperature, and at those below LAST (in typical prices); how often candidates
are drawn to get there."""
WIDTH = 10.0
"""Pairs this many ε below (or above) their state's threshold are left out of a Newton step: π is 0 (or 1) to 1e-5."""
CREEPING, STRIDE = 0.9, 8.0
"""Where a draw leaves more than this share of what was missed and prices went as far as it lets them, the next is so
many times as wide: items that have to themselves what few states can take push out pairs far above the threshold."""
AT_EDGE = 0.99
"""Share of a draw's width from which a price went as far as it lets it: it may want to go further."""
PART, STALLED = 2.5, 0.05
"""Parts of the gap that is aimed at: below them a further temperature, or drawing candidates anew at the same one, is
not worth its passes."""
FAR, STRAIGHTENED = 0.02, 20_000_000
"""Share of its promise by which an item is far from it, and how many pairs are kept at once to mend that."""
AWAY = 0.1
"""Share of the largest price from which a price has run away where promises cannot be kept."""
FEWEST = 4.0
"""Deliveries of a typical promise that a sample has to hold to give first prices."""


@dataclass
class Level:
    """(A sample of) the user-states, and the smoothed dual on them.

    Attributes
    ----------
    rows : ndarray of int64 or None
        Which states these are; None for all.
    guess : ndarray (m,)
        Thresholds found last.
    exposure : ndarray (n + r,)
        What was delivered there.
    drawn : int
        Candidates of the last draw.
    """

    scores: Scores
    contacts: Contacts
    bounded: Bounded
    rows: np.ndarray | None = None
    guess: np.ndarray | None = field(default=None, repr=False)
    exposure: np.ndarray = field(default_factory=lambda: np.empty(0), repr=False)
    drawn: int = 0

    @classmethod
    def sample(
        cls,
        scores: Scores,
        contacts: Contacts,
        bounded: Bounded,
        pairs: int,
        seed: int,
        deliveries: float = 0.0,
        eligible: np.ndarray | None = None,
    ) -> Level:
        """Some states at random (all states of some users where users have caps): ``pairs`` of them at least, and as
        many as a typical promise needs for its ``deliveries``, of MOST_PAIRS at most.

        With ``eligible``, the states each item may go to (n,), a promise is scaled by the share of those in the sample:
        of few states it may hold many or none, and could not keep what all of them keep.
        """
        m, n = scores.shape
        wanted = int(np.ceil(m * deliveries / max(bounded.typical, deliveries, 1e-300)))
        size = max(256, min(max(pairs // n, wanted), MOST_PAIRS // n))
        if size >= m:
            return cls(scores, contacts, bounded)
        rng = np.random.default_rng(seed)
        if contacts.capped:
            users = len(contacts.user_cap)
            order = rng.permutation(users)[contacts.user]
            rows = np.sort(np.argsort(order, kind="stable")[:size])
            rows = np.flatnonzero(order <= order[rows].max())
        else:
            rows = np.sort(rng.permutation(m)[:size])
        some, share = scores.take(rows), None
        if eligible is not None and eligible.min() < m:
            share = survey(some).eligible / np.maximum(eligible, 1)
        return cls(some, contacts.take(rows), bounded.scaled(len(rows) / m, share), rows)

    def settle(
        self,
        prices: np.ndarray,
        epsilon: float,
        tolerance: float,
        gap: float,
        *,
        first: bool = False,
        patient: bool = True,
        heed: Heed = unheeded,
    ) -> tuple[np.ndarray, float, float]:
        """Minimise the smoothed dual at one temperature: (prices, share of the promises still missed, F).

        Candidates are drawn anew as long as promises are missed by more than ``tolerance``, or prices stopped where
        the draw ends, and F moves by a part of ``gap``. Without ``patient`` it ends where a draw left nearly all that
        was missed. ``heed`` is asked all along and may raise.
        """
        width = np.inf if first else WIDTH * epsilon
        missed = value = np.inf
        for _ in range(REDRAWS):
            before, start, far_off = value, prices, missed
            heed()
            drawn = draw(
                self.scores, self.bounded.boost(prices), width, self.contacts.capacity,
                guess=self.guess, leave_sure=not (first or self.contacts.capped),
            )  # fmt: skip
            dual = SmoothedDual(drawn, self.contacts, self.bounded, epsilon)
            point = dual.minimise(dual.at(prices, drawn.threshold), tolerance=tolerance / 2, reach=width, heed=heed)
            prices, missed, value = point.prices, dual.missed(point), point.value
            self.guess, self.exposure, self.drawn = point.user_price, point.exposure, len(drawn.pairs.item)
            log.info("ε %.3g: %d candidates, F %.8g, missed %.4f", epsilon, len(drawn.pairs.item), point.value, missed)
            if first:
                break
            prices = self._alone(dual, point)
            at_edge = bool(np.abs(prices - start).max() >= AT_EDGE * width)
            if (missed <= tolerance and not at_edge) or abs(before - value) <= STALLED * gap * abs(value):
                break
            creeping = missed > CREEPING * far_off
            if creeping and not patient and missed > SETTLED:
                break
            if creeping and at_edge:
                width *= STRIDE  # all that is contested is further off
        return prices, missed, value

    def give_up(self, prices: np.ndarray) -> np.ndarray | None:
        """Promise no more than this sample delivered where prices ran away, and leave the items without a price.

        An item that may go to few states has hardly any of them in a sample. None where no price ran away.
        """
        away = (self.exposure < self.bounded.lower) & (prices >= AWAY * prices.max())
        if not away.any():
            return None
        lower = np.where(away, np.minimum(self.bounded.lower, self.exposure), self.bounded.lower)
        self.bounded = replace(self.bounded, lower=lower)
        out: np.ndarray = np.where(away, 0.0, prices)
        return out

    def _alone(self, dual: SmoothedDual, point: Point) -> np.ndarray:
        """Prices of the items that are too far from their promise for Newton, as they are where nothing else moves.

        An item that hardly any state wants has no pairs near the thresholds: Newton does not see where it would have
        some.
        """
        n, prices = self.bounded.items, point.prices
        gradient = dual.gradient(point)[:n]
        seen = np.bincount(dual.drawn.pairs.item, point.weight, minlength=n)
        aim = point.exposure[:n] - gradient
        off = np.where(np.abs(gradient) > np.maximum(WIDTH * seen, np.maximum(0.5, FAR * aim)), np.abs(gradient), 0.0)
        items = np.flatnonzero(off)
        if not len(items):
            return prices
        most = STRAIGHTENED // (2 * math.ceil(aim[items].max()) + AT_ONCE)
        items = items[np.argsort(-off[items], kind="stable")][: max(1, most)]
        boost = alone(
            self.scores, self.bounded.boost(prices) - prices[:n], point.user_price, self.contacts.capacity, items,
            np.ceil(aim[items] - 1e-9).astype(np.int64),
        )  # fmt: skip
        log.info("%d items stand alone, %.4g off", len(items), off.sum())
        prices = prices.copy()
        prices[items] = np.where(np.isnan(boost), prices[items], boost)
        return self.bounded.sensible(prices)


@dataclass(frozen=True, eq=False)
class Start:
    """Prices to start from.

    Attributes
    ----------
    prices : ndarray (n + r,)
    moved : float
        By what share of their size the promises have moved since these prices were found.
    """

    prices: np.ndarray
    moved: float


@dataclass(frozen=True, eq=False)
class NearPrices:
    """What Newton found.

    Attributes
    ----------
    prices : ndarray (n + r,)
    level : float
        Typical size of a price; 0 where scores are 0.
    epsilon : float
        The last temperature.
    guess : ndarray (m,) or None
        Thresholds to expect.
    """

    prices: np.ndarray
    level: float
    epsilon: float
    guess: np.ndarray | None


def newton_prices(
    scores: Scores,
    contacts: Contacts,
    bounded: Bounded,
    start: Start | None,
    *,
    eligible: np.ndarray,
    seed: int,
    callback: Callback,
    gap: float,
    coldest: float = COLDEST,
) -> NearPrices:
    """Prices near their optimum; it is cooled until a further step gains less than a part of ``gap``.

    ``eligible`` (n,) are the states that each item may go to.
    """
    everything = Level(scores, contacts, bounded)
    samples = [
        (Level.sample(scores, contacts, bounded, pairs, seed, deliveries, eligible), until)
        for pairs, deliveries, until in (TIGHT_SAMPLES if leaves_little(contacts, bounded) else SAMPLES)
    ]
    m, few = scores.shape[0], scores.shape[0] * scores.shape[1] <= MOST_PAIRS
    levels = [
        (everything if one.rows is None or (few and len(one.rows) > MOST * m) else one, until) for one, until in samples
    ]
    levels.append((everything, 0.0))
    alone, level = first_prices(_enough([one for one, _ in samples]))
    prices = alone if start is None else bounded.sensible(start.prices)
    if level == 0.0:
        return NearPrices(prices, level, 0.0, None)
    far = start is None or start.moved > MOVED_FAR
    hottest = epsilon = level * (HOTTEST if start is None else WARMEST if far else max(WARM, MOVED * start.moved))
    coldest *= level
    before, settled, stage, may_reheat = np.inf, None, "finding prices", True
    sample = None
    while True:
        share = np.log(hottest / epsilon) / np.log(hottest / coldest)
        heed = partial(callback, Progress(stage, 0.1 + 0.5 * float(np.clip(share, 0, 1)), 1.0))
        at = next(one for one, until in levels if epsilon > until * level)
        if at is not everything:
            sample = at
        elif sample is not None and not few and sample.drawn * m > MOST_PAIRS * len(sample.contacts.capacity):
            at = sample
        first = epsilon == hottest
        tolerance = SETTLED if epsilon > LAST * level else SETTLED_LAST
        patient = first or at is not everything or not may_reheat
        prices, missed, value = at.settle(
            prices, epsilon, tolerance, gap, first=first and far, patient=patient, heed=heed
        )
        if value < 0.0:  # no assignment is worth so little: these states cannot keep the promises
            if at is everything:
                return NearPrices(prices, level, epsilon, everything.guess)
            given_up = at.give_up(prices)
            if given_up is not None:
                prices = given_up
                continue
        stage = f"finding prices: promises missed by {100 * missed:.1f} %"
        if first and missed > UNSETTLED and epsilon < REHEATING_ENDS * level:  # the prices are far from here
            hottest = epsilon = REHEATING * epsilon
            continue
        if at is everything and missed > SETTLED:  # too cold for Newton: every price waits for all others
            if settled is not None:
                return settled
            if may_reheat and epsilon < hottest:  # what a sample settles may leave all states far off
                whole = m * scores.shape[1] <= WHOLE
                epsilon = hottest if whole else min(epsilon / COOLING, hottest)
                levels, may_reheat = [(everything, 0.0)], False
                continue
        near = NearPrices(prices, level, epsilon, everything.guess)
        if epsilon <= coldest or (at is everything and before - value <= gap * PART * value):
            return near
        if at is everything:
            before = value
            settled = near if missed <= SETTLED else None
        epsilon = max(epsilon * COOLING, coldest * 0.99)


def leaves_little(contacts: Contacts, bounded: Bounded) -> bool:
    """Whether the items' minimums take nearly all places."""
    places = int(contacts.capacity.sum())
    return bool(places - bounded.lower[: bounded.items].sum() < TIGHT * places)


def colder(
    scores: Scores, contacts: Contacts, bounded: Bounded, near: NearPrices, gap: float, heed: Heed = unheeded
) -> NearPrices:
    """The same prices at a lower temperature, as far below as the next one would have been and once more."""
    everything = Level(scores, contacts, bounded, guess=near.guess)
    prices, epsilon = near.prices, near.epsilon
    for _ in range(2):
        epsilon *= COOLING
        prices, _, _ = everything.settle(prices, epsilon, SETTLED_LAST, gap, heed=heed)
    return NearPrices(prices, near.level, epsilon, everything.guess)


def typical_price(scores: Scores, contacts: Contacts, bounded: Bounded, seed: int) -> float:
    """Typical size of a price, roughly (:func:`first_prices` of a sample)."""
    samples = [Level.sample(scores, contacts, bounded, pairs, seed, least) for pairs, least, _ in SAMPLES]
    return first_prices(_enough(samples))[1]


def _enough(samples: list[Level]) -> Level:
    """The smallest sample in which a typical promise is a few deliveries."""
    for one in samples:
        if one.bounded.typical >= FEWEST:
            return one
    return samples[-1]


def first_prices(level: Level) -> tuple[np.ndarray, float]:
    """What each promise would cost alone, and what they cost together, roughly.

    Returns
    -------
    prices : ndarray (n + r,)
        The item's L-th (or U-th) best λ − u, as a boost: right if no other promise moved. 0 for groups and budgets.
    level : float
        Typical size of a price: the median of these, or the value of the last place that has to give way when the
        promises take the cheapest places of the TopK assignment; the mean place where neither tells; 0 for scores of 0.
    """
    scores, bounded, capacity = level.scores, level.bounded, level.contacts.capacity
    m, n = scores.shape
    lower, upper = bounded.lower, bounded.upper
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
    prices = np.zeros(len(lower))
    for y in np.flatnonzero((exposure < lower[:n]) | (exposure > upper[:n])):
        short = exposure[y] < lower[y]
        place = min(max(int(np.ceil(lower[y] if short else upper[y])), 1), m)
        reached = -np.partition(-margins[y], place - 1)[place - 1]
        if np.isfinite(reached):
            prices[y] = max(-reached, 0.0) if short else min(-reached, 0.0)
    moved = np.abs(prices[prices != 0.0])
    typical = float(np.median(moved)) if len(moved) else 0.0
    value = np.sort(np.concatenate(places))
    rows = bounded.exposure(exposure)
    missing = int(np.maximum(lower - rows, 0.0)[:n].sum() + (np.maximum(lower - rows, 0.0)[n:] / bounded.unit).sum())
    if missing and len(value):
        typical = max(typical, float(value[min(missing, len(value)) - 1]))
    if typical == 0.0 and len(value):  # nothing binds on this sample, or only what limits several items
        typical = float(value.mean())
    return prices, typical
