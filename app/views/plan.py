"""Plan: what each promise costs, and whether it can be kept."""

from __future__ import annotations

from typing import Literal
from uuid import uuid4

import pandas as pd
import streamlit as st

from app import services
from app.ui import charts, messages, tables
from app.ui.tables import Column
from app.views import frame

STAGES = {"planned": "Planned (calibration windows)", "online": "Delivered online (test window)"}
VERDICTS = {"short": 0, "over": 1, "kept": 2}


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
    left, results = st.columns([1, 3], gap="large")
    controls = left.container(key="promises")
    request = None
    with controls, messages.guard(services.Problem, "read the promises"):
        _saved(info)
        request = _promises(models)
        save = st.container()
    if request is not None:
        with results:
            result = _result(request)
        if result is not None:
            with save, messages.guard(services.Problem, "save the plan"):
                _save(result)


# -- what is promised --------------------------------------------------------------------------------------


def _promises(models: list[services.ModelInfo]) -> services.PlanRequest:
    """The sliders; a model of its own begins with promises that its items and user-states have places for."""
    names = {m.id: m for m in models}
    if st.session_state.get("plan-model") not in names:
        st.session_state["plan-model"] = services.best_model(models)
    chosen = st.selectbox(
        "Scores of",
        list(names),
        format_func=lambda i: services.model_label(names[i]),
        key="plan-model",
        persist_state="session",
        help="The model whose expected interactions are planned with.",
    )
    services.warm_up(chosen)
    size = services.plan_size(chosen)
    _begin("plan-capacity", min(10, size.items), 1, min(100, size.items))
    capacity = st.slider(
        "Items for each user (K)",
        1,
        max(2, min(100, size.items)),
        key="plan-capacity",
        persist_state="session",
        help="How many items each user-state can get at most.",
    )
    end = _least_range(chosen, size, capacity)
    least = st.slider(
        "Every item reaches at least (β)",
        0.0,
        end,
        step=0.01 if end <= 10 else 0.1,
        format="%.2f %%" if end <= 10 else "%.1f %%",
        key="plan-least",
        persist_state="session",
        help="Share of the user-states that each item is promised.",
    )
    most = None
    if st.toggle("Limit the popular items", key="plan-limited", persist_state="session"):
        _begin("plan-most", 20.0, 1.0, 100.0)
        most = st.slider(
            "No item reaches more than (β′)",
            1.0,
            100.0,
            step=1.0,
            format="%.0f %%",
            key="plan-most",
            persist_state="session",
            help="Share of the user-states that no item may exceed.",
        )
    request = services.PlanRequest(
        chosen, capacity, round(least / 100, 6), None if most is None else round(most / 100, 6)
    )
    _places(request, size)
    return request


def _least_range(model_id: str, size: services.PlanSize, capacity: int) -> float:
    """Upper end of the slider for the minimum exposure; its value begins anew with every model and stays within.

    A slider whose range changes is another one to Streamlit: its value is then said explicitly.
    """
    end = max(size.slider_end(capacity), float(st.session_state.get("plan-least-room", 0.0)))
    value = float(st.session_state.get("plan-least", 0.0))
    if st.session_state.get("plan-least-of") != model_id:
        value = size.half_of_places(capacity)
    if st.session_state.get("plan-least-of") != model_id or st.session_state.get("plan-least-end") != end:
        st.session_state["plan-least"] = min(value, end)
    st.session_state["plan-least-of"], st.session_state["plan-least-end"] = model_id, end
    return end


def _begin(key: str, value: float, low: float, high: float) -> None:
    """A slider's value when it is first shown, and when what it was left at does not fit any more."""
    kept = st.session_state.get(key)
    if kept is None or not low <= kept <= high:
        st.session_state[key] = value


