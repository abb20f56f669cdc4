"""Models: what can be trained, what goes on, what was made and how good it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from app.services.data import SplitChoice, describe_split
from app.services.owner import change, trainings, workspace
from rim_core.jobs import Job
from rim_core.storage import DatasetInfo, ModelInfo


@dataclass(frozen=True)
class Effort:
    """How long a training may take.

    Attributes
    ----------
    label : str
    settings : dict
        Hyper-parameters by model name.
    """

    label: str
    settings: dict[str, dict[str, Any]]


EFFORTS = {
    "brief": Effort("Brief (2 epochs)", {"gru": {"max_epochs": 2}}),
    "full": Effort("Full", {}),
}

_CATALOGUE = {
    "GRU×HawkesPoisson": "what a user's history leads to next, times how many events her rhythm leads to expect.",
    "GRU×Hawkes": "the same, with activity that is triggered by recent events and fades.",
    "GRU×Activity": "the same, with activity that simply goes on as it was.",
    "GRU": "what comes next in a user's history; ranks items for a user, says little about which user is active.",
    "Popularity×HawkesPoisson": "popular items for users whose rhythm leads to expect many events.",
    "Popularity": "popular items for active users; a baseline.",
    "Random": "chance; the floor of every comparison.",
}


def catalogue() -> dict[str, str]:
    """Models that can be trained, and what each is, in words."""
    return dict(_CATALOGUE)


# -- jobs --------------------------------------------------------------------------------------------------


def train(info: DatasetInfo, choice: SplitChoice, names: Sequence[str], effort: str) -> Job:
    """Train some models in a worker process; it waits for the training before it."""
    chosen = EFFORTS[effort]
    with change():
        job = trainings().submit(
            info.name,
            version=info.version,
            split=choice.config(),
            models=list(names),
            settings=chosen.settings,
            facts={"effort": chosen.label},
        )
    trainings().poll()
    return job


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


def trained_splits(info: DatasetInfo) -> dict[str, str]:
    """Ids of the splits that have models, the latest first, in words."""
    return {m.split_id: describe_split(m.split) for m in models(info)}


def comparison(info: DatasetInfo, split_id: str) -> pd.DataFrame:
    """A row per model of a split with its stored figures on the test window."""
    rows = []
    for model in reversed(models(info)):
        if model.split_id != split_id:
            continue
        row: dict[str, Any] = {
            "id": model.id,
            "model": model.name,
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
    brief = EFFORTS["brief"].settings
    parts = [config, *(v for v in config.values() if isinstance(v, dict))]
    return any(
        part.get(key, math.inf) <= value
        for part in parts
        for key, value in brief.get(str(part.get("model", "")).lower(), {}).items()
    )


def card(model_id: str) -> str:
    """The card of a model, markdown."""
    path = workspace().model_info(model_id).folder / "card.md"
    return path.read_text(encoding="utf-8") if path.exists() else "This model has no card; run `rim doctor`."
