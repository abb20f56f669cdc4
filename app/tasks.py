"""Work of a few seconds beside the page: in threads, with progress, and the latest wish wins.

A page asks for something by key and shows what there is; a finished answer is kept and shared by every
session that asks the same. Threads here never call ``st.*``.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Queue
from typing import Any, Literal, Protocol

log = logging.getLogger(__name__)

LEFT = 180.0
"""Seconds after which a wish that no page looks at counts as left: its window was closed. Pages in the background look
once a minute."""

State = Literal["waiting", "running", "done", "failed", "dropped"]


class Dropped(Exception):
    """Nobody waits for this work any more."""


class Report(Protocol):
    """Called by the work with what it is doing and the share done, in [0, 1]; raises :class:`Dropped`.

    ``early`` is something to show until the result is there.
    """

    def __call__(self, stage: str, share: float, early: Any = None) -> None: ...


@dataclass(eq=False)
class Task:
    """One piece of work, as the page sees it.

    Attributes
    ----------
    key : str
        Equal keys are the same work.
    state : {"waiting", "running", "done", "failed", "dropped"}
    stage : str
        What is being done now, for a person to read.
    share : float
        Done so far, in [0, 1].
    early : object
        What the work shows until it is done, if anything.
    result : object
        When done.
    error : Exception or None
        When failed.
    seconds : float
        Since it was asked for or, once it runs, since it was started; at last how long it took.
    wanted_by, left_by : set of str
        Wishes that it is for, and those that something else has taken its place for.
    over : Event
        Set when it is settled.
    """

    key: str
    state: State = "waiting"
    stage: str = "waiting"
    share: float = 0.0
    early: Any = None
    result: Any = None
    error: Exception | None = None
    asked: float = field(default_factory=time.monotonic)
    looked_at: float = field(default_factory=time.monotonic)
    started: float | None = None
    ended: float | None = None
    stop: bool = False
    wanted_by: set[str] = field(default_factory=set)
    left_by: set[str] = field(default_factory=set)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def settled(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in ("done", "failed", "dropped")

    @property
    def seconds(self) -> float:
        return (self.ended or time.monotonic()) - (self.started or self.asked)


class Tasks:
    """A few threads and the last answers.

    Parameters
    ----------
    workers : int
    keep : int
        Settled tasks kept.
    """

    def __init__(self, workers: int = 2, keep: int = 48) -> None:
        self._waiting: Queue[tuple[Task, Callable[[Report], Any], bool]] = Queue()
        self._threads = workers
        self._tasks: OrderedDict[str, Task] = OrderedDict()
        self._running: list[Task] = []
        self._lock = threading.RLock()
        self._keep = keep

    def request(self, key: str, work: Callable[[Report], Any], wish: str | None = None) -> Task:
        """The task of ``key``, started if there is none yet or the last attempt was dropped.

        Parameters
        ----------
        wish : str, optional
            Who asks for what ("session 7: plan"). A new key under the same wish drops the work of the old
            one unless somebody else waits for it.
        """
        with self._lock:
            task = self._tasks.get(key)
            if task is None or task.state == "dropped":
                task = self._tasks[key] = Task(key)
                fresh = True
            else:
                fresh = False
            self._tasks.move_to_end(key)
            task.looked_at = time.monotonic()
            if wish is not None:
                for other in (*self._tasks.values(), *self._running):
                    if wish in other.wanted_by and other is not task:
                        other.wanted_by.discard(wish)
                        other.left_by.add(wish)
                task.wanted_by.add(wish)
            if fresh:
                self._start_threads()
                self._waiting.put((task, work, wish is not None))
            self._forget()
            return task

    def find(self, key: str) -> Task | None:
        """The task of ``key`` if it was ever asked for and is still kept."""
        with self._lock:
            task = self._tasks.get(key)
            if task is not None:
                task.looked_at = time.monotonic()
                if task.state == "waiting":
                    task.stage = self._ahead(task)
            return task

    def _ahead(self, task: Task) -> str:
        """What a task that waits for a thread waits for."""
        if any(other.left_by & task.wanted_by and (other.stop or not other.wanted_by) for other in self._running):
            return "stopping what you asked for before"
        count = len(self._running)
        return f"waiting for other work to end ({count} at work: plans and imports of other windows, or of this one)"

    def leave(self, key: str, wish: str) -> None:
        """Whoever asked under ``wish`` wants it no more; it is dropped unless somebody else waits for it."""
        with self._lock:
            task = self._tasks.get(key)
            if task is not None:
                task.wanted_by.discard(wish)
                task.left_by.add(wish)
                if not task.wanted_by:
                    self.drop(key)

    def drop(self, key: str) -> None:
        """Stop the work of ``key`` at its next report, and forget what it has come to."""
        with self._lock:
            task = self._tasks.pop(key, None)
            if task is not None:
                task.stop = True

    def _start_threads(self) -> None:
        """Daemon threads: stopping the app does not wait for work that nobody will see."""
        while self._threads:
            self._threads -= 1
            threading.Thread(target=self._serve, name=f"rim-task-{self._threads}", daemon=True).start()

    def _serve(self) -> None:
        while True:
            self._run(*self._waiting.get())

    def _run(self, task: Task, work: Callable[[Report], Any], droppable: bool) -> None:
        def report(stage: str, share: float, early: Any = None) -> None:
            with self._lock:
                alone = time.monotonic() - task.looked_at > LEFT
                if task.stop or (droppable and (alone or not task.wanted_by)):
                    raise Dropped
            task.stage, task.share = stage, min(max(share, 0.0), 1.0)
            if early is not None:
                task.early = early

        task.started = time.monotonic()
        with self._lock:
            self._running.append(task)
        try:
            report("starting", 0.0)
            task.state = "running"
            task.result = work(report)
            task.state = "done"
        except Dropped:
            task.state = "dropped"
        except Exception as error:  # shown on the page that asked
            log.info("%s failed: %s", task.key, error, exc_info=True)
            task.error, task.state = error, "failed"
        finally:
            task.ended = time.monotonic()
            with self._lock:
                self._running.remove(task)
            task.over.set()

    def _forget(self) -> None:
        settled = [k for k, t in self._tasks.items() if t.settled]
        for key in settled[: max(0, len(self._tasks) - self._keep)]:
            del self._tasks[key]
