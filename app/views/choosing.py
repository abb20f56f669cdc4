"""Choosing a saved plan, as the pages that work on one do."""

from __future__ import annotations

import streamlit as st

from app import services
from app.ui import messages
from app.views import address, frame, waiting


def saved_plan(nothing: str, icon: str, *, delivered: bool = False) -> services.Scenario | None:
    """The saved plan to work on, kept in the address; None, with the way to one on the page, where there is none.

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
    names, labels = {s.id: s for s in saved}, services.labels(saved)
    linked = address.asked(address.SCENARIO, "chosen plan")
    if linked in names:
        st.session_state["audience-plan"] = linked
    elif linked:
        address.not_here("plan", [messages.plain(linked)], [messages.plain(n) for n in labels.values()])
    if st.session_state.get("audience-plan") not in names:
        st.session_state["audience-plan"] = saved[0].id
    chosen = st.selectbox(
        "Plan",
        list(names),
        format_func=lambda i: f"{labels[i]} · {messages.ago(names[i].created_at)}",
        key="audience-plan",
        persist_state="session",
        help="Plans saved under Plan.",
    )
    address.write(address.SCENARIO, chosen)
    scenario = names[chosen]
    if delivered and "online" not in scenario.metrics:
        not_delivered(scenario)
        return None
    return scenario


def not_delivered(scenario: services.Scenario) -> None:
    """A plan whose prices were never applied to the test window, and the button that does it."""
    messages.empty(
        "Not delivered yet",
        "This plan was made, but its prices did not yet decide for the visitors of its test window. That takes a "
        "few seconds and is kept with the plan.",
        icon=":material/schedule_send:",
    )
    deliver(scenario, "Deliver it now")


def deliver(scenario: services.Scenario, label: str, icon: str = "local_shipping") -> None:
    """A button that delivers a saved plan beside the page; its progress, and a stop, as long as it goes on."""
    with st.container(horizontal_alignment="center", key="deliver"):
        if waiting.over(services.delivery_key(scenario), "deliver the plan") and st.button(
            label, type="primary", icon=f":material/{icon}:", key=f"deliver-{scenario.id}"
        ):
            services.request_delivery(scenario)
            st.rerun()


def work_out(result: services.PlanResult) -> None:
    """A plan that an older version saved lacks who loses and what to expect: the button that works it out."""
    st.info(
        "An older version saved this plan without what is shown here. It can be worked out from what was kept.",
        icon=":material/history:",
    )
    if result.saved is not None:
        deliver(result.saved, "Work it out", "calculate")
