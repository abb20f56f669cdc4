"""``rim demo``: the whole job on a real grocery chain, in one command.

Every step looks first whether it is done, so that a second call takes a second and one after a kill goes on where the
last one was cut off.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from rim_core.cli.output import Output, as_json, duration, examples
from rim_core.demo import CAPACITY, DATASET, MIN_EXPOSURE, PLAN, SHARES, recipe, trained, training

if TYPE_CHECKING:
    from pathlib import Path

    from rim_core.storage import DatasetInfo, FrontierRecord, ModelInfo, Scenario, Workspace

STAMP = "demo.json"


@click.command(epilog=examples("rim demo", "rim demo --prepare", "rim --workspace /tmp/demo demo --json"))
@click.option("--prepare", is_flag=True, help="Only make what the dashboard shows first; at once when it is there.")
@as_json
@click.pass_obj
def demo(out: Output, prepare: bool) -> None:
    """Do the whole job on a year of a real grocery chain (2 469 households, 1.2 million purchases).

    Imports the events, trains five models briefly, compares them, plans with the best (10 product types for a
    household, every type promised to 0.2 % of the households), sweeps the promise, delivers to the last two weeks and
    writes an audience file. Three minutes on two cores; safe to stop and to call again.
    """
    began = time.monotonic()
    if prepare and _ready(out):
        return
    with out.workspace(create=True) as workspace:
        demonstration = _prepare(out, workspace)
        if prepare:
            text = f"The demo is ready in {workspace.root}, after {duration(time.monotonic() - began)}."
            out.answer({"workspace": workspace.root, "ready": True, "seconds": time.monotonic() - began}, text)
            return
        from rim_core.cli.showing import show_demo

        document, text = show_demo(workspace, demonstration)
    out.answer({**document, "seconds": time.monotonic() - began}, text)


@dataclass(frozen=True, eq=False)
class Demonstration:
    """What the demo has made.

    Attributes
    ----------
    dataset : DatasetInfo
    models : list of ModelInfo
    scenario : Scenario
        Planned and delivered with the last of the models.
    frontier : FrontierRecord
    """

    dataset: DatasetInfo
    models: list[ModelInfo]
    scenario: Scenario
    frontier: FrontierRecord


def _ready(out: Output) -> bool:
    """Whether everything is there, told without opening the workspace (the dashboard may have it)."""
    root, stamp = _stamp(out)
    if stamp.get("recipe") != recipe() or not (root / "data" / "rim.duckdb").exists():
        return False
    if not all((root / "models" / str(model) / "config.json").exists() for model in stamp.get("models", [])):
        return False
    out.answer({"workspace": root, "ready": True, "seconds": 0.0}, f"The demo is ready in {root}.")
    return True


def _stamp(out: Output) -> tuple[Path, dict[str, Any]]:
    from rim_core.storage import default_root

    root = (out.root or default_root()).expanduser().resolve()
    try:
        found = json.loads((root / "data" / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return root, {}
    return root, found if isinstance(found, dict) else {}


def _prepare(out: Output, workspace: Workspace) -> Demonstration:
    """Whatever is missing."""
    from rim_core.storage import write_json

    with out.meter("1/4 events: ") as meter:
        known = [d for d in workspace.datasets() if d.name == d.source == DATASET]
        dataset = known[0] if known else workspace.add_dataset(DATASET, DATASET, callback=meter)
    models = _models(out, workspace, dataset)
    scenario, record = _plans(out, workspace, models[-1])
    write_json(workspace.root / "data" / STAMP, {"recipe": recipe(), "models": [m.id for m in models]})
    return Demonstration(dataset, models, scenario, record)


def _models(out: Output, workspace: Workspace, dataset: DatasetInfo) -> list[ModelInfo]:
    """The five models in the order of MODELS; trained where they are not there yet."""
    found = trained(workspace, dataset)
    if found is not None:
        return found
    from rim_core.cli.train import follow
    from rim_core.jobs import Jobs

    jobs = Jobs(workspace)
    for text in jobs.recovered:
        out.note(text)
    found = trained(workspace, dataset)  # an earlier worker may have ended in the meantime
    if found is not None:
        return found
    follow(out, jobs, training(jobs, dataset), prefix="2/4 models: ")
    found = trained(workspace, dataset)
    assert found is not None
    return found


def _plans(out: Output, workspace: Workspace, info: ModelInfo) -> tuple[Scenario, FrontierRecord]:
    """The plan, delivered, and the sweep around it."""
    plans = [s for s in workspace.scenarios(DATASET) if s.name.startswith(PLAN) and s.model_id == info.id]
    sweeps = [f for f in workspace.frontiers(DATASET) if f.model_ids == (info.id,)]
    sweeps = [f for f in sweeps if f.settings.get("capacity") == CAPACITY]
    from rim_core.walk import deliver_again, keep_plan, lacks_figures, scored

    lacking = bool(plans) and lacks_figures(plans[0], workspace.scenario_items(plans[0].id))
    if plans and sweeps and not lacking:
        return plans[0], sweeps[0]
    from rim_core.cli.frontier import sweep
    from rim_core.planning import Constraints, DualPlanner
    from rim_core.progress import Progress

    with out.meter("3/4 plan: ") as meter:
        meter(Progress(f"scoring with {info.name}", 0.0, 1.0))
        source = scored(workspace, info)
        if not plans:
            promises = Constraints(capacity=CAPACITY, min_exposure=MIN_EXPOSURE)
            plan = DualPlanner(promises).fit(source.calibration, callback=meter)
            plans = [keep_plan(workspace, source, plan, PLAN, plan.assign(source.test))]
        elif lacking:  # kept by an older version
            plans = [deliver_again(workspace, plans[0], source, callback=meter)[0]]
    with out.meter("4/4 frontier: ") as meter:
        if not sweeps:
            record, _ = sweep(workspace, [source], capacity=CAPACITY, shares=SHARES, callback=meter)
            sweeps = [record]
    return plans[0], sweeps[0]