def _places(request: services.PlanRequest, size: services.PlanSize) -> None:
    """What the promises ask for, in places; said at once, before anything is planned."""
    places = size.states * request.capacity
    if not request.min_exposure:
        st.caption(f"No minimum is promised: the {messages.short(places)} places go where most is expected.")
        return
    used = services.promised_share(request)
    st.caption(
        f"Each of {messages.count(size.items, 'items')} is promised "
        f"{messages.count(size.promised(request.min_exposure), 'user-states')}: together {messages.percent(used, 0)} "
        f"of the {messages.short(places)} places."
    )
    if used > 1:
        st.warning(
            "These promises ask for more places than there are. They fit with "
            f"β of at most {messages.percent(size.fitting_exposure(request.capacity), 2)} "
            f"or K of at least {messages.count(services.fitting_capacity(request))}.",
            icon=":material/warning:",
        )


# -- saved plans -------------------------------------------------------------------------------------------


def _saved(info: services.DatasetInfo) -> None:
    """Open a saved plan: its promises on the sliders, computed again."""
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
        args=(info,),
        help="Its promises are put on the sliders, and its figures are shown as they were saved.",
    )


def _open(info: services.DatasetInfo) -> None:
    """Put a saved plan's promises on the sliders."""
    chosen = st.session_state.get("plan-open")
    scenario = next((s for s in services.scenarios(info) if s.id == chosen), None)
    if scenario is None:
        return
    request = services.PlanRequest.of(scenario)
    if request is None:
        st.toast("This plan makes promises that sliders cannot show. Its figures and files are under Audiences.")
        return
    st.session_state.pop("plan-again-of", None)
    st.session_state["plan-model"] = request.model_id
    st.session_state["plan-capacity"] = request.capacity
    st.session_state["plan-least"] = 100 * request.min_exposure
    st.session_state["plan-least-of"] = request.model_id
    st.session_state["plan-least-room"] = 100 * request.min_exposure
    st.session_state["plan-limited"] = request.max_exposure is not None
    if request.max_exposure is not None:
        st.session_state["plan-most"] = 100 * request.max_exposure


def _compare_saved(info: services.DatasetInfo) -> None:
    """Saved plans side by side."""
    rows = services.saved_plans(info)
    if rows.empty:
        messages.empty(
            "No saved plan yet", "Save this one, change a promise, and compare.", icon=":material/bookmarks:"
        )
        return
    columns = {
        "name": Column("Plan"),
        "model": Column("Model"),
        "capacity": Column("K", "count", "Items for each user"),
        "min_exposure": Column("β", "share", "Promised minimum, share of user-states"),
        "max_exposure": Column("β′", "share", "Promised maximum, share of user-states"),
        "feasible": Column("All kept", "yes", "Whether every promise is kept on the planned user-states"),
        "objective": Column("Expected interactions", "count"),
        "gap": Column("Gap", "share", "How far from the optimum the plan can be"),
        "precision": Column("Precision", "decimal", "Interactions per delivery, in the test window"),
        "item_perplexity": Column("Items reached", "count", "Effective number (perplexity), in the test window"),
        "created_at": Column("Saved", "time"),
    }
    tables.show(rows, columns, "saved-plans")
    names = dict(zip(rows["id"], rows["name"], strict=True))
    choice, go = st.columns([3, 1], vertical_alignment="bottom")
    chosen = choice.selectbox("Put a plan away", list(names), format_func=names.__getitem__, key="archive-plan")
    if go.button("Archive", icon=":material/archive:", key="archive-go", width="stretch"):
        services.archive(chosen)
        st.toast(f"**{messages.plain(names[chosen])}** is archived.", icon=":material/archive:")
        st.rerun()


# -- what becomes of it ------------------------------------------------------------------------------------


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
            _plan(stored)
        return stored
    key = services.request_plan(request, wish=_wish("plan"))
    task = services.task(key)
    if task is not None and task.state == "done":
        st.session_state["plan-shown"] = key
        with messages.guard(services.Problem, "show the plan"):
            _plan(task.result, stored)
        shown: services.PlanResult = task.result
        return shown
    _waiting(key)
    last = services.task(st.session_state.get("plan-shown", ""))
    if last is not None and last.state == "done" and (task is None or task.state != "failed"):
        with st.container(key="plan-before"):
            st.caption(f"Until then, the plan before: {messages.plain(last.result.request.describe())}")
            _headline(last.result)
    return None


