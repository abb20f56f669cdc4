"""The one owner of the workspace, and the threads that work beside the page."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import streamlit as st

from app.tasks import Report, Task, Tasks
from rim_core.jobs import Jobs
from rim_core.models.base import Progress
from rim_core.storage import Workspace, acting_as, actor, default_root

tasks = Tasks(workers=max(2, os.cpu_count() or 2))
UNCLOSED = "The last session ended without closing. What it had saved is here; what was under way just then was undone."
_opening = threading.RLock()
_opened: dict[Path, tuple[Workspace, Jobs]] = {}
_read: set[Path] = set()


def workspace() -> Workspace:
    """The workspace of RIM_WORKSPACE (the current folder by default), opened once in this process."""
    return _open()[0]


def trainings() -> Jobs:
    """Its training jobs, looked after by a thread as long as this process lives."""
    return _open()[1]


def _open() -> tuple[Workspace, Jobs]:
    root = default_root().resolve()
    with _opening:
        if root not in _opened:
            address = f"http://{st.get_option('server.address') or 'localhost'}:{st.get_option('server.port')}"
            opened = Workspace(root, create=True, command="the dashboard", address=address)
            jobs = Jobs(opened)
            jobs.watch()
            _opened[root] = opened, jobs
        return _opened[root]


@atexit.register
def close() -> None:
    """Give the workspaces back; the next start then knows that this one ended well."""
    with _opening:
        while _opened:
            opened, jobs = _opened.popitem()[1]
            jobs.stop_watching()
            opened.close()


def recovered() -> tuple[str, str]:
    """What to know after the last session ended without closing, and its particulars, until somebody has read it."""
    opened, jobs = _open()
    if opened.root in _read or not opened.recovered + jobs.recovered:
        return "", ""
    lost = (UNCLOSED,) if opened.recovered else ()
    return " ".join(lost + jobs.recovered), " ".join(opened.recovered)


def recovery_read() -> None:
    """Somebody has read it: do not say it again while this process lives."""
    _read.add(workspace().root)


@contextmanager
def change() -> Iterator[Workspace]:
    """The workspace for a change: recorded under the name of who makes it (the seam for signing in)."""
    with acting_as(actor()):
        yield workspace()


def task(key: str) -> Task | None:
    """Work that was asked for, by its key."""
    return tasks.find(key)


def forget(key: str) -> None:
    """Stop that work if it still goes on, and forget it."""
    tasks.drop(key)


def leave(key: str, wish: str) -> None:
    """That work is not wanted any more by who asked for it under ``wish``; nobody else loses it."""
    tasks.leave(key, wish)


def told(report: Report) -> Callable[[Progress], None]:
    """The engine's callback, told as a share."""

    def callback(progress: Progress) -> None:
        report(progress.stage, progress.done / progress.total if progress.total else 0.0)

    return callback
