"""Which promises over several items clash, told by a linear program in the exposures alone.

States are forgotten but for how many places they have and how many of them an item may go to: what cannot be kept then
cannot be kept at all. A promise is dropped from the set as long as the rest still clashes (deletion filter), so what
remains is irreducible: without any one of them the others could be kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse
from scipy.optimize import linprog

from rim_core.progress import unheeded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rim_core.planning.problem import Problem
    from rim_core.progress import Heed

ROUNDS = 20


@dataclass(frozen=True, eq=False)
class Promise:
    """One promise: Σ weight·E ≥ bound (``least``) or ≤ bound.

    ``row`` is the group or budget it belongs to; −1 for the minima of all items, −2 for the places there are.
    """

    row: int
    least: bool
    weight: np.ndarray
    bound: float


def find_clash(
    problem: Problem, most: np.ndarray, minimum: np.ndarray, places: int, heed: Heed = unheeded
) -> tuple[list[Promise], list[float]]:
    """(an irreducible set of promises that clash, the best value each could have beside the others); empty if none.

    Parameters
    ----------
    most : ndarray (n,)
        Largest exposure each item can have by itself.
    minimum : ndarray (n,)
    places : int
    heed : callable
        Asked before every linear program; what it raises ends the search.
    """
    promises = _promises(problem, minimum, places)
    if _fits(promises, most, minimum):
        return [], []
    kept = list(promises)
    for promise in promises:
        heed()
        rest = [p for p in kept if p is not promise]
        if not _fits(rest, most, minimum):
            kept = rest
    return kept, [_best(p, [q for q in kept if q is not p], most, minimum) for p in kept]


def loosened(
    problem: Problem, most: np.ndarray, minimum: np.ndarray, places: int, heed: Heed = unheeded
) -> tuple[Problem, tuple[str, ...]]:
    """Groups and budgets that can be kept together, and a sentence for every clash on the way there."""
    sentences: list[str] = []
    for _ in range(ROUNDS):
        clash, best = find_clash(problem, most, minimum, places, heed)
        rows = [i for i, p in enumerate(clash) if p.row >= 0]
        if not rows:
            break
        sentences.append(_sentence(problem, clash, best))
        at = rows[-1]
        promise, row = clash[at], problem.rows[clash[at].row]
        if promise.least:
            changed = replace(row, lower=float(np.floor(max(best[at], 0.0) + 1e-9)))
        elif row.kind == "budget":  # costs are no whole numbers, and may all be far below 1
            changed = replace(row, upper=best[at] * (1 + 1e-9))
        else:
            changed = replace(row, upper=float(np.ceil(best[at] - 1e-9)))
        new = tuple(changed if i == promise.row else r for i, r in enumerate(problem.rows))
        problem = replace(problem, rows=new)
    return problem, tuple(sentences)


def _promises(problem: Problem, minimum: np.ndarray, places: int) -> list[Promise]:
    n = len(minimum)
    out = [Promise(-2, False, np.ones(n), float(places))]
    if minimum.any():
        out.append(Promise(-1, True, np.empty(0), 1.0))
    for i, row in enumerate(problem.rows):
        if row.lower > 0:
            out.append(Promise(i, True, row.weight, row.lower))
        if np.isfinite(row.upper):
            out.append(Promise(i, False, row.weight, row.upper))
    return out


def _system(
    promises: Sequence[Promise], minimum: np.ndarray
) -> tuple[sparse.csr_matrix | None, np.ndarray, np.ndarray]:
    """(A, bounds of A E ≤ b, lower bounds of E)."""
    sides = [(p.weight, p.bound) if not p.least else (-p.weight, -p.bound) for p in promises if p.row != -1]
    low = minimum.astype(float) if any(p.row == -1 for p in promises) else np.zeros(len(minimum))
    if not sides:
        return None, np.empty(0), low
    return sparse.csr_matrix(np.array([w for w, _ in sides])), np.array([b for _, b in sides]), low


def keepable(problem: Problem, most: np.ndarray, minimum: np.ndarray, places: int) -> bool:
    """Whether nothing clashes."""
    return _fits(_promises(problem, minimum, places), most, minimum)


def _fits(promises: Sequence[Promise], most: np.ndarray, minimum: np.ndarray) -> bool:
    matrix, bounds, low = _system(promises, minimum)
    result = linprog(
        np.zeros(len(most)),
        A_ub=matrix,
        b_ub=None if matrix is None else bounds,
        bounds=np.c_[low, most],
        method="highs",
    )
    return bool(result.status != 2)


def _best(promise: Promise, others: Sequence[Promise], most: np.ndarray, minimum: np.ndarray) -> float:
    """The largest minimum, or the smallest maximum, that goes with the others."""
    matrix, bounds, low = _system(others, minimum)
    if promise.row != -1:
        sign = -1.0 if promise.least else 1.0
        result = linprog(
            sign * promise.weight, A_ub=matrix, b_ub=None if matrix is None else bounds, bounds=np.c_[low, most],
            method="highs",
        )  # fmt: skip
        return float(sign * result.fun) if result.status == 0 else float("nan")
    n = len(most)  # the largest share t of all minima: E ≥ t·L
    scaled = sparse.hstack([-sparse.identity(n), sparse.csr_matrix(minimum.astype(float)[:, None])])
    above = None if matrix is None else sparse.hstack([matrix, sparse.csr_matrix((matrix.shape[0], 1))])
    result = linprog(
        np.r_[np.zeros(n), -1.0],
        A_ub=scaled if above is None else sparse.vstack([scaled, above]),
        b_ub=np.r_[np.zeros(n), bounds],
        bounds=np.c_[np.zeros(n + 1), np.r_[most, 1.0]],
        method="highs",
    )
    return float(-result.fun) if result.status == 0 else float("nan")


def _sentence(problem: Problem, clash: Sequence[Promise], best: Sequence[float]) -> str:
    parts = []
    for promise, could in zip(clash, best, strict=True):
        value = could + 0.0  # no −0
        if promise.row == -2:
            parts.append(f"the {promise.bound:,.0f} places there are (they would have to be {value:,.0f})")
        elif promise.row == -1:
            parts.append(f"the minimum of every item (could be {np.floor(100 * value):.0f} % of itself)")
        else:
            row = problem.rows[promise.row]
            side, how = ("at least", "at most") if promise.least else ("at most", "no less than")
            parts.append(f"{side} {promise.bound:,.6g} for {row.kind} {row.name!r} (could be {how} {value:,.6g})")
    return f"These promises clash, and without any one of them the others could be kept: {'; '.join(parts)}."
