"""Plans: made in a thread while the page stays alive."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import numpy as np
import pandas as pd

from app.services.data import cut
from app.services.owner import tasks, told, workspace
from app.services.requests import PlanRequest, PlanSize, constraints, known, members
from app.services.rules import Rules
from app.tasks import Report
from rim_core.assignment import Assignment
from rim_core.datasets.split import Split
from rim_core.errors import ConstraintError, ModelError
from rim_core.evaluation import Evaluation, evaluate
from rim_core.models.base import Model
from rim_core.planning import (
    Baseline,
    Certificate,
    Constraints,
    DualPlanner,
    ItemStory,
    Losses,
    Margin,
    Plan,
    Preview,
    without_promises,
)
from rim_core.planning.losses import EDGES
from rim_core.progress import Heed, unheeded
from rim_core.storage import ModelInfo, Scenario, Workspace
from rim_core.storage.scenarios import MEASURED
from rim_core.walk import Measured, Scored, measure, scored

UNLIKELY, LIKELY = 0.4, 0.75
"""Chances below which a promise is unlikely, and from which it is likely; between them it is about even."""
QUICK = 1.0
"""Seconds: a plan that took no longer is not tried out first, its next one is there as soon."""

_scoring = threading.Lock()


@dataclass(frozen=True, eq=False)
class Made:
    """A plan with what it gives to the test states, who pays for it and what to expect of it."""

    plan: Plan
    delivered: Assignment
    measured: Measured


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
        item_id, title, price, cost (what one more delivery of an item with a minimum gives up), held_back (what one
        more than an item's maximum would bring), free (user-states that would get it without promises, NaN where that
        was not kept); for planned and online: _delivered, _minimum, _maximum, _verdict; expected, low, high, chance (of
        as many other user-states as the test window has, at 90 %; NaN where that was not kept) and outlook ("likely",
        "takes", "even", "unlikely", "" where nothing is promised or nothing is known).
    states : int
        User-states planned.
    losses : Losses or None
        Who pays for the promises, on the planned user-states; None where that was not kept.
    margin : Margin or None
        What being sure asks for and costs; None for a plan that was saved, or without a margin.
    groups : DataFrame or None
        name, kind, minimum, maximum, delivered, missed, price: groups together and the budget; None for a plan that an
        older version saved.
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
    losses: Losses | None = None
    margin: Margin | None = None
    groups: pd.DataFrame | None = None
    seconds: float | None = None
    problems: tuple[str, ...] = ()
    made: Made | None = None
    saved: Scenario | None = None

    @property
    def unit(self) -> str:
        """What scores are summed up to."""
        valued = [rule.item for rule in self.request.rules.items if rule.value is not None]
        return unit_of(valued=bool(self.items["item_id"].isin(valued).any()), counts=self.counts)

    @property
    def cost_of_promises(self) -> float | None:
        """Share of the expected interactions that the promises cost; None where that was not kept."""
        return None if self.losses is None else self.losses.cost

    @property
    def given_up(self) -> pd.DataFrame:
        """low, high (share given up), states: how many user-states give up that much of what they would get."""
        states = 0 if self.losses is None else self.losses.states
        return pd.DataFrame({"low": EDGES[:-1], "high": EDGES[1:], "states": states})

    @property
    def foreseen(self) -> float:
        """Share of the items whose delivery to the test window lies where nine of ten were expected to."""
        got = self.items["online_delivered"]
        return float(((got >= self.items["low"]) & (got <= self.items["high"])).mean())

    @property
    def measured(self) -> bool:
        """Whether it is known who pays and what to expect; plans of older versions lack that until it is worked out."""
        return self.losses is not None and not self.items[list(MEASURED)].isna().any(axis=None)

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
    def over_budget(self) -> float:
        """By how much the plan costs more than its budget.

        Not known (0) of a plan with pairs it must give that an older version saved.
        """
        rules = self.request.rules
        if rules.budget is None:
            return 0.0
        if self.groups is not None:
            return float(self.groups.loc[self.groups["kind"] == "budget", "missed"].sum())
        if any(pair.rule == "forced" for pair in rules.pairs):
            return 0.0
        costs = self.items["item_id"].map({rule.item: rule.cost or 0.0 for rule in rules.items}).fillna(0.0)
        over = float((costs * self.items["planned_delivered"]).sum()) - rules.budget
        return over if over > 1e-9 * rules.budget else 0.0

    @property
    def short_groups(self) -> pd.DataFrame:
        """Groups together whose promise the plan does not keep, as in ``groups``."""
        if self.groups is None:
            return pd.DataFrame(columns=["name", "kind", "minimum", "maximum", "delivered", "missed"])
        return self.groups[(self.groups["kind"] == "group") & (self.groups["missed"] > 0)]

    @property
    def broken_online(self) -> int:
        """Promises not kept when delivered online."""
        return int((self.items["online_verdict"] != "kept").sum())


def unit_of(*, valued: bool, counts: bool) -> str:
    """What scores are summed up to: whether items have values, and whether scores are expected interactions."""
    if valued:
        return "expected value"
    return "expected interactions" if counts else "summed preference"


# -- what is planned with --------------------------------------------------------------------------------


def best_model(models: list[ModelInfo]) -> str:
    """Id of the model to begin with: the one measured best at choosing users for an item, trained last.

    Only models whose scores are counts are considered as long as there is one.
    """
    opened = workspace()

    def rank(model: ModelInfo) -> tuple[bool, float]:
        found = [e.metrics["precision"] for e in opened.evaluations(model.id) if (e.part, e.task) == ("test", "user")]
        return is_counting(model), max(found, default=0.0)

    return max(models, key=rank).id


def is_counting(model: ModelInfo) -> bool:
    """Whether a model's scores are expected interactions, as :attr:`PlanResult.counts` has it, told by its settings."""
    try:
        return Model.from_config(model.config).unit.startswith("expected")
    except ModelError:  # of another version: that will be said when it is scored with
        return False


