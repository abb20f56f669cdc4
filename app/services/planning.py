"""Plans: made in a thread while the page stays alive, kept when saved."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from app.services.data import cut
from app.services.owner import change, tasks, told, workspace
from app.tasks import Report
from rim_core.assignment import Assignment
from rim_core.audiences import plan_pairs
from rim_core.datasets.split import Split
from rim_core.errors import ConstraintError, RimError
from rim_core.evaluation import Evaluation, evaluate, item_rec
from rim_core.planning import Certificate, Constraints, DualPlanner, Plan, frontier
from rim_core.scores import Scores
from rim_core.storage import DatasetInfo, ModelInfo, Scenario, Workspace

MODES = ("offline greedy", "offline dual", "online dual")
SWEEP = (0.0, 0.1, 0.25, 0.5, 0.75, 0.95)
"""Promised minimum of a sweep, as shares of what fits (β·n = K)."""

_scoring = threading.Lock()


@dataclass(frozen=True)
class PlanRequest:
    """What is promised, with whose scores.

    Attributes
    ----------
    model_id : str
    capacity : int
        K, items per user-state.
    min_exposure : float
        β, share of the user-states every item is promised.
    max_exposure : float or None
        β′.
    seed : int
    """

    model_id: str
    capacity: int
    min_exposure: float = 0.0
    max_exposure: float | None = None
    seed: int = 0

    @property
    def key(self) -> str:
        """Equal requests have equal keys."""
        return json.dumps(asdict(self), sort_keys=True)

    def constraints(self) -> Constraints:
        """The promises as the planner takes them."""
        return Constraints(
            capacity=self.capacity, min_exposure=self.min_exposure or None, max_exposure=self.max_exposure
        )

    def describe(self) -> str:
        """In words: "K 10, at least 0.50 %"."""
        least = f", at least {100 * self.min_exposure:.2f} %" if self.min_exposure else ""
        most = "" if self.max_exposure is None else f", at most {100 * self.max_exposure:.0f} %"
        return f"K {self.capacity}{least}{most}"

    @staticmethod
    def of(scenario: Scenario) -> PlanRequest | None:
        """The request a saved plan came from; None when it makes promises that sliders cannot show."""
        found = dict(scenario.constraints)
        capacity, least, most = (found.pop(k, None) for k in ("capacity", "min_exposure", "max_exposure"))
        numbers = all(v is None or isinstance(v, int | float) for v in (least, most))
        if found or not numbers or not isinstance(capacity, int | float) or scenario.method != "dual":
            return None
        return PlanRequest(scenario.model_id, int(capacity), float(least or 0.0), most, scenario.seed)


@dataclass(frozen=True)
class PlanSize:
    """How much there is to plan: m user-states of the calibration windows, n items."""

    states: int
    items: int

    def promised(self, share: float) -> int:
        """User-states that a promised share comes to."""
        return int(np.ceil(share * self.states - 1e-9))

    def fitting_exposure(self, capacity: int) -> float:
        """The largest minimum exposure for all items that the places allow."""
        return (self.states * capacity // self.items) / self.states

    def slider_end(self, capacity: int) -> float:
        """Upper end of the slider for the minimum exposure, in percent: a little beyond what fits."""
        return float(min(100.0, max(1.0, np.ceil(240 * capacity / self.items) / 2)))

    def half_of_places(self, capacity: int) -> float:
        """A minimum exposure to begin with, in percent: about half of what fits, as a round number."""
        half = 50 * self.fitting_exposure(capacity)
        return 0.0 if half <= 0 else float(round(half, -int(np.floor(np.log10(half)))))


@dataclass(frozen=True, eq=False)
class Made:
    """A plan with what it gives to the test states, and its figures on the calibration states."""

    plan: Plan
    delivered: Assignment
    offline: Evaluation


@dataclass(frozen=True, eq=False)
class PlanResult:
    """A plan, what it promises and what became of it: just made, or as it was saved.

    Attributes
    ----------
    request : PlanRequest
    certificate : Certificate
        On the calibration states.
    counts : bool
        Whether scores are expected interactions; otherwise they are shares of preference.
    online : Evaluation
        On the test states.
    items : DataFrame
        item_id, title, price, cost and, for planned and online: _delivered, _minimum, _maximum, _verdict.
    states : int
        User-states planned.
    cost_of_promises : float or None
        Share of the expected interactions that the promises cost; None where that was not kept.
    seconds : float or None
        How long it took, when it was made just now.
    problems : tuple of str
        Promises that cannot be kept, each with the way out.
    made : Made or None
        What saving it needs; None for a plan that is saved.
    saved : Scenario or None
        The saved plan it was read from.
    """

    request: PlanRequest
    certificate: Certificate
    counts: bool
    online: Evaluation
    items: pd.DataFrame
    states: int
    cost_of_promises: float | None
    seconds: float | None = None
    problems: tuple[str, ...] = ()
    made: Made | None = None
    saved: Scenario | None = None

    @property
    def promises(self) -> int:
        """Items with a promise."""
        bounded = (self.items["planned_minimum"] > 0) | self.items["planned_maximum"].notna()
        return int(bounded.sum())

    @property
    def broken(self) -> int:
        """Promises that the plan does not keep."""
        return int((self.items["planned_verdict"] != "kept").sum())

    @property
    def broken_online(self) -> int:
        """Promises not kept when delivered online."""
        return int((self.items["online_verdict"] != "kept").sum())


# -- what is planned with --------------------------------------------------------------------------------


def best_model(models: list[ModelInfo]) -> str:
    """Id of the model to begin with: the product that knows most, trained last."""
    order = ("GRU×HawkesPoisson", "GRU×Hawkes", "GRU×Activity", "Popularity×HawkesPoisson", "Popularity")
    ranks = [order.index(m.name) if m.name in order else len(order) for m in models]
    return models[int(np.argmin(ranks))].id


def plan_size(model_id: str) -> PlanSize:
    """How many user-states and items a model plans over."""
    states = _split_of(workspace(), model_id).calibration
    return PlanSize(*states.shape)


def promised_share(request: PlanRequest) -> float:
    """Share of all places that the minimum promises need."""
    size = plan_size(request.model_id)
    return size.promised(request.min_exposure) * size.items / (size.states * request.capacity)


def fitting_capacity(request: PlanRequest) -> int:
    """The smallest K that has places for the minimum promises."""
    size = plan_size(request.model_id)
    return int(np.ceil(size.promised(request.min_exposure) * size.items / size.states))


def _split_of(opened: Workspace, model_id: str) -> Split:
    info = opened.model_info(model_id)
    return cut(opened, info.dataset, info.dataset_version, json.dumps(info.split, sort_keys=True))


@dataclass(frozen=True, eq=False)
class Scored:
    """Scores of a model, low rank; ``counts`` says whether they are expected interactions."""

    calibration: Scores
    test: Scores
    counts: bool


def scores_of(model_id: str) -> Scored:
    """Scores of calibration and test states; computed once, kept for the last few models."""
    with _scoring:
        return _scores(workspace(), model_id)


@lru_cache(maxsize=4)
def _scores(opened: Workspace, model_id: str) -> Scored:
    split = _split_of(opened, model_id)
    model = opened.load_model(model_id)
    return Scored(model.score(split.calibration), model.score(split.test), model.unit.startswith("expected"))


def warm_up(model_id: str) -> None:
    """Score a model's user-states in the background, so that its first plan does not wait for it."""
    tasks.request(f"scores {model_id}", lambda report: bool(scores_of(model_id)))


