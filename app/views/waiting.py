"""Work beside the page: its result when it is there, until then how far it has come."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import streamlit as st

from app import services
from app.ui import messages

AT_ONCE = 0.5
"""Seconds that a page stays with work before it shows that there is some: most of it is done by then, and the page is
drawn once."""
SLICE = 0.05
LOOK = 1.0
"""Seconds between two looks at work that takes longer."""


def wish(what: str) -> str:
    """Names this session's wish, so that a newer one takes its place."""
    return f"{st.session_state.setdefault('session', uuid4().hex)}:{what}"


def result(
    key: str, doing: str, *, patience: float = AT_ONCE, meanwhile: Callable[[Any], None] | None = None
) -> Any | None:
    """The result of the work of ``key``; as long as there is none, None, and its progress or error on the page.

    Parameters
    ----------
    key : str
    doing : str
        Completes "could not …".
    patience : float
        Seconds to stay with it, so that what is on the page is replaced once, and by the answer.
    meanwhile : callable, optional
        Draws under the progress, from what the work has shown early (None until then).
    """
    end = time.monotonic() + patience
    task = services.task(key)
    while task is not None and not task.settled and time.monotonic() < end:
        task.over.wait(SLICE)
        st.session_state.get("session")  # here the page is left when something else is asked of it
    if task is not None and task.state == "done":
        return task.result
    _waiting(key, doing, False, meanwhile)
    return None


def over(key: str, doing: str) -> bool:
    """Whether long work that leaves its points in the workspace goes on no more; until then its progress, and a stop.

    A failure is said on the page.
    """
    task = services.task(key)
    if task is None or task.state in ("done", "dropped"):
        return True
    _waiting(key, doing, True, None)
    return task.settled


@st.fragment(run_every=LOOK)
def _waiting(key: str, doing: str, stop: bool, meanwhile: Callable[[Any], None] | None) -> None:
    task = services.task(key)
    if task is None or task.state in ("done", "dropped"):
        st.rerun()
    elif task.state == "failed":
        with messages.guard(services.Problem, doing):
            raise task.error or RuntimeError("no error was kept")
        _leave("Try again", "refresh", key)
    else:
        took = messages.duration(task.seconds)
        st.progress(task.share, text=f":material/hourglass_top: {task.stage.capitalize()} · {took}")
        if stop:
            _leave("Stop", "stop", key)
        if meanwhile is not None:
            meanwhile(task.early)


def _leave(label: str, icon: str, key: str) -> None:
    """A button after which that work was never asked for."""
    if st.button(label, icon=f":material/{icon}:", key=f"{icon}-{hash(key)}"):
        services.forget(key)
        st.rerun()
