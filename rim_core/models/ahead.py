"""How much less (or more) happens one window ahead than a model of the windows before it expects.

Users leave and arrive, and histories grow, so that what sums to the labelled windows is often too much for the next:
flexible models learn of the dates they saw, not of the drift. A model that is trained without the last labelled window
tells by how much, and the one that is trained on all of them stands as far from the window it will be asked about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from rim_core.datasets.states import UserStates

FEW = 100.0
"""Events by which a drift is shrunk to none: so many tell it to a tenth."""
MOST = 1.25
"""No drift is larger, up or down: where the first windows have hardly any history, they tell little of the last one."""


def last_window(labelled: UserStates) -> tuple[UserStates, UserStates] | None:
    """(Labelled states of the windows before the last, those of the last); None where there is one window only."""
    if not len(labelled) or (labelled.time == labelled.time.max()).all():
        return None
    last = labelled.time == labelled.time.max()
    return labelled.take(np.flatnonzero(~last)), labelled.take(np.flatnonzero(last))


def drift(happened: float, expected: float) -> float:
    """What a level has to be multiplied with, within a quarter."""
    return float(np.clip((happened + FEW) / (expected + FEW), 1 / MOST, MOST))