# -- planning ----------------------------------------------------------------------------------------------


def request_plan(request: PlanRequest, wish: str) -> str:
    """Ask for a plan; the key of the task, whose result is a PlanResult."""
    return tasks.request(f"plan {request.key}", lambda report: _make_plan(request, report), wish).key


def _make_plan(request: PlanRequest, report: Report) -> PlanResult:
    began = time.monotonic()
    report("scoring the user-states", 0.05)
    scored = scores_of(request.model_id)
    report("finding prices", 0.25)
    part = _scaled(report, 0.25, 0.85)
    plan = DualPlanner(request.constraints(), seed=request.seed).fit(scored.calibration, callback=told(part))
    report("delivering to the test window", 0.87)
    delivered = plan.assign(scored.test)
    report("measuring", 0.94)
    split = _split_of(workspace(), request.model_id)
    free = item_rec(scored.calibration, k=request.capacity).objective
    bound = request.min_exposure > 0 or request.max_exposure is not None
    return PlanResult(
        request=request,
        certificate=plan.certificate,
        counts=scored.counts,
        online=evaluate(delivered, split.test),
        items=_items(request, plan.promises, delivered.exposure, split),
        states=len(split.calibration),
        cost_of_promises=max(0.0, 1 - plan.certificate.objective / free) if bound and free > 0 else 0.0,
        seconds=time.monotonic() - began,
        problems=plan.problems,
        made=Made(plan, delivered, evaluate(plan.assignment, split.calibration)),
    )


