"""Splits, trained models, their evaluations and the jobs that made them."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING, Any

from rim_core.errors import ArtifactError, NotFoundError
from rim_core.storage.files import now, to_json, unwritable
from rim_core.storage.records import EvaluationRecord, Finding, JobRecord, ModelInfo
from rim_core.storage.store import Store, utc, utc_or_none

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from rim_core.models.base import Model
    from rim_core.storage.records import DatasetInfo


class ModelStore(Store):
    """The part of :class:`Workspace` that keeps splits, models, evaluations and jobs."""

    @property
    def models_folder(self) -> Path:
        """Where artifacts stand: models/<id>/."""
        return self.root / "models"

    # -- splits -------------------------------------------------------------------------------------------

    def save_split(self, dataset: DatasetInfo, config: Mapping[str, Any], summary: Sequence[Mapping[str, Any]]) -> str:
        """Keep ``Split.config`` and the rows of its summary (Table S1); returns the split's id."""
        identity = split_id(dataset, config)
        with self.transaction() as cursor:
            cursor.execute(
                "INSERT OR REPLACE INTO splits VALUES (?, ?, ?, ?, ?)",
                [identity, dataset.id, to_json(config), to_json(list(summary)), now()],
            )
        return identity

    def split_summary(self, split_id: str) -> list[dict[str, Any]]:
        """Table S1 of a split: states, users, items and events of every part."""
        found = self.query("SELECT summary FROM splits WHERE id = ?", [split_id])
        if not found:
            raise NotFoundError(f"There is no split {split_id!r} here: train a model on it with `rim train`.")
        rows: list[dict[str, Any]] = json.loads(found[0][0])
        return rows

    def splits(self, dataset: DatasetInfo) -> dict[str, dict[str, Any]]:
        """Configurations of the splits used on a dataset, by id, the latest first."""
        rows = self.query("SELECT id, config FROM splits WHERE dataset = ? ORDER BY created_at DESC", [dataset.id])
        return {identity: json.loads(config) for identity, config in rows}

    # -- models -------------------------------------------------------------------------------------------

    def add_model(
        self,
        folder: Path,
        *,
        id: str,
        name: str,
        config: Mapping[str, Any],
        dataset: DatasetInfo,
        split_id: str,
        seconds: float | None = None,
        facts: Mapping[str, Any] | None = None,
        evaluations: Iterable[EvaluationRecord] = (),
    ) -> ModelInfo:
        """Move a finished artifact into models/<id>/ and register it with its evaluations.

        Safe to repeat: a kill between the move and the registration is mended by calling it again.
        """
        self.place_artifact(folder, id)
        with self.transaction() as cursor:
            cursor.execute(
                "INSERT OR REPLACE INTO models VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [id, name, to_json(config), dataset.id, split_id, seconds, to_json(facts or {}), now()],
            )
            self.save_evaluations(evaluations)
            self.record("model trained", id, name=name, dataset=dataset.label)
        return self.model_info(id)

    def place_artifact(self, folder: Path, id: str) -> Path:
        """Move an artifact folder to models/<id>/ (a no-op when it stands there already)."""
        target = self.models_folder / id
        if folder.resolve() == target.resolve() or not folder.exists():
            return target
        try:
            self.models_folder.mkdir(parents=True, exist_ok=True)
            aside = target.with_name(f".{id}.old")
            shutil.rmtree(aside, ignore_errors=True)
            if target.exists():  # the same configuration on the same data: keep the newer one
                target.replace(aside)
            folder.replace(target)
            shutil.rmtree(aside, ignore_errors=True)
        except OSError as error:
            raise unwritable(target, error) from error
        return target

    def models(self, dataset: str | None = None, *, split_id: str | None = None) -> list[ModelInfo]:
        """Registered models, of one dataset or split only if asked; in the order they were trained."""
        rows = self.query(
            """SELECT m.id, m.name, m.config, coalesce(d.name, '(removed)'), coalesce(d.version, 0), m.split,
                      coalesce(s.config, '{}'), m.seconds, m.facts, m.created_at
               FROM models m LEFT JOIN datasets d ON d.id = m.dataset LEFT JOIN splits s ON s.id = m.split
               ORDER BY m.created_at, m.name"""
        )
        found = [self._model_info(row) for row in rows]
        return [m for m in found if dataset in (None, m.dataset) and split_id in (None, m.split_id)]

    def model_info(self, id: str) -> ModelInfo:
        """One model by id, or by the beginning of its id.

        Raises
        ------
        NotFoundError
            None, or several, begin so.
        """
        found = [m for m in self.models() if m.id.startswith(id)] if id else []
        if len(found) == 1:
            return found[0]
        if found:
            raise NotFoundError(f"Several models begin with {id!r}: {', '.join(m.id for m in found)}. Give more.")
        raise NotFoundError(f"There is no model {id!r} here: see `rim models list`, or train one with `rim train`.")

    def load_model(self, id: str) -> Model:
        """The fitted model of a registered artifact; its files are verified.

        Raises
        ------
        NotFoundError, ArtifactError
        """
        from rim_core.models.artifacts import load_model

        return load_model(self.model_info(id).folder)

    def remove_model(self, id: str) -> ModelInfo:
        """Forget a model and delete its artifact."""
        info = self.model_info(id)
        with self.transaction() as cursor:
            cursor.execute("DELETE FROM models WHERE id = ?", [info.id])
            cursor.execute("DELETE FROM evaluations WHERE model = ?", [info.id])
            self.record("model removed", info.id, name=info.name)
        shutil.rmtree(info.folder, ignore_errors=True)
        return info

    def check_models(self) -> list[Finding]:
        """Verify every artifact; unregistered ones are noted."""
        from rim_core.models.artifacts import load_model

        findings = []
        for info in self.models():
            try:
                load_model(info.folder)
                findings.append(Finding("ok", info.id, f"{info.name} of {info.dataset}: files verified"))
            except ArtifactError as error:
                remedy = f"rim models remove {info.id}, then train it again"
                findings.append(Finding("problem", info.id, str(error), remedy))
        known = {info.id for info in self.models()}
        if self.models_folder.is_dir():
            findings += [
                Finding(
                    "note", folder.name, f"{folder} is not registered", "delete the folder, or train the model again"
                )
                for folder in sorted(self.models_folder.iterdir())
                if folder.is_dir() and not folder.name.startswith(".") and folder.name not in known
            ]
        return findings

    def _model_info(self, row: tuple[Any, ...]) -> ModelInfo:
        (identity, name, config, dataset, version, split, split_config, seconds, facts, created) = row
        return ModelInfo(
            id=identity,
            name=name,
            config=json.loads(config),
            dataset=dataset,
            dataset_version=version,
            split_id=split,
            split=json.loads(split_config),
            seconds=seconds,
            facts=json.loads(facts),
            folder=self.models_folder / identity,
            created_at=utc(created),
        )

    # -- evaluations --------------------------------------------------------------------------------------

    def save_evaluations(self, evaluations: Iterable[EvaluationRecord]) -> None:
        """Keep figures of models; the same question asked again replaces the answer."""
        with self.transaction() as cursor:
            for e in evaluations:
                cursor.execute(
                    "INSERT OR REPLACE INTO evaluations VALUES (?, ?, ?, ?, ?, ?)",
                    [e.model_id, e.part, e.task, e.size, to_json(e.metrics), now()],
                )

    def evaluations(self, model_id: str | None = None) -> list[EvaluationRecord]:
        """Figures of one model, or of all."""
        rows = self.query(
            "SELECT model, part, task, size, metrics FROM evaluations WHERE ? IS NULL OR model = ? ORDER BY ALL",
            [model_id, model_id],
        )
        return [EvaluationRecord(m, part, task, size, json.loads(metrics)) for m, part, task, size, metrics in rows]

    # -- jobs ---------------------------------------------------------------------------------------------

    def add_job(
        self, id: str, dataset: DatasetInfo, split: Mapping[str, Any], spec: Mapping[str, Any], state: str
    ) -> None:
        """Register a job."""
        with self.transaction() as cursor:
            cursor.execute(
                "INSERT INTO jobs VALUES (?, ?, ?, ?, ?, NULL, '[]', ?, NULL, NULL, NULL)",
                [id, dataset.id, to_json(split), to_json(spec), state, now()],
            )
            self.record("job added", id, dataset=dataset.label)

    def set_job(
        self,
        id: str,
        state: str,
        *,
        message: str | None = None,
        models: Iterable[str] = (),
        history: Sequence[Mapping[str, Any]] | None = None,
        started: bool = False,
    ) -> None:
        """Write down what became of a job; ``history`` is the course of its losses."""
        finished = None if state in ("queued", "running") else now()
        with self.transaction() as cursor:
            cursor.execute(
                """UPDATE jobs SET state = ?, message = ?, models = ?, history = ?, finished_at = ?,
                          started_at = CASE WHEN ? THEN ? ELSE started_at END WHERE id = ?""",
                [
                    state,
                    message,
                    to_json(list(models)),
                    None if history is None else to_json(list(history)),
                    finished,
                    started,
                    now(),
                    id,
                ],
            )
            self.record(f"job {state}", id, message=message)

    def remove_job(self, id: str) -> None:
        """Forget a job."""
        with self.transaction() as cursor:
            cursor.execute("DELETE FROM jobs WHERE id = ?", [id])

    def job_records(self) -> list[JobRecord]:
        """All jobs as last written down, the latest first."""
        rows = self.query(
            """SELECT j.id, coalesce(d.name, '(removed)'), coalesce(d.version, 0), j.split, j.spec, j.state, j.message,
                      j.models, j.history, j.created_at, j.started_at, j.finished_at
               FROM jobs j LEFT JOIN datasets d ON d.id = j.dataset ORDER BY j.created_at DESC, j.id DESC"""
        )
        return [_job(row) for row in rows]


def _job(row: tuple[Any, ...]) -> JobRecord:
    (identity, dataset, version, split, spec, state, message, models, history, created, started, finished) = row
    return JobRecord(
        id=identity,
        dataset=dataset,
        dataset_version=version,
        split=json.loads(split),
        spec=json.loads(spec),
        state=state,
        message=message,
        models=tuple(json.loads(models)),
        history=[] if history is None else json.loads(history),
        created_at=utc(created),
        started_at=utc_or_none(started),
        finished_at=utc_or_none(finished),
    )


def split_id(dataset: DatasetInfo, config: Mapping[str, Any]) -> str:
    """Id of a split: a hash of the data and the configuration."""
    text = json.dumps([dataset.content, dict(config)], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
