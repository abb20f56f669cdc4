"""Can these promises be kept at all? What counting can tell, before anything is solved."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from rim_core.planning.clash import keepable, loosened
from rim_core.planning.contention import contentions, most_of_few
from rim_core.progress import unheeded
from rim_core.wording import counted

if TYPE_CHECKING:
    from rim_core.planning.passes import Survey
    from rim_core.planning.problem import Problem
    from rim_core.progress import Heed


@dataclass(frozen=True, eq=False)
class Reachable:
    """Promises cut down to what counting allows.

    Attributes
    ----------
    problem : Problem
        The one given when ``problems`` is empty.
    problems : tuple of str
        Every promise that cannot be kept, each with the largest value it could have.
    """

    problem: Problem
    problems: tuple[str, ...]


def reachable(problem: Problem, survey: Survey, heed: Heed = unheeded) -> Reachable:
    """Cut minimum promises to the states an item may go to, and then all in proportion to the places there are."""
    problems: list[str] = []
    minimum, eligible = problem.minimum, survey.eligible
    room = np.minimum(survey.room, problem.contacts.capacity)
    item_ids = problem.given.item_ids
    starved = np.flatnonzero(minimum > eligible)
    problems += [
        f"Item {item_ids[y]} is promised to {counted(minimum[y], 'user-states')} but may be given to {eligible[y]:,} "
        f"only: promise at most {eligible[y]:,}, or lift what forbids it."
        for y in starved[:10]
    ]
    if len(starved) > 10:
        problems.append(f"The same holds for {counted(len(starved) - 10, 'more items')}.")
    minimum = np.minimum(minimum, eligible)
    promised, places = int(minimum.sum()), places_of(problem, room)
    if promised > places:
        share = places / promised
        states, some = len(room), int((minimum > 0).sum())
        lower = (
            f"lower every minimum to {np.floor(100 * share):.0f} % of itself"
            if minimum.max() > 1
            else f"promise {places:,} of these {some:,} items at most"
        )
        contacts = problem.contacts
        more = f"the capacity to {int(np.ceil(promised / states))} items"
        if contacts.capped and (np.bincount(contacts.user, room) >= contacts.user_cap).any():  # K is not what lacks
            more = f"what a user may have in all to {int(np.ceil(promised / len(contacts.user_cap)))} items"
        problems.append(
            f"{counted(promised, 'exposures are')} promised and {counted(states, 'user-states have')} "
            f"{counted(places, 'places')}: {lower}, or raise {more}."
        )
        minimum = np.floor(minimum * share).astype(np.int64)
    found = most_of_few(problem, minimum, eligible)
    if found is not None:
        items, delivered = found
        of_few = np.zeros_like(minimum)
        of_few[items] = minimum[items]
        problems += contentions(replace(problem, minimum=of_few), of_few, delivered)
        minimum = minimum - of_few + np.asarray(delivered.sum(axis=0)).ravel()
    cut = replace(problem, minimum=minimum) if problems else problem
    if problem.rows:
        cut, clashes = loosened(cut, np.minimum(problem.maximum, eligible), minimum, places, heed)
        problems += clashes
    return Reachable(cut, tuple(problems))


def countable(problem: Problem, minimum: np.ndarray, survey: Survey, part: float = 1.0) -> bool:
    """Whether counting finds nothing against these minimums, beside the forced pairs, in a ``part`` of the places."""
    places = places_of(problem, np.minimum(survey.room, problem.contacts.capacity))
    if minimum.sum() > part * places or (minimum > survey.eligible).any():
        return False
    if most_of_few(problem, minimum, survey.eligible) is not None:
        return False
    return not problem.rows or keepable(problem, np.minimum(problem.maximum, survey.eligible), minimum, places)


def places_of(problem: Problem, room: np.ndarray) -> int:
    """Deliveries that states and users can take together."""
    contacts = problem.contacts
    if not contacts.capped:
        return int(room.sum())
    by_user = np.bincount(contacts.user, room, len(contacts.user_cap))
    return int(np.minimum(by_user, contacts.user_cap).sum())