def _scaled(report: Report, low: float, high: float) -> Report:
    """The report of a step that is a part of the whole."""

    def inner(stage: str, share: float) -> None:
        report(stage, low + (high - low) * share)

    return inner


def _items(request: PlanRequest, promises: pd.DataFrame, online: np.ndarray, split: Split) -> pd.DataFrame:
    """Every item: what it costs, and what it got of what it was promised, planned and online."""
    prices = promises["price"].to_numpy(float)
    titles = split.log.items["title"].reindex(promises["item_id"]).astype(str).to_numpy()
    frame = pd.DataFrame({"item_id": promises["item_id"].astype(str), "title": titles, "price": prices})
    frame["cost"] = np.maximum(-prices, 0.0)
    for stage, got, states in (
        ("planned", promises["delivered"].to_numpy(np.int64), split.calibration),
        ("online", online, split.test),
    ):
        bounds = request.constraints().bounds(len(states), len(frame))
        frame[f"{stage}_delivered"] = got
        frame[f"{stage}_minimum"] = bounds.minimum
        frame[f"{stage}_maximum"] = bounds.maximum if request.max_exposure is not None else np.nan
        frame[f"{stage}_verdict"] = np.select([got < bounds.minimum, got > bounds.maximum], ["short", "over"], "kept")
    return frame


def stored_plan(request: PlanRequest) -> PlanResult | None:
    """The plan of a request as it was saved and delivered last, if it was: shown at once, nothing is computed."""
    opened = workspace()
    info = opened.model_info(request.model_id)
    for scenario in opened.scenarios(info.dataset):
        if PlanRequest.of(scenario) == request and "online" in scenario.metrics:
            return _stored(opened, scenario.id, scenario.updated_at.isoformat())
    return None


@lru_cache(maxsize=16)
def _stored(opened: Workspace, scenario_id: str, updated: str) -> PlanResult | None:
    scenario = opened.scenario(scenario_id)
    request = PlanRequest.of(scenario)
    if request is None:
        return None
    split = _split_of(opened, scenario.model_id)
    promises = opened.scenario_items(scenario_id)
    got = opened.delivered_by_item(scenario_id, "test").set_index("item_id")
    expected = got["expected"].notna().all()
    online = got["delivered"].reindex(promises["item_id"]).fillna(0).to_numpy(np.int64)
    return PlanResult(
        request=request,
        certificate=Certificate(**scenario.certificate),
        counts=bool(expected),
        online=Evaluation(**scenario.metrics["online"]),
        items=_items(request, promises, online, split),
        states=len(split.calibration),
        cost_of_promises=scenario.metrics.get("promises", {}).get("cost"),
        saved=scenario,
    )


# -- the frontier --------------------------------------------------------------------------------------------


