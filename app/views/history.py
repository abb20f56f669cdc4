"""What was promised before: undo and redo, and links that open a plan exactly as it was."""

from __future__ import annotations

import time
from dataclasses import replace

import streamlit as st

from app import services
from app.ui import messages
from app.views import address

STEPS = 60
"""Requests remembered."""
PAUSE = 1.5
"""Seconds within which a slider that is moved on is the same step: arrow keys move it by one each."""
LONGEST = 1_800
"""Characters of a description in an address; a longer one is a link only once the plan is saved."""
TABLE = "plan-own-promises"
VERSION = "plan-own-version"
RULES = "plan-rules"
RULES_VERSION = "plan-rules-version"
LOWERED = "-lowered"
"""Behind the key of a slider: what was on it and does not fit any more, and what is."""


def put(request: services.PlanRequest) -> None:
    """Put a request on the sliders and into the table (before they are drawn, or in a callback)."""
    state = st.session_state
    for past in ("plan-again-of", "plan-moved", f"plan-least{LOWERED}", f"plan-capacity{LOWERED}"):
        state.pop(past, None)
    state["plan-model"] = request.model_id
    state["plan-capacity"] = state["plan-capacity-room"] = request.capacity
    state["plan-least"] = state["plan-least-room"] = 100 * request.min_exposure
    state["plan-limited"] = request.max_exposure is not None
    if request.max_exposure is not None:
        state["plan-most"] = 100 * request.max_exposure
    state["plan-seed"] = request.seed
    state["plan-sure"] = request.confidence is not None
    put_promises(_in_place(request.promises))
    put_rules(request.rules)


def _in_place(promises: tuple[services.Promise, ...]) -> tuple[services.Promise, ...]:
    """Promises in the order of the table as it is, new ones behind: a way out or an undone step moves no row."""
    places = {services.about(p): i for i, p in enumerate(st.session_state.get(TABLE, ()))}
    return tuple(sorted(promises, key=lambda p: places.get(services.about(p), len(places))))


def enter(info: services.DatasetInfo, models: list[services.ModelInfo]) -> None:
    """Promises belong to a dataset: another one begins with its own, or with those that it was left with."""
    state = st.session_state
    before, state["plan-dataset"] = state.get("plan-dataset"), info.name
    if before in (None, info.name):
        return
    left = state.setdefault("plan-left", {})
    left[before] = (state.get("plan-past", []), state.get("plan-future", []))
    state["plan-past"], state["plan-future"] = left.pop(info.name, ([], []))
    if state["plan-past"]:
        state["plan-stepping"] = True
        put(state["plan-past"][-1])
        return
    model = services.best_model(models)
    size = services.plan_size(model)
    capacity = size.usual_capacity
    put(services.PlanRequest(model, capacity, size.half_of_places(capacity) / 100))


def put_promises(promises: tuple[services.Promise, ...]) -> None:
    """Put promises of single items and groups into the table; it is drawn anew."""
    st.session_state[TABLE] = promises
    st.session_state[VERSION] = st.session_state.get(VERSION, 0) + 1


def put_rules(rules: services.Rules) -> None:
    """Put further rules into their fields and tables (before they are drawn, or in a callback)."""
    st.session_state[RULES] = rules
    redraw_rules()
    st.session_state["rules-per-user"], st.session_state["rules-budget"] = rules.max_per_user, rules.budget


def redraw_rules() -> None:
    """The tables of further rules begin anew, with the rules as they are now."""
    st.session_state[RULES_VERSION] = st.session_state.get(RULES_VERSION, 0) + 1


def open_scenario(scenario_id: str) -> None:
    """Put a saved plan on the sliders."""
    scenario = services.find_scenario(scenario_id)
    request = None if scenario is None else services.request_of(scenario)
    if request is None:
        st.toast("This plan makes promises that cannot be shown here. Its figures stand under Compare.")
    else:
        put(request)


