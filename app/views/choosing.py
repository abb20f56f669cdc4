"""Choosing a saved plan, as the pages that work on one do."""

from __future__ import annotations

import streamlit as st

from app import services
from app.ui import messages
from app.views import frame


def saved_plan(nothing: str, icon: str, *, delivered: bool = False) -> services.Scenario | None:
    """The saved plan to work on; None, with the way to one on the page, where there is none.

    Parameters
    ----------
    nothing : str
        What one needs a saved plan for, a sentence.
    delivered : bool
        Whether only plans that were delivered to the test window will do.
    """
    info = frame.dataset()
    saved = services.scenarios(info) if info is not None else []
    if info is None or not saved:
        body = "Add a dataset first." if info is None else nothing
        messages.empty("No saved plan yet", body, icon=icon)
        target, label = ("views/data.py", "Go to Data") if info is None else ("views/plan.py", "Go to Plan")
        st.page_link(target, label=label, icon=":material/arrow_forward:")
        return None
    names = {s.id: s for s in saved}
    if st.session_state.get("audience-plan") not in names:
        st.session_state["audience-plan"] = saved[0].id
    chosen = st.selectbox(
        "Plan",
        list(names),
        format_func=lambda i: f"{names[i].name} · {messages.ago(names[i].created_at)}",
        key="audience-plan",
        persist_state="session",
        help="Plans saved under Plan.",
    )
    scenario = names[chosen]
    if delivered and "online" not in scenario.metrics:
        not_delivered()
        return None
    return scenario


def not_delivered() -> None:
    """A plan whose prices were never applied to the test window."""
    messages.empty(
        "Not delivered yet",
        "Open it under Plan and save it again, or run `rim deliver`: then its prices are applied to the test window.",
        icon=":material/schedule_send:",
    )
