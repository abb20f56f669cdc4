"""Train some models on one split: shared parts once, figures in both directions, artifacts at the end."""

from __future__ import annotations

import logging
import math
import shutil
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rim_core.errors import ArtifactError
from rim_core.evaluation import evaluate, item_rec, user_rec
from rim_core.jobs.spec import TrainedModel, TrainingResult
from rim_core.jobs.splits import make_split
from rim_core.models import (
    RIM,
    Intensity,
    Model,
    NewItems,
    Preference,
    Progress,
    artifact_id,
    load_model,
    read_config,
    save_model,
)
from rim_core.storage.records import EvaluationRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from rim_core.datasets.log import EventLog
    from rim_core.datasets.split import Split
    from rim_core.jobs.spec import TrainingSpec
    from rim_core.models.base import Callback

log = logging.getLogger(__name__)

EVALUATION = 1.0
"""Effort of measuring a model, in the unit of :func:`_effort`."""
SECONDS = "training_seconds"
"""Where a part keeps how long it took."""
PARTS_KEPT = 24
"""Fitted parts kept for later jobs; the least recently used go first."""


@dataclass(frozen=True)
class Places:
    """Folders of a training.

    Attributes
    ----------
    parts : Path
        Fitted parts and checkpoints, shared by all jobs of a workspace.
    out : Path
        Where finished artifacts go.
    models : Path
        Registered artifacts: what stands there is not trained again.
    told : callable
        Gets the ids of all parts, once they are known.
    """

    parts: Path
    out: Path
    models: Path
    told: Callable[[Iterable[str]], None] = lambda ids: None


def train_models(log: EventLog, spec: TrainingSpec, places: Places, callback: Callback) -> TrainingResult:
    """Train, evaluate and save every model of ``spec``; what an earlier attempt has finished is taken over.

    Raises
    ------
    SplitError, ModelError, Cancelled
    """
    callback(Progress("cutting the log into windows", 0.0, 1.0))
    split = make_split(log, spec.split)
    work = _Work(spec, split, places, callback)
    trained = tuple(work.model(config) for config in spec.models)
    callback(Progress("done", work.total, work.total))
    places.parts.mkdir(parents=True, exist_ok=True)
    _prune(places.parts)
    return TrainingResult(split.config, split.summary().to_dict("records"), trained)


