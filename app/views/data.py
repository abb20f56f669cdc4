"""Data: who interacted with what, and when."""

from __future__ import annotations

from datetime import date, timedelta

import streamlit as st

from app import services
from app.ui import charts, messages, tables
from app.ui.tables import Column
from app.views import address, frame
from app.views.adding import add_dataset


def page() -> None:
    """Overview of the dataset, its training and test windows, and a way to add more."""
    messages.title("Data", "Who interacted with what, and when.")
    info = frame.dataset()
    if info is None:
        _first_dataset()
        return
    overview, windows, more = st.tabs(
        [
            ":material/insights: Overview",
            ":material/date_range: Training and test windows",
            ":material/add: Add a dataset",
        ],
        key="data-tabs",
    )
    with overview, messages.guard(services.Problem, "show the overview"):
        _overview(info)
    with windows, messages.guard(services.Problem, "show the windows"):
        _windows(info)
    with more, messages.guard(services.Problem, "add a dataset"):
        add_dataset()


def _first_dataset() -> None:
    messages.empty(
        "No data yet",
        "Begin with a year of real purchases of a grocery chain, or bring your own event log: "
        "one row per event, with a user, an item and a time.",
        icon=":material/database:",
    )
    add_dataset()


def _overview(info: services.DatasetInfo) -> None:
    with st.spinner("Counting…"):
        seen = services.overview(info)
    figures = st.columns(5)
    figures[0].metric("Events", messages.count(info.events), border=True)
    figures[1].metric("Users", messages.count(info.users), border=True)
    figures[2].metric("Items", messages.count(info.items), border=True)
    days = (info.last - info.first).days
    figures[3].metric(
        "Period", messages.count(days, "days"), border=True, help=f"{info.first:%d %b %Y} to {info.last:%d %b %Y}"
    )
    figures[4].metric(
        "Repeats",
        messages.percent(seen.repeat_rate),
        border=True,
        help="Share of events whose user had already interacted with that item. Where it is high, "
        "keep seen items in play.",
    )
    _report(info)
    st.subheader("Activity over time", anchor=False)
    charts.show(charts.events_over_time(seen.over_time, seen.unit), "over-time", f"Events per {seen.unit}")
    columns = {"start": Column(seen.unit.capitalize(), "time"), "events": Column("Events", "count")}
    tables.beside(seen.over_time, columns, "over-time-table")
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Users by number of events", anchor=False)
        st.caption(f"The median user has {messages.count(seen.median_events, 'events')}.")
        charts.show(charts.user_activity(seen.activity), "user-activity", "Users by number of events")
        columns = {
            "low": Column("From", "count", "Events"),
            "high": Column("To", "count", "Events"),
            "users": Column("Users", "count"),
        }
        tables.beside(seen.activity, columns, "user-activity-table")
    with right:
        st.subheader("Popularity of items", anchor=False)
        top = seen.items["events"].head(max(1, len(seen.items) // 10)).sum() / max(1, info.events)
        st.caption(f"The most popular tenth of the items has {messages.percent(top, 0)} of the events.")
        charts.show(charts.popularity(seen.popularity), "popularity", "Events of items by popularity rank")
    st.subheader("Items", anchor=False)
    columns = {
        "title": Column("Item"),
        "item_id": Column("Id"),
        "events": Column("Events", "count"),
        "users": Column("Users", "count", "Distinct users"),
        "share": Column("Share of events", "share"),
    }
    tables.paged(seen.items, columns, "items", search=("title", "item_id"))
    with st.popover("Remove this dataset", icon=":material/delete:"):
        st.markdown(
            f"**{messages.plain(info.label)}** leaves the workspace. Its models and plans stay, but cannot be "
            "computed again."
        )
        if st.button("Remove it", key="remove-dataset", type="primary"):
            services.remove_dataset(info)
            st.session_state.pop("dataset", None)
            address.disregard("dataset", info.label)
            st.rerun()


def _report(info: services.DatasetInfo) -> None:
    """What the import kept and left out."""
    report = info.report
    if report is None:
        return
    rejected = report.rows_rejected
    label = f"{messages.count(report.rows_read, 'rows')} read, {messages.count(rejected)} rejected"
    icon = ":material/check_circle:" if not rejected else ":material/warning:"
    with st.expander(label, icon=icon):
        st.text(services.in_words(report.summary(where=False)))
        if rejected and report.rejects_file is not None and report.rejects_file.exists():
            path = report.rejects_file
            st.download_button(
                "Download the rejected rows",
                path.read_bytes,
                file_name=path.name,
                mime="text/csv",
                on_click="ignore",
                icon=":material/download:",
            )


def _windows(info: services.DatasetInfo) -> None:
    """How the log is cut: chosen here, used wherever models are trained."""
    st.caption(
        "Models learn from the training period. Plans are made on the calibration windows and delivered to "
        "the test window. New models use what is set here."
    )
    controls, drawing = st.columns([1, 2], gap="large")
    with controls:
        choice = split_controls(info)
    with drawing:
        shown = services.windows(info, choice)
        if shown.windows is not None:
            seen = services.overview(info)
            charts.show(
                charts.windows(shown.windows, seen.over_time, seen.unit),
                "windows",
                "Training, calibration and test windows on the time axis, over the activity",
            )
            columns = {
                "part": Column("Window"),
                "start": Column("From", "time"),
                "stop": Column("To", "time", "Not included"),
            }
            tables.beside(shown.windows, columns, "windows-table")
        else:
            st.info(
                "Half of the users train the models and calibrate plans; the other half are tested from the same "
                "time after their own first event, so there are no calendar windows to draw.",
                icon=":material/info:",
            )
        columns = {
            "part": Column("Part"),
            "states": Column("Visitors", "count", "A visitor is a user at one time"),
            "users": Column("Users", "count"),
            "items": Column("Items", "count"),
            "history_events": Column("History events", "count", "Events the models may see"),
            "target_events": Column("Target events", "count", "Events inside the windows, which are predicted"),
        }
        tables.show(shown.table, columns, "split-table")


def split_controls(info: services.DatasetInfo) -> services.SplitChoice:
    """The controls of a split; what they say is kept for the session."""
    kinds = {"time": "By time", "user": "By user"}
    default = frame.split_choice(info)
    by = st.segmented_control(
        "Cut the log",
        list(kinds),
        format_func=kinds.__getitem__,
        default=default.by,
        required=True,
        key=f"split-by-{info.label}",
        help="By time: the last weeks test. By user: half of the users test, from the same time after their "
        "first event.",
    )
    horizon, calibration, start = default.horizon_days, default.calibration, None
    if by == "time":
        longest = max(1, (info.last - info.first).days // 3)
        horizon = st.slider(
            "Horizon (days)",
            1,
            max(2, min(90, longest)),
            min(horizon, max(2, longest)),
            key=f"split-horizon-{info.label}",
            help="Length of the test window and of each calibration window: how far ahead you plan.",
        )
        calibration = st.slider(
            "Calibration windows",
            1,
            4,
            calibration,
            key=f"split-calibration-{info.label}",
            help="More windows make steadier plans and leave less to train on.",
        )
        start = _test_start(info, horizon, calibration, default.start)
    exclude = st.toggle(
        "Leave out what a user already had",
        default.exclude_seen,
        key=f"split-seen-{info.label}",
        help="Keep it off where people buy again; turn it on for films and articles.",
    )
    choice = services.SplitChoice(
        by=by or "time", horizon_days=horizon, calibration=calibration, exclude_seen=exclude, start=start
    )
    frame.keep_split_choice(info, choice)
    return choice


def _test_start(info: services.DatasetInfo, horizon: int, calibration: int, kept: str | None) -> str | None:
    """The day on which the test window begins; None for the last window that fits."""
    key = f"split-start-{info.label}"
    if not st.toggle(
        "Choose when the test begins", kept is not None, key=f"{key}-on", help="Otherwise the last window that fits."
    ):
        return None
    first = (info.first + timedelta(days=(calibration + 1) * horizon)).date()
    last = max(first, (info.last - timedelta(days=1)).date())
    begin = date.fromisoformat(kept) if kept is not None else max(first, last - timedelta(days=horizon))
    value = min(max(begin, first), last)
    return st.date_input("Test window begins", value, first, last, key=key, format="YYYY-MM-DD").isoformat()


page()
