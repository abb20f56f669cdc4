"""The Hessian of the smoothed dual, over the pairs whose exposure a small move of prices changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import njit

if TYPE_CHECKING:
    from rim_core.planning.smoothing import Point, SmoothedDual

NEGLIGIBLE = 1e-9


class Hessian:
    """ε times the Hessian of F in the prices, as a product with vectors."""

    def __init__(self, dual: SmoothedDual, point: Point) -> None:
        c = dual.drawn.pairs
        self.bounded = dual.bounded
        cells = c.states + len(dual.contacts.user_cap)
        self.parts: tuple[Any, ...] = _contested(c.row_ptr, c.item, point.weight, point.cell, cells)
        self.plain = np.bincount(c.item, point.weight, minlength=self.bounded.items)
        ptr, item, weight, cell, inverse_sum = self.parts
        items = _hessian_diagonal(ptr, item, weight, cell, inverse_sum, self.plain)
        squared = self.bounded.weights.multiply(self.bounded.weights) @ items if len(self.bounded.unit) else np.empty(0)
        self.diagonal = np.concatenate([items, squared])

    def __matmul__(self, prices: np.ndarray) -> np.ndarray:
        ptr, item, weight, cell, inverse_sum = self.parts
        v = self.bounded.boost(prices)
        return self.bounded.exposure(_hessian_product(ptr, item, weight, cell, inverse_sum, self.plain, v))


@njit(cache=True, nogil=True)
def _contested(row_ptr, item, weight, cell, cells):  # type: ignore[no-untyped-def]
    """Pairs with weight, by state; the cell of every state; 1 / Σ w of every cell."""
    m = len(row_ptr) - 1
    size = 0
    for p in range(len(weight)):
        size += weight[p] > NEGLIGIBLE
    ptr = np.zeros(m + 1, np.int64)
    items = np.empty(size, np.int32)
    weights = np.empty(size)
    total = np.zeros(cells)
    k = 0
    for x in range(m):
        for p in range(row_ptr[x], row_ptr[x + 1]):
            if weight[p] > NEGLIGIBLE:
                items[k] = item[p]
                weights[k] = weight[p]
                if cell[x] >= 0:
                    total[cell[x]] += weight[p]
                k += 1
        ptr[x + 1] = k
    inverse_sum = np.where(total > 0.0, 1.0 / np.where(total > 0.0, total, 1.0), 0.0)
    return ptr, items, weights, cell, inverse_sum


@njit(cache=True, nogil=True)
def _hessian_diagonal(ptr, item, weight, cell, inverse_sum, diagonal):  # type: ignore[no-untyped-def]
    out = diagonal.copy()
    for x in range(len(ptr) - 1):
        if cell[x] >= 0:
            for p in range(ptr[x], ptr[x + 1]):
                out[item[p]] -= weight[p] * weight[p] * inverse_sum[cell[x]]
    return np.maximum(out, 0.0)


@njit(cache=True, nogil=True)
def _hessian_product(ptr, item, weight, cell, inverse_sum, diagonal, v):  # type: ignore[no-untyped-def]
    out = diagonal * v
    m = len(ptr) - 1
    common = np.zeros(len(inverse_sum))
    for x in range(m):
        if cell[x] >= 0:
            s = 0.0
            for p in range(ptr[x], ptr[x + 1]):
                s += weight[p] * v[item[p]]
            common[cell[x]] += s
    common *= inverse_sum
    for x in range(m):
        if cell[x] >= 0:
            s = common[cell[x]]
            for p in range(ptr[x], ptr[x + 1]):
                out[item[p]] -= weight[p] * s
    return out
