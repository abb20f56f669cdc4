"""Models made of models: train a part once, report its progress as the whole's, store it inside the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rim_core.models.base import Progress, training_data

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from rim_core.datasets.split import Split
    from rim_core.models.base import Callback, Model


def trained_on(part: Model, split: Split) -> bool:
    """Whether a part is already fitted on this training data, so that it is used as it is."""
    return part.is_fitted and all(part.fit_info.get(key) == value for key, value in training_data(split).items())


def within(callback: Callback, begin: float, share: float) -> Callback:
    """Reports of a part as reports of the whole, from ``begin`` to ``begin + share`` of it."""

    def report(progress: Progress) -> None:
        done = min(progress.done / progress.total, 1.0) if progress.total > 0 else 1.0
        callback(Progress(progress.stage, begin + share * done, 1.0, progress.metrics))

    return report


def part_weights(role: str, part: Model) -> dict[str, np.ndarray]:
    """The weights of a part under the name of its role."""
    return {f"{role}.{key}": array for key, array in part._weights().items()}


def load_part(role: str, part: Model, whole: Model, weights: Mapping[str, np.ndarray]) -> None:
    """Inverse of :func:`part_weights`; the whole's items and what it recorded of the part are the part's."""
    part.item_ids = whole.item_ids
    part.fit_info = whole.fit_info["parts"][part.name]
    part._load_weights({k.removeprefix(f"{role}."): w for k, w in weights.items() if k.startswith(f"{role}.")})
    part._fitted = True