def plan_size(model_id: str) -> PlanSize:
    """How many user-states and items a model plans over."""
    states = split_of(workspace(), model_id).calibration
    return PlanSize(*states.shape)


def catalogue_of(model_id: str) -> pd.DataFrame:
    """Title and features of the items a model plans over, indexed by id, in column order."""
    return _catalogue(workspace(), model_id)


@lru_cache(maxsize=6)
def _catalogue(opened: Workspace, model_id: str) -> pd.DataFrame:
    split = split_of(opened, model_id)
    found = split.log.items.reindex(split.items)
    found.index = found.index.astype(str)
    return found


def all_places(request: PlanRequest) -> int:
    """Deliveries that the visitors take together: K each, and of a user no more than a user may have."""
    size, cap = plan_size(request.model_id), request.rules.max_per_user
    each = min(request.capacity, size.items)
    if cap is None:
        return size.states * each
    visits = np.bincount(split_of(workspace(), request.model_id).calibration.user)
    return int(np.minimum(visits * each, cap).sum())


def promised_places(request: PlanRequest) -> int:
    """Places that the minimum promises need at least, of :func:`all_places`.

    Beyond its items' minimums a group together asks for what is missing to its own. Groups of one feature share no
    items, so that adds up; those of several features may, and the feature that asks for most is a lower bound.
    """
    size, catalogue = plan_size(request.model_id), catalogue_of(request.model_id)
    minimum = constraints(request, catalogue).bounds(size.states, size.items, crossing=True).minimum
    places = size.states * min(request.capacity, size.items)
    beyond: Counter[str] = Counter()
    for promise in known(request, catalogue).promises:
        if promise.together and promise.minimum is not None:
            asked = int(np.ceil(promise.minimum * places - 1e-9))
            beyond[promise.group] += max(0, asked - int(minimum[members(promise, catalogue)].sum()))
    return int(minimum.sum()) + max(beyond.values(), default=0)


def promises_overlap(request: PlanRequest) -> bool:
    """Whether minimums of groups together are of several features: what they need is known from below only."""
    return len({p.group for p in request.promises if p.together and p.minimum}) > 1


@lru_cache(maxsize=256)
def model_of(opened: Workspace, model_id: str) -> ModelInfo:
    """A registered model; it never changes, and asking the database for it at every turn adds up."""
    return opened.model_info(model_id)


def split_of(opened: Workspace, model_id: str) -> Split:
    """The split a model was trained on."""
    info = model_of(opened, model_id)
    return cut(opened, info.dataset, info.dataset_version, json.dumps(info.split, sort_keys=True))


def scores_of(model_id: str) -> Scored:
    """Scores of calibration and test states; computed once, kept for the last few models."""
    with _scoring:
        return _scores(workspace(), model_id)


@lru_cache(maxsize=4)
def _scores(opened: Workspace, model_id: str) -> Scored:
    return scored(opened, model_of(opened, model_id), split_of(opened, model_id))


def warm_up(model_id: str) -> None:
    """Score a model's user-states in the background, so that its first plan does not wait for it."""
    tasks.request(f"scores {model_id}", lambda report: bool(scores_of(model_id)))


