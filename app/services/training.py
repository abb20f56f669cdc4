"""Models: what can be trained, what goes on, what was made and how good it is."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pandas as pd

from app.services.data import SplitChoice, describe_split
from app.services.owner import change, tasks, trainings, workspace
from app.services.planning import scores_of, split_of
from app.tasks import Report
from rim_core.evaluation.reliability import reliability
from rim_core.jobs import Job
from rim_core.jobs.naming import available
from rim_core.models.base import Intensity, Model, Preference
from rim_core.storage import DatasetInfo, ModelInfo


@dataclass(frozen=True)
class Effort:
    """How long a training may take.

    Attributes
    ----------
    label : str
    """

    label: str


BRIEF = 2
"""Epochs of a brief training."""
EFFORTS = {"brief": Effort(f"Brief ({BRIEF} epochs)"), "full": Effort("Full")}


@dataclass(frozen=True)
class Offer:
    """A model that can be trained.

    Attributes
    ----------
    name : str
        As it is called in comparisons.
    kind : {"product", "affinity", "preference", "intensity"}
    text : str
        What it is, in words.
    """

    name: str
    kind: str
    text: str


@lru_cache(maxsize=1)
def catalogue() -> dict[str, Offer]:
    """Every model that is registered, and every product of a preference and an intensity; products first."""
    classes = available()
    preferences = {n: c for n, c in classes.items() if issubclass(c, Preference)}
    intensities = {n: c for n, c in classes.items() if issubclass(c, Intensity)}
    others = {n: c for n, c in classes.items() if n not in preferences and n not in intensities}
    offers = [
        Offer(f"{p}×{i}", "product", f"{_first(pc)} Times: {_first(ic)}")
        for p, pc in preferences.items()
        for i, ic in intensities.items()
    ]
    for kind, found in (("affinity", others), ("preference", preferences), ("intensity", intensities)):
        offers += [Offer(cls().name, kind, _first(cls)) for cls in found.values()]
    return {o.name: o for o in offers}


def _first(cls: type[Model]) -> str:
    """What a model says of itself, in a sentence."""
    return " ".join((inspect.getdoc(cls) or cls.__name__).split("\n\n")[0].split())


def proposed(names: Iterable[str]) -> list[str]:
    """Models to begin with: a baseline and a product."""
    offered = list(names)
    return [n for n in ("Popularity", "GRU×HawkesPoisson") if n in offered] or offered[:2]


def _settings(effort: str) -> dict[str, dict[str, Any]]:
    """Hyper-parameters by model name: a brief training cuts the epochs of whatever has epochs."""
    if effort != "brief":
        return {}
    return {name.lower(): {"max_epochs": BRIEF} for name, cls in available().items() if _has_epochs(cls)}


def _has_epochs(cls: type[Model]) -> bool:
    return "max_epochs" in inspect.signature(cls.__init__).parameters


# -- jobs --------------------------------------------------------------------------------------------------


def train(info: DatasetInfo, choice: SplitChoice, names: Sequence[str], effort: str, *, new_items: bool = False) -> Job:
    """Train some models in a worker process; it waits for the training before it.

    ``new_items``: scores for items that have no or few events as well.
    """
    chosen = EFFORTS[effort]
    with change():
        job = trainings().submit(
            info.name,
            version=info.version,
            split=choice.config(),
            models=[name_with_new_items(name) if new_items else name for name in names],
            settings=_settings(effort),
            facts={"effort": chosen.label},
        )
    trainings().poll()
    return job


def name_with_new_items(name: str) -> str:
    """What a model is called that scores new items too."""
    return name if name.endswith("NewItems") else f"{name}+NewItems"


def jobs() -> list[Job]:
    """All trainings, the latest first."""
    return trainings().jobs()


def active_jobs() -> list[Job]:
    """Trainings at work or waiting for their turn, the first to run first."""
    return [job for job in reversed(jobs()) if job.active]


def cancel(job_id: str) -> None:
    """Ask a training to stop; what was checkpointed is kept."""
    with change():
        trainings().cancel(job_id)


def resume(job_id: str) -> None:
    """Go on with a training from its last checkpoint."""
    with change():
        trainings().resume(job_id)
    trainings().poll()


def train_again(job_id: str) -> None:
    """Train anew what a training was asked for that did not end well; it takes its place."""
    with change():
        trainings().again(job_id)
    trainings().poll()


def aftermath(job: Job) -> str:
    """What became of a training that did not end well, without saying again that it was cancelled."""
    return re.sub(r"^(The training was cancelled|Cancelled)( before it began)?\.\s*", "", job.message or "")


def how_far(job: Job) -> str:
    """How far a training came that did not end well; nothing of an attempt that had not got going."""
    share = round(100 * job.share)
    return f" at {share} %" if share else ""


def discard(job_id: str) -> None:
    """Forget a training that did not end well."""
    with change():
        trainings().discard(job_id)


# -- models ------------------------------------------------------------------------------------------------


def models(info: DatasetInfo) -> list[ModelInfo]:
    """Trained models of a dataset, the latest first."""
    found = workspace().models(info.name)
    return [m for m in reversed(found) if m.dataset_version == info.version]


def model_label(model: ModelInfo) -> str:
    """A model in a list: its name and how it was cut."""
    return f"{model.name} · {describe_split(model.split)}"


def model_names(models: Sequence[ModelInfo]) -> dict[str, str]:
    """Models by id as short as tells them apart: those named alike with what differs, as far as it takes."""
    names = {m.id: m.name for m in models}
    for telling in (model_split, _effort, _when, _short_id):
        for name in [name for name, several in Counter(names.values()).items() if several > 1]:
            alike = {m.id: telling(m) for m in models if names[m.id] == name}
            if len(set(alike.values())) > 1:
                names |= {i: f"{name} · {said}" for i, said in alike.items()}
    return names


def _effort(model: ModelInfo) -> str:
    return "brief training" if _is_brief(model.config) else "full training"


def _when(model: ModelInfo) -> str:
    return f"{model.created_at:%d %b %Y %H:%M} UTC"


def _short_id(model: ModelInfo) -> str:
    return model.id[:6]


def model_split(model: ModelInfo) -> str:
    """How a model's data was cut, in words."""
    return describe_split(model.split)


