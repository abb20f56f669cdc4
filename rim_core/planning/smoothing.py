"""The smoothed dual (eq. 11 with the entropy of eq. 12) over candidate pairs, and its Newton steps.

With b = −v and temperature ε the inner problem of every user-state has the closed form
π = sigmoid((λ + b − u) / ε), eq. 12, where u ≥ 0 makes Σ π = K. What is left is convex and smooth in b
but for the kink of a two-sided promise at b = 0:

    F(b) = Σ_x [K u + ε Σ_y softplus((λ + b − u) / ε)] − Σ L b⁺ + Σ U b⁻

Gradient: expected exposure − L (b > 0) or − U (b < 0). Hessian, with w = π(1 − π):
(1/ε) Σ_x [diag(w_x) − w_x w_xᵀ / Σ w_x]. Only pairs close to their state's threshold have w > 0, so a
product with the Hessian costs far less than a pass over the scores.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from rim_core.planning.flow import Candidates

REACH = 20.0
"""|λ + b − u| / ε beyond which π is 0 or 1 (to 2e-9)."""
NEGLIGIBLE = 1e-9


@dataclass(frozen=True, eq=False)
class Point:
    """The smoothed dual at some b.

    Attributes
    ----------
    boost : ndarray (n,)
        b = −v.
    value : float
        F(b).
    exposure : ndarray (n,)
        Σ_x π.
    user_price : ndarray (m,)
        u.
    weight : ndarray (P,)
        w = π(1 − π) of every candidate.
    """

    boost: np.ndarray
    value: float
    exposure: np.ndarray
    user_price: np.ndarray
    weight: np.ndarray


class SmoothedDual:
    """F at one temperature over fixed candidates.

    Parameters
    ----------
    candidates : Candidates
        P pairs of m user-states.
    capacity : ndarray of int64 (m,)
    minimum, maximum : ndarray of float64 (n,)
        L and U; fractions when the states are a sample.
    epsilon : float
        Temperature, in units of the scores.
    """

    def __init__(
        self,
        candidates: Candidates,
        capacity: np.ndarray,
        minimum: np.ndarray,
        maximum: np.ndarray,
        epsilon: float,
    ) -> None:
        self.candidates = candidates
        self.capacity = capacity
        self.minimum, self.maximum = minimum, maximum
        self.epsilon = epsilon
        self.ceiling = (len(minimum) + 1) * float(candidates.value.max(initial=0.0))
        """No price lies beyond it: an augmenting path changes each item at most once. Where promises clash D has no
        minimum, and the steps would go on for ever."""

    def at(self, boost: np.ndarray, user_price: np.ndarray) -> Point:
        """F, exposures and weights at b; ``user_price`` is where the search for u starts. O(P)."""
        c = self.candidates
        exposure, weight = np.zeros(len(boost)), np.zeros(len(c.item))
        user_price = user_price.copy()
        total = _smoothed(c.row_ptr, c.item, c.value, boost, self.epsilon, self.capacity, user_price, exposure, weight)
        promised = self.minimum @ np.maximum(boost, 0.0) - self.maximum @ np.maximum(-boost, 0.0)
        return Point(boost, total - promised, exposure, user_price, weight)

    def gradient(self, point: Point) -> np.ndarray:
        """The subgradient of least size, (n,): 0 where b = 0 and the exposure lies between L and U."""
        over, under = point.exposure - self.minimum, point.exposure - self.maximum
        at_kink = np.where(over < 0, over, np.where(under > 0, under, 0.0))
        return np.where(point.boost > 0, over, np.where(point.boost < 0, under, at_kink))

    def missed(self, point: Point) -> float:
        """Σ |gradient| as a share of the exposures that the promises fix."""
        gradient = self.gradient(point)
        fixed = np.where(point.boost > 0, self.minimum, np.where(point.boost < 0, self.maximum, 0.0))
        fixed = np.where((fixed == 0) & (gradient != 0), np.maximum(self.minimum, point.exposure), fixed)
        return float(np.abs(gradient).sum() / max(fixed.sum(), 1.0))

    def minimise(self, start: Point, tolerance: float, reach: float, steps: int = 15) -> Point:
        """Projected Newton steps until the promises are met to ``tolerance``, or prices have moved by ``reach``.

        The candidates were drawn around ``start``: further away they would no longer be the contested pairs.
        """
        point = start
        for _ in range(steps):
            gradient = self.gradient(point)
            move = point.boost - start.boost
            if self.missed(point) <= tolerance or np.abs(move - np.median(move)).max() > reach:
                break
            following = self._step(point, gradient)
            if following is None:
                break
            point = following
        return point

    def _step(self, point: Point, gradient: np.ndarray) -> Point | None:
        """One Newton step, shortened (Armijo) or lengthened along the line; None when nothing is gained any more.

        Where promises take nearly all places, D hardly bends along a common move of all prices and the damped step is
        far too short: it is doubled as long as the slope has not fallen to half.
        """
        direction = self._newton_direction(point, gradient)
        length, following = 1.0, None
        for _ in range(8):
            boost = self._project(point.boost, point.boost + length * direction, gradient)
            trial = self.at(boost, point.user_price)
            if trial.value <= point.value + 1e-4 * float(gradient @ (boost - point.boost)):
                following = trial
                break
            length *= 0.4
        slope = float(gradient @ direction)
        while following is not None and length >= 1.0 and float(self.gradient(following) @ direction) < 0.5 * slope:
            length *= 2.0
            boost = self._project(point.boost, point.boost + length * direction, gradient)
            trial = self.at(boost, following.user_price)
            if trial.value >= following.value:
                break
            following = trial
        return following

    def _project(self, before: np.ndarray, after: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """A boost does not change its sign within one step: b = 0 is where a promise begins to bind."""
        positive = (before > 0) | ((before == 0) & (gradient < 0))
        low, high = np.where(positive, 0.0, -self.ceiling), np.where(positive, self.ceiling, 0.0)
        out: np.ndarray = np.clip(after, low, high)
        return out

    def _newton_direction(self, point: Point, gradient: np.ndarray) -> np.ndarray:
        """−H⁻¹g by conjugate gradients with a diagonal preconditioner, at most 8 ε an item from their common move."""
        c = self.candidates
        ptr, item, weight, inverse_sum = _contested(c.row_ptr, c.item, point.weight, point.user_price)
        n = len(gradient)
        diagonal = np.bincount(c.item, point.weight, minlength=n)
        scale = _hessian_diagonal(ptr, item, weight, inverse_sum, diagonal)
        damping = 1e-3 * float(np.median(scale)) + 1e-6
        free = (gradient != 0.0).astype(float)
        residual = -gradient * self.epsilon
        x, z = np.zeros(n), residual / (scale + damping) * free
        p, rz = z.copy(), float(residual @ z)
        target = 1e-3 * rz
        product = np.empty(n)
        for _ in range(40):
            if rz <= target or rz <= 0.0:
                break
            _hessian_product(ptr, item, weight, inverse_sum, diagonal, p, product)
            q = (product + damping * p) * free
            a = rz / float(p @ q)
            x += a * p
            residual = residual - a * q
            z = residual / (scale + damping) * free
            rz, previous = float(residual @ z), rz
            p = z + rz / previous * p
        common = float(np.median(x[free > 0]))  # prices that move together contest no other pairs
        direction: np.ndarray = (common + np.clip(x - common, -8 * self.epsilon, 8 * self.epsilon)) * free
        return direction


@njit(cache=True, nogil=True)
def _smoothed(row_ptr, item, value, boost, eps, capacity, user_price, exposure, weight):  # type: ignore[no-untyped-def]
    """Solve Σ π = K for every u (safeguarded Newton) and add up F, exposures and weights."""
    total = 0.0
    for x in range(len(row_ptr) - 1):
        first, last = row_ptr[x], row_ptr[x + 1]
        room = float(capacity[x])
        low, high = 0.0, np.inf
        u = user_price[x]
        for _ in range(80):
            filled, slope = 0.0, 0.0
            for p in range(first, last):
                t = (value[p] + boost[item[p]] - u) / eps
                if t > REACH:
                    filled += 1.0
                elif t > -REACH:
                    q = 1.0 / (1.0 + math.exp(-t))
                    filled += q
                    slope += q * (1.0 - q)
            surplus = filled - room
            if abs(surplus) <= 1e-7 * room:
                break
            if surplus > 0.0:
                low = u
            else:
                high = u
                if u <= 0.0:
                    break
            if slope > 1e-12:
                following = u + eps * surplus / slope
            elif surplus > 0.0:
                following = u + REACH * eps
            else:
                following = u - REACH * eps
            if following <= low or following >= high:
                following = u + REACH * eps if high == np.inf else 0.5 * (low + high)
            following = max(following, 0.0)
            if following == u:
                break
            u = following
        user_price[x] = u
        total += room * u
        for p in range(first, last):
            t = (value[p] + boost[item[p]] - u) / eps
            if t > REACH:
                exposure[item[p]] += 1.0
                total += t * eps
            elif t > -REACH:
                e = math.exp(-t)
                q = 1.0 / (1.0 + e)
                exposure[item[p]] += q
                weight[p] = q * (1.0 - q)
                total += eps * (math.log1p(e) + t)
    return total


@njit(cache=True, nogil=True)
def _contested(row_ptr, item, weight, user_price):  # type: ignore[no-untyped-def]
    """Pairs with weight, by state; 1 / Σ w of every state whose capacity binds (0 elsewhere)."""
    m = len(row_ptr) - 1
    size = 0
    for p in range(len(weight)):
        size += weight[p] > NEGLIGIBLE
    ptr = np.zeros(m + 1, np.int64)
    items = np.empty(size, np.int32)
    weights = np.empty(size)
    inverse_sum = np.zeros(m)
    k = 0
    for x in range(m):
        total = 0.0
        for p in range(row_ptr[x], row_ptr[x + 1]):
            if weight[p] > NEGLIGIBLE:
                items[k] = item[p]
                weights[k] = weight[p]
                total += weight[p]
                k += 1
        ptr[x + 1] = k
        if user_price[x] > 0.0 and total > 0.0:
            inverse_sum[x] = 1.0 / total
    return ptr, items, weights, inverse_sum


@njit(cache=True, nogil=True)
def _hessian_diagonal(ptr, item, weight, inverse_sum, diagonal):  # type: ignore[no-untyped-def]
    out = diagonal.copy()
    for x in range(len(ptr) - 1):
        for p in range(ptr[x], ptr[x + 1]):
            out[item[p]] -= weight[p] * weight[p] * inverse_sum[x]
    return np.maximum(out, 0.0)


@njit(cache=True, nogil=True)
def _hessian_product(ptr, item, weight, inverse_sum, diagonal, v, out):  # type: ignore[no-untyped-def]
    out[:] = diagonal * v
    for x in range(len(ptr) - 1):
        if inverse_sum[x] > 0.0:
            s = 0.0
            for p in range(ptr[x], ptr[x + 1]):
                s += weight[p] * v[item[p]]
            s *= inverse_sum[x]
            for p in range(ptr[x], ptr[x + 1]):
                out[item[p]] -= weight[p] * s
