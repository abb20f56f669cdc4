"""The model comparison of Figure 3: every model in both directions, a row each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from rim_core.evaluation.metrics import evaluate
from rim_core.evaluation.ranking import item_rec, user_rec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rim_core.datasets.states import UserStates
    from rim_core.models.base import Model


def compare(models: Iterable[Model], states: UserStates, k: int | None = None, c: int | None = None) -> pd.DataFrame:
    """ItemRec at k and UserRec at c of fitted models on the same user-states.

    Parameters
    ----------
    k, c : int, optional
        1 % of the items and of the user-states, rounded up, by default.

    Returns
    -------
    DataFrame
        Indexed by model name; item_* columns from ItemRec, user_* from UserRec. ``item_expected`` is what
        the scores promised for the recommended pairs, ``item_hits`` what happened to them.
    """
    rows = {}
    for model in models:
        scores = model.score(states)
        by_item, by_user = evaluate(item_rec(scores, k), states), evaluate(user_rec(scores, c), states)
        rows[model.name] = {
            "item_precision": by_item.precision,
            "item_recall": by_item.item_recall,
            "item_perplexity": by_item.item_perplexity,
            "user_precision": by_user.precision,
            "user_recall": by_user.user_recall,
            "user_perplexity": by_user.user_perplexity,
            "item_expected": by_item.expected,
            "item_hits": by_item.hits,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")
