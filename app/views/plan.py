"""Plan: what each promise costs, and whether it can be kept."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

import streamlit as st

from app import services
from app.ui import messages
from app.views import frame, history, more_rules, promises, results, waiting

NAME = "plan-name"
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
    with messages.guard(services.Problem, "open the promises of this dataset"):
        history.enter(info, models)
    with messages.guard(services.Problem, "open the link"):
        history.follow_link(info, models)
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
            promises.resting(request)
        result = _result(info, request)
    history.keep_link(request, result)
    with save, messages.guard(services.Problem, "save the plan"):
        _places_and_save(request, result)


def _saved(info: services.DatasetInfo) -> None:
    """Open a saved plan: its promises on the sliders, its figures as they were saved."""
    saved = {s.id: s for s in services.scenarios(info)}
    if not saved:
        return
    names = services.labels(list(saved.values()))
    st.selectbox(
        "Open a saved plan",
        list(saved),
        index=None,
        format_func=lambda i: f"{names[i]} · {messages.ago(saved[i].created_at)}",
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
    with suppress(services.Problem):  # what cannot be planned with is said once, in place of the plan
        promises.places(request)
    _save(request, result)


def _result(info: services.DatasetInfo, request: services.PlanRequest) -> services.PlanResult | None:
    """The plan of these promises: as it was saved, or made now.

    While it is made, the headline of the one before it is shown (and None is returned); when that was cancelled, the
    one before it.
    """
    key = services.plan_key(request)
    after = waiting.cancelled(key)
    again = st.session_state.get("plan-again-of") == request.key and after is None
    stored = None
    with messages.guard(services.Problem, "read the saved plans"):
        stored = services.stored_plan(request)
    if stored is not None and not again:
        _shown(info, stored, None)
        return stored
    before = _before(info)
    if after is not None:
        _cancelled(request, before, after)
        return None
    waiting.take_up()
    wish = waiting.wish("plan")
    services.request_plan(request, wish=wish, after=before)
    meanwhile = None if before is None else partial(_meanwhile, before)
    made: services.PlanResult | None = waiting.result(
        key, "make the plan", patience=PATIENCE, meanwhile=meanwhile, wish=wish
    )
    if made is not None:
        _shown(info, made, stored)
    return made


def _shown(info: services.DatasetInfo, result: services.PlanResult, stored: services.PlanResult | None) -> None:
    """Show a plan; it is the one before until there is another."""
    st.session_state["plan-before"] = (info.label, result)
    with messages.guard(services.Problem, "show the plan"):
        results.show(result, stored)


def _before(info: services.DatasetInfo) -> services.PlanResult | None:
    """The plan of this dataset that was shown last."""
    label, result = st.session_state.get("plan-before", ("", None))
    return result if label == info.label else None


def _cancelled(request: services.PlanRequest, before: services.PlanResult | None, seconds: float) -> None:
    """What became of a plan that was cancelled, what one can do, and the plan before it."""
    other = before if before is not None and before.request != request else None
    with st.container(border=True, key="plan-cancelled"):
        below = f" Below stands the plan before: {messages.plain(other.request.describe())}." if other else ""
        st.info(
            f"**Cancelled after {messages.duration(seconds)}.** There is no plan of these promises "
            f"({messages.plain(request.describe())}); nothing was saved.{below} Change them, or:",
            icon=":material/stop_circle:",
        )
        with st.container(horizontal=True):
            st.button("Plan them after all", icon=":material/refresh:", key="plan-take-up", on_click=waiting.take_up)
            if other is not None:
                st.button(
                    "Go back to the plan before", icon=":material/undo:", key="plan-go-back", on_click=history.put,
                    args=(other.request,),
                )  # fmt: skip
    if other is not None:
        with messages.guard(services.Problem, "show the plan"):
            results.show(other)


def _meanwhile(before: services.PlanResult, seen: services.PlanPreview | None) -> None:
    """The headline of the plan to come, as far as it is known."""
    with st.container(key="plan-before"), messages.guard(services.Problem, "preview the plan"):
        results.preview(before, seen)


def _save(request: services.PlanRequest, result: services.PlanResult | None) -> None:
    """Keep the plan, so that audiences can be made from it. Its name can be typed before it is there.

    What was typed stands in the address: it outlives moves of the sliders and a reload.
    """
    with st.container(border=True, key="plan-save"):
        if result is not None and result.saved is not None:
            st.session_state["audience-plan"] = result.saved.id
            st.page_link(
                "views/audiences.py",
                label="Make audience files",
                help=f"From the saved plan “{messages.plain(result.saved.name)}”",
                icon=":material/arrow_forward:",
            )
            return
        st.text_input(
            "Name of this plan",
            key=NAME,
            bind="query-params",
            placeholder=request.describe(),
            on_change=messages.shorten,
            args=(NAME, messages.LONGEST_NAME),
        )
        st.button(
            "Save the plan", icon=":material/save:", type="primary", width="stretch", key="plan-save-go",
            disabled=result is None, on_click=_keep, args=(result,),
            help="Once the plan is made: it is not there yet." if result is None else None,
        )  # fmt: skip


def _keep(result: services.PlanResult) -> None:
    """Save the plan under the name that was typed, which is then free for the next one."""
    messages.shorten(NAME, messages.LONGEST_NAME)
    wanted = str(st.session_state.get(NAME, "")).strip() or result.request.describe()
    with messages.guard(services.Problem, "save the plan"):
        saved = services.save_plan(result, wanted)
        st.session_state[NAME] = ""
        st.session_state.pop("plan-again-of", None)
        taken = "" if saved.name == wanted else f" Another plan is called {messages.plain(wanted)} already."
        st.toast(f"**{messages.plain(saved.name)}** is saved.{taken}", icon=":material/check:")


page()
