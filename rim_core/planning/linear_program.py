"""The oracle: eq. 9 as a sparse linear program, solved exactly by HiGHS. For small instances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.optimize import linprog

from rim_core.errors import ConstraintError, InfeasibleError
from rim_core.planning.problem import resolve

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
        Prices of groups and of costs are part of it.
    user_prices : ndarray (m,)
        u_x ≥ 0.
    row_prices : ndarray (r,)
        Of groups and budgets: positive where a maximum binds, negative where a minimum does.
    """

    objective: float
    pi: sparse.csr_matrix
    item_prices: np.ndarray
    user_prices: np.ndarray
    row_prices: np.ndarray


def linear_program(scores: Scores, constraints: Constraints) -> LinearProgramSolution:
    """Solve eq. 9 exactly: max Σ λπ, Σ_y π ≤ K, L ≤ Σ_x π ≤ U, 0 ≤ π ≤ 1, and every other kind of promise.

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
    problem = resolve(scores, constraints)
    dense = problem.scores.to_dense().astype(float)
    rows, columns = np.nonzero(np.isfinite(dense))
    gain = dense[rows, columns]
    pairs, ones = np.arange(len(rows)), np.ones(len(rows))
    by_state = sparse.csr_matrix((ones, (rows, pairs)), shape=(m, len(rows)))
    by_item = sparse.csr_matrix((ones, (columns, pairs)), shape=(n, len(rows)))
    contacts, weights = problem.contacts, problem.weights
    by_row = sparse.csr_matrix(weights[:, columns])
    limited = np.isfinite([row.upper for row in problem.rows])
    users = contacts.user[rows] if contacts.capped else np.empty(0, np.int64)
    by_user = sparse.csr_matrix((ones[: len(users)], (users, pairs[: len(users)])), (len(contacts.user_cap), len(rows)))
    result = linprog(
        -gain,
        A_ub=sparse.vstack([by_state, by_item, -by_item, by_row[limited], -by_row, by_user]),
        b_ub=np.concatenate(
            [
                contacts.capacity,
                problem.maximum,
                -problem.minimum,
                np.array([row.upper for row in problem.rows])[limited],
                [-row.lower for row in problem.rows],
                contacts.user_cap,
            ]
        ),
        bounds=(0, 1),
        method="highs",
    )
    if result.status == 2:
        raise InfeasibleError("These promises cannot be kept together: lower a minimum or raise the capacity.")
    marginals = -result.ineqlin.marginals
    at = m + 2 * n
    row_prices = np.zeros(len(problem.rows))
    row_prices[limited] = marginals[at : at + limited.sum()]
    row_prices -= marginals[at + limited.sum() : at + limited.sum() + len(problem.rows)]
    chosen = sparse.csr_matrix((result.x, (rows, columns)), shape=(m, n))
    forced = sparse.csr_matrix(
        (np.ones(len(problem.forced_rows)), (problem.forced_rows, problem.forced_columns)), shape=(m, n)
    )
    return LinearProgramSolution(
        objective=float(-result.fun) + problem.forced_value,
        pi=chosen + forced,
        item_prices=marginals[m : m + n] - marginals[m + n : at] + row_prices @ weights,
        user_prices=marginals[:m],
        row_prices=row_prices,
    )
