"""The first page: what is here, what was done lately, what needs somebody's attention, and the demo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from app.services.owner import change, tasks, told, trainings, workspace
from app.services.planning import PlanResult
from app.services.scenarios import labels
from app.services.stored import stored
from app.services.training import how_far, jobs, models
from app.tasks import Report
from rim_core import demo
from rim_core.errors import RimError
from rim_core.storage import DatasetInfo, Scenario
from rim_core.wording import counted

LOOKED_AT = 8
"""Latest plans whose promises are looked at again."""
REJECTED = 0.01
"""Share of rejected rows from which an import needs a look."""


@dataclass(frozen=True)
class Attention:
    """Something that somebody should look at.

    Attributes
    ----------
    kind : {"promise", "data", "model", "job", "plan"}
    text : str
        What it is, in a sentence.
    remedy : str
        What to do, as the words of a link.
    page : str
        File of the page where it is done.
    query : dict of str to str
        What that page should open.
    """

    kind: str
    text: str
    remedy: str
    page: str
    query: dict[str, str]


@dataclass(frozen=True)
class Loaded:
    """A dataset with what was made from it.

    Attributes
    ----------
    info : DatasetInfo
    models, plans : int
    """

    info: DatasetInfo
    models: int
    plans: int


def loaded() -> list[Loaded]:
    """Every dataset, latest version, with how many models and plans there are."""
    opened = workspace()
    plans = opened.scenarios()
    return [Loaded(info, len(models(info)), sum(s.dataset == info.name for s in plans)) for info in opened.datasets()]


def latest_plans(limit: int = 5) -> list[tuple[Scenario, str]]:
    """Plans saved last, of all datasets, each with a name that tells it from the others of its dataset."""
    found = workspace().scenarios()
    named = _names(found)
    return [(s, named[s.id]) for s in found[:limit]]


def _names(found: list[Scenario]) -> dict[str, str]:
    """Names by id; the same one in two datasets needs nothing to tell them apart."""
    named: dict[str, str] = {}
    for dataset in {s.dataset for s in found}:
        named |= labels([s for s in found if s.dataset == dataset])
    return named


# -- what needs attention --------------------------------------------------------------------------------------


def attention() -> list[Attention]:
    """What somebody should look at, the most urgent first."""
    found = [*_jobs(), *_promises()]
    for info in workspace().datasets():
        found += [*_older_models(info), *_rejects(info)]
    return found


WAYS_ON = {
    "resume": "Resume or discard it",
    "again": "Train again or discard it",
    "change": "See what to change",
}


def _jobs() -> list[Attention]:
    ended = {"failed": "failed", "cancelled": "was cancelled", "interrupted": "was interrupted"}
    return [
        Attention(
            "job",
            f"The training of {job.title} on {job.dataset} {ended[job.state]}{how_far(job)}.",
            WAYS_ON[job.way_on or "again"],
            "views/models.py",
            {"dataset": job.dataset},
        )
        for job in jobs()
        if job.resumable
    ]


def _promises() -> list[Attention]:
    """Plans whose promises are broken or unlikely to be kept, and plans that stand on something older."""
    opened = workspace()
    latest = {d.name: d for d in opened.datasets()}
    found = []
    scenarios = opened.scenarios()
    named = _names(scenarios)
    for scenario in scenarios[:LOOKED_AT]:
        name = named[scenario.id]
        info = latest.get(scenario.dataset)
        query = {"scenario": scenario.id}
        if info is not None:
            query["dataset"] = info.label
        if info is not None and info.version > scenario.dataset_version:
            found.append(
                Attention(
                    "plan",
                    f"“{name}” was planned on version {scenario.dataset_version} of {info.name}; "
                    f"version {info.version} is here.",
                    "Plan again on the new events",
                    "views/plan.py",
                    {"dataset": info.label},
                )
            )
            continue
        if "online" not in scenario.metrics:
            found.append(
                Attention(
                    "plan",
                    f"“{name}” was made, but not yet delivered to its test window.",
                    "Deliver it",
                    "views/delivery.py",
                    query,
                )
            )
            continue
        result = _read(scenario)
        if result is None:
            continue
        unlikely = int((result.items["outlook"] == "unlikely").sum())
        if unlikely:
            was = "was" if unlikely == 1 else "were"
            found.append(
                Attention(
                    "promise",
                    f"“{name}”: {_kept(result)}; {unlikely:,} {was} unlikely to be kept from the start.",
                    "See which, and what they cost",
                    "views/plan.py",
                    query,
                )
            )
        elif not result.measured:
            found.append(
                Attention(
                    "plan",
                    f"“{name}” was saved by an older version: what to expect of it is not known.",
                    "Work it out",
                    "views/plan.py",
                    query,
                )
            )
        elif not result.certificate.feasible:
            found.append(
                Attention(
                    "promise",
                    f"“{name}”: its promises cannot all be kept together.",
                    "See what clashes",
                    "views/plan.py",
                    query,
                )
            )
        elif result.broken_online and result.items["online_delivered"].any():
            found.append(
                Attention("promise", f"“{name}”: {_kept(result)}.", "See which fell short", "views/delivery.py", query)
            )
    return found


def _kept(result: PlanResult) -> str:
    """How many promises a plan makes, and kept when it was delivered as far as that is stored."""
    if result.online.delivered and not result.items["online_delivered"].any():
        return counted(result.promises, "promises")
    return f"kept when delivered {result.promises - result.broken_online:,} of {counted(result.promises, 'promises')}"


def _read(scenario: Scenario) -> PlanResult | None:
    try:
        return stored(scenario)
    except RimError:
        return None


def _older_models(info: DatasetInfo) -> list[Attention]:
    versions = [m.dataset_version for m in workspace().models(info.name)]
    if not versions and any(job.active and job.dataset == info.label for job in jobs()):
        return []
    if not versions:
        text = f"{info.label} has no trained model yet."
    elif max(versions) < info.version:
        text = f"{info.label} is newer than its models, which were trained on version {max(versions)}."
    else:
        return []
    return [Attention("model", text, "Train models on it", "views/models.py", {"dataset": info.label})]


def _rejects(info: DatasetInfo) -> list[Attention]:
    report = info.report
    if report is None or not report.rows_read or report.rows_rejected < REJECTED * report.rows_read:
        return []
    share = 100 * report.rows_rejected / report.rows_read
    text = f"{info.label}: {counted(report.rows_rejected, 'rows were')} rejected on the way in ({share:.1f} %)."
    return [Attention("data", text, "See why", "views/data.py", {"dataset": info.label})]


# -- what was done lately --------------------------------------------------------------------------------------

_SAID = {
    "dataset added": "added the dataset {name}",
    "dataset removed": "removed the dataset {name}",
    "model trained": "trained {name} on {dataset}",
    "model removed": "removed the model {name}",
    "job added": "asked for a training on {dataset}",
    "job failed": "a training failed",
    "job cancelled": "cancelled a training",
    "job interrupted": "a training was interrupted",
    "plan saved": "saved the plan “{name}”",
    "plan delivered": "delivered a plan to its {part} states",
    "frontier saved": "swept the promises on {dataset}",
    "audience exported": "exported {rows} rows of an audience",
}
_UNSAID = ("job queued", "job running", "job done")


def lately(limit: int = 400) -> pd.DataFrame:
    """Who did what, when, in words, the latest first: at, who, what."""
    rows = [
        {"at": a.at, "who": a.who, "what": _in_words(a.what, a.subject, a.detail)}
        for a in workspace().activity(limit=limit)
        if a.what not in _UNSAID
    ]
    return pd.DataFrame(rows, columns=["at", "who", "what"])


def _in_words(what: str, subject: str, detail: dict[str, Any]) -> str:
    if what == "plan changed":
        plan = f"the plan {subject[-6:]}"
        if detail.get("archived") is not None:
            return f"archived {plan}" if detail["archived"] else f"took {plan} back from the archive"
        return f"renamed {plan} to “{detail['name']}”" if detail.get("name") else f"wrote a note beside {plan}"
    said = _SAID.get(what)
    if said is None:
        return f"{what}: {subject}"
    values = {"name": subject, "dataset": "a dataset", "part": "", "rows": "some"}
    values |= {k: f"{v:,}" if isinstance(v, int) else str(v) for k, v in detail.items() if v is not None}
    return said.format_map(values)


# -- the demo ----------------------------------------------------------------------------------------------------

DEMO = "demo"
"""Key of its task."""


@dataclass(frozen=True)
class DemoState:
    """How far the demo is.

    Attributes
    ----------
    info : DatasetInfo or None
        Its dataset, once it is here.
    ready : bool
        Whether it can be planned with.
    training : bool
        Whether its models are being trained.
    """

    info: DatasetInfo | None
    ready: bool
    training: bool


def demo_state() -> DemoState:
    """Whether Complete Journey is here, and has models."""
    info = next((d for d in workspace().datasets() if d.source == demo.DATASET), None)
    if info is None:
        return DemoState(None, ready=False, training=False)
    at_work = any(job.active and job.dataset == info.label for job in jobs())
    return DemoState(info, ready=bool(models(info)), training=at_work)


def start_demo() -> str:
    """Import a year of a real grocery chain and train two models briefly; the key of the task."""

    def work(report: Report) -> DatasetInfo:
        with change() as opened:
            state = demo_state()
            info = state.info or opened.add_dataset(demo.DATASET, demo.DATASET, callback=told(report))
            if not models(info) and not demo_state().training:
                trainings().submit(
                    info.name,
                    version=info.version,
                    split=demo.SPLIT,
                    models=["Popularity", demo.BEST],
                    settings=demo.SETTINGS,
                    facts=demo.FACTS,
                )
                trainings().poll()
            return info

    tasks.drop(DEMO)
    return tasks.request(DEMO, work).key
