"""The online rule: TopK⁺(λ − v), one user-state at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from rim_core.assignment import Assignment, assignment_matrix
from rim_core.evaluation.ranking import seeded_order, top_of_rows
from rim_core.planning.problem import resolve
from rim_core.progress import unheeded

if TYPE_CHECKING:
    from rim_core.planning.constraints import Constraints
    from rim_core.planning.problem import Problem
    from rim_core.progress import Heed
    from rim_core.scores import Scores


def online_match(
    scores: Scores,
    item_prices: np.ndarray,
    constraints: Constraints,
    *,
    seed: int = 0,
    cap_prices: pd.Series | None = None,
    planned: bool = False,
    heed: Heed = unheeded,
) -> Assignment:
    """Give every state its K best items by λ − v, none of them below 0; O(m·n) time in blocks.

    Parameters
    ----------
    scores : Scores (m, n)
    item_prices : ndarray (n,)
    constraints : Constraints
        Forced and forbidden pairs, dates, eligibility and values hold here as well.
    cap_prices : Series, optional
        w by user id, where users have a cap: a planned user's own, the median for all others. It is what a place is
        worth at a later visit, so the last state of a user is not charged. The cap itself is counted: earlier states
        come first.
    planned : bool
        Whether these are the states that were planned: rows given as numbers are meant then.
    heed : callable
        Asked before every block; what it raises ends the work.
    """
    m, n = scores.shape
    problem = resolve(scores, constraints, planned=planned)
    order = seeded_order(n, seed)
    prices = torch.from_numpy(np.asarray(item_prices, float).copy())
    rows, columns = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    own = _cap_price(problem, cap_prices)
    capacity = problem.contacts.capacity
    for start, stop, z in problem.scores.blocks():
        heed()
        z -= prices.to(z)
        if own is not None:
            z -= torch.from_numpy(own[start:stop, None]).to(z)
        z[z <= 0] = -torch.inf
        room = capacity[start:stop]
        for k in np.unique(room[room > 0]):
            members = np.flatnonzero(room == k)
            row, column = top_of_rows(z[torch.from_numpy(members).to(z.device)], int(k), order)
            rows.append(members[row] + start)
            columns.append(column)
    row, column = np.concatenate(rows), np.concatenate(columns)
    if problem.contacts.capped:
        keep = _within_caps(problem, row, column, item_prices)
        row, column = row[keep], column[keep]
    row = np.concatenate([row, problem.forced_rows])
    column = np.concatenate([column, problem.forced_columns])
    return Assignment(
        assignment_matrix(row, column, (m, n)), scores, planned=constraints.planned(problem.promised), direction="match"
    )


def _cap_price(problem: Problem, cap_prices: pd.Series | None) -> np.ndarray | None:
    """w of every state's user, 0 where no later state needs the place; (m,)."""
    states = problem.given.states
    if cap_prices is None or states is None or not problem.contacts.capped:
        return None
    typical = float(cap_prices.median()) if len(cap_prices) else 0.0
    own: np.ndarray = cap_prices.reindex(states.user_ids.astype(str)).fillna(typical).to_numpy(float, copy=True)
    user = problem.contacts.user
    order = np.lexsort((states.time, user))
    own[order[np.diff(user[order], append=-1) != 0]] = 0.0
    return own


def _within_caps(problem: Problem, row: np.ndarray, column: np.ndarray, item_prices: np.ndarray) -> np.ndarray:
    """Positions of the pairs that a user's cap leaves: earlier states first, in a state the best ones."""
    contacts, states = problem.contacts, problem.given.states
    time = np.zeros(len(contacts.capacity), np.int64) if states is None else states.time
    net = problem.scores.pairs(row, column) - item_prices[column]
    user = contacts.user[row]
    order = np.lexsort((column, -net, row, time[row], user))
    ordered = user[order]
    first = np.flatnonzero(np.diff(ordered, prepend=-1))
    rank = np.arange(len(ordered)) - np.repeat(first, np.diff(np.append(first, len(ordered))))
    kept: np.ndarray = order[rank < contacts.user_cap[ordered]]
    return kept
