"""Plans as they were saved and delivered: shown at once, nothing is computed."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from app.services.owner import workspace
from app.services.planning import LOSSES, Losers, PlanResult, model_of, plan_items, split_of
from app.services.requests import PlanRequest
from rim_core.evaluation import Evaluation
from rim_core.evaluation.outlook import spread
from rim_core.planning import Certificate

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
    deviation = _stored_spread(opened, scenario_id, promises["item_id"], len(np.unique(split.test.user)))
    items = plan_items(request, promises, online, deviation, split)
    kept = scenario.metrics.get("promises", {})
    if len(kept.get("free", ())) == len(items):
        items["free"] = kept["free"]
    return PlanResult(
        request=request,
        certificate=Certificate(**scenario.certificate),
        counts=bool(got["expected"].notna().all()),
        online=Evaluation(**scenario.metrics["online"]),
        items=items,
        states=len(split.calibration),
        cost_of_promises=kept.get("cost"),
        losers=_stored_losers(kept.get("losers")),
        problems=tuple(kept.get("problems", ())),
        saved=scenario,
    )


def _stored_spread(opened: Workspace, scenario_id: str, item_ids: pd.Series, users: int) -> np.ndarray:
    """Of what was delivered to the test states, from the pairs that were kept."""
    rows = opened.query(
        """SELECT item_id, sum(c), sum(c * c) FROM
             (SELECT item_id, user_id, count(*) AS c FROM scenario_pairs WHERE scenario = ? AND part = 'test'
              GROUP BY item_id, user_id) GROUP BY item_id""",
        [scenario_id],
    )
    found = pd.DataFrame(rows, columns=["item_id", "total", "squares"]).set_index("item_id").reindex(item_ids).fillna(0)
    return spread(found["total"].to_numpy(float), found["squares"].to_numpy(float), users)


def _stored_losers(found: dict[str, object] | None) -> Losers | None:
    if not found:
        return None
    users = pd.DataFrame({"low": LOSSES[:-1], "high": LOSSES[1:], "states": found["states"]})
    return Losers(users, float(str(found["worse"])), float(str(found["worst_tenth"])))


def kept_of(result: PlanResult) -> dict[str, object]:
    """What a saved plan keeps beside the engine's own figures: what was asked for, and who pays."""
    losers = result.losers
    return {
        "request": result.request.to_dict(),
        "cost": result.cost_of_promises,
        "problems": list(result.problems),
        "free": [] if result.items["free"].isna().any() else [int(v) for v in result.items["free"]],
        "losers": None
        if losers is None
        else {
            "states": [int(v) for v in losers.users["states"]],
            "worse": losers.worse,
            "worst_tenth": losers.worst_tenth,
        },
    }
