"""Are expected counts what happens? User-states and items by what was expected of them, against what came."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

if TYPE_CHECKING:
    from rim_core.datasets.states import UserStates
    from rim_core.scores import Scores

BINS = 10
LEVEL = 0.9


def reliability(scores: Scores, states: UserStates, *, bins: int = BINS) -> pd.DataFrame:
    """Expected and observed interactions of user-states and of items, in groups of equal size by expectation.

    Parameters
    ----------
    scores : Scores (m, n)
        λ(x, y), expected interactions; forbidden pairs count as 0.
    states : UserStates
        The same states over the same items.
    bins : int
        Groups on each side, fewer where there are fewer states or items.

    Returns
    -------
    DataFrame
        side ("user" or "item"), members, expected and happened (means per member), low and high: where the mean of
        Poisson counts with that expectation would lie nine times out of ten. O(m·n) time, O(m + n) memory.
    """
    m, n = scores.shape
    by_state, by_item = np.zeros(m), np.zeros(n)
    for start, stop, z in scores.blocks():
        block = z.double().clamp(min=0.0)
        by_state[start:stop] = block.sum(dim=1).cpu().numpy()
        by_item += block.sum(dim=0).cpu().numpy()
    happened = states.targets
    rows = [
        *_groups("user", by_state, np.asarray(happened.sum(axis=1), float).ravel(), bins),
        *_groups("item", by_item, np.asarray(happened.sum(axis=0), float).ravel(), bins),
    ]
    return pd.DataFrame(rows)


def _groups(side: str, expected: np.ndarray, happened: np.ndarray, bins: int) -> list[dict[str, object]]:
    order = np.argsort(expected, kind="stable")
    rows = []
    for part in np.array_split(order, min(bins, len(order))):
        size, total = len(part), float(expected[part].sum())
        low, high = (stats.poisson.ppf(q, total) / size for q in (0.5 - LEVEL / 2, 0.5 + LEVEL / 2))
        rows.append(
            {
                "side": side,
                "members": size,
                "expected": total / size,
                "happened": float(happened[part].mean()),
                "low": float(low),
                "high": float(high),
            }
        )
    return rows
