"""The owner's side of training: a queue of jobs, one worker process at a time, results taken in when they are there."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rim_core.errors import Cancelled, JobError, ModelError, NotFoundError, RimError, StorageError
from rim_core.jobs.folder import LASTING, JobFolder
from rim_core.jobs.job import UNFINISHED, Job, WayOn
from rim_core.jobs.naming import Settings, model_config
from rim_core.jobs.spec import TrainingResult, TrainingSpec
from rim_core.jobs.splits import check_split
from rim_core.models import Model
from rim_core.storage.files import new_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rim_core.storage import DatasetInfo, JobRecord, Workspace

log = logging.getLogger(__name__)

PATIENCE = 30.0
"""Seconds a cancelled worker has to reach its next checkpoint before it is killed."""
KEPT: dict[WayOn | None, str] = {
    "resume": "Finished parts and the last checkpoint are kept: resume it.",
    "again": "Nothing of it is kept: train it again.",
}
"""What another attempt begins with; it may be found by another training meanwhile, or have been tidied away."""
FOLDERS_KEPT = 8
"""Folders of ended jobs kept for resuming; the oldest go first."""


class Jobs:
    """The training jobs of a workspace.

    Make one per process that owns the workspace, and keep it: it reaps the workers it started. Making it takes stock
    of what the last owner left behind (``recovered``); nothing is started before :meth:`poll`.

    Parameters
    ----------
    workspace : Workspace
    threads : int, optional
        Threads of every worker.

    Attributes
    ----------
    recovered : tuple of str
        What happened to jobs while nobody was looking, for a person to read.

    Examples
    --------
    >>> jobs = Jobs(workspace)                                                        # doctest: +SKIP
    >>> job = jobs.submit("groceries", split={"horizon": "14D"}, models=["GRU×HawkesPoisson"])
    ... # doctest: +SKIP
    >>> jobs.wait(job.id).state                                                       # doctest: +SKIP
    'done'
    """

    def __init__(self, workspace: Workspace, *, threads: int | None = None) -> None:
        self.workspace = workspace
        self.threads = threads
        self._lock = threading.RLock()
        self._workers: dict[str, subprocess.Popen[bytes]] = {}
        self._over = threading.Event()
        self.recovered = tuple(self._take_stock())

    # -- asking ---------------------------------------------------------------------------------------------

    def submit(
        self,
        dataset: str,
        *,
        split: Mapping[str, Any],
        models: Sequence[str | Mapping[str, Any]],
        version: int | None = None,
        settings: Settings | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> Job:
        """Queue a training; it begins at the next :meth:`poll` that finds no other at work.

        Parameters
        ----------
        dataset : str
        split : mapping
            What :func:`rim_core.jobs.make_split` takes.
        models : sequence of str or mapping
            Names ("GRU×HawkesPoisson"), or configurations.
        settings : mapping, optional
            Hyper-parameters by lower-case model name: {"gru": {"max_epochs": 2}}.
        facts : mapping, optional
            What the cards say beside the figures.

        Raises
        ------
        NotFoundError, ModelError, SplitError, StorageError
        """
        if not models:
            raise ModelError("No model was named: give at least one, such as GRU×HawkesPoisson.")
        configs = [dict(m) if not isinstance(m, str) else model_config(m, settings) for m in models]
        configs = [c for i, c in enumerate(configs) if c not in configs[:i]]
        info = self.workspace.dataset(dataset, version)
        check_split(info, split)
        names = tuple(Model.from_config(c).name for c in configs)
        spec = TrainingSpec(info.label, dict(split), names, tuple(configs), dict(facts or {}), self.threads)
        folder = JobFolder(self.workspace.jobs_folder / new_id("job"))
        with self._lock:
            try:
                self.workspace.write_log(info.name, info.version, folder.input)
                self.workspace.add_job(folder.id, info, spec.split, spec.to_dict(), "queued")
            except BaseException:
                shutil.rmtree(folder.path, ignore_errors=True)
                raise
        return self.job(folder.id)

    def cancel(self, id: str) -> Job:
        """Ask a job to stop; its checkpoints are kept. A second time: kill it now (nothing is lost by that)."""
        with self._lock:
            job = self.job(id)
            id = job.id
            if job.state == "queued":
                self.workspace.set_job(id, "cancelled", message="Cancelled before it began.")
            elif job.state == "running":
                if job.cancelling:
                    self._kill(id)
                self._folder(id).ask_to_cancel()
            return self.job(id)

    def resume(self, id: str) -> Job:
        """Queue a job again that was interrupted, cancelled or failed: it goes on from its last checkpoint.

        Raises
        ------
        JobError
            It is at work or done, or its folder is gone.
        """
        with self._lock:
            job = self.job(id)
            id, folder = job.id, self._folder(job.id)
            if not job.resumable:
                raise JobError(f"Job {id} is {job.state}: only an interrupted, cancelled or failed one can be resumed.")
            if not (folder.input / "log.json").exists():
                raise JobError(f"The files of job {id} are gone: start the training again with `rim train`.")
            folder.clear_end()
            self.workspace.set_job(id, "queued")
            return self.job(id)

    def again(self, id: str) -> Job:
        """Ask anew for what a job that did not end well was asked for; the new one takes its place.

        Raises
        ------
        JobError
            It is at work or done.
        NotFoundError
            Its dataset is gone.
        """
        with self._lock:
            job = self.job(id)
            if not job.resumable:
                raise JobError(f"Job {job.id} is {job.state}: only one that did not end well can be trained again.")
            record = next(r for r in self.workspace.job_records() if r.id == job.id)
            spec = TrainingSpec.from_dict(record.spec)
            info = self._dataset(record)
            made = self.submit(
                info.name,
                version=info.version,
                split=spec.split,
                models=spec.models,
                facts=spec.facts,
            )
            self.discard(job.id)
            return made

    def discard(self, id: str) -> None:
        """Forget a job that is not at work, and delete its folder."""
        with self._lock:
            job = self.job(id)
            if job.state == "running":
                raise JobError(f"Job {id} is at work: cancel it first.")
            self.workspace.remove_job(job.id)
            shutil.rmtree(self._folder(job.id).path, ignore_errors=True)

    # -- looking --------------------------------------------------------------------------------------------

    def jobs(self) -> list[Job]:
        """All jobs, the latest first, as they stand (see :meth:`poll` for what makes them go on)."""
        return [self._job(record) for record in self.workspace.job_records()]

    def job(self, id: str) -> Job:
        """One job by id, or by the end of its id.

        Raises
        ------
        NotFoundError
        """
        records = self.workspace.job_records()
        found = [r for r in records if r.id == id] or [r for r in records if id and r.id.endswith(id)]
        if len(found) != 1:
            known = ", ".join(r.id for r in records[:5]) or "none"
            raise NotFoundError(f"There is no job {id!r}; the latest are: {known}.")
        return self._job(found[0])

    def poll(self) -> None:
        """Take in what has ended and start the next job; cheap, call it often (or let :meth:`watching` do it).

        Raises
        ------
        StorageError
            A result could not be taken in (full disk); it stays where it is for the next time.
        """
        with self._lock:
            for record in self.workspace.job_records():
                if record.state == "running":
                    self._look_after(record)
            records = self.workspace.job_records()
            if not any(r.state == "running" for r in records):
                waiting = [r for r in records if r.state == "queued"]
                if waiting:
                    self._start(waiting[-1])

    def wait(self, id: str, callback: Callable[[Job], None] = lambda job: None, *, every: float = 0.3) -> Job:
        """Poll until a job has ended; ``callback`` sees it now and then."""
        while True:
            self.poll()
            job = self.job(id)
            callback(job)
            if not job.active:
                return job
            time.sleep(every)

    def finished(self, job: Job) -> Job:
        """The job itself when it is done.

        Raises
        ------
        Cancelled, JobError
            It is not, and why.
        """
        if job.state == "done":
            return job
        text = job.message or f"Job {job.id} is {job.state}."
        raise Cancelled(text) if job.state == "cancelled" else JobError(text)

    @contextmanager
    def watching(self, every: float = 1.0) -> Iterator[None]:
        """Poll in a thread as long as the block runs."""
        thread = self.watch(every)
        try:
            yield
        finally:
            self.stop_watching()
            thread.join()

    def watch(self, every: float = 1.0) -> threading.Thread:
        """Poll in a daemon thread until :meth:`stop_watching`."""

        def look() -> None:
            while not self._over.wait(every):
                try:
                    self.poll()
                except RimError as error:
                    log.warning("jobs: %s", error)

        self._over.clear()
        thread = threading.Thread(target=look, name="rim-jobs", daemon=True)
        thread.start()
        return thread

    def stop_watching(self) -> None:
        """End the thread of :meth:`watch`."""
        self._over.set()

    # -- workers --------------------------------------------------------------------------------------------

    def _start(self, record: JobRecord) -> None:
        """Start the worker of a queued job; it inherits the lock of its folder."""
        folder = self._folder(record.id)
        job = {
            "spec": record.spec,
            "parts": str(self.workspace.parts_folder),
            "models": str(self.workspace.models_folder),
        }
        try:
            with folder.hold() as lock, folder.log_file.open("ab") as said:
                folder.clear_end()
                folder.write_job(job)
                self.workspace.set_job(record.id, "running", started=True)
                self._workers[record.id] = subprocess.Popen(
                    [sys.executable, "-m", "rim_core.jobs.worker", str(folder.path), str(lock.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=said,
                    pass_fds=[lock.fileno()],
                    env=_environment(),
                    start_new_session=True,
                )
        except (JobError, OSError) as error:
            self.workspace.set_job(record.id, "failed", message=f"The worker could not be started: {error}")

    def _look_after(self, record: JobRecord) -> None:
        """A job that was at work: still is, or has ended somehow."""
        folder = self._folder(record.id)
        if folder.alive:
            asked = folder.cancel_asked
            if asked is not None and time.time() - asked > PATIENCE:
                self._kill(record.id)
            return
        code = self._reap(record.id)
        result = folder.result()
        if result is None:
            self._ended_without_a_word(record, folder, code)
        elif result.get("state") == "done":
            self._take_in(record, folder, result)
        else:
            self._ended_otherwise(record, folder, result)

    def _reap(self, id: str) -> int | None:
        """The exit code of a worker that has let its folder go; None when another owner started it."""
        worker = self._workers.pop(id, None)
        if worker is None:
            return None
        try:
            return worker.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            worker.kill()
            return worker.wait()

    def _kill(self, id: str) -> None:
        if id in self._workers:
            self._workers[id].kill()
        else:
            self._folder(id).stop(signal.SIGKILL)

    def _take_in(self, record: JobRecord, folder: JobFolder, result: Mapping[str, Any]) -> None:
        """Artifacts into models/, figures into the database, all in one transaction; safe to repeat."""
        try:
            made = TrainingResult.read(result, folder.out, self.workspace.models_folder)
            info = self._dataset(record)
        except (JobError, NotFoundError) as error:
            self.workspace.set_job(record.id, "failed", message=str(error))
            return
        with self.workspace.transaction():
            split = self.workspace.save_split(info, made.split, made.summary)
            for model in made.models:
                self.workspace.add_model(
                    folder.out / model.id,
                    id=model.id,
                    name=model.name,
                    config=model.config,
                    dataset=info,
                    split_id=split,
                    seconds=model.seconds,
                    facts=model.facts,
                    evaluations=model.evaluations,
                )
            progress = folder.progress()
            learned = None if progress is None else progress.metrics
            self.workspace.set_job(record.id, "done", models=[m.id for m in made.models], history=learned)
        shutil.rmtree(folder.path, ignore_errors=True)

    def _ended_otherwise(self, record: JobRecord, folder: JobFolder, result: Mapping[str, Any]) -> None:
        state = result.get("state") if result.get("state") in UNFINISHED else "failed"
        told = result.get("message")
        text = told if isinstance(told, str) else "The worker's last word is damaged."
        self.workspace.set_job(record.id, str(state), message=text)

    def _ended_without_a_word(self, record: JobRecord, folder: JobFolder, code: int | None) -> None:
        if folder.cancel_asked is not None:
            self.workspace.set_job(record.id, "cancelled", message="Cancelled.")
            return
        progress = folder.progress()
        at = f" at {100 * progress.fraction:.0f} %" if progress else " before it had begun"
        how = _how(code)
        said = folder.log_tail(3).strip() if code not in (None, -signal.SIGKILL) else ""
        last = f" Its last words: {said}" if said else ""
        self.workspace.set_job(record.id, "interrupted", message=f"{how}{at}.{last}")

    # -- after a start ----------------------------------------------------------------------------------------

    def _take_stock(self) -> Iterator[str]:
        """What became of the jobs of the last owner, in words."""
        records = self.workspace.job_records()
        for record in records:
            if record.state != "running":
                continue
            try:
                self._look_after(record)
            except StorageError as error:
                yield f"The result of a training could not be taken in yet: {error}"
            job = self.job(record.id)
            if job.state == "running":
                yield f"The training of {job.title} on {job.dataset} goes on."
            elif job.state == "done":
                yield f"The training of {job.title} on {job.dataset} ended well in the meantime."
            else:
                yield (
                    f"The training of {job.title} on {job.dataset} was {job.state}. {job.message} "
                    f"(`rim train --resume {job.id}`, or Models in the dashboard)"
                )
        self._tidy({r.id for r in self.workspace.job_records()})

    def _tidy(self, known: set[str]) -> None:
        """Delete folders of jobs that were never registered or have been taken in, and the oldest of the others."""
        ended = []
        for path in sorted(self.workspace.jobs_folder.iterdir()):
            folder = JobFolder(path)
            if not path.is_dir() or folder.alive:
                continue
            state = self.job(path.name).state if path.name in known else "unknown"
            if state in ("unknown", "done"):
                shutil.rmtree(path, ignore_errors=True)
            elif state in UNFINISHED:
                ended.append(path)
        for path in ended[:-FOLDERS_KEPT]:
            shutil.rmtree(path, ignore_errors=True)

    def _job(self, record: JobRecord) -> Job:
        folder = self._folder(record.id)
        names = record.spec.get("names") or []
        way_on = self._way_on(record, folder) if record.state in UNFINISHED else None
        stopped = record.state != "failed" and way_on in KEPT  # one that failed says itself what to do
        return Job(
            id=record.id,
            dataset=f"{record.dataset} v{record.dataset_version}",
            names=tuple(names),
            split=record.split,
            facts=record.spec.get("facts") or {},
            state=record.state,
            message=f"{record.message} {KEPT[way_on]}" if stopped else record.message,
            progress=None if record.state == "queued" else folder.progress(),
            cancelling=record.state == "running" and folder.cancel_asked is not None,
            models=record.models,
            kept=record.history,
            way_on=way_on,
            created_at=record.created_at,
            started_at=record.started_at,
            finished_at=record.finished_at,
        )

    def _way_on(self, record: JobRecord, folder: JobFolder) -> WayOn:
        """What makes sense after a job that did not end well."""
        if record.dataset_version == 0 or (folder.result() or {}).get(LASTING):
            return "change"
        there = (folder.input / "log.json").exists()
        return "resume" if there and folder.keeps(self.workspace.parts_folder) else "again"

    def _folder(self, id: str) -> JobFolder:
        return JobFolder(self.workspace.jobs_folder / id)

    def _dataset(self, record: JobRecord) -> DatasetInfo:
        if record.dataset_version == 0:
            raise NotFoundError("The dataset was removed while models were trained on it: add it, and train again.")
        return self.workspace.dataset(record.dataset, record.dataset_version)


def _how(code: int | None) -> str:
    """How a worker ended that said nothing."""
    if code is None:
        return "Its worker ended while nobody was looking (killed, or the machine went down)"
    if code == -signal.SIGKILL:
        return "Its worker was killed by the system or by hand (often for want of memory)"
    if code < 0:
        return f"Its worker was ended by signal {-code}"
    return f"Its worker ended with code {code}"


def _environment() -> dict[str, str]:
    """Of a worker: it finds the same package wherever it runs, and its threads wait without burning a core.

    By default idle threads of OpenMP spin: beside a dashboard, or anything else that computes, that makes two threads
    many times slower than one.
    """
    import rim_core

    package = str(Path(rim_core.__file__).resolve().parents[1])
    paths = [package, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {"OMP_WAIT_POLICY": "PASSIVE", **os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}