@st.fragment(run_every=0.4)
def _waiting(key: str) -> None:
    task = services.task(key)
    if task is None or task.state in ("done", "dropped"):
        st.rerun()
    elif task.state == "failed":
        with messages.guard(services.Problem, "make the plan"):
            raise task.error or RuntimeError("no error was kept")
        if st.button("Try again", icon=":material/refresh:", key="plan-again"):
            services.forget(key)
            st.rerun()
    else:
        st.progress(
            task.share, text=f":material/hourglass_top: Planning: {task.stage} · {messages.duration(task.seconds)}"
        )


def _plan(result: services.PlanResult, stored: services.PlanResult | None = None) -> None:
    _verdict(result, stored)
    _headline(result)
    names = [
        ":material/local_shipping: Delivery",
        ":material/sell: What each promise costs",
        ":material/show_chart: Frontier",
        ":material/verified: Certificate",
        ":material/bookmarks: Saved plans",
    ]
    delivery, costs, frontier, certificate, saved = st.tabs(names, key="plan-tabs")
    with delivery:
        _delivery(result)
    with costs:
        _costs(result)
    with frontier:
        _frontier(result)
    with certificate:
        _certificate(result)
    with saved, messages.guard(services.Problem, "list the saved plans"):
        info = frame.dataset()
        if info is not None:
            _compare_saved(info)


def _verdict(result: services.PlanResult, stored: services.PlanResult | None) -> None:
    """Where the figures come from, and what stands in the way of the promises."""
    if result.saved is not None:
        line, button = st.columns([4, 1], vertical_alignment="center")
        line.caption(
            f":material/bookmark: **{messages.plain(result.saved.name)}**, as it was saved "
            f"{messages.ago(result.saved.created_at)}"
        )
        if button.button("Compute again", key="plan-compute-again", icon=":material/refresh:", width="stretch"):
            st.session_state["plan-again-of"] = result.request.key
            st.rerun()
    elif stored is not None and stored.saved is not None:
        same = services.same_figures(result, stored.saved)
        text = "computed again with the same figures" if same else "computed again; its figures have changed since"
        st.caption(f":material/bookmark: **{messages.plain(stored.saved.name)}** · {text}")
    if result.problems:
        shown, rest = result.problems[:3], len(result.problems) - 3
        more = f"\n\n… and {messages.count(rest)} more." if rest > 0 else ""
        st.warning(
            "**Not all promises can be kept together.**\n\n"
            + "\n".join(f"- {messages.plain(p)}" for p in shown)
            + more
            + "\n\nThe plan keeps them as far as possible.",
            icon=":material/warning:",
        )
    if not result.counts:
        st.info(
            "This model says what a user prefers, not how active she will be: its scores are shares of preference, "
            "and their sum is no number of interactions. Choose a product such as GRU×HawkesPoisson for counts.",
            icon=":material/info:",
        )


def _headline(result: services.PlanResult) -> None:
    """Four figures that sum the plan up."""
    certificate = result.certificate
    gap = "no gap is shown" if certificate.gap is None else f"gap {_small(certificate.gap)}"
    made = result.promises > 0
    total = messages.count(result.promises)
    metrics = (
        (
            "Expected interactions" if result.counts else "Summed preference",
            messages.short(certificate.objective),
            _given_up(result.cost_of_promises),
            "Sum of the scores of all planned deliveries; below it, what is given up against a plan without promises.",
        ),
        (
            "Kept in the plan",
            f"{messages.count(result.promises - result.broken)} of {total}" if made else "none made",
            gap,
            "Promises kept on the calibration windows, where prices are found. The gap says how far from the optimum "
            "the plan can be, at most.",
        ),
        (
            "Kept when delivered",
            f"{messages.count(result.promises - result.broken_online)} of {total}" if made else "none made",
            "one user at a time",
            "Promises kept in the test window, where the same prices decide for one user-state at a time.",
        ),
        (
            "Precision",
            messages.decimal(result.online.precision),
            f"{messages.count(result.online.item_perplexity)} items reached",
            "Interactions that happened per delivery, in the test window; below it, the effective number of items "
            "reached (perplexity).",
        ),
    )  # fmt: skip
    for cell, (label, value, delta, explanation) in zip(st.columns(4), metrics, strict=True):
        cell.metric(label, value, delta, delta_color="off", delta_arrow="off", border=True, help=explanation)


