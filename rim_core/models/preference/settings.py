"""What the settings of a network that reads sequences may be."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from rim_core.errors import ModelError

if TYPE_CHECKING:
    from rim_core.models.base import Model


class Range(NamedTuple):
    """Values a setting may take: from ``low`` on, and below ``end``."""

    low: float
    end: float
    words: str


_COUNT = Range(1, math.inf, "1 or more")
_SHARE = Range(0, 1, "a share below 1")
_ABOVE = Range(math.ulp(0), math.inf, "above 0")
_LEAST = Range(0, math.inf, "0 or more")

RANGES = {
    **dict.fromkeys(("dim", "layers", "heads", "chunk", "max_history", "batch_tokens"), _COUNT),
    **dict.fromkeys(("max_epochs", "patience"), _COUNT),
    **dict.fromkeys(("dropout", "held_out"), _SHARE),
    **dict.fromkeys(("learning_rate", "clip"), _ABOVE),
    **dict.fromkeys(("weight_decay", "negatives"), _LEAST),
}


def check_settings(model: Model) -> None:
    """Refuse settings that no training could work with.

    Raises
    ------
    ModelError
        Names every setting that is out of its range.
    """
    wrong = [
        f"{name} is {value}, and has to be {RANGES[name].words}"
        for name, value in vars(model).items()
        if name in RANGES and not RANGES[name].low <= value < RANGES[name].end
    ]
    if wrong:
        raise ModelError(f"Settings of {type(model).__name__}: {'; '.join(wrong)}.")
