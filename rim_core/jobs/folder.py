"""The folder of a job: how its worker and its owner talk, without the database.

::

    job.json         what to train (written by the owner before the worker starts)
    input/           the event log as parquet
    lock             held by the worker as long as it lives (released by the system even after SIGKILL)
    progress.json    stage, done, total, metrics so far, heartbeat (replaced atomically by the worker)
    cancel           made by the owner to ask the worker to stop
    parts.json       ids of what is fitted on the way (written by the worker when it knows them)
    out/<model id>/  finished artifacts
    result.json      how it ended (written last)
    log.txt          what the worker said

Fitted parts and the checkpoints of unfinished ones stand outside, in data/parts/, where every later job finds them.
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from rim_core.errors import JobError
from rim_core.models.checkpoint import FILE as CHECKPOINT
from rim_core.storage.files import read_json, write_json
from rim_core.storage.processes import is_alive

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

STALE_AFTER = 60.0
"""Seconds without a heartbeat after which a living worker is called stuck."""
TELLING = 3.0, 0.03
"""Seconds of work, and the share of all that is done in them, before they say how long the rest will take."""
LOG_TAIL = 65_536
LASTING = "lasting"
"""In a result: the cause does not pass, so that another attempt would fail as well."""


@dataclass(frozen=True)
class JobProgress:
    """Where a training stands.

    Attributes
    ----------
    stage : str
        What is being done, for a person to read.
    done, total : float
        Work done and work in all; ``fraction`` is their ratio.
    pid : int
        The worker's process.
    mark : str
        Tells that process from another that had the same pid.
    started, heartbeat : float
        Unix seconds: when this worker started, and when it last gave a sign of life.
    begun, begun_at : float
        When the present model was begun, and ``done`` then: what the speed is measured from.
    metrics : list of dict
        {"model": ..., "step": ..., <figures>}: the last figures of every model and epoch, oldest first.
    """

    stage: str
    done: float
    total: float
    pid: int
    mark: str
    started: float
    heartbeat: float
    begun: float
    begun_at: float
    metrics: list[dict[str, Any]] = field(default_factory=list)

    @property
    def fraction(self) -> float:
        """Share of the work that is done, 0 to 1."""
        return min(max(self.done / self.total, 0.0), 1.0) if self.total > 0 else 0.0

    @property
    def seconds(self) -> float:
        """Running time of this worker so far."""
        return max(self.heartbeat - self.started, 0.0)

    @property
    def eta(self) -> float | None:
        """Seconds left at the present speed; None before enough is done to tell it."""
        gained, took = self.done - self.begun_at, self.heartbeat - self.begun
        if gained <= 0 or took < TELLING[0] or gained < TELLING[1] * self.total:
            return None
        return took * max(self.total - self.done, 0.0) / gained

    @property
    def stuck(self) -> bool:
        """Whether the last sign of life is long ago."""
        return time.time() - self.heartbeat > STALE_AFTER


@dataclass(frozen=True)
class JobFolder:
    """A job's files."""

    path: Path

    @property
    def id(self) -> str:
        """The job's id."""
        return self.path.name

    @property
    def input(self) -> Path:
        """The event log as parquet."""
        return self.path / "input"

    @property
    def out(self) -> Path:
        """Finished artifacts."""
        return self.path / "out"

    @property
    def log_file(self) -> Path:
        """What the worker said."""
        return self.path / "log.txt"

    # -- written by the owner -----------------------------------------------------------------------------

    def write_job(self, job: Mapping[str, Any]) -> None:
        """Say what to train."""
        write_json(self.path / "job.json", job)

    def ask_to_cancel(self) -> None:
        """Ask the worker to stop at its next report; what was checkpointed is kept."""
        if self.cancel_asked is None:
            write_json(self.path / "cancel", {"asked": time.time()})

    def clear_end(self) -> None:
        """Forget how the last attempt ended, so that another can start."""
        for name in ("cancel", "result.json", "progress.json"):
            (self.path / name).unlink(missing_ok=True)

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> bool:
        """Send the worker a signal, if it is still the process that wrote the progress; whether it was sent."""
        progress = self.progress()
        if progress is None or not self.alive or not is_alive(progress.pid, progress.mark):
            return False
        os.kill(progress.pid, sign)
        return True

    # -- written by the worker ----------------------------------------------------------------------------

    def hold(self) -> IO[str]:
        """Take the folder as long as the file stays open, here or in a process that inherits it.

        Raises
        ------
        JobError
            Another worker has it.
        """
        try:
            file = (self.path / "lock").open("a")
        except OSError as error:
            raise JobError(
                f"The folder of job {self.id} cannot be used ({error}): start the training again."
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            raise JobError(f"Job {self.id} already has a worker: wait for it, or cancel it.") from error
        return file

    def write_progress(self, progress: JobProgress) -> None:
        """Replace the progress."""
        write_json(self.path / "progress.json", progress)

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Say how it ended."""
        write_json(self.path / "result.json", result)

    def write_parts(self, ids: Iterable[str]) -> None:
        """Say what is fitted on the way, so that the owner can see what is kept of it."""
        write_json(self.path / "parts.json", sorted(ids))

    # -- read by both ---------------------------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        """Whether a worker holds the folder now; a reused pid cannot be mistaken for it."""
        try:
            with (self.path / "lock").open() as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: askers do not see each other
                return False
        except BlockingIOError:
            return True
        except OSError:  # no worker was ever started, or the folder is gone
            return False

    @property
    def cancel_asked(self) -> float | None:
        """When the owner asked to stop (Unix seconds), or None."""
        try:
            return (self.path / "cancel").stat().st_mtime
        except OSError:
            return None

    def job(self) -> dict[str, Any]:
        """What to train.

        Raises
        ------
        JobError
            The folder holds no job.
        """
        found = read_json(self.path / "job.json")
        if not isinstance(found, dict):
            raise JobError(f"{self.path} holds no job: start the training again.")
        return found

    def progress(self) -> JobProgress | None:
        """Where it stands; None before the worker has said anything that can be understood."""
        return _progress(read_json(self.path / "progress.json"))

    def result(self) -> dict[str, Any] | None:
        """How it ended, as the worker wrote it; None while it has not."""
        if not (self.path / "result.json").exists():
            return None
        found = read_json(self.path / "result.json")
        return found if isinstance(found, dict) else {}

    def keeps(self, parts: Path) -> bool:
        """Whether another attempt finds something of this one: a finished model or part, or a checkpoint."""
        found = read_json(self.path / "parts.json")
        ids = [i for i in found if isinstance(i, str)] if isinstance(found, list) else []
        reached = (any((parts / f"{i}.checkpoint").rglob(CHECKPOINT)) for i in ids)  # a blend's networks have their own
        return any((parts / i).exists() for i in ids) or any(reached) or any(self.out.glob("*"))

    def log_tail(self, lines: int = 20) -> str:
        """The last lines the worker said."""
        try:
            with self.log_file.open("rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(file.tell() - LOG_TAIL, 0))
                text = file.read().decode("utf-8", "replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])


def _progress(found: Any) -> JobProgress | None:
    """The progress of a JSON document; None when it is not one (cut short, or changed by somebody)."""
    if not isinstance(found, dict) or set(found) != {f.name for f in fields(JobProgress)}:
        return None
    numbers = ("done", "total", "started", "heartbeat", "begun", "begun_at")
    plain = all(isinstance(found[name], int | float) and not isinstance(found[name], bool) for name in numbers)
    metrics = found["metrics"]
    texts = isinstance(found["stage"], str) and isinstance(found["mark"], str) and isinstance(found["pid"], int)
    if not (plain and texts and isinstance(metrics, list) and all(isinstance(m, dict) for m in metrics)):
        return None
    return JobProgress(**found)
