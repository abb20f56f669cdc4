"""Can these promises be kept at all? What counting can tell, before anything is solved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rim_core.planning.constraints import Bounds

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Reachable:
    """Promises cut down to what counting allows.

    Attributes
    ----------
    bounds : Bounds
        The promises themselves when ``problems`` is empty.
    problems : tuple of str
        Every promise that cannot be kept, each with the largest value it could have.
    """

    bounds: Bounds
    problems: tuple[str, ...]


def reachable(bounds: Bounds, eligible: np.ndarray, room: np.ndarray, item_ids: pd.Index) -> Reachable:
    """Cut minimum promises to the states an item may go to, and then all in proportion to the places there are.

    Parameters
    ----------
    eligible : ndarray of int64 (n,)
        User-states each item may be given to.
    room : ndarray of int64 (m,)
        Items each user-state can take: its capacity, or fewer where most pairs are forbidden.
    item_ids : Index (n,)
        For the messages.
    """
    problems: list[str] = []
    minimum = bounds.minimum
    starved = np.flatnonzero(minimum > eligible)
    problems += [
        f"Item {item_ids[y]} is promised to {minimum[y]:,} user-states but may be given to {eligible[y]:,} only: "
        f"promise at most {eligible[y]:,}, or lift what forbids it."
        for y in starved[:10]
    ]
    if len(starved) > 10:
        problems.append(f"The same holds for {len(starved) - 10:,} more items.")
    minimum = np.minimum(minimum, eligible)
    promised, places = int(minimum.sum()), int(room.sum())
    if promised > places:
        share = places / promised
        states = len(room)
        problems.append(
            f"{promised:,} exposures are promised and {states:,} user-states have {places:,} places: lower every "
            f"minimum to {np.floor(100 * share):.0f} % of itself, or raise the capacity to "
            f"{int(np.ceil(promised / states))} items."
        )
        minimum = np.floor(minimum * share).astype(np.int64)
    return Reachable(Bounds(bounds.capacity, minimum, bounds.maximum), tuple(problems))