@dataclass(frozen=True, eq=False)
class Free:
    """What everybody would get without promises, under the same rules.

    Attributes
    ----------
    planned : Baseline
    online : Evaluation
        On the test states.
    """

    planned: Baseline
    online: Evaluation


@lru_cache(maxsize=24)
def free_of(opened: Workspace, model_id: str, capacity: int, rules: Rules) -> Free:
    """The baseline without promises."""
    source, request = scores_of(model_id), PlanRequest(model_id, capacity, rules=rules)
    plan = without_promises(source.calibration, on_calibration(request))
    return Free(Baseline.of(plan), evaluate(as_given(plan, request).assign(source.test), source.split.test))


# -- planning ----------------------------------------------------------------------------------------------


def request_plan(request: PlanRequest, wish: str, after: PlanResult | None = None) -> str:
    """Ask for a plan; the key of the task, whose result is a PlanResult.

    ``after`` is a plan of the same model that was there before: its prices are a good beginning, and where planning
    takes a while they say early what it will come to (a Preview).
    """
    return tasks.request(plan_key(request), lambda report: _make_plan(request, report, after), wish).key


def plan_key(request: PlanRequest) -> str:
    """Key of the task that makes a plan."""
    return f"plan {request.key}"


def _alike(result: PlanResult, request: PlanRequest) -> bool:
    """Whether the prices of a plan say something about another request."""
    same = result.request.model_id == request.model_id and result.request.capacity == request.capacity
    return same and result.certificate.feasible


def preview_plan(after: PlanResult, request: PlanRequest, heed: Heed = unheeded) -> Preview | None:
    """What a request would come to, about, in the blink of an eye; None where that plan does not bear on it.

    Promises that ask for more places than there are come to nothing that could be told so soon.
    """
    if after.made is None or not _alike(after, request) or request.confidence != after.request.confidence:
        return None
    if request.confidence is not None or promised_places(request) > all_places(request):
        return None
    return after.made.plan.preview(on_calibration(request), heed=heed)


def item_story(result: PlanResult, item_id: str) -> ItemStory | None:
    """What one item's promise costs, and who gave way to it; None for a plan that was saved."""
    return None if result.made is None else result.made.plan.explain_item(item_id)


def _make_plan(request: PlanRequest, report: Report, after: PlanResult | None) -> PlanResult:
    began = time.monotonic()
    start = after.made.plan if after is not None and after.made is not None and _alike(after, request) else None
    if after is not None and (after.seconds or 0.0) > QUICK:
        trying = partial(report, "trying the promises out", 0.02)
        trying()
        trying(preview_plan(after, request, trying))
    opened = workspace()
    report("scoring the visitors", 0.05)
    source = scores_of(request.model_id)
    report("finding prices", 0.2)
    part = scaled(report, 0.2, 0.8)
    planner = DualPlanner(on_calibration(request), seed=request.seed)
    planned = planner.fit(source.calibration, warm_start=start, confidence=request.confidence, callback=told(part))
    plan = as_given(planned, request)
    delivered = plan.assign(source.test, heed=partial(report, "delivering to the test window", 0.82))
    report("comparing with a plan without promises", 0.9)
    free = free_of(opened, request.model_id, request.capacity, request.rules)
    report("measuring", 0.95)
    split = source.split
    measured = measure(planned, len(split.test), free.planned)
    promises = plan.promises.merge(measured.items[["item_id", *MEASURED]], on="item_id")
    return PlanResult(
        request=request,
        certificate=plan.certificate,
        counts=source.counts,
        online=evaluate(delivered, split.test),
        items=plan_items(request, promises, delivered.exposure, split),
        states=len(split.calibration),
        losses=measured.losses,
        seconds=time.monotonic() - began,
        margin=plan.margin,
        groups=plan.residuals,
        problems=plan.problems,
        made=Made(plan, delivered, measured),
    )


def as_given(plan: Plan, request: PlanRequest) -> Plan:
    """A plan of the calibration window with the dates as they were given: what is delivered later goes by them."""
    if not request.rules.dated:
        return plan
    return replace(plan, constraints=constraints(request, catalogue_of(request.model_id)))


