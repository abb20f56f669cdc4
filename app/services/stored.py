"""Plans as they were saved and delivered: shown at once, nothing is computed."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from app.services.owner import workspace
from app.services.planning import PlanResult, model_of, plan_items, split_of
from app.services.requests import PlanRequest
from rim_core.evaluation import Evaluation
from rim_core.planning import Certificate, Losses
from rim_core.walk import kept_groups

if TYPE_CHECKING:
    from rim_core.storage import Scenario, Workspace


def stored_plan(request: PlanRequest) -> PlanResult | None:
    """The plan of a request as it was saved and delivered last, if it was: shown at once, nothing is computed."""
    opened = workspace()
    info = model_of(opened, request.model_id)
    for scenario in opened.scenarios(info.dataset, archived=True):
        if scenario.model_id == request.model_id and "online" in scenario.metrics and request_of(scenario) == request:
            return stored(scenario)
    return None


def request_of(scenario: Scenario) -> PlanRequest | None:
    """The request a saved plan came from; None when it makes promises that this dashboard cannot show."""
    return _request_of(workspace(), scenario.id)


@lru_cache(maxsize=256)
def _request_of(opened: Workspace, scenario_id: str) -> PlanRequest | None:
    scenario = opened.scenario(scenario_id)
    listed = any(isinstance(v, list) for v in scenario.constraints.values())
    return PlanRequest.of(scenario, opened.scenario_items(scenario_id)["item_id"] if listed else None)


def stored(scenario: Scenario) -> PlanResult | None:
    """A plan as it was saved; None when it makes promises that this dashboard cannot show."""
    return _stored(workspace(), scenario.id, scenario.updated_at.isoformat())


@lru_cache(maxsize=24)
def _stored(opened: Workspace, scenario_id: str, updated: str) -> PlanResult | None:
    scenario = opened.scenario(scenario_id)
    request = _request_of(opened, scenario_id)
    if request is None or "online" not in scenario.metrics:
        return None
    split = split_of(opened, scenario.model_id)
    promises = opened.scenario_items(scenario_id)
    got = opened.delivered_by_item(scenario_id, "test").set_index("item_id")
    online = got["delivered"].reindex(promises["item_id"]).fillna(0).to_numpy(np.int64)
    losses = scenario.metrics.get("losses")
    return PlanResult(
        request=request,
        certificate=Certificate(**scenario.certificate),
        counts=bool(got["expected"].notna().all()),
        online=Evaluation(**scenario.metrics["online"]),
        items=plan_items(request, promises, online, split),
        states=len(split.calibration),
        groups=kept_groups(scenario),
        losses=None if losses is None else Losses(**{**losses, "states": np.array(losses["states"])}),
        problems=tuple(scenario.metrics.get("promises", {}).get("problems", ())),
        saved=scenario,
    )
