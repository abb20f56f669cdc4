"""The oracle: eq. 9 as a sparse linear program, solved exactly by HiGHS. For small instances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.optimize import linprog

from rim_core.errors import ConstraintError, InfeasibleError

if TYPE_CHECKING:
    from rim_core.planning.constraints import Constraints
    from rim_core.scores import Scores

LIMIT = 4_000_000


@dataclass(frozen=True, eq=False)
class LinearProgramSolution:
    """Optimum of eq. 9.

    Attributes
    ----------
    objective : float
        max Σ λ π.
    pi : csr_matrix (m, n)
        An optimal vertex.
    item_prices : ndarray (n,)
        v_y: positive where the maximum binds, negative where the minimum does.
    user_prices : ndarray (m,)
        u_x ≥ 0.
    """

    objective: float
    pi: sparse.csr_matrix
    item_prices: np.ndarray
    user_prices: np.ndarray


def linear_program(scores: Scores, constraints: Constraints) -> LinearProgramSolution:
    """Solve eq. 9 exactly: max Σ λπ, Σ_y π ≤ K, L ≤ Σ_x π ≤ U, 0 ≤ π ≤ 1.

    Raises
    ------
    ConstraintError
        More than 4 M pairs: use :class:`rim_core.DualPlanner`.
    InfeasibleError
        The promises cannot be kept together.
    """
    m, n = scores.shape
    if m * n > LIMIT:
        raise ConstraintError(f"{m} × {n} pairs are too many for the linear program: use DualPlanner.")
    bounds = constraints.bounds(m, n)
    dense = scores.to_dense().astype(float)
    rows, columns = np.nonzero(np.isfinite(dense))
    gain = dense[rows, columns]
    pairs = np.arange(len(rows))
    by_state = sparse.csr_matrix((np.ones(len(rows)), (rows, pairs)), shape=(m, len(rows)))
    by_item = sparse.csr_matrix((np.ones(len(rows)), (columns, pairs)), shape=(n, len(rows)))
    result = linprog(
        -gain,
        A_ub=sparse.vstack([by_state, by_item, -by_item]),
        b_ub=np.concatenate([bounds.capacity, bounds.maximum, -bounds.minimum]),
        bounds=(0, 1),
        method="highs",
    )
    if result.status == 2:
        raise InfeasibleError("These promises cannot be kept together: lower a minimum or raise the capacity.")
    marginals = -result.ineqlin.marginals
    return LinearProgramSolution(
        objective=float(-result.fun),
        pi=sparse.csr_matrix((result.x, (rows, columns)), shape=(m, n)),
        item_prices=marginals[m : m + n] - marginals[m + n :],
        user_prices=marginals[:m],
    )