# -- links ---------------------------------------------------------------------------------------------------


def follow_link(info: services.DatasetInfo, models: list[services.ModelInfo]) -> None:
    """Open what the address names or describes, once; what cannot be opened is said until it is read."""
    named, described = address.asked(address.SCENARIO, "plan"), address.asked(address.PLAN, "plan")
    request: services.PlanRequest | None = None
    if named:
        scenario = services.find_scenario(named)
        if scenario is None:
            here = services.labels(services.scenarios(info)).values()
            address.not_here("plan", [messages.plain(named)], [messages.plain(name) for name in here])
            return
        request = services.request_of(scenario)
        if request is None:
            address.say("This plan makes promises that cannot be shown here. Its figures stand under Compare.")
    elif described:
        try:
            request = services.PlanRequest.from_token(described)
        except services.Problem as error:
            address.say(messages.plain(str(error)))
    if request is None:
        return
    if request.model_id not in {m.id for m in models}:
        address.say(
            f"The model of this plan ({messages.plain(request.model_id)}) is not among the models of this dataset: "
            "it was removed, or the link belongs to another dataset. Choose the dataset in the side bar."
        )
    put(request)


def keep_link(request: services.PlanRequest, result: services.PlanResult | None) -> None:
    """Keep the address in step, so that reloading or sending it opens this very plan."""
    saved = None if result is None else result.saved
    token = request.token()
    address.write(address.SCENARIO, None if saved is None else saved.id)
    address.write(address.PLAN, token if saved is None and len(token) <= LONGEST else None)


# -- undo and redo ---------------------------------------------------------------------------------------------


def remember(request: services.PlanRequest) -> None:
    """A request that is shown now; what was undone before is forgotten when it is another one."""
    past = st.session_state.setdefault("plan-past", [])
    stepped = st.session_state.pop("plan-stepping", False)
    if past and past[-1] == request:
        return
    if stepped and past:
        past[-1] = request  # sliders may round what was put on them
        return
    now = time.monotonic()
    before, st.session_state["plan-moved"] = st.session_state.get("plan-moved", -PAUSE), now
    moved = _moved(past[-1], request) if len(past) > 1 else None
    if moved and moved == _moved(past[-2], past[-1]) and now - before < PAUSE:
        past[-1] = request  # one way of a slider, key by key
    else:
        past.append(request)
    del past[:-STEPS]
    st.session_state["plan-future"] = []


def _moved(one: services.PlanRequest, other: services.PlanRequest) -> str | None:
    """The slider in which alone two requests differ."""
    for slider in ("capacity", "min_exposure", "max_exposure"):
        if getattr(one, slider) != getattr(other, slider):
            return slider if replace(one, **{slider: getattr(other, slider)}) == other else None
    return None


def buttons() -> None:
    """Undo and redo."""
    past, future = st.session_state.get("plan-past", []), st.session_state.get("plan-future", [])
    with st.container(horizontal=True, gap="small", key="plan-steps"):
        st.button(
            "Undo",
            icon=":material/undo:",
            key="plan-undo",
            on_click=_step_back,
            disabled=len(past) < 2,
            help=f"Back to {messages.plain(past[-2].describe())}" if len(past) > 1 else "Nothing to undo yet",
        )
        st.button(
            "Redo",
            icon=":material/redo:",
            key="plan-redo",
            on_click=_step_forth,
            disabled=not future,
            help=f"Forth to {messages.plain(future[-1].describe())}" if future else "Nothing to redo",
        )


def _step_back() -> None:
    past = st.session_state.get("plan-past", [])
    if len(past) > 1:
        st.session_state.setdefault("plan-future", []).append(past.pop())
        st.session_state["plan-stepping"] = True
        put(past[-1])


def _step_forth() -> None:
    future = st.session_state.get("plan-future", [])
    if future:
        request = future.pop()
        st.session_state["plan-past"].append(request)
        st.session_state["plan-stepping"] = True
        put(request)
