"""What a training job is asked to do, and what it answers: two small documents, checked when they are read."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from rim_core.errors import ArtifactError, JobError
from rim_core.models.artifacts import read_config
from rim_core.storage.records import EvaluationRecord

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_ID = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True)
class TrainingSpec:
    """Models to train on one split of one dataset.

    Attributes
    ----------
    dataset : str
        Name and version, for people and for ids.
    split : dict
        What :func:`rim_core.jobs.make_split` takes.
    names : tuple of str
        Models as they are called in comparisons.
    models : tuple of dict
        Their configurations, in the same order.
    facts : dict
        What the cards say beside the figures.
    threads : int or None
        Threads of the worker; None for as many as there are cores.
    """

    dataset: str
    split: dict[str, Any]
    names: tuple[str, ...]
    models: tuple[dict[str, Any], ...]
    facts: dict[str, Any] = field(default_factory=dict)
    threads: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)

    @staticmethod
    def from_dict(found: Mapping[str, Any]) -> TrainingSpec:
        """Inverse of :meth:`to_dict`.

        Raises
        ------
        JobError
            It is not a training.
        """
        try:
            return TrainingSpec(
                dataset=str(found["dataset"]),
                split=dict(found["split"]),
                names=tuple(str(n) for n in found["names"]),
                models=tuple(dict(m) for m in found["models"]),
                facts=dict(found.get("facts") or {}),
                threads=None if found.get("threads") is None else int(found["threads"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise JobError(f"The job's description is damaged ({error!r}): start the training again.") from error


@dataclass(frozen=True)
class TrainedModel:
    """A finished artifact with its figures.

    Attributes
    ----------
    id, name : str
    config : dict
    seconds : float
        Training time of its parts; 0 where they are no longer known.
    facts : dict
    evaluations : tuple of EvaluationRecord
    """

    id: str
    name: str
    config: dict[str, Any]
    seconds: float
    facts: dict[str, Any]
    evaluations: tuple[EvaluationRecord, ...]


@dataclass(frozen=True)
class TrainingResult:
    """What a worker has made.

    Attributes
    ----------
    split : dict
        ``Split.config``, complete.
    summary : list of dict
        Table S1 of the split.
    models : tuple of TrainedModel
    """

    split: dict[str, Any]
    summary: list[dict[str, Any]]
    models: tuple[TrainedModel, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; the configurations stand in the artifacts."""
        models = [
            {
                "id": m.id,
                "seconds": m.seconds,
                "facts": m.facts,
                "evaluations": [
                    {"part": e.part, "task": e.task, "size": e.size, "metrics": e.metrics} for e in m.evaluations
                ],
            }
            for m in self.models
        ]
        return {"split": self.split, "summary": self.summary, "models": models}

    @staticmethod
    def read(found: Mapping[str, Any], out: Path, models: Path) -> TrainingResult:
        """What a worker says it has made, believed only as far as the artifacts bear it out.

        Parameters
        ----------
        found : mapping
            :meth:`to_dict` of it.
        out, models : Path
            Where fresh and already registered artifacts stand.

        Raises
        ------
        JobError
            The document is damaged, or an artifact is missing or not what was saved.
        """
        try:
            trained = tuple(_trained(entry, out, models) for entry in found["models"])
            return TrainingResult(dict(found["split"]), [dict(row) for row in found["summary"]], trained)
        except (KeyError, TypeError, ValueError, ArtifactError) as error:
            raise JobError(
                f"What the worker left behind cannot be trusted ({error}): resume the job to make it again."
            ) from error


def _trained(entry: Mapping[str, Any], out: Path, models: Path) -> TrainedModel:
    identity = str(entry["id"])
    if not _ID.fullmatch(identity):
        raise ValueError(f"{identity!r} is no id of a model")
    folder = out / identity if (out / identity).is_dir() else models / identity
    config = read_config(folder)
    return TrainedModel(
        id=identity,
        name=config["name"],
        config=config["model"],
        seconds=_number(entry["seconds"]),
        facts=dict(entry["facts"]),
        evaluations=tuple(_evaluation(identity, e) for e in entry["evaluations"]),
    )


def _evaluation(model: str, entry: Mapping[str, Any]) -> EvaluationRecord:
    part, task = entry["part"], entry["task"]
    if part not in ("calibration", "test") or task not in ("item", "user"):
        raise ValueError(f"there are no figures of {part!r} for {task!r}")
    for figure in ("precision", "recall", "item_perplexity", "user_perplexity"):
        _number(entry["metrics"][figure])
    return EvaluationRecord(model, part, task, int(entry["size"]), dict(entry["metrics"]))


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ValueError(f"{value!r} is no figure")
    return float(value)
