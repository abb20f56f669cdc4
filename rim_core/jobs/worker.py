"""The process that trains: ``python -m rim_core.jobs.worker FOLDER [FD]``.

It never opens the database. It holds the lock of its folder (inherited from the owner as file descriptor FD, so that
there is no moment in which nobody holds it), says where it stands, and leaves artifacts and a result behind. It
survives its owner; whoever opens the workspace next finds it at work, or finds its result.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rim_core.errors import Cancelled, JobError, RimError, StorageError
from rim_core.jobs.folder import LASTING, JobFolder, JobProgress
from rim_core.jobs.spec import TrainingSpec
from rim_core.storage.processes import this_process

if TYPE_CHECKING:
    from rim_core.models.base import Progress

log = logging.getLogger(__name__)

HEARTBEAT, REPORT = 2.0, 0.25
"""Seconds between signs of life, and at least between two reports of progress."""


class Reporter:
    """Where the training stands: written as it changes, and now and then as a sign of life.

    Parameters
    ----------
    folder : JobFolder
    """

    def __init__(self, folder: JobFolder) -> None:
        self.folder = folder
        self.stop: str | None = None
        pid, mark = this_process()
        now = time.time()
        self._state = JobProgress("starting", 0.0, 1.0, pid, mark, now, now, now, 0.0)
        self._written = 0.0
        self._metrics: dict[tuple[str, Any], dict[str, Any]] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._beat = threading.Thread(target=self._signs_of_life, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Say that the worker is there, and go on saying so."""
        self._write(force=True)
        self._beat.start()

    def finish(self) -> None:
        """The last word."""
        self._over.set()
        self._beat.join()
        self._write(force=True)

    def __call__(self, progress: Progress) -> None:
        """The callback of the training.

        Raises
        ------
        Cancelled
            The owner, or the system, asked to stop.
        """
        if self.folder.cancel_asked is not None:
            raise Cancelled("The training was cancelled.")
        if self.stop is not None:
            raise Cancelled(self.stop)
        with self._lock:
            self._note(progress)
            now, model = time.time(), progress.stage.partition(":")[0]
            if model != self._state.stage.partition(":")[0]:
                self._state = replace(self._state, begun=now, begun_at=progress.done)
            self._state = replace(
                self._state,
                stage=progress.stage,
                done=progress.done,
                total=progress.total,
                heartbeat=now,
                metrics=list(self._metrics.values()),
            )
        self._write(force=False)

    def _note(self, progress: Progress) -> None:
        """Keep the last figures of every model and epoch."""
        if progress.metrics:
            model, step = progress.stage.partition(":")[0], progress.metrics.get("epoch", 0)
            figures = {k: v for k, v in progress.metrics.items() if k != "epoch"}
            self._metrics[model, step] = {"model": model, "step": step, **figures}

    def _signs_of_life(self) -> None:
        while not self._over.wait(HEARTBEAT):
            self._write(force=True)

    def _write(self, *, force: bool) -> None:
        with self._lock:
            now = time.time()
            if not force and now - self._written < REPORT:
                return
            self._written = now
            state = self._state = replace(self._state, heartbeat=now)
            try:
                self.folder.write_progress(state)
            except StorageError as error:  # a full disk: the training itself may still end well
                log.warning("progress could not be written: %s", error)


def main(arguments: list[str]) -> int:
    """Do the job of a folder; returns the exit code of its end."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    folder = JobFolder(Path(arguments[0]))
    lock = os.fdopen(int(arguments[1]), "a") if len(arguments) > 1 else folder.hold()
    with lock:
        reporter = Reporter(folder)
        signal.signal(signal.SIGTERM, lambda *_: _terminated(reporter))
        reporter.start()
        code, result = _end(folder, reporter)
        reporter.finish()
        folder.write_result(result)
    return code


def _end(folder: JobFolder, reporter: Reporter) -> tuple[int, dict[str, Any]]:
    """Work, and say how it ended."""
    try:
        return 0, {"state": "done", **_work(folder, reporter)}
    except Cancelled as error:
        state = "cancelled" if folder.cancel_asked is not None else "interrupted"
        return error.exit_code, {"state": state, "message": str(error)}
    except StorageError as error:
        log.exception("The training failed")
        return error.exit_code, {"state": "failed", "message": str(error)}
    except RimError as error:  # of what was asked for: another attempt finds the same
        log.exception("The training failed")
        return error.exit_code, {"state": "failed", "message": str(error), LASTING: True}
    except OSError as error:
        log.exception("The training failed")
        text = f"A file could not be written or read ({error}): free some disk space, then resume the job."
        return JobError.exit_code, {"state": "failed", "message": text}
    except MemoryError:
        log.exception("The training failed")
        text = "There was not enough memory: train on fewer users or a smaller model, then start again."
        return JobError.exit_code, {"state": "failed", "message": text}
    except Exception as error:
        log.exception("The training failed")
        text = f"{type(error).__name__}: {error}. This is an error of the program; its log is {folder.log_file}."
        return JobError.exit_code, {"state": "failed", "message": text, LASTING: True}


def _work(folder: JobFolder, reporter: Reporter) -> dict[str, Any]:
    from rim_core.jobs.training import Places, train_models
    from rim_core.storage.eventlogs import read_parquet

    job = folder.job()
    spec = TrainingSpec.from_dict(job["spec"])
    places = Places(parts=Path(job["parts"]), out=folder.out, models=Path(job["models"]), told=folder.write_parts)
    if spec.threads is not None:
        import torch

        torch.set_num_threads(spec.threads)
    return train_models(read_parquet(folder.input), spec, places, reporter).to_dict()


def _terminated(reporter: Reporter) -> None:
    reporter.stop = "The worker was told to end (SIGTERM)."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
