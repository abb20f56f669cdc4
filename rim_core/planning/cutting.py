"""The last digits of the prices of budgets and overlapping groups, on instances small enough to solve many times.

For fixed prices t of these rows the flow is exact, so V(t) = max Σ (λ + Wᵀt)π and a subgradient, W·exposure, are known
to rounding errors. Their lower envelope is minimised by cutting planes (Kelley 1960): a linear program with a variable
a row and a cut an evaluation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linprog

if TYPE_CHECKING:
    from collections.abc import Callable

CUTS, ENOUGH = 120, 1e-9
"""Most evaluations, and the relative gap between the best one and the model that ends it."""
PRECISE, AGAIN = 1e-4, 1e-7
"""Unit of the model as a share of the value, and the share of a box within which prices are the same."""
WIDER = 4.0
"""How many times as far the model may go once the best prices lay as far as it might."""


def cut_down(
    evaluate: Callable[[np.ndarray], tuple[float, np.ndarray]],
    start: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    reach: np.ndarray,
    near: np.ndarray,
) -> np.ndarray:
    """The prices t that minimise V(t) − L·t⁺ + U·t⁻, |t| ≤ ``reach`` and of the sign that a bound exists for.

    A few cuts say nothing of what is far from them, and a flow from prices that far takes minutes: the model is asked
    within ``near`` of the best prices (Marsten's boxstep), and further where those lay at the edge.

    Parameters
    ----------
    evaluate : callable
        t to (V, subgradient of V).
    start, lower, upper, reach, near : ndarray (r,)
        ``upper`` is infinite where nothing limits the row.
    """
    r = len(start)
    finite = np.isfinite(upper)
    least_price, most_price = np.where(finite, -reach, 0.0), np.where(lower > 0, reach, 0.0)
    start = np.clip(start, least_price, most_price)
    slopes, offsets = np.empty((0, r)), np.empty(0)
    best, least, at_edge = start, np.inf, False
    t, box, tried = start, np.minimum(near, reach), list[np.ndarray]()
    for _ in range(CUTS):
        value, slope = evaluate(t)
        total = value - float(lower @ np.maximum(t, 0.0)) + float(np.where(finite, upper, 0.0) @ np.maximum(-t, 0.0))
        if total < least:
            box = np.minimum(WIDER * box, reach) if at_edge else box
            best, least = t, total
        slopes = np.vstack([slopes, slope])
        offsets = np.r_[offsets, value - float(slope @ t)]
        size = PRECISE * max(abs(least), 1e-300)  # HiGHS' tolerances know nothing of how large scores are
        low, high = np.maximum(best - box, least_price) / box, np.minimum(best + box, most_price) / box
        model = linprog(
            np.r_[1.0, -lower * box / size, np.where(finite, upper, 0.0) * box / size],
            A_ub=np.hstack([-np.ones((len(offsets), 1)), slopes * box / size, -slopes * box / size]),
            b_ub=-offsets / size,
            bounds=[
                (None, None),
                *zip(np.maximum(low, 0.0), np.maximum(high, 0.0), strict=True),
                *zip(np.maximum(-high, 0.0), np.maximum(-low, 0.0), strict=True),
            ],
            method="highs",
        )
        if model.status != 0 or least - size * model.fun <= ENOUGH * abs(least):
            break
        tried.append(t)
        t = np.clip(box * (model.x[1 : 1 + r] - model.x[1 + r :]), least_price, most_price)
        if any((np.abs(t - one) <= AGAIN * box).all() for one in tried):  # closer than the model can tell
            break
        at_edge = bool((np.abs(t - best) >= (1 - 1e-6) * box).any())
    return best
