"""How much less (or more) happens one window ahead than a model of the windows before it expects.

Users leave and arrive, and histories grow, so that what sums to the labelled windows is often too much for the next:
flexible models learn of the dates they saw, not of the drift. A model that is trained without the last labelled window
tells by how much, and the one that is trained on all of them stands as far from the window it will be asked about.
Where the error grows by itself, as histories do, its trend over the windows tells the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from rim_core.datasets.states import UserStates

FEW = 1_000.0
"""Events by which a drift is shrunk to none: users buy in bouts, so that a thousand tell it to a tenth at best."""
FEW_IN_TREND = 100.0
"""The same of a trend: several windows tell it, and it is a property of the model more than of the log."""
MOST = 1.25
"""No drift is larger, up or down: where the first windows have hardly any history, they tell little of the last one."""


def last_window(labelled: UserStates) -> tuple[UserStates, UserStates] | None:
    """(Labelled states of the windows before the last, those of the last); None where there is one window only."""
    if not len(labelled) or (labelled.time == labelled.time.max()).all():
        return None
    last = labelled.time == labelled.time.max()
    return labelled.take(np.flatnonzero(~last)), labelled.take(np.flatnonzero(last))


def trend(happened: np.ndarray, expected: np.ndarray) -> float:
    """What a level found on all windows has to be multiplied with in the one after them, within a quarter.

    Where the error of a level grows by itself, as histories do, it is a line in the windows: log(happened / expected)
    by least squares, weighted by events.

    Parameters
    ----------
    happened, expected : ndarray (windows,)
        Events of every window, the earliest first.
    """
    if len(happened) < 2:
        return 1.0
    error = np.log((happened + FEW_IN_TREND) / (expected + FEW_IN_TREND))
    slope, level = np.polyfit(np.arange(len(happened)), error, 1, w=np.sqrt(happened + FEW_IN_TREND))
    return float(np.exp(np.clip(level + slope * len(happened), -np.log(MOST), np.log(MOST))))


def drift(happened: float, expected: float) -> float:
    """What a level has to be multiplied with, within a quarter."""
    return float(np.clip((happened + FEW) / (expected + FEW), 1 / MOST, MOST))
