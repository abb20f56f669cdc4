"""The smoothed dual (eq. 11) over candidate pairs, and its Newton steps.

Prices p are those of the items (b = −v), of groups and of budgets; what an item's scores are raised by is e = b + Wᵀg.
At temperature ε the inner problem of every user-state has a closed form, π = S((λ + e − u) / ε), where u ≥ 0 makes
Σ π = K; where the states of a user would take more than her cap together, u is raised to the w that makes Σ π = C.
What is left is convex and smooth but for the kink of a two-sided promise at p = 0:

    F(p) = Σ_x [K (u − w) + Σ_y φ(λ + e − u)] + Σ C w − Σ L p⁺ + Σ U p⁻,    φ′ = S

The entropy of eq. 12 would make S the sigmoid. S is the cubic with the sigmoid's slope at its middle that reaches 0 and
1 at −3 and 3: s²(3 − 2s) with s = ½ + t/6. It needs no exponentials, a pair further than 3 ε from its threshold is
decided, and F is closer to D at the same ε (0.56 ε a pair at most, not 0.69 ε).

Gradient: expected exposure (summed up by W for groups and budgets) − L (p > 0) or − U (p < 0). Hessian in e, with
w_xy = ε S′ = s(1 − s): (1/ε) Σ_x [diag(w_x) − w_x w_xᵀ / Σ w_x], the states that share a user's w counting as one.
Only pairs close to their state's threshold have w > 0, so a product with the Hessian costs far less than a pass over
the scores.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numba import njit
from scipy import sparse

from rim_core.planning.hessian import Hessian
from rim_core.progress import unheeded

if TYPE_CHECKING:
    from rim_core.planning.candidates import Contacts
    from rim_core.planning.passes import Drawn
    from rim_core.progress import Heed

REACH = 3.0
"""|λ + e − u| / ε from which π is 0 or 1."""
SOLVED, PRODUCTS = 1e-6, 150
"""To what share of its square the gradient is solved for by a step, and with how many products at most."""
SHORT = 0.1
"""Part of a step; two steps in a row that had to be shortened to less end the search at this temperature."""
LONGEST = 8.0
"""Longest Newton step of a price, in units of ε, from the common move of all."""


@dataclass(frozen=True, eq=False)
class Bounded:
    """What is promised of items and rows: lower ≤ (exposure, W exposure) ≤ upper.

    Attributes
    ----------
    lower, upper : ndarray of float64 (n + r,)
        Fractions when the states are a sample; ``upper`` is infinite where nothing limits it.
    weights : csr_matrix (r, n)
        W: members of groups, costs of budgets.
    unit : ndarray of float64 (r,)
        Largest weight of each row: what one exposure may change.
    least : ndarray of float64 (r,)
        Smallest weight above 0.
    """

    lower: np.ndarray
    upper: np.ndarray
    weights: sparse.csr_matrix
    unit: np.ndarray
    least: np.ndarray

    @classmethod
    def of(cls, lower: np.ndarray, upper: np.ndarray, weights: np.ndarray) -> Bounded:
        """From the dense weights (r, n)."""
        unit = weights.max(axis=1, initial=0.0) if len(weights) else np.empty(0)
        unit = np.where(unit > 0, unit, 1.0)  # a budget of which nothing costs anything
        least = np.where(weights > 0, weights, np.inf).min(axis=1, initial=np.inf)
        return cls(lower, upper, sparse.csr_matrix(weights), unit, np.where(np.isfinite(least), least, unit))

    @property
    def items(self) -> int:
        """n."""
        return int(self.weights.shape[1])

    @property
    def typical(self) -> float:
        """The median of what is promised of items, minima and maxima; infinite where nothing is."""
        n = self.items
        limits = np.concatenate([self.lower[:n][self.lower[:n] > 0], self.upper[:n][np.isfinite(self.upper[:n])]])
        return float(np.median(limits)) if len(limits) else np.inf

    def scaled(self, share: float, of_items: np.ndarray | None = None) -> Bounded:
        """The same for a share of the states; ``of_items`` (n,): share of each item's eligible states among them."""
        shares = np.full(len(self.lower), share)
        if of_items is not None:
            shares[: self.items] = of_items
        upper = np.where(np.isfinite(self.upper), self.upper, 0.0) * shares
        return replace(self, lower=self.lower * shares, upper=np.where(np.isfinite(self.upper), upper, np.inf))

    def boost(self, prices: np.ndarray) -> np.ndarray:
        """e = b + Wᵀg, (n,)."""
        n = self.items
        return prices[:n] if not len(self.unit) else prices[:n] + self.weights.T @ prices[n:]

    def exposure(self, items: np.ndarray) -> np.ndarray:
        """(exposure, W exposure), (n + r,)."""
        return items.astype(float) if not len(self.unit) else np.concatenate([items, self.weights @ items])

    def promised(self, prices: np.ndarray) -> float:
        """Σ L p⁺ − Σ U p⁻."""
        upper = np.where(np.isfinite(self.upper), self.upper, 0.0)
        return float(self.lower @ np.maximum(prices, 0.0) - upper @ np.maximum(-prices, 0.0))

    def sensible(self, prices: np.ndarray) -> np.ndarray:
        """Prices of the sign that something is promised for."""
        prices = np.where(self.lower > 0, prices, np.minimum(prices, 0.0))
        return np.where(np.isfinite(self.upper), prices, np.maximum(prices, 0.0))