def trained_splits(info: DatasetInfo) -> dict[str, str]:
    """Ids of the splits that have models, the latest first, in words."""
    return {m.split_id: describe_split(m.split) for m in models(info)}


def comparison(info: DatasetInfo, split_id: str) -> pd.DataFrame:
    """A row per model of a split with its stored figures on the test window."""
    rows = []
    found = [model for model in reversed(models(info)) if model.split_id == split_id]
    names = model_names(found)
    for model in found:
        row: dict[str, Any] = {
            "id": model.id,
            "model": names[model.id],
            "seconds": model.seconds,
            "created_at": model.created_at,
            "brief": _is_brief(model.config),
        }
        for side in ("item", "user"):
            for figure in ("precision", "recall", "perplexity", "size"):
                row[f"{side}_{figure}"] = None
        for record in workspace().evaluations(model.id):
            if record.part == "test":
                row[f"{record.task}_precision"] = record.metrics["precision"]
                row[f"{record.task}_recall"] = record.metrics["recall"]
                row[f"{record.task}_perplexity"] = record.metrics[f"{record.task}_perplexity"]
                row[f"{record.task}_size"] = record.size
        rows.append(row)
    frame = pd.DataFrame(rows)
    return frame.sort_values("item_precision", ascending=False, na_position="last", ignore_index=True)


def _is_brief(config: dict[str, Any]) -> bool:
    """Whether any part of a model was trained for a few epochs only."""
    epochs = config.get("max_epochs")
    brief = isinstance(epochs, int | float) and epochs <= BRIEF
    return brief or any(_is_brief(part) for part in config.values() if isinstance(part, dict))


def request_reliability(model_id: str) -> str:
    """Compare what a model expects with what happened; the key of the task, whose result is a frame or None.

    None stands for a model whose scores are no expected counts.
    """

    def work(report: Report) -> pd.DataFrame | None:
        report("scoring the visitors", 0.1)
        scored = scores_of(model_id)
        report("comparing with what happened", 0.7)
        return reliability(scored.test, split_of(workspace(), model_id).test) if scored.counts else None

    return tasks.request(f"reliability {model_id}", work).key


def card(model_id: str) -> str:
    """The card of a model, markdown."""
    path = workspace().model_info(model_id).folder / "card.md"
    return path.read_text(encoding="utf-8") if path.exists() else "This model has no card; run `rim doctor`."
