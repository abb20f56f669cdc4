"""Work beside the page: its result when it is there, until then how far it has come."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
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
CANCELLED = "waiting-cancelled"


def wish(what: str) -> str:
    """Names this session's wish, so that a newer one takes its place."""
    return f"{st.session_state.setdefault('session', uuid4().hex)}:{what}"


def result(
    key: str,
    doing: str,
    *,
    patience: float = AT_ONCE,
    meanwhile: Callable[[Any], None] | None = None,
    wish: str | None = None,
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
    wish : str, optional
        Under which it was asked for: then it can be cancelled (:func:`cancelled`).
    """
    end = time.monotonic() + patience
    task = services.task(key)
    while task is not None and not task.settled and time.monotonic() < end:
        task.over.wait(SLICE)
        st.session_state.get("session")  # here the page is left when something else is asked of it
    if task is not None and task.state == "done":
        return task.result
    _waiting(key, doing, "" if wish is None else "Cancel", partial(_leave, key, wish), meanwhile)
    return None


def cancelled(key: str) -> float | None:
    """Seconds after which that work was cancelled here, if it was the last that was."""
    last, seconds = st.session_state.get(CANCELLED, ("", 0.0))
    return seconds if last == key else None


def take_up() -> None:
    """What was cancelled may be asked for again."""
    st.session_state.pop(CANCELLED, None)


def over(key: str, doing: str) -> bool:
    """Whether long work that leaves its points in the workspace goes on no more; until then its progress, and a stop.

    A failure is said on the page.
    """
    task = services.task(key)
    if task is None or task.state in ("done", "dropped"):
        return True
    _waiting(key, doing, "Stop", partial(_leave, key, None), None)
    return task.settled


@st.fragment(run_every=LOOK)
def _waiting(
    key: str, doing: str, stop: str, leave: Callable[[], None], meanwhile: Callable[[Any], None] | None
) -> None:
    """``stop`` is what the button says under which the work is left, empty for none."""
    task = services.task(key)
    if task is None or task.state in ("done", "dropped"):
        st.rerun()
    elif task.state == "failed":
        with messages.guard(services.Problem, doing):
            raise task.error or RuntimeError("no error was kept")
        if st.button("Try again", icon=":material/refresh:", key=f"refresh-{hash(key)}"):
            services.forget(key)
            st.rerun()
    else:
        took = messages.duration(task.seconds)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.progress(task.share, text=f":material/hourglass_top: {_capital(task.stage)} · {took}")
            if stop and st.button(stop, icon=":material/stop:", key=f"stop-{hash(key)}"):
                leave()
                st.rerun()
        if meanwhile is not None:
            meanwhile(task.early)


def _capital(text: str) -> str:
    """A capital in front; names further on keep theirs."""
    return text[:1].upper() + text[1:]


def _leave(key: str, wish: str | None) -> None:
    """That work is wanted no more, by this session or, without a wish, by nobody."""
    task = services.task(key)
    if task is not None:
        st.session_state[CANCELLED] = (key, task.seconds)
    if wish is None:
        services.forget(key)
    else:
        services.leave(key, wish)