def _given_up(cost: float | None) -> str:
    """What the promises cost."""
    if cost is None:
        return "in the plan"
    return f"{messages.percent(-cost, 1)} for the promises" if cost else "nothing given up"


def _small(gap: float) -> str:
    """A gap as people read it: below a hundredth of a percent it says so."""
    return f"below {messages.percent(0.0001, 2)}" if gap < 0.0001 else f"≤ {messages.percent(gap, 2)}"


def _delivery(result: services.PlanResult) -> None:
    stage = st.segmented_control(
        "Where",
        list(STAGES),
        format_func=STAGES.__getitem__,
        default="online",
        required=True,
        key="plan-stage",
        label_visibility="collapsed",
    )
    items = result.items.assign(
        item=result.items["title"],
        delivered=result.items[f"{stage}_delivered"],
        minimum=result.items[f"{stage}_minimum"],
        maximum=result.items[f"{stage}_maximum"],
        verdict=result.items[f"{stage}_verdict"],
    )
    charts.show(charts.delivery(items), "delivery", "User-states delivered for every item against its promise")
    columns = {
        "title": Column("Item"),
        "item_id": Column("Id"),
        "verdict": Column("Promise"),
        "delivered": Column("Delivered", "count", "User-states that get the item"),
        "minimum": Column("At least", "count", "Promised user-states"),
        "maximum": Column("At most", "count", "Promised user-states"),
        "cost": Column(
            "Cost of one more", "decimal", "Expected interactions given up for one more delivery of this item"
        ),
    }
    if items["maximum"].isna().all():
        del columns["maximum"]
    ordered = items.sort_values(
        ["verdict", "delivered"], key=lambda c: c.map(VERDICTS) if c.name == "verdict" else c, kind="stable"
    )
    tables.paged(ordered, columns, "delivery-table", search=("title", "item_id"))


def _costs(result: services.PlanResult) -> None:
    dear = result.items[result.items["cost"] > 0].sort_values("cost", ascending=False)
    if dear.empty:
        st.info("No promise costs anything: every item reaches its minimum by itself.", icon=":material/savings:")
        return
    st.caption(
        f"{messages.count(len(dear), 'items')} would not reach the promised minimum by themselves. "
        "The cost is the expected interactions given up for each further user-state such an item is shown to."
    )
    charts.show(charts.prices(dear.head(10).assign(item=lambda f: f["title"])), "prices", "The ten dearest promises")
    columns = {
        "title": Column("Item"),
        "item_id": Column("Id"),
        "cost": Column("Cost of one more", "decimal", "Expected interactions given up per delivery"),
        "planned_delivered": Column("Planned", "count", "User-states in the calibration windows"),
        "planned_minimum": Column("At least", "count", "Promised user-states"),
    }
    tables.paged(dear, columns, "prices-table", search=("title", "item_id"))