def on_calibration(request: PlanRequest) -> Constraints:
    """The promises on the calibration window, which stands for the test window: dates are moved back by as much.

    Raises
    ------
    ConstraintError
        The model has several calibration windows, or an item's dates hold none of the user-states.
    """
    promised = constraints(request, catalogue_of(request.model_id))
    if not request.rules.dated:
        return promised
    split, how = split_of(workspace(), request.model_id), model_of(workspace(), request.model_id).split
    if int(how.get("calibration", 1)) > 1:
        raise ConstraintError(
            "Dates of items need a model with one calibration window: train one under Models after setting that under "
            "Data, or take the dates out."
        )
    _some_in_dates(
        request.rules.known(catalogue_of(request.model_id)), pd.to_datetime(split.test.time, unit="us", utc=True)
    )
    back = pd.Timedelta(0)
    if how.get("by") != "user":
        back = pd.Timedelta(int(split.test.time.min() - split.calibration.time.min()), "us")
    starts, ends = (
        {item: pd.Timestamp(when) - back for item, when in (dates or {}).items()} or None
        for dates in (promised.starts, promised.ends)
    )
    return replace(promised, starts=starts, ends=ends)


def _some_in_dates(rules: Rules, times: pd.DatetimeIndex) -> None:
    """ConstraintError when no user-state of the window lies within an item's dates."""
    for rule in rules.items:
        inside = np.ones(len(times), bool)
        if rule.start:
            inside &= times >= pd.Timestamp(rule.start, tz="UTC")
        if rule.end:
            inside &= times < pd.Timestamp(rule.end, tz="UTC")
        if not inside.any():
            first, last = f"{times.min():%Y-%m-%d %H:%M}", f"{times.max():%Y-%m-%d %H:%M}"
            come = f"come between {first} and {last}" if first != last else f"all count as of its beginning, {first}"
            raise ConstraintError(
                f"Nobody can get item {rule.item}: the visitors of the test window {come}, outside its dates. Change "
                "the dates, or take the item's row out."
            )


def scaled(report: Report, low: float, high: float) -> Report:
    """The report of a step that is a part of the whole."""

    def inner(stage: str, share: float, early: Any = None) -> None:
        report(stage, low + (high - low) * share, early)

    return inner


def plan_items(request: PlanRequest, promises: pd.DataFrame, online: np.ndarray, split: Split) -> pd.DataFrame:
    """Every item: what it costs, what it got of what it was promised, and what other user-states would bring.

    ``promises``: item_id, delivered, price and :data:`MEASURED` of the planned user-states; ``online``: user-states of
    the test window that got each item.
    """
    prices = promises["price"].to_numpy(float)
    titles = split.log.items["title"].reindex(promises["item_id"]).astype(str).to_numpy()
    frame = pd.DataFrame({"item_id": promises["item_id"].astype(str), "title": titles, "price": prices})
    frame = frame.assign(**{column: promises[column].to_numpy(float) for column in MEASURED})
    request = known(request, catalogue_of(request.model_id))
    promised = constraints(request, catalogue_of(request.model_id))
    for stage, got, states in (
        ("planned", promises["delivered"].to_numpy(np.int64), split.calibration),
        ("online", online, split.test),
    ):
        bounds = promised.bounds(len(states), len(frame), crossing=True)
        frame[f"{stage}_delivered"] = got
        frame[f"{stage}_minimum"] = bounds.minimum
        frame[f"{stage}_maximum"] = bounds.maximum if request.bounds_maximum else np.nan
        frame[f"{stage}_verdict"] = np.select([got < bounds.minimum, got > bounds.maximum], ["short", "over"], "kept")
    # what is promised nothing and delivered to nobody has no price, whatever older versions kept
    idle = (frame["planned_minimum"] <= 0) & (frame["planned_delivered"] <= 0)
    frame["cost"] = np.where(idle, 0.0, np.maximum(-prices, 0.0))
    full = frame["planned_maximum"].notna() & (frame["planned_delivered"] >= frame["planned_maximum"])
    frame["held_back"] = np.where(full, np.maximum(prices, 0.0), 0.0)
    unsaid = (frame["online_minimum"] <= 0) | frame["chance"].isna()
    frame["outlook"] = np.select(
        [unsaid, frame["chance"] < UNLIKELY, frame["chance"] < LIKELY, frame["cost"] > 0],
        ["", "unlikely", "even", "takes"],
        "likely",
    )
    return frame


def items_of(results: Sequence[PlanResult]) -> pd.DataFrame:
    """item_id, title and, for the i-th plan, delivered_i, minimum_i, cost_i (items of all of them)."""
    frame: pd.DataFrame | None = None
    for i, result in enumerate(results):
        part = result.items[["item_id", "title", "online_delivered", "online_minimum", "cost"]]
        part = part.rename(
            columns={"online_delivered": f"delivered_{i}", "online_minimum": f"minimum_{i}", "cost": f"cost_{i}"}
        )
        frame = part if frame is None else frame.merge(part.drop(columns="title"), on="item_id", how="inner")
    return pd.DataFrame() if frame is None else frame
