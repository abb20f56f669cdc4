"""The frontier: relevance against perplexity while the promises grow, with the plans that stand on it."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from app.services.owner import change, tasks, told, workspace
from app.services.planning import free_of, model_of, plan_size, scaled, scores_of
from app.services.requests import PlanRequest
from app.services.scenarios import labels
from app.services.stored import request_of
from app.tasks import Report
from rim_core.planning import frontier

MODES = ("offline greedy", "offline dual", "online dual")
SWEEP = (0.0, 0.1, 0.25, 0.5, 0.75, 0.95)
"""Promised minimum of a sweep, as shares of what fits (β·n = K)."""


def comparable(model_id: str) -> dict[str, str]:
    """Models trained on the same data and windows, this one first: names by id."""
    opened = workspace()
    info = model_of(opened, model_id)
    found = sorted(opened.models(info.dataset, split_id=info.split_id), key=lambda m: m.id != model_id)
    names = [m.name for m in found]
    return {m.id: m.name if names.count(m.name) == 1 else f"{m.name} · {m.id[:6]}" for m in found}


def frontier_key(request: PlanRequest, model_ids: Sequence[str]) -> str:
    """Key of the task that sweeps these models."""
    return f"frontier {request.capacity} {' '.join(sorted(model_ids))}"


def stored_frontier(request: PlanRequest, model_ids: Sequence[str]) -> pd.DataFrame | None:
    """The latest sweep of just these models with this capacity, if there is one."""
    for record in workspace().frontiers():
        if set(record.model_ids) == set(model_ids) and record.settings.get("capacity") == request.capacity:
            return workspace().frontier_points(record.id)
    return None


def landmarks(request: PlanRequest) -> pd.DataFrame:
    """Points to find one's way by: the plan without promises, and the saved plans on the same windows.

    Returns
    -------
    DataFrame
        kind ("baseline" or "saved"), id, name, item_perplexity, precision.
    """
    opened = workspace()
    free = free_of(opened, request.model_id, request.capacity, request.rules).online
    rows = [("baseline", "", f"no promises, K {request.capacity}", free.item_perplexity, free.precision)]
    info = model_of(opened, request.model_id)
    windows = {m.id for m in opened.models(info.dataset, split_id=info.split_id)}
    named = labels(opened.scenarios(info.dataset))
    for scenario in opened.scenarios(info.dataset):
        online = scenario.metrics.get("online")
        if online and scenario.model_id in windows and request_of(scenario) is not None:
            rows.append(("saved", scenario.id, named[scenario.id], online["item_perplexity"], online["precision"]))
    return pd.DataFrame(rows, columns=["kind", "id", "name", "item_perplexity", "precision"])


def request_frontier(request: PlanRequest, model_ids: Sequence[str]) -> str:
    """Sweep the minimum exposure in the background; the points are stored. Returns the key of the task."""
    key = frontier_key(request, model_ids)
    tasks.drop(key)
    return tasks.request(key, lambda report: _sweep(request, tuple(model_ids), report)).key


def _sweep(request: PlanRequest, model_ids: tuple[str, ...], report: Report) -> pd.DataFrame:
    opened = workspace()
    info, names = model_of(opened, request.model_id), comparable(request.model_id)
    report("scoring the visitors", 0.02)
    scored = {names[i]: scores_of(i) for i in model_ids}
    size = plan_size(request.model_id)
    shares = [round(s * size.fitting_exposure(request.capacity), 5) for s in SWEEP]
    points = frontier(
        {name: (s.calibration, s.test) for name, s in scored.items()},
        capacity=request.capacity,
        shares=shares,
        modes=MODES,
        seed=request.seed,
        callback=told(scaled(report, 0.05, 0.98)),
    )
    with change() as changed:
        changed.save_frontier(
            points,
            dataset=changed.dataset(info.dataset, info.dataset_version),
            split=info.split,
            model_ids=list(model_ids),
            settings={"capacity": request.capacity, "shares": shares, "modes": list(MODES), "seed": request.seed},
        )
    return points
