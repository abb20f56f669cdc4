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


def cut_down(
    evaluate: Callable[[np.ndarray], tuple[float, np.ndarray]],
    start: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    reach: np.ndarray,
) -> np.ndarray:
    """The prices t that minimise V(t) − L·t⁺ + U·t⁻, |t| ≤ ``reach`` and of the sign that a bound exists for.

    Parameters
    ----------
    evaluate : callable
        t to (V, subgradient of V).
    start, lower, upper, reach : ndarray (r,)
        ``upper`` is infinite where nothing limits the row.
    """
    r = len(start)
    finite = np.isfinite(upper)
    slopes, offsets = np.empty((0, r)), np.empty(0)
    best, least = start, np.inf
    t = start
    cost = np.r_[1.0, -lower, np.where(finite, upper, 0.0)]
    limits = [(None, None), *((0.0, w if lo > 0 else 0.0) for w, lo in zip(reach, lower, strict=True))]
    limits += [(0.0, w if f else 0.0) for w, f in zip(reach, finite, strict=True)]
    for _ in range(CUTS):
        value, slope = evaluate(t)
        total = value - float(lower @ np.maximum(t, 0.0)) + float(np.where(finite, upper, 0.0) @ np.maximum(-t, 0.0))
        if total < least:
            best, least = t, total
        slopes = np.vstack([slopes, slope])
        offsets = np.r_[offsets, value - float(slope @ t)]
        model = linprog(
            cost,
            A_ub=np.hstack([-np.ones((len(offsets), 1)), slopes, -slopes]),
            b_ub=-offsets,
            bounds=limits,
            method="highs",
        )
        if model.status != 0 or least - model.fun <= ENOUGH * max(abs(least), 1e-300):
            break
        t = model.x[1 : 1 + r] - model.x[1 + r :]
    return best
