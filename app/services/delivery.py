"""Delivery: the online simulation of a saved plan on its test window, against its promises and against hindsight."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from app.services.audiences import titles
from app.services.data import cut
from app.services.owner import change, tasks, told, workspace
from app.services.planning import on_calibration, scores_of
from app.services.stored import request_of
from app.tasks import Report
from rim_core.assignment import assignment_matrix
from rim_core.datasets.states import UserStates
from rim_core.errors import NotFoundError
from rim_core.evaluation import DeliveryCourse, arrivals, delivery_course, evaluate, load_distribution
from rim_core.planning import Constraints, DualPlanner, user_load_sweep
from rim_core.storage import Scenario
from rim_core.walk import deliver_again

LOAD_SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Capacities of the user-load sweep, as shares of the items (Section F goes from 1 % to 100 %)."""


@dataclass(frozen=True, eq=False)
class Simulation:
    """How a plan is delivered online, one visitor at a time.

    Attributes
    ----------
    course : DeliveryCourse
        On the test window.
    came : float
        Share of the user-states that came by themselves within the window.
    own_times : bool
        Whether user-states have times of their own; otherwise they come with their user's first event.
    items : DataFrame
        item_id, title, column, delivered, minimum, maximum (<NA> where there is none), planned_share, online_share,
        verdict ("kept", "short", "over").
    load : DataFrame
        low, high, planned, online (shares of the user-states that get so many items).
    figures : DataFrame
        figure (in words), kind ("share", "count" or "figure"), planned, online.
    states : int
        Of the test window.
    """

    course: DeliveryCourse
    came: float
    own_times: bool
    items: pd.DataFrame
    load: pd.DataFrame
    figures: pd.DataFrame
    states: int


def request_simulation(scenario: Scenario, wish: str) -> str:
    """Ask for the simulation of a plan; the key of the task, whose result is a Simulation."""
    key = f"simulation {scenario.id} {scenario.updated_at.isoformat()}"
    return tasks.request(key, lambda report: _simulate(scenario, report), wish).key


def _simulate(scenario: Scenario, report: Report) -> Simulation:
    opened = workspace()
    report("reading the plan", 0.1)
    split = cut(opened, scenario.dataset, scenario.dataset_version, json.dumps(scenario.split, sort_keys=True))
    constraints = Constraints(**scenario.constraints)
    stored = opened.scenario_items(scenario.id)
    if stored["item_id"].tolist() != split.test.item_ids.astype(str).tolist():
        raise NotFoundError("This plan is about other items than its dataset has now: make the plan again.")
    planned, online = (_stored(scenario, part, getattr(split, part)) for part in ("calibration", "test"))
    report("letting visitors come", 0.5)
    coming = arrivals(split.test, seed=scenario.seed)
    bounds = constraints.bounds(*online.shape, crossing=True)
    course = delivery_course(online, coming, bounds.minimum, bounds.maximum)
    report("counting", 0.9)
    planned_exposure, got = (np.bincount(m.indices, minlength=m.shape[1]) for m in (planned, online))
    items = pd.DataFrame(
        {
            "item_id": stored["item_id"],
            "title": stored["item_id"].map(titles(opened, scenario)).fillna(stored["item_id"]),
            "column": np.arange(len(stored)),
            "delivered": got,
            "minimum": bounds.minimum,
            "maximum": pd.array(np.where(bounds.maximum < len(split.test), bounds.maximum, -1), "Int64"),
            "planned_share": planned_exposure / max(1, len(split.calibration)),
            "online_share": got / max(1, len(split.test)),
            "verdict": np.select([got < bounds.minimum, got > bounds.maximum], ["short", "over"], "kept"),
        }
    )
    items["maximum"] = items["maximum"].mask(items["maximum"] < 0)
    return Simulation(
        course=course,
        came=float(coming.came.mean()) if len(coming.came) else 0.0,
        own_times=len(np.unique(split.test.time)) > 1,
        items=items,
        load=_load(np.diff(planned.indptr), np.diff(online.indptr)),
        figures=_figures(scenario.metrics),
        states=len(split.test),
    )


def _stored(scenario: Scenario, part: str, states: UserStates) -> sparse.csr_matrix:
    """What a plan gave to the user-states of a part, as it is stored."""
    pairs = workspace().scenario_pairs(scenario.id, part)
    rows = pairs["state"].to_numpy(np.int64)
    columns = states.item_ids.astype(str).get_indexer(pairs["item_id"])
    return assignment_matrix(rows, columns, states.shape)


def _load(planned: np.ndarray, online: np.ndarray) -> pd.DataFrame:
    """Both distributions over the same classes."""
    whole = load_distribution(np.concatenate([planned, online]))[["low", "high"]]
    edges = np.append(whole["low"].to_numpy(), whole["high"].iloc[-1] + 1)
    for name, load in (("planned", planned), ("online", online)):
        whole[name] = np.histogram(load, bins=edges)[0] / max(1, len(load))
    return whole


_WORDS = {
    "precision": ("Interactions that happened per delivery", "figure"),
    "recall": ("Recall", "figure"),
    "item_perplexity": ("Items effectively reached", "count"),
    "user_perplexity": ("Visitors effectively reached", "count"),
    "item_coverage": ("Share of the items that reach somebody", "share"),
    "user_coverage": ("Share of the visitors who get something", "share"),
    "delivered": ("Deliveries", "count"),
    "expected": ("Expected interactions (summed scores)", "figure"),
    "hits": ("Interactions that happened", "count"),
}