def comparable(model_id: str) -> dict[str, str]:
    """Models trained on the same data and windows, this one first: names by id."""
    opened = workspace()
    info = opened.model_info(model_id)
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


def request_frontier(request: PlanRequest, model_ids: Sequence[str]) -> str:
    """Sweep the minimum exposure in the background; the points are stored. Returns the key of the task."""
    key = frontier_key(request, model_ids)
    tasks.drop(key)
    return tasks.request(key, lambda report: _sweep(request, tuple(model_ids), report)).key


def _sweep(request: PlanRequest, model_ids: tuple[str, ...], report: Report) -> pd.DataFrame:
    opened = workspace()
    info, names = opened.model_info(request.model_id), comparable(request.model_id)
    report("scoring the user-states", 0.02)
    scored = {names[i]: scores_of(i) for i in model_ids}
    size = plan_size(request.model_id)
    shares = [round(s * size.fitting_exposure(request.capacity), 5) for s in SWEEP]
    points = frontier(
        {name: (s.calibration, s.test) for name, s in scored.items()},
        capacity=request.capacity,
        shares=shares,
        modes=MODES,
        seed=request.seed,
        callback=told(_scaled(report, 0.05, 0.98)),
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


# -- keeping a plan --------------------------------------------------------------------------------------------


def save_plan(result: PlanResult, name: str) -> Scenario:
    """Keep a plan with its promises, certificate, figures and everything it delivers."""
    made = result.made
    if made is None:
        raise ConstraintError("This plan is saved already: it can be found under its name.")
    with change() as opened:
        info = opened.model_info(result.request.model_id)
        return opened.save_scenario(
            name,
            dataset=opened.dataset(info.dataset, info.dataset_version),
            split=info.split,
            model_id=info.id,
            constraints=result.request.constraints().to_dict(),
            seed=result.request.seed,
            promises=made.plan.promises,
            certificate=asdict(result.certificate),
            metrics={
                "offline": made.offline.to_dict(),
                "online": result.online.to_dict(),
                "promises": {"cost": result.cost_of_promises},
            },
            pairs={
                "calibration": plan_pairs(made.plan.assignment, counts=result.counts),
                "test": plan_pairs(made.delivered, counts=result.counts),
            },
        )


def same_figures(result: PlanResult, scenario: Scenario) -> bool:
    """Whether a plan computed again has the figures it was saved with (to the precision that threads leave)."""
    stored = scenario.certificate
    return bool(
        np.isclose(stored["objective"], result.certificate.objective, rtol=1e-6)
        and np.isclose(stored["upper_bound"], result.certificate.upper_bound, rtol=1e-6)
        and stored["feasible"] == result.certificate.feasible
    )


def saved_plans(info: DatasetInfo) -> pd.DataFrame:
    """Saved plans of a dataset side by side, the latest first."""
    rows = []
    for scenario in workspace().scenarios(info.name):
        online, request = scenario.metrics.get("online", {}), PlanRequest.of(scenario)
        rows.append(
            {
                "id": scenario.id,
                "name": scenario.name,
                "model": _model_name(scenario.model_id),
                "capacity": None if request is None else request.capacity,
                "min_exposure": None if request is None else request.min_exposure,
                "max_exposure": None if request is None else request.max_exposure,
                "feasible": bool(scenario.certificate.get("feasible")),
                "objective": scenario.certificate.get("objective"),
                "gap": scenario.certificate.get("gap"),
                "precision": online.get("precision"),
                "item_perplexity": online.get("item_perplexity"),
                "created_at": scenario.created_at,
            }
        )
    return pd.DataFrame(rows)


def _model_name(model_id: str) -> str:
    try:
        return workspace().model_info(model_id).name
    except RimError:
        return "(removed)"


def archive(scenario_id: str) -> None:
    """Put a saved plan away: it is listed no more, and nothing of it is lost."""
    with change() as opened:
        opened.update_scenario(scenario_id, archived=True)
