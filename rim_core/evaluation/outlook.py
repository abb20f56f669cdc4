"""What another window like this one would bring: the spread of a delivery over users, and the chance of a promise."""

from __future__ import annotations

import numpy as np
from scipy import sparse, stats

LEVEL = 0.9
"""Of the intervals."""


def user_moments(matrix: sparse.csr_matrix, user: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Σ_u c_uy, Σ_u c_uy² and how many users there are, of deliveries c of items y to users u.

    Parameters
    ----------
    matrix : csr_matrix (m, n)
        0/1 over user-states.
    user : ndarray of int (m,)
        Whose state a row is; a user may have several.
    """
    codes, row = np.unique(user, return_inverse=True)
    fold = sparse.csr_matrix((np.ones(len(row)), (row, np.arange(len(row)))), shape=(len(codes), len(row)))
    by_user = (fold @ matrix).tocsc()
    total = np.asarray(by_user.sum(axis=0), float).ravel()
    squares = np.asarray(by_user.multiply(by_user).sum(axis=0), float).ravel()
    return total, squares, len(codes)


def spread(total: np.ndarray, squares: np.ndarray, users: int) -> np.ndarray:
    """Standard deviation of every item's delivery when users are drawn anew (n,).

    The variance of the bootstrap over users in closed form: Σ_u c_uy² − (Σ_u c_uy)² / U.
    """
    total = np.asarray(total, float)
    variance = np.asarray(squares, float) - total**2 / max(1, users)
    return np.sqrt(np.maximum(variance, 0.0))


def interval(total: np.ndarray, deviation: np.ndarray, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """Bounds between which a delivery stays with probability ``level``. (n,) each.

    The lower one is not below 0; the upper one not below what a delivery to nobody still allows (the rule of three).
    """
    tail = 0.5 - level / 2
    z = -stats.norm.ppf(tail)
    return np.maximum(np.asarray(total) - z * deviation, 0.0), np.maximum(total + z * deviation, -np.log(tail))


def chance(total: np.ndarray, deviation: np.ndarray, minimum: np.ndarray) -> np.ndarray:
    """Probability that a delivery like this one reaches its minimum (n,); 1 where nothing is promised.

    Normal with the correction for whole numbers; a delivery that never varies is kept or not.
    """
    total, minimum = np.asarray(total, float), np.asarray(minimum, float)
    above = total - minimum + 0.5
    with np.errstate(divide="ignore", invalid="ignore"):
        found = stats.norm.cdf(above / deviation)
    sure = (above > 0).astype(float)
    return np.where(minimum <= 0, 1.0, np.where(deviation > 0, found, sure))
