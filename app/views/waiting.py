"""Work beside the page: its result when it is there, until then how far it has come."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import streamlit as st

from app import services
from app.ui import messages


def wish(what: str) -> str:
    """Names this session's wish, so that a newer one takes its place."""
    return f"{st.session_state.setdefault('session', uuid4().hex)}:{what}"


def result(key: str, doing: str) -> Any | None:
    """The result of the work of ``key``; as long as there is none, None, and its progress or error on the page.

    ``doing`` completes "could not …".
    """
    task = services.task(key)
    if task is not None and task.state == "done":
        return task.result
    _waiting(key, doing)
    return None


@st.fragment(run_every=0.4)
def _waiting(key: str, doing: str) -> None:
    task = services.task(key)
    if task is None or task.state in ("done", "dropped"):
        st.rerun()
    elif task.state == "failed":
        with messages.guard(services.Problem, doing):
            raise task.error or RuntimeError("no error was kept")
        if st.button("Try again", icon=":material/refresh:", key=f"again-{hash(key)}"):
            services.forget(key)
            st.rerun()
    else:
        took = messages.duration(task.seconds)
        st.progress(task.share, text=f":material/hourglass_top: {task.stage.capitalize()} · {took}")