@dataclass(frozen=True, eq=False)
class Point:
    """The smoothed dual at some prices.

    Attributes
    ----------
    prices : ndarray (n + r,)
    value : float
        F.
    exposure : ndarray (n + r,)
        Σ_x π of items, and what it comes to in every row.
    user_price : ndarray (m,)
        u.
    weight : ndarray (P,)
        w = ε S′ of every candidate.
    cell : ndarray of int64 (m,)
        Which thresholds move together: the state's own, its user's (m + user), or −1 for none.
    """

    prices: np.ndarray
    value: float
    exposure: np.ndarray
    user_price: np.ndarray
    weight: np.ndarray
    cell: np.ndarray


class SmoothedDual:
    """F at one temperature over fixed candidates.

    Parameters
    ----------
    drawn : Drawn
        P pairs of m user-states.
    contacts : Contacts
    bounded : Bounded
    epsilon : float
        Temperature, in units of the scores.
    solved : float
        To what share of its square the gradient is solved for by a step.
    """

    def __init__(
        self, drawn: Drawn, contacts: Contacts, bounded: Bounded, epsilon: float, solved: float = SOLVED
    ) -> None:
        self.drawn, self.contacts, self.bounded, self.epsilon, self.solved = drawn, contacts, bounded, epsilon, solved
        self.room = contacts.capacity - drawn.sure_load
        self.users = contacts.states_of_users() if contacts.capped else None
        largest = (len(bounded.lower) + 1) * float(drawn.pairs.value.max(initial=0.0))
        self.ceiling = np.concatenate([np.full(bounded.items, largest), largest / bounded.least])
        """No price lies beyond it: an augmenting path changes each item at most once. Where promises clash D has no
        minimum, and the steps would go on for ever."""

    def at(self, prices: np.ndarray, user_price: np.ndarray) -> Point:
        """F, exposures and weights; ``user_price`` is where the search for u starts. O(P)."""
        c, drawn, eps = self.drawn.pairs, self.drawn, self.epsilon
        boost = self.bounded.boost(prices)
        user_price = user_price.copy()
        _solve_states(c.row_ptr, c.item, c.value, boost, eps, self.room, user_price)
        cell = np.where(user_price > 0, np.arange(c.states), -1)
        cap_price = np.zeros(len(self.contacts.user_cap))
        if self.users is not None:
            _solve_users(
                *self.users, self.contacts.user_cap, c.row_ptr, c.item, c.value, boost, eps, user_price, cap_price, cell
            )
        exposure, weight = drawn.sure_exposure.copy(), np.zeros(len(c.item))
        total = _totals(c.row_ptr, c.item, c.value, boost, eps, user_price, exposure, weight)
        total += drawn.sure_value + float(drawn.sure_exposure @ boost)
        if self.users is None:
            total += float(self.room @ user_price)
        else:
            share = cap_price[self.contacts.user]
            total += float(self.room @ (user_price - share)) + float(self.contacts.user_cap @ cap_price)
        value = total - self.bounded.promised(prices)
        return Point(prices, value, self.bounded.exposure(exposure), user_price, weight, cell)

    def worth(self, point: Point) -> float:
        """Σ λπ, without what the smoothing adds. O(P)."""
        c, boost = self.drawn.pairs, self.bounded.boost(point.prices)
        of_candidates = float(_worth(c.row_ptr, c.item, c.value, boost, self.epsilon, point.user_price))
        return of_candidates + self.drawn.sure_value

    def gradient(self, point: Point) -> np.ndarray:
        """The subgradient of least size, (n + r,): 0 where p = 0 and the exposure lies between L and U."""
        over, under = point.exposure - self.bounded.lower, point.exposure - self.bounded.upper
        at_kink = np.where(over < 0, over, np.where(under > 0, under, 0.0))
        return np.where(point.prices > 0, over, np.where(point.prices < 0, under, at_kink))

    def missed(self, point: Point) -> float:
        """Σ |gradient| as a share of what the promises fix; of items, or of the row that is furthest off."""
        gradient, lower, n = self.gradient(point), self.bounded.lower, self.bounded.items
        fixed = np.where(point.prices > 0, lower, np.where(point.prices < 0, self.bounded.upper, 0.0))
        fixed = np.where((fixed == 0) & (gradient != 0), np.maximum(lower, point.exposure), fixed)
        items = float(np.abs(gradient[:n]).sum() / max(fixed[:n].sum(), 1.0))
        rows = np.abs(gradient[n:]) / np.maximum(fixed[n:], self.bounded.unit)
        return max(items, float(rows.max(initial=0.0)))

    def minimise(
        self,
        start: Point,
        tolerance: float,
        reach: float,
        steps: int = 15,
        hessian: Hessian | None = None,
        heed: Heed = unheeded,
    ) -> Point:
        """Projected Newton steps until the promises are met to ``tolerance``; no price moves further than ``reach``.

        The candidates were drawn around ``start``: further away, but for a common move of all prices, they would no
        longer be the contested pairs. ``hessian`` is the one at ``start``, where it is known; ``heed`` is asked before
        every step and may raise. Below 0 the search ends: no assignment is worth so little, so (these candidates)
        cannot keep the promises and F falls without end.
        """
        point, short = start, 0
        for _ in range(steps):
            heed()
            gradient = self.gradient(point)
            if self.missed(point) <= tolerance or short == 2 or point.value < 0.0:
                break
            following, length = self._step(point, gradient, start, reach, hessian)
            hessian = None
            if following is None:
                break
            point, short = following, short + 1 if length < SHORT else 0
        return point

    def _step(
        self, point: Point, gradient: np.ndarray, start: Point, reach: float, hessian: Hessian | None
    ) -> tuple[Point | None, float]:
        """One Newton step, shortened (Armijo) or lengthened along the line; None when nothing is gained any more.

        Where promises take nearly all places, D hardly bends along a common move of all prices and the damped step is
        far too short: it is doubled as long as the slope has not fallen to half.
        """
        direction = self.newton_direction(point, gradient, self._apart(point.prices, start), reach, hessian)
        length, following = 1.0, None
        for _ in range(8):
            prices = self._project(point.prices, point.prices + length * direction, gradient)
            trial = self.at(prices, point.user_price)
            if trial.value <= point.value + 1e-4 * float(gradient @ (prices - point.prices)):
                following = trial
                break
            length *= 0.4
        slope = float(gradient @ direction)
        while following is not None and length >= 1.0 and float(self.gradient(following) @ direction) < 0.5 * slope:
            if following.value < 0.0:
                break
            length *= 2.0
            prices = self._project(point.prices, point.prices + length * direction, gradient)
            trial = self.at(prices, following.user_price)
            if trial.value >= following.value or np.abs(self._apart(prices, start)).max() > reach:
                break
            following = trial
        return following, length

    def _apart(self, prices: np.ndarray, start: Point) -> np.ndarray:
        """How far each item's boost has moved from ``start``, beside the common move of all."""
        move = self.bounded.boost(prices) - self.bounded.boost(start.prices)
        out: np.ndarray = move - np.median(move)
        return out

    def _project(self, before: np.ndarray, after: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """A price does not change its sign within one step: p = 0 is where a promise begins to bind."""
        positive = (before > 0) | ((before == 0) & (gradient < 0))
        low, high = np.where(positive, 0.0, -self.ceiling), np.where(positive, self.ceiling, 0.0)
        out: np.ndarray = np.clip(after, low, high)
        return out

    def newton_direction(
        self,
        point: Point,
        gradient: np.ndarray,
        apart: np.ndarray | None = None,
        reach: float = np.inf,
        hessian: Hessian | None = None,
    ) -> np.ndarray:
        """−H⁻¹g by conjugate gradients with a diagonal preconditioner, at most 8 ε an item from their common move.

        Nor does an item that is ``apart`` from the start get further than ``reach``.
        """
        n, bounded = self.bounded.items, self.bounded
        hessian = hessian or Hessian(self, point)
        scale = hessian.diagonal
        least = 1e-3 * float(np.median(scale[:n])) + 1e-6
        damping = np.concatenate([np.full(n, least), least * bounded.unit**2])
        free = (gradient != 0.0).astype(float)
        residual = -gradient * self.epsilon
        lonely = (scale <= damping) & (free > 0)  # no contested pair: they would be all that the steps below look at
        x = np.where(lonely, residual / damping, 0.0)
        solved = np.where(lonely, 0.0, free)
        z = residual / (scale + damping) * solved
        p, rz = z.copy(), float(residual @ z)
        target = self.solved * rz
        for _ in range(PRODUCTS):
            if rz <= target or rz <= 0.0:
                break
            q = (hessian @ p + damping * p) * solved
            a = rz / float(p @ q)
            x += a * p
            residual = residual - a * q
            z = residual / (scale + damping) * solved
            rz, previous = float(residual @ z), rz
            p = z + rz / previous * p
        common = float(np.median(x[:n]))  # prices that all move together contest no other pairs
        longest = LONGEST * self.epsilon
        apart = np.zeros(n) if apart is None else apart
        low, high = np.clip(-reach - apart, -longest, 0.0), np.clip(reach - apart, 0.0, longest)
        own = np.clip(x[:n] - common, low, high)
        behind = apart[free[:n] == 0.0]  # what stays where it is is left behind by a common move
        if len(behind):
            common = min(max(common, float(behind.max()) - reach), float(behind.min()) + reach)
        of_rows = np.clip(x[n:], -2 * longest / bounded.unit, 2 * longest / bounded.unit)
        direction = np.concatenate([common + own, of_rows])
        out: np.ndarray = direction * free
        return out


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _filled(net, count, eps, u):  # type: ignore[no-untyped-def]
    """(Σ π, Σ w) of the first ``count`` pairs at threshold u."""
    filled, slope = 0.0, 0.0
    scale = 0.5 / (REACH * eps)
    for j in range(count):
        s = min(max((net[j] - u) * scale + 0.5, 0.0), 1.0)
        filled += s * s * (3.0 - 2.0 * s)
        slope += s * (1.0 - s)
    return filled, slope


@njit(cache=True, nogil=True)
def _gather(first, last, item, value, boost, net):  # type: ignore[no-untyped-def]
    """λ + e of a state's candidates."""
    for p in range(first, last):
        net[p - first] = value[p] + boost[item[p]]
    return last - first


@njit(cache=True, nogil=True)
def _solve_states(row_ptr, item, value, boost, eps, room, user_price):  # type: ignore[no-untyped-def]
    """Solve Σ π = K for every u (safeguarded Newton); ``user_price`` is where it starts and what it finds."""
    net = np.empty(np.diff(row_ptr).max())
    for x in range(len(row_ptr) - 1):
        count = _gather(row_ptr[x], row_ptr[x + 1], item, value, boost, net)
        if count <= room[x]:  # all of them are taken; u lies below them where others were left out
            lowest = user_price[x]
            for j in range(count):
                lowest = min(lowest, net[j])
            user_price[x] = max(lowest - REACH * eps, 0.0) if user_price[x] > 0.0 else 0.0
            continue
        places = float(room[x])
        low, high, stride = -1.0, np.inf, REACH * eps  # −1: 0 itself has not been tried
        u = user_price[x]
        for _ in range(100):
            filled, slope = _filled(net, count, eps, u)
            surplus = filled - places
            if abs(surplus) <= 1e-7 * places:
                break
            if surplus > 0.0:
                low = u
            else:
                high = u
                if u <= 0.0:
                    break
            step = eps * surplus / slope if slope > 1e-12 else np.copysign(np.inf, surplus)
            if abs(step) > stride:  # far from all that is contested: the slope there tells nothing
                step = np.copysign(stride, surplus)
                stride *= 2.0
            following = max(u + step, 0.0)
            if following <= low or following >= high:
                following = 0.5 * (low + high)
            if following == u:
                break
            u = following
        user_price[x] = u


@njit(cache=True, nogil=True)
def _solve_users(  # type: ignore[no-untyped-def]
    ptr, states, cap, row_ptr, item, value, boost, eps, user_price, cap_price, cell
):
    """Raise thresholds to a common w where the states of a user take more than her cap together."""
    m = len(row_ptr) - 1
    net = np.empty(np.diff(row_ptr).max())
    for g in range(len(cap)):
        low, high, w = 0.0, 0.0, 0.0
        for _ in range(200):
            filled, slope = 0.0, 0.0
            for i in range(ptr[g], ptr[g + 1]):
                x = states[i]
                count = _gather(row_ptr[x], row_ptr[x + 1], item, value, boost, net)
                f, s = _filled(net, count, eps, max(user_price[x], w))
                filled += f
                if w >= user_price[x]:
                    slope += s
            surplus = filled - cap[g]
            if surplus <= 1e-7 * max(cap[g], 1) and (w == 0.0 or surplus >= -1e-7 * max(cap[g], 1)):
                break
            if surplus > 0.0:
                low = w
                if high == 0.0:
                    following = w + max(eps, w) if slope <= 1e-12 else w + max(eps * surplus / slope, 0.1 * eps)
                elif slope > 1e-12:
                    following = w + eps * surplus / slope
                else:
                    following = 0.5 * (low + high)
            else:
                high = w
                following = w + eps * surplus / slope if slope > 1e-12 else 0.5 * (low + high)
            if high > 0.0 and (following <= low or following >= high):
                following = 0.5 * (low + high)
            if following == w or (cap[g] == 0 and following > 1e6 * (1.0 + eps)):
                break
            w = following
        cap_price[g] = w
        if w > 0.0:
            for i in range(ptr[g], ptr[g + 1]):
                x = states[i]
                if w >= user_price[x]:
                    user_price[x] = w
                    cell[x] = m + g


@njit(cache=True, nogil=True)
def _totals(row_ptr, item, value, boost, eps, user_price, exposure, weight):  # type: ignore[no-untyped-def]
    """Σ φ(λ + e − u); exposures and weights are added up in place."""
    total, scale = 0.0, 0.5 / (REACH * eps)
    for x in range(len(row_ptr) - 1):
        u = user_price[x]
        for p in range(row_ptr[x], row_ptr[x + 1]):
            t = value[p] + boost[item[p]] - u
            s = t * scale + 0.5
            if s >= 1.0:
                exposure[item[p]] += 1.0
                total += t
            elif s > 0.0:
                exposure[item[p]] += s * s * (3.0 - 2.0 * s)
                weight[p] = s * (1.0 - s)
                total += 2.0 * REACH * eps * s * s * s * (1.0 - 0.5 * s)
    return total


@njit(cache=True, nogil=True)
def _worth(row_ptr, item, value, boost, eps, user_price):  # type: ignore[no-untyped-def]
    """Σ λπ of the candidates."""
    total, scale = 0.0, 0.5 / (REACH * eps)
    for x in range(len(row_ptr) - 1):
        for p in range(row_ptr[x], row_ptr[x + 1]):
            s = min(max((value[p] + boost[item[p]] - user_price[x]) * scale + 0.5, 0.0), 1.0)
            total += value[p] * s * s * (3.0 - 2.0 * s)
    return total