@dataclass
class _Work:
    """The parts fitted so far, and how much of the work is done."""

    spec: TrainingSpec
    split: Split
    places: Places
    callback: Callback
    done: float = 0.0
    total: float = field(init=False)
    counted: set[str] = field(default_factory=set)
    fitted: dict[str, Model] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.data = f"{self.spec.dataset} {self.split.log.version}"
        parts = {self._id(p): p for config in self.spec.models for p in _parts(config)}
        self.places.told(parts)
        self.total = sum(map(_effort, parts.values())) + EVALUATION * len(self.spec.models)

    def model(self, config: dict[str, Any]) -> TrainedModel:
        """One model: trained, or taken over from an earlier attempt, then measured and saved."""
        identity = self._id(config)
        model = self._known(identity, config)
        fresh = model is None
        if model is None:
            model = self._train(config)
        seconds = sum(_seconds(self.places.parts / self._id(part)) for part in _parts(config))
        evaluations = self._measure(model, identity)
        if fresh:
            figures = {_title(e): e.metrics["precision"] for e in evaluations}
            save_model(model, self.places.out / identity, card_extra={**self.spec.facts, **figures})
        return TrainedModel(identity, model.name, config, seconds, self.spec.facts, evaluations)

    def _known(self, identity: str, config: dict[str, Any]) -> Model | None:
        """The same model as it was registered, or finished by an earlier attempt; its parts count as done."""
        for folder in (self.places.models / identity, self.places.out / identity):
            model = _load(folder)
            if model is not None:
                for part in _parts(config):
                    self._count(part)
                return model
        shutil.rmtree(self.places.out / identity, ignore_errors=True)
        return None

    def _train(self, config: dict[str, Any]) -> Model:
        if config["model"] == "NewItems":
            settings = {key: value for key, value in config.items() if key not in ("model", "base")}
            return NewItems(self._train(config["base"]), **settings).fit(self.split)
        if config["model"] != "RIM":
            return self._part(config)
        preference, intensity = (self._part(part) for part in _parts(config))
        assert isinstance(preference, Preference)
        assert isinstance(intensity, Intensity)
        return RIM(preference, intensity).fit(self.split)

    def _part(self, config: dict[str, Any]) -> Model:
        """A fitted part: from this job, from an earlier one, or trained now from its last checkpoint."""
        key = self._id(config)
        if key in self.fitted:
            return self.fitted[key]
        folder, checkpoint = self.places.parts / key, self.places.parts / f"{key}.checkpoint"
        model = _load(folder)
        if model is None:
            began = time.monotonic()
            report = self._share(_effort(config))
            model = Model.from_config(config).fit(self.split, callback=report, checkpoint=checkpoint)
            save_model(model, folder, card_extra={SECONDS: time.monotonic() - began})
            shutil.rmtree(checkpoint, ignore_errors=True)
        else:
            log.info("%s was already fitted on these data", model.name)
            folder.touch()
        self._count(config)
        self.fitted[key] = model
        return model

    def _count(self, part: dict[str, Any]) -> None:
        """A part is done, however often it is used."""
        key = self._id(part)
        if key not in self.counted:
            self.counted.add(key)
            self.done += _effort(part)

    def _share(self, effort: float) -> Callback:
        """A part's own progress as a share of the whole."""
        before = self.done

        def report(progress: Progress) -> None:
            share = min(max(progress.done / progress.total, 0.0), 1.0) if progress.total > 0 else 0.0
            self.callback(Progress(progress.stage, before + effort * share, self.total, progress.metrics))

        return report

    def _measure(self, model: Model, identity: str) -> tuple[EvaluationRecord, ...]:
        """ItemRec and UserRec at 1 % on the test states."""
        self.callback(Progress(f"{model.name}: measuring on the test window", self.done, self.total))
        states = self.split.test
        scores = model.score(states)
        found = []
        for task, size, recommend in (("item", states.shape[1], item_rec), ("user", states.shape[0], user_rec)):
            one_percent = max(1, math.ceil(size / 100))
            metrics = evaluate(recommend(scores, one_percent), states).to_dict()
            found.append(EvaluationRecord(identity, "test", task, one_percent, metrics))
        self.done += EVALUATION
        return tuple(found)

    def _id(self, config: dict[str, Any]) -> str:
        return artifact_id(config, self.data, self.split.config)


def _effort(config: dict[str, Any]) -> float:
    """A rough measure of how long a part takes to fit: sequence models by their epochs."""
    return 3.0 * float(config.get("max_epochs", 1))


def _parts(config: dict[str, Any]) -> list[dict[str, Any]]:
    """What has to be fitted: the two factors of a product, what new items are added to, or the model itself."""
    if config["model"] == "NewItems":
        return _parts(config["base"])
    return [config["preference"], config["intensity"]] if config["model"] == "RIM" else [config]


def _title(e: EvaluationRecord) -> str:
    """For the card."""
    kind = "ItemRec precision, items per user-state" if e.task == "item" else "UserRec precision, user-states per item"
    return f"{kind}: {e.size} (test window)"


def _seconds(folder: Path) -> float:
    """How long a part took, in the attempt that finished it; 0 where that is no longer known."""
    try:
        return float(read_config(folder)["facts"].get(SECONDS, 0.0))
    except ArtifactError:
        return 0.0


def _load(folder: Path) -> Model | None:
    """A finished artifact; None when there is none that is whole."""
    if not folder.is_dir():
        return None
    try:
        return load_model(folder)
    except ArtifactError as error:
        log.warning("%s", error)
        return None


def _prune(parts: Path) -> None:
    """Keep the parts and checkpoints used last."""
    folders = sorted((f for f in parts.iterdir() if f.is_dir()), key=lambda f: f.stat().st_mtime, reverse=True)
    for folder in folders[PARTS_KEPT:]:
        shutil.rmtree(folder, ignore_errors=True)
