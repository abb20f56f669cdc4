"""Ways out when promises clash, each a request that can be planned with."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from app.services.planning import PlanResult, all_places, plan_size, promised_places
from app.services.requests import PlanRequest, PlanSize, Promise
from app.services.rules import Rules

MOST_ITEMS = 200
"""Items that are promised less one by one; where more are short, all are lowered together."""

ROOM = 0.95
"""Share of all places that promises may take in a way out. Where they take every place there is nothing left to choose:
each goes where a promise needs it, and finding out which takes long."""


@dataclass(frozen=True)
class Relaxation:
    """One way out.

    Attributes
    ----------
    label : str
        What it does, for a button.
    request : PlanRequest
    note : str
        A sentence about why just so much, if there is something to say.
    """

    label: str
    request: PlanRequest
    note: str = ""


def relaxations(request: PlanRequest, result: PlanResult | None = None) -> list[Relaxation]:
    """Ways out of promises that clash.

    Parameters
    ----------
    result : PlanResult, optional
        The plan that shows which items are short; without it only what counting can tell is offered.
    """
    found = []
    size = plan_size(request.model_id)
    places, promised = all_places(request), promised_places(request)
    if promised > places:
        found.append(_lowered(request, ROOM * places / promised))
        capacity = fitting_capacity(request)
        if capacity is not None:
            found.append(Relaxation(f"Raise K to {capacity:,}", replace(request, capacity=capacity)))
        cap = fitting_cap(request)
        if cap is not None:
            found.append(Relaxation(f"Raise the items for a user to {cap:,}", _capped(request, cap)))
    elif result is not None and result.broken:
        short = result.items[result.items["planned_verdict"] == "short"]
        if len(short) and len(short) <= MOST_ITEMS:
            own = [
                Promise(str(row.item_id), minimum=share_of(int(row.planned_delivered), result.states))
                for row in short.itertuples()
            ]
            keep = {p.target: p.maximum for p in request.promises if not p.group}
            own = [replace(p, maximum=keep.get(p.target)) for p in own]
            what = f"item {short.iloc[0]['title']}" if len(short) == 1 else f"the {len(short):,} items that are short"
            promises = (*request.promises, *own)
            found.append(Relaxation(f"Promise {what} only what can be kept", replace(request, promises=promises)))
        cap = request.rules.max_per_user
        if cap is not None:
            found.append(Relaxation(f"Raise the items for a user to {cap + 1:,}", _capped(request, cap + 1)))
        elif request.capacity < size.items:
            found.append(
                Relaxation(f"Raise K to {request.capacity + 1:,}", replace(request, capacity=request.capacity + 1))
            )
    if result is not None and result.over_budget and not result.broken:
        found.append(_dearer(request, result))
    if result is not None and not result.certificate.feasible and request.rules:
        found.append(Relaxation("Leave the further rules out", replace(request, rules=Rules())))
    if result is not None and (result.items["planned_verdict"] == "over").any():
        found.append(Relaxation("Lift the maximum", _unlimited(request)))
    return found


def fitting_capacity(request: PlanRequest) -> int | None:
    """The smallest K with which the minimum promises leave some places free; None where there are too few items.

    Groups together are promised shares of all places: with a larger K they ask for more.
    """
    return _smallest(lambda k: _fits(replace(request, capacity=k)), plan_size(request.model_id).items)


def fitting_cap(request: PlanRequest) -> int | None:
    """The fewest items for a user over the whole period that leave some places free; None where that is no help."""
    if request.rules.max_per_user is None:
        return None
    return _smallest(lambda cap: _fits(_capped(request, cap)), all_places(_capped(request, None)))


def _fits(request: PlanRequest) -> bool:
    return promised_places(request) <= ROOM * all_places(request)


def _capped(request: PlanRequest, cap: int | None) -> PlanRequest:
    return replace(request, rules=replace(request.rules, max_per_user=cap))


def _smallest(enough: Callable[[int], bool], most: int) -> int | None:
    """The smallest number up to ``most`` that is enough; None where none is."""
    found = bisect_left(range(1, most + 1), True, key=enough) + 1
    return found if found <= most else None


def _dearer(request: PlanRequest, result: PlanResult) -> Relaxation:
    """What the plan costs as its budget, rounded up to six digits."""
    needed = (request.rules.budget or 0.0) + result.over_budget
    if result.groups is not None:  # pairs it must give may cost more than the budget by themselves
        needed = float(result.groups.loc[result.groups["kind"] == "budget", "delivered"].sum())
    unit = 10.0 ** (np.floor(np.log10(needed)) - 5)
    budget = float(f"{np.ceil(needed / unit - 1e-6) * unit:.6g}")
    return Relaxation(
        f"Raise the budget to {budget:,.6g}", replace(request, rules=replace(request.rules, budget=budget))
    )


def _lowered(request: PlanRequest, share: float) -> Relaxation:
    """Every minimum lowered in proportion until some places are left in whole user-states; a β alone to a round one."""
    size = plan_size(request.model_id)
    if not request.promises and request.rules.max_per_user is None:
        return _rounded(request, size)
    share, places = np.floor(1000 * share) / 1000, all_places(request)
    lowered = _by(request, share, size.states)
    while share > 0 and promised_places(lowered) > ROOM * places:
        share -= 0.001
        lowered = _by(request, share, size.states)
    said = np.floor(100 * share + 1e-9)
    most = np.floor(100 * places / promised_places(request) + 1e-9)
    free = f"{100 * (1 - promised_places(lowered) / places):.0f} %"
    note = f"{most:.0f} % of every minimum takes all places; about {said:.0f} % leaves {free} of them free."
    return Relaxation(f"Lower every minimum to about {said:.0f} %", lowered, note if said < most else "")


def _by(request: PlanRequest, share: float, states: int) -> PlanRequest:
    """Every minimum times ``share``, in whole user-states."""
    promises = tuple(
        p if p.minimum is None else replace(p, minimum=_whole(p.minimum, share, states)) for p in request.promises
    )
    return replace(request, min_exposure=_whole(request.min_exposure, share, states), promises=promises)


def _rounded(request: PlanRequest, size: PlanSize) -> Relaxation:
    """The largest round β that leaves some places."""
    places = size.states * min(request.capacity, size.items)
    each = int(ROOM * places) // size.items  # user-states of every item
    if not each:
        return Relaxation("Promise no minimum", replace(request, min_exposure=0.0))
    least = _round_down(each / size.states)
    most = size.said_exposure(request.capacity)
    taken, left = (size.promised(share) * size.items / places for share in (most, least))
    free = f"{100 * (1 - left):.0f} %"
    note = f"β {100 * most:.6g} % is the most there is room for, and "
    if size.promised(most) == size.promised(least):
        least = most
        note += f"leaves {free} of the places free."
    else:
        note += f"takes {100 * taken:.0f} % of the places; {100 * least:.6g} % leaves {free} of them free."
    return Relaxation(f"Lower β to {100 * least:.6g} %", replace(request, min_exposure=least), note)


def _round_down(share: float) -> float:
    """0.00427 as 0.004, 0.00149 as 0.0014: halves of the first digit, tenths of a small one."""
    unit = 10.0 ** np.floor(np.log10(share))
    step = unit / 2 if share >= 2 * unit else unit / 10
    return float(round(np.floor(share / step + 1e-9) * step, 9))


def _whole(minimum: float, share: float, states: int) -> float:
    """A lowered share that is a whole number of user-states."""
    return share_of(int(np.floor(np.ceil(minimum * states - 1e-9) * share)), states)


def share_of(count: int, states: int) -> float:
    """The roundest share that is ``count`` of so many user-states, well inside what is rounded up to that.

    ``count / states`` itself would be one more of a test window that has one visitor more. Percent with as few digits
    as it takes: 28 of 288 is 9.5 %.
    """
    if count <= 0:
        return 0.0
    middle = 100 * (count - 0.5) / states
    for digits in range(7):
        share = round(middle, digits) / 100
        if count - 0.8 <= share * states <= count - 0.2:
            return float(round(share, digits + 2))
    return middle / 100


def _unlimited(request: PlanRequest) -> PlanRequest:
    promises = tuple(replace(p, maximum=None) for p in request.promises)
    return replace(request, max_exposure=None, promises=promises)
