"""Start: what is here, what was planned lately, what needs attention."""

from __future__ import annotations

import streamlit as st

from app import services
from app.ui import messages, tables
from app.ui.tables import Column

ICONS = {
    "promise": ":material/warning:",
    "plan": ":material/update:",
    "data": ":material/rule:",
    "model": ":material/model_training:",
    "job": ":material/pause_circle:",
}
SHOWN = 3


def page() -> None:
    """Attention on top, then what is here and what was planned lately."""
    messages.title("Start", "Who will be interested in what, and which promises can be kept.")
    loaded = services.loaded()
    if not loaded:
        _welcome()
        return
    with messages.guard(services.Problem, "say what needs attention"):
        _attention()
    here, plans = st.columns(2, gap="large")
    with here, messages.guard(services.Problem, "list the datasets"):
        _here(loaded)
    with plans, messages.guard(services.Problem, "list the plans"):
        _plans()
    with messages.guard(services.Problem, "say what was done lately"):
        _lately()


def _welcome() -> None:
    demo = services.task(services.DEMO)
    messages.empty(
        "Nothing here yet" if demo is None or demo.state == "failed" else "The demo is on its way",
        "RIM learns from a log of who interacted with what, and when; then it plans which items to show to whom, "
        "so that promises are kept at the least loss of relevance.",
        icon=":material/waving_hand:",
    )
    ready, own = st.columns(2, gap="large")
    with ready.container(border=True, height="stretch"):
        st.markdown("**See it work**")
        st.caption("A year of real purchases of a grocery chain comes along. Import and a brief training take minutes.")
        _demo()
    with own.container(border=True, height="stretch"):
        st.markdown("**Bring your own events**")
        st.caption("One row per event, with a user, an item and a time: CSV, Parquet, or an official format.")
        st.page_link("views/data.py", label="Add a dataset", icon=":material/add:")


def _demo() -> None:
    """One button into the demo: made when it is not there, opened when it is."""
    state = services.demo_state()
    if state.ready and state.info is not None:
        st.page_link(
            "views/plan.py",
            label="Plan with the demo",
            icon=":material/play_arrow:",
            query_params={"dataset": state.info.label},
        )
    elif state.training or services.task(services.DEMO) is not None:
        _demo_progress()
    elif st.button("Open the demo", type="primary", icon=":material/play_arrow:", key="demo-go"):
        services.start_demo()
        st.rerun()


@st.fragment(run_every=0.7)
def _demo_progress() -> None:
    task = services.task(services.DEMO)
    if task is not None and task.state == "failed":
        with messages.guard(services.Problem, "prepare the demo"):
            raise task.error or RuntimeError("no error was kept")
        if st.button("Try again", icon=":material/refresh:", key="demo-again"):
            services.forget(services.DEMO)
            st.rerun()
    elif task is not None and not task.settled:
        st.progress(task.share, text=f"{messages.plain(task.stage)} · {messages.duration(task.seconds)}")
    else:
        active = services.active_jobs()
        if not active:
            services.forget(services.DEMO)
            st.rerun()
        for job in active[:1]:
            left = f" · about {messages.duration(job.eta)} left" if job.eta else ""
            st.progress(job.share, text=f"{messages.plain(job.stage)}{left}")


def _attention() -> None:
    found = services.attention()
    st.subheader("Needs attention", anchor=False)
    if not found:
        st.success("Nothing: no promise looked at is unlikely to be kept.", icon=":material/check_circle:")
        return
    with st.container(border=True, gap="small", key="attention"):
        _things(found[:SHOWN])
        if len(found) > SHOWN:
            with st.expander(f"{messages.count(len(found) - SHOWN)} more"):
                _things(found[SHOWN:])


def _things(found: list[services.Attention]) -> None:
    for i, thing in enumerate(found):
        text, link = st.columns([5, 2], vertical_alignment="center")
        text.markdown(f"{ICONS[thing.kind]} {messages.plain(thing.text)}")
        link.page_link(
            thing.page,
            label=thing.remedy,
            icon=":material/arrow_forward:",
            query_params=thing.query or None,
            width="stretch",
        )
        if i < len(found) - 1:
            st.divider()


def _here(loaded: list[services.Loaded]) -> None:
    st.subheader("What is here", anchor=False)
    for one in loaded:
        info = one.info
        with st.container(border=True, gap="small"):
            st.markdown(f":material/database: **{messages.plain(info.label)}**")
            st.caption(
                f"{messages.short(info.events, 'events')} of "
                f"{messages.count(info.users, 'users')} with "
                f"{messages.count(info.items, 'items')}, {info.first:%d %b %Y} to {info.last:%d %b %Y} · "
                f"{messages.count(one.models, 'models')} · {messages.count(one.plans, 'saved plans')}"
            )
            with st.container(horizontal=True):
                query = {"dataset": info.label}
                st.page_link("views/data.py", label="Look at it", icon=":material/insights:", query_params=query)
                st.page_link("views/models.py", label="Models", icon=":material/model_training:", query_params=query)
                if one.models:
                    st.page_link("views/plan.py", label="Plan", icon=":material/tune:", query_params=query)
    if not any(one.info.source == "complete-journey" for one in loaded):
        with st.container(border=True):
            st.caption("The demo: a year of real purchases of a grocery chain.")
            _demo()


def _plans() -> None:
    st.subheader("Planned lately", anchor=False)
    found = services.latest_plans()
    if not found:
        messages.empty(
            "No saved plan yet", "Set promises under Plan and save them under a name.", icon=":material/bookmarks:"
        )
        return
    for scenario, name in found:
        online = scenario.metrics.get("online", {})
        with st.container(border=True, gap="small"):
            st.markdown(f":material/bookmark: **{messages.plain(name)}**")
            kept = (
                "all promises kept in the plan"
                if scenario.certificate.get("feasible")
                else "some promises not kept in the plan"
            )
            relevance = f"{messages.decimal(online.get('precision'))} interactions per delivery"
            st.caption(
                f"{messages.plain(scenario.dataset)} v{scenario.dataset_version} · "
                f"{messages.plain(services.model_name(scenario.model_id))} · {kept} · {relevance} · saved "
                f"{messages.ago(scenario.created_at)}, {scenario.created_at:%d %b %Y %H:%M} UTC"
            )
            with st.container(horizontal=True):
                label = f"{scenario.dataset} v{scenario.dataset_version}"
                query = {"scenario": scenario.id, "dataset": label}
                st.page_link("views/plan.py", label="Open", icon=":material/tune:", query_params=query)
                st.page_link(
                    "views/audiences.py",
                    label="Audiences",
                    icon=":material/groups:",
                    query_params={"dataset": label},
                )
    if len(found) > 1:
        st.page_link("views/compare.py", label="Compare plans", icon=":material/compare_arrows:")


def _lately() -> None:
    events = services.lately()
    if events.empty:
        return
    with st.expander("Who did what, when", icon=":material/history:"):
        columns = {"at": Column("When", "time"), "who": Column("Who"), "what": Column("What")}
        tables.paged(events, columns, "activity", search=("who", "what"))


page()
