"""How long work says where it stands: a callback that is called now and then, and may stop it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """One report of work that goes on.

    Attributes
    ----------
    stage : str
        What is being done, for a person to read ("GRU: epoch 2 of 8").
    done, total : float
        Work done and work in all, in the same unit.
    metrics : dict of str to float
        For example ``{"train_loss": 6.1, "heldout_loss": 6.3, "epoch": 2}``.
    """

    stage: str
    done: float
    total: float
    metrics: dict[str, float] = field(default_factory=dict)


Callback = Callable[[Progress], None]


Heed = Callable[[], None]
"""Asked now and then from within long steps that have nothing new to say; may raise as a callback may."""


def unheeded() -> None:
    """The default :data:`Heed`: nobody wants to stop."""


def silent(progress: Progress) -> None:
    """The default callback. A callback may raise :class:`rim_core.errors.Cancelled` to stop the work."""
