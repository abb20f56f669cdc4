"""The online rule: TopK⁺(λ − v), one user-state at a time, and its exact value over all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from rim_core.assignment import Assignment, assignment_matrix
from rim_core.evaluation.ranking import seeded_order, top_of_rows

if TYPE_CHECKING:
    from rim_core.planning.constraints import Constraints
    from rim_core.scores import Scores


def online_match(scores: Scores, item_prices: np.ndarray, constraints: Constraints, *, seed: int = 0) -> Assignment:
    """Give every state its K best items by λ − v, none of them below 0; O(m·n) time in blocks."""
    m, n = scores.shape
    bounds = constraints.bounds(m, n, crossing=True)
    order = seeded_order(n, seed)
    rows, columns = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for start, stop, z in scores.blocks():
        z -= torch.from_numpy(item_prices).to(z)
        z[z <= 0] = -torch.inf
        capacity = bounds.capacity[start:stop]
        for k in np.unique(capacity[capacity > 0]):
            members = np.flatnonzero(capacity == k)
            row, column = top_of_rows(z[torch.from_numpy(members).to(z.device)], int(k), order)
            rows.append(members[row] + start)
            columns.append(column)
    matrix = assignment_matrix(np.concatenate(rows), np.concatenate(columns), (m, n))
    return Assignment(matrix, scores, planned=constraints.planned(bounds), direction="match")


def dual_value(scores: Scores, boost: np.ndarray, capacity: np.ndarray) -> tuple[float, np.ndarray]:
    """Σ TopK⁺(λ + b) and how often each item is among them.

    The sum bounds the optimum of eq. 9 only if nothing is lost to rounding: λ is taken as the float32 it is and
    everything after it is float64.

    Parameters
    ----------
    boost : ndarray of float64 (n,)
        b = −v.
    capacity : ndarray of int64 (m,)

    Returns
    -------
    value : float
    exposure : ndarray of int64 (n,)
    """
    n = scores.shape[1]
    most = int(capacity.max(initial=0))
    value, exposure = 0.0, np.zeros(n, np.int64)
    if most == 0:
        return value, exposure
    for start, stop, z in scores.blocks():
        boosted = z.double() + torch.from_numpy(boost).to(z.device)
        best, column = torch.topk(boosted, most, dim=1)
        within = torch.arange(most, device=z.device)[None, :] < torch.from_numpy(capacity[start:stop, None]).to(
            z.device
        )
        within &= best > 0
        value += float(best[within].sum())
        exposure += torch.bincount(column[within], minlength=n).cpu().numpy()
    return value, exposure