def _figures(metrics: dict[str, Any]) -> pd.DataFrame:
    offline, online = metrics.get("offline", {}), metrics.get("online", {})
    rows = [
        {"figure": words, "kind": kind, "planned": offline.get(k), "online": online.get(k)}
        for k, (words, kind) in _WORDS.items()
    ]
    return pd.DataFrame(rows).astype({"planned": object, "online": object})


# -- delivering ---------------------------------------------------------------------------------------------------


def delivery_key(scenario: Scenario) -> str:
    """Key of the task that delivers a plan."""
    return f"deliver {scenario.id}"


def request_delivery(scenario: Scenario) -> str:
    """Deliver a saved plan to its test window, and work out what it lacks: who loses, what to expect.

    What comes of it is kept with the plan. Returns the key of the task; stopping it keeps nothing.
    """

    def work(report: Report) -> Scenario:
        request = request_of(scenario)
        planned = on_calibration(request) if request is not None and request.rules.dated else None
        source = scores_of(scenario.model_id)
        with change() as opened:
            return deliver_again(opened, scenario, source, planned=planned, callback=told(report))[0]

    key = delivery_key(scenario)
    tasks.drop(key)
    return tasks.request(key, work).key


# -- hindsight -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Hindsight:
    """The best plan of the test window had its user-states been known, against what was delivered online.

    Attributes
    ----------
    online, hindsight, bound : float
        Expected interactions: delivered online, of the best plan found, and its proven upper bound.
    share : float
        Online as a share of the bound; may exceed 1 where online breaks promises that hindsight keeps.
    precision_online, precision_hindsight : float
    kept_online, kept_hindsight : float
        Share of the items whose promise is kept.
    feasible : bool
        Whether the promises can be kept on the test window at all.
    """

    online: float
    hindsight: float
    bound: float
    share: float
    precision_online: float
    precision_hindsight: float
    kept_online: float
    kept_hindsight: float
    feasible: bool


def request_hindsight(scenario: Scenario, wish: str) -> str:
    """Plan the test window with everything known; the key of the task, whose result is a Hindsight."""
    key = hindsight_key(scenario)
    return tasks.request(key, lambda report: _hindsight(scenario, report), wish).key


def hindsight_key(scenario: Scenario) -> str:
    """Key of that task."""
    return f"hindsight {scenario.id} {scenario.updated_at.isoformat()}"


def _hindsight(scenario: Scenario, report: Report) -> Hindsight:
    report("scoring the visitors", 0.05)
    scores = scores_of(scenario.model_id).test
    constraints = Constraints(**scenario.constraints)
    report("planning with everything known", 0.2)
    plan = DualPlanner(constraints, seed=scenario.seed).fit(scores, callback=told(report))
    bounds = constraints.bounds(*scores.shape, crossing=True)
    assert scores.states is not None
    online = scenario.metrics["online"]
    got = workspace().delivered_by_item(scenario.id, "test").set_index("item_id")["delivered"]
    exposure = got.reindex(scores.item_ids.astype(str)).fillna(0).to_numpy()
    kept = [float(((e >= bounds.minimum) & (e <= bounds.maximum)).mean()) for e in (exposure, plan.assignment.exposure)]
    bound = plan.certificate.upper_bound
    return Hindsight(
        online=float(online["expected"]),
        hindsight=plan.certificate.objective,
        bound=bound,
        share=float(online["expected"]) / bound if bound > 0 else 0.0,
        precision_online=float(online["precision"]),
        precision_hindsight=evaluate(plan.assignment, scores.states).precision,
        kept_online=kept[0],
        kept_hindsight=kept[1],
        feasible=plan.certificate.feasible,
    )


# -- Section F -----------------------------------------------------------------------------------------------------


def load_key(scenario: Scenario, max_exposure: float) -> str:
    """Key of the user-load sweep of a plan's model."""
    return f"user load {scenario.model_id} {max_exposure:.6f}"


def stored_load(scenario: Scenario, max_exposure: float) -> pd.DataFrame | None:
    """The latest user-load sweep of a plan's model, if there is one."""
    for record in workspace().frontiers():
        settings = record.settings
        same = record.model_ids == (scenario.model_id,) and settings.get("sweep") == "user load"
        if same and np.isclose(settings["max_exposure"], max_exposure):
            return workspace().frontier_points(record.id)
    return None


def request_load(scenario: Scenario, max_exposure: float) -> str:
    """Sweep the users' capacity in the background; the points are stored. Returns the key of the task."""
    key = load_key(scenario, max_exposure)
    tasks.drop(key)
    return tasks.request(key, lambda report: _load_sweep(scenario, max_exposure, report)).key


def _load_sweep(scenario: Scenario, max_exposure: float, report: Report) -> pd.DataFrame:
    opened = workspace()
    info = opened.model_info(scenario.model_id)
    report("scoring the visitors", 0.02)
    scored = scores_of(info.id)
    n = scored.test.shape[1]
    capacities = sorted({max(1, round(share * n)) for share in LOAD_SHARES})
    points = user_load_sweep(
        {info.name: (scored.calibration, scored.test)},
        max_exposure=max_exposure,
        capacities=capacities,
        seed=scenario.seed,
        callback=told(report),
    )
    with change() as changed:
        changed.save_frontier(
            points,
            dataset=changed.dataset(info.dataset, info.dataset_version),
            split=info.split,
            model_ids=[info.id],
            settings={"sweep": "user load", "max_exposure": max_exposure, "capacities": capacities},
        )
    return points