def _frontier(result: services.PlanResult) -> None:
    """Relevance against perplexity, computed on demand and kept."""
    request = result.request
    names = services.comparable(request.model_id)
    chosen = st.multiselect(
        "Models",
        list(names),
        default=[request.model_id],
        format_func=names.__getitem__,
        key=f"frontier-models-{request.model_id}",
        help="Models trained on the same windows; the sweep plans with each of them.",
    ) or [request.model_id]
    key = services.frontier_key(request, chosen)
    task = services.task(key)
    if task is not None and not task.settled:
        _sweeping(key)
        return
    if task is not None and task.state == "failed":
        with messages.guard(services.Problem, "sweep the promises"):
            raise task.error or RuntimeError("no error was kept")
    stored = services.stored_frontier(request, chosen)
    if stored is None:
        messages.empty(
            "No sweep yet for this model and K",
            "Sweep the promised minimum from nothing to its largest value and see how much relevance each step costs.",
            icon=":material/show_chart:",
        )
    else:
        here = pd.DataFrame(
            {"item_perplexity": [result.online.item_perplexity], "precision": [result.online.precision]}
        )
        charts.show(charts.frontier(stored, here), "frontier", "Precision against effective number of items reached")
        columns = {
            "model": Column("Model"),
            "mode": Column("Mode", help="Offline knows the users in advance; online decides for one at a time"),
            "min_exposure": Column("β", "share", "Promised minimum share of user-states"),
            "precision": Column("Precision", "decimal", "Interactions per delivery, in the test window"),
            "item_perplexity": Column("Items reached", "count", "Effective number (perplexity)"),
            "user_perplexity": Column("Users reached", "count", "Effective number of user-states (perplexity)"),
            "kept": Column("Promises kept", "share", "Share of the items at or above their promise"),
            "shortfall": Column("Shortfall", "share", "Missing deliveries, as a share of those promised"),
            "gap": Column("Gap", "share", "How far from the optimum the plan can be"),
        }
        tables.beside(stored, columns, "frontier-table")
    label = "Sweep again" if stored is not None else "Sweep the promises"
    kind: Literal["primary", "secondary"] = "primary" if stored is None else "secondary"
    if st.button(label, key="frontier-go", icon=":material/show_chart:", type=kind):
        services.request_frontier(request, chosen)
        st.rerun()


@st.fragment(run_every=0.6)
def _sweeping(key: str) -> None:
    task = services.task(key)
    if task is None or task.settled:
        st.rerun()
        return
    st.progress(task.share, text=f":material/show_chart: {task.stage} · {messages.duration(task.seconds)}")
    if st.button("Stop", key="frontier-stop", icon=":material/stop:"):
        services.forget(key)
        st.rerun()


def _certificate(result: services.PlanResult) -> None:
    """The proof of how good the plan is."""
    c = result.certificate
    unit = "expected interactions" if result.counts else "summed preference"
    if c.feasible:
        st.success(
            f"Every promise is kept on the planned user-states. No plan that keeps them can have more than "
            f"{messages.decimal(c.upper_bound, 5)} {unit}; this one has {messages.decimal(c.objective, 5)}.",
            icon=":material/verified:",
        )
    else:
        st.warning(
            "Some promises are not kept: an item falls short by up to "
            f"{messages.count(c.max_shortfall, 'user-states')} and exceeds by up to "
            f"{messages.count(c.max_excess, 'user-states')}. Lower β, raise K or leave items out.",
            icon=":material/warning:",
        )
    rows = {
        f"{unit.capitalize()} of the plan": messages.decimal(c.objective, 6),
        "Upper bound for any plan": messages.decimal(c.upper_bound, 6),
        "Gap (how far from the optimum, at most)": "none is shown while a promise is unmet"
        if c.gap is None
        else messages.percent(c.gap, 4),
        "Largest shortfall": messages.count(c.max_shortfall, "user-states"),
        "Largest excess": messages.count(c.max_excess, "user-states"),
        "User-states planned": messages.count(result.states),
        "Items": messages.count(len(result.items)),
        "Seed": messages.count(result.request.seed),
    }
    if result.seconds is not None:
        rows["Computed in"] = messages.duration(result.seconds)
    st.table(pd.DataFrame({"": rows.keys(), "Value": rows.values()}).set_index(""))


def _save(result: services.PlanResult) -> None:
    """Keep the plan, so that audiences can be made from it."""
    with st.container(border=True, key="plan-save"):
        if result.saved is None:
            name = st.text_input("Name of this plan", result.request.describe(), key=f"plan-name-{result.request.key}")
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


def _wish(what: str) -> str:
    """Names this session's wish, so that a newer one takes its place."""
    return f"{st.session_state.setdefault('session', uuid4().hex)}:{what}"


page()
