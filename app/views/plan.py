"""Plan: what each promise costs, and whether it can be kept."""

from __future__ import annotations

from functools import partial

import streamlit as st

from app import services
from app.ui import messages
from app.views import frame, history, more_rules, promises, results, waiting

PATIENCE = 0.7
"""Seconds the figures of the plan before stay as they are, to be replaced by those of the plan."""


def page() -> None:
    """Promises on the left, what becomes of them on the right."""
    messages.title("Plan", "Set what you promise, see at once what it costs and whether it can be kept.")
    info = frame.dataset()
    models = services.models(info) if info is not None else []
    if info is None or not models:
        body = "Add a dataset first." if info is None else f"Train a model on {messages.plain(info.label)} first."
        messages.empty("Nothing to plan with yet", body, icon=":material/tune:")
        target, label = ("views/data.py", "Go to Data") if info is None else ("views/models.py", "Go to Models")
        st.page_link(target, label=label, icon=":material/arrow_forward:")
        return
    with messages.guard(services.Problem, "open the link"):
        history.follow_link(models)
    left, right = st.columns([1, 3], gap="large")
    controls = left.container(key="promises")
    request = None
    with controls, messages.guard(services.Problem, "read the promises"):
        _saved(info)
        steps = st.container()
        request = promises.sliders(models)
        save = st.container()
    if request is None:
        return
    with right:
        with messages.guard(services.Problem, "read the promises"):
            request = more_rules.area(promises.table(request))
            history.remember(request)
            with steps:  # above, but of what is remembered now
                history.buttons()
        result = _result(request)
    history.keep_link(request, result)
    with save, messages.guard(services.Problem, "save the plan"):
        _places_and_save(request, result)


def _saved(info: services.DatasetInfo) -> None:
    """Open a saved plan: its promises on the sliders, its figures as they were saved."""
    saved = {s.id: s for s in services.scenarios(info)}
    if not saved:
        return
    st.selectbox(
        "Open a saved plan",
        list(saved),
        index=None,
        format_func=lambda i: f"{saved[i].name} · {messages.ago(saved[i].created_at)}",
        placeholder="choose one",
        key="plan-open",
        on_change=_open,
        help="Its promises are put on the sliders, and its figures are shown as they were saved.",
    )


def _open() -> None:
    """Put a saved plan's promises on the sliders."""
    chosen = st.session_state.get("plan-open")
    if chosen:
        history.open_scenario(chosen)


def _places_and_save(request: services.PlanRequest, result: services.PlanResult | None) -> None:
    promises.places(request)
    if result is not None:
        _save(result)


def _result(request: services.PlanRequest) -> services.PlanResult | None:
    """The plan of these promises: as it was saved, or made now.

    While it is made, the headline of the one before it is shown (and None is returned).
    """
    again = st.session_state.get("plan-again-of") == request.key
    stored = None
    with messages.guard(services.Problem, "read the saved plans"):
        stored = services.stored_plan(request)
    if stored is not None and not again:
        with messages.guard(services.Problem, "show the plan"):
            results.show(stored)
        return stored
    last = services.task(st.session_state.get("plan-shown", ""))
    before: services.PlanResult | None = last.result if last is not None and last.state == "done" else None
    key = services.request_plan(request, wish=waiting.wish("plan"), after=before)
    meanwhile = None if before is None else partial(_meanwhile, before)
    made: services.PlanResult | None = waiting.result(key, "make the plan", patience=PATIENCE, meanwhile=meanwhile)
    if made is not None:
        st.session_state["plan-shown"] = key
        with messages.guard(services.Problem, "show the plan"):
            results.show(made, stored)
    return made


def _meanwhile(before: services.PlanResult, seen: services.PlanPreview | None) -> None:
    """The headline of the plan to come, as far as it is known."""
    with st.container(key="plan-before"), messages.guard(services.Problem, "preview the plan"):
        results.preview(before, seen)


def _save(result: services.PlanResult) -> None:
    """Keep the plan, so that audiences can be made from it."""
    with st.container(border=True, key="plan-save"):
        if result.saved is None:
            proposal = result.request.describe()
            name = st.text_input("Name of this plan", proposal, key=f"plan-name-{proposal}", max_chars=120)
            if st.button("Save the plan", icon=":material/save:", type="primary", width="stretch", key="plan-save-go"):
                saved = services.save_plan(result, name.strip() or result.request.describe())
                st.session_state.pop("plan-again-of", None)
                st.toast(f"**{messages.plain(saved.name)}** is saved.", icon=":material/check:")
                st.rerun()
        else:
            st.session_state["audience-plan"] = result.saved.id
            st.page_link(
                "views/audiences.py",
                label="Make audience files",
                help=f"From the saved plan “{messages.plain(result.saved.name)}”",
                icon=":material/arrow_forward:",
            )


page()
