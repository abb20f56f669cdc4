"""Ways out when promises clash, each a request that can be planned with."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from app.services.planning import PlanResult, catalogue_of, fitting_capacity, plan_size, promised_places
from app.services.requests import PlanRequest, Promise, constraints
from app.services.rules import Rules

MOST_ITEMS = 200
"""Items that are promised less one by one; where more are short, all are lowered together."""


@dataclass(frozen=True)
class Relaxation:
    """One way out.

    Attributes
    ----------
    label : str
        What it does, for a button.
    request : PlanRequest
    """

    label: str
    request: PlanRequest


def relaxations(request: PlanRequest, result: PlanResult | None = None) -> list[Relaxation]:
    """Ways out of promises that clash.

    Parameters
    ----------
    result : PlanResult, optional
        The plan that shows which items are short; without it only what counting can tell is offered.
    """
    found = []
    size = plan_size(request.model_id)
    places, promised = size.states * min(request.capacity, size.items), promised_places(request)
    if promised > places:
        found.append(_lowered(request, places / promised))
        capacity = fitting_capacity(request)
        if capacity <= size.items:
            found.append(Relaxation(f"Raise K to {capacity:,}", replace(request, capacity=capacity)))
    elif result is not None and result.broken:
        short = result.items[result.items["planned_verdict"] == "short"]
        if len(short) and len(short) <= MOST_ITEMS:
            own = [
                Promise(str(row.item_id), minimum=np.floor(1e6 * row.planned_delivered / result.states) / 1e6)
                for row in short.itertuples()
            ]
            keep = {p.target: p.maximum for p in request.promises if not p.group}
            own = [replace(p, maximum=keep.get(p.target)) for p in own]
            what = f"item {short.iloc[0]['title']}" if len(short) == 1 else f"the {len(short):,} items that are short"
            promises = (*request.promises, *own)
            found.append(Relaxation(f"Promise {what} only what can be kept", replace(request, promises=promises)))
        if request.capacity < size.items:
            found.append(
                Relaxation(f"Raise K to {request.capacity + 1:,}", replace(request, capacity=request.capacity + 1))
            )
    if result is not None and not result.certificate.feasible and request.rules:
        found.append(Relaxation("Leave the further rules out", replace(request, rules=Rules())))
    if result is not None and (result.items["planned_verdict"] == "over").any():
        found.append(Relaxation("Lift the maximum", _unlimited(request)))
    return found


def _lowered(request: PlanRequest, share: float) -> Relaxation:
    """Every minimum lowered in proportion until the places suffice in whole user-states."""
    size = plan_size(request.model_id)
    low = constraints(request, catalogue_of(request.model_id)).bounds(size.states, size.items, crossing=True).minimum
    share = np.floor(1000 * share) / 1000
    while share > 0 and np.ceil(low * share).sum() > size.states * request.capacity:
        share -= 0.001
    least = _whole(request.min_exposure, share, size.states)
    promises = tuple(
        p if p.minimum is None else replace(p, minimum=_whole(p.minimum, share, size.states)) for p in request.promises
    )
    text = f"Lower β to {100 * least:.2f} %" if not request.promises else f"Lower every minimum to {100 * share:.0f} %"
    return Relaxation(text, replace(request, min_exposure=least, promises=promises))


def _whole(minimum: float, share: float, states: int) -> float:
    """A lowered share that is a whole number of user-states, not rounded up again by floating point."""
    return float(np.floor(1e6 * np.floor(np.ceil(minimum * states - 1e-9) * share) / states) / 1e6)


def _unlimited(request: PlanRequest) -> PlanRequest:
    promises = tuple(replace(p, maximum=None) for p in request.promises)
    return replace(request, max_exposure=None, promises=promises)
