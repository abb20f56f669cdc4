"""Relevance and diversity of an assignment against what happened (Section 5, eq. 15)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rim_core.errors import ScoreError

if TYPE_CHECKING:
    from rim_core.assignment import Assignment
    from rim_core.datasets.states import UserStates


@dataclass(frozen=True)
class Evaluation:
    """How good an assignment was.

    Attributes
    ----------
    precision : float
        hits / max(delivered, planned).
    recall : float
        ``item_recall``, or ``user_recall`` where user-states were chosen for items.
    item_recall, user_recall : float
        Mean over user-states (rows) or items (columns) of hits / max(1, events).
    hit_rate : float
        Share of the planned pairs with at least one interaction (binary hits).
    item_perplexity, user_perplexity : float
        Effective number of items and user-states reached (eq. 15).
    item_coverage, user_coverage : float
        Share of items and of user-states that get anything.
    recs_per_item_quartiles : tuple of float
        25 %, 50 %, 75 % of the exposures per item.
    hits, delivered, planned : float
        Σ π·events, pairs assigned, pairs the task asks for.
    expected : float
        Σ π·λ: hits the scores promised.
    """

    precision: float
    recall: float
    item_recall: float
    user_recall: float
    hit_rate: float
    item_perplexity: float
    user_perplexity: float
    item_coverage: float
    user_coverage: float
    recs_per_item_quartiles: tuple[float, float, float]
    hits: float
    delivered: float
    planned: float
    expected: float

    def to_dict(self) -> dict[str, Any]:
        """All figures, JSON-able."""
        return asdict(self)


def evaluate(assignment: Assignment, states: UserStates) -> Evaluation:
    """Compare an assignment with what the user-states went on to do.

    Parameters
    ----------
    assignment : Assignment of shape (m, n)
    states : UserStates
        The same m states over the same n items.

    Raises
    ------
    ScoreError
        Rows or columns are not those of ``states``.
    """
    if assignment.matrix.shape != states.shape or not assignment.items.equals(states.item_ids):
        raise ScoreError(
            f"The assignment ({assignment.matrix.shape[0]} states × {assignment.matrix.shape[1]} items) is not about "
            f"these user-states and items {states.shape}: score and evaluate the same part of the split."
        )
    happened = states.targets
    matched = assignment.matrix.multiply(happened).tocsr()
    hits = float(matched.sum())
    wanted = max(float(assignment.delivered), assignment.planned, 1.0)
    item_recall = _mean_share(matched.sum(axis=1), happened.sum(axis=1))
    user_recall = _mean_share(matched.sum(axis=0), happened.sum(axis=0))
    quartiles = np.quantile(assignment.exposure, [0.25, 0.5, 0.75])
    return Evaluation(
        precision=hits / wanted,
        recall=user_recall if assignment.direction == "user" else item_recall,
        item_recall=item_recall,
        user_recall=user_recall,
        hit_rate=float((matched.data > 0).sum()) / wanted,
        item_perplexity=perplexity(assignment.exposure),
        user_perplexity=perplexity(assignment.load),
        item_coverage=float((assignment.exposure > 0).mean()),
        user_coverage=float((assignment.load > 0).mean()),
        recs_per_item_quartiles=(float(quartiles[0]), float(quartiles[1]), float(quartiles[2])),
        hits=hits,
        delivered=float(assignment.delivered),
        planned=assignment.planned,
        expected=assignment.objective,
    )


def perplexity(counts: np.ndarray) -> float:
    """exp of the entropy of ``counts`` normalised (eq. 15): the effective number reached; 0 when nothing is."""
    counts = np.asarray(counts, float)
    total = counts.sum()
    if total <= 0:
        return 0.0
    p = counts[counts > 0] / total
    return float(np.exp(-(p * np.log(p)).sum()))


def _mean_share(hits: np.ndarray, events: np.ndarray) -> float:
    return float(np.mean(np.asarray(hits, float) / np.maximum(np.asarray(events, float), 1.0)))
