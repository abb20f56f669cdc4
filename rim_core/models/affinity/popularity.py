"""Popularity: how often the item was chosen, how active the user is, or both (the paper's Pop)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from rim_core.datasets.states import expand_ranges
from rim_core.errors import ModelError
from rim_core.models.base import Preference
from rim_core.models.intensity.activity import Activity
from rim_core.scores import FactorScores

if TYPE_CHECKING:
    from pathlib import Path

    from rim_core.datasets.split import Split
    from rim_core.datasets.states import UserStates
    from rim_core.models.base import Callback
    from rim_core.scores import Scores

By = Literal["item", "user", "both"]


class Popularity(Preference):
    """Scores without a sequence model: item popularity, user activity or their product.

    Parameters
    ----------
    by : {"both", "item", "user"}
        "both" is the paper's Pop (item popularity × user activity). "item" is the same p(y) for everyone,
        "user" spreads λ(x) evenly over the items.

    Notes
    -----
    It is a preference as well (p(y), or uniform for "user"), so ``RIM(Popularity("item"), Hawkes())`` is the
    paper's "Hawkes" row.
    """

    def __init__(self, by: By = "both") -> None:
        super().__init__()
        if by not in ("item", "user", "both"):
            raise ModelError(f"Popularity by {by!r} is unknown: choose item, user or both.")
        self.by: By = by
        if by == "item":
            self.unit = Preference.unit  # type: ignore[misc]
        self._share = np.empty(0)
        self._activity = Activity()

    unit: ClassVar[str] = "expected interactions in the horizon"

    @property
    def name(self) -> str:
        return "Popularity" if self.by == "both" else f"Popularity ({self.by})"

    def _fit(self, split: Split, callback: Callback, checkpoint: Path | None) -> None:
        train = split.train
        _, events = expand_ranges(train.start, train.stop)
        events = events[train.is_target_event[events]]
        columns = split.train.column_of_item[split.log.arrays.item[events]]
        counts = np.bincount(columns[columns >= 0], minlength=train.shape[1]).astype(float)
        self._share = counts / max(counts.sum(), 1.0)
        self._activity = Activity().fit(split)
        self.fit_info["training"] = "event counts of the training period"

    def _preference(self, states: UserStates) -> FactorScores:
        columns = self._columns(states)
        share = np.where(columns >= 0, self._share[columns], 0.0) if self.by != "user" else np.ones(len(columns))
        total = share.sum()
        share = share / total if total > 0 else np.full(len(columns), 1.0 / max(len(columns), 1))
        return FactorScores(np.ones((len(states), 1)), share[:, None], forbidden=states.seen, states=states)

    def _score(self, states: UserStates) -> Scores:
        preference = self._preference(states)
        return preference if self.by == "item" else preference.scaled(self._activity.intensity(states))

    def _weights(self) -> dict[str, np.ndarray]:
        return {"share": self._share, **{f"activity.{k}": v for k, v in self._activity._weights().items()}}

    def _load_weights(self, weights: dict[str, np.ndarray]) -> None:
        self._share = weights["share"]
        self._activity = Activity()
        self._activity.item_ids, self._activity.fit_info = self.item_ids, self.fit_info
        self._activity._load_weights({k.removeprefix("activity."): v for k, v in weights.items() if k != "share"})
        self._activity._fitted = True
