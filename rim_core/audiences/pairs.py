"""The pairs of an assignment as a table: who, what, at which place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from rim_core.assignment import Assignment


def plan_pairs(assignment: Assignment, *, counts: bool = True) -> pa.Table:
    """Every assigned pair with its rank, score and expected interactions; by item, then rank.

    Parameters
    ----------
    counts : bool
        Whether the scores are expected interactions in the horizon, as those of a product (eq. 5) are. Off for a
        preference scored alone: then nothing is known of how many interactions to expect, and the column is null.

    Returns
    -------
    Table
        state (row of the assignment), user_id, item_id, state_time (UTC without zone; null where the scores know no
        states), rank (1 is the item's best user-state by score; equal scores in the order of the states), score
        (float32), expected (float32). One row a pair, O(pairs · log pairs).
    """
    columns = assignment.matrix.indices.astype(np.int64)
    rows = np.repeat(np.arange(assignment.matrix.shape[0]), assignment.load)
    score = assignment.pair_scores
    order = np.lexsort((rows, -score, columns))
    rows, columns, score = rows[order], columns[order], score[order]
    states = assignment.states
    if states is None:
        users = pa.array(np.arange(assignment.matrix.shape[0]).astype(str)).take(pa.array(rows))
        times = pa.nulls(len(rows), pa.timestamp("us"))
    else:
        users = _strings(states.log.users.index).take(pa.array(states.user[rows]))
        times = pa.array(states.time[rows]).cast(pa.timestamp("us"))
    return pa.table(
        {
            "state": pa.array(rows.astype(np.int32)),
            "user_id": users,
            "item_id": _strings(assignment.items).take(pa.array(columns)),
            "state_time": times,
            "rank": pa.array(_rank_within(columns).astype(np.int32)),
            "score": pa.array(score),
            "expected": pa.array(score) if counts else pa.nulls(len(score), pa.float32()),
        }
    )


def _rank_within(columns: np.ndarray) -> np.ndarray:
    """1, 2, ... inside every run of equal values."""
    first = np.flatnonzero(np.diff(columns, prepend=-1))
    return np.arange(1, len(columns) + 1) - np.repeat(first, np.diff(np.append(first, len(columns))))


def _strings(ids: object) -> pa.Array:
    return pa.array(np.asarray(ids, dtype=object), pa.string())
