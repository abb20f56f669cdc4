"""Delivery: a saved plan carried out online on the test window, one visitor at a time."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from app import services
from app.ui import audience_charts, charts, messages, tables
from app.ui.tables import Column
from app.views import choosing, waiting

MOST_ITEMS = 5  # drawn at once
STAGES = ("planned", "online")


def page() -> None:
    """The simulation on top; what it is compared with under tabs."""
    messages.title(
        "Delivery", "The plan carried out online: visitors come one after another, and prices decide for each."
    )
    scenario = choosing.saved_plan(
        "Delivery is simulated for a saved plan: set your promises and save one.",
        ":material/local_shipping:",
        delivered=True,
    )
    if scenario is None:
        return
    with messages.guard(services.Problem, "simulate the delivery"):
        key = services.request_simulation(scenario, waiting.wish("simulation"))
        found: services.Simulation | None = waiting.result(key, "simulate the delivery")
        if found is not None:
            _simulation(scenario, found)


def _simulation(scenario: services.Scenario, found: services.Simulation) -> None:
    _headline(scenario, found)
    over_time, offline, load, capacity = st.tabs(
        [
            ":material/timeline: Over time",
            ":material/compare: Offline against online",
            ":material/stacked_bar_chart: Load of the users",
            ":material/balance: More items for each user",
        ],
        key="delivery-tabs",
    )
    with over_time, messages.guard(services.Problem, "draw the delivery"):
        _over_time(found)
    with offline, messages.guard(services.Problem, "compare offline and online"):
        _offline(scenario, found)
    with load, messages.guard(services.Problem, "draw the load"):
        _load(found)
    with capacity, messages.guard(services.Problem, "draw the capacity"):
        _capacity(scenario)


def _headline(scenario: services.Scenario, found: services.Simulation) -> None:
    promised = found.items[(found.items["minimum"] > 0) | found.items["maximum"].notna()]
    kept = int((promised["verdict"] == "kept").sum())
    online = scenario.metrics["online"]
    cells = st.columns(4)
    cells[0].metric(
        "Promises kept", f"{messages.count(kept)} of {messages.count(len(promised))}" if len(promised) else "none made",
        "one visitor at a time", delta_color="off", delta_arrow="off", border=True,
        help="When delivered online, on the test window.",
    )  # fmt: skip
    short = promised[promised["verdict"] == "short"]
    missing = int((short["minimum"] - short["delivered"]).sum())
    cells[1].metric(
        "Deliveries missing", messages.count(missing), f"of {messages.count(found.items['minimum'].sum())} promised",
        delta_color="off", delta_arrow="off", border=True, help="Summed over the items that fall short.",
    )  # fmt: skip
    cells[2].metric(
        "Delivered", messages.count(online.get("delivered")), f"to {messages.count(found.states, 'visitors')}",
        delta_color="off", delta_arrow="off", border=True,
    )  # fmt: skip
    cells[3].metric(
        messages.PER_DELIVERY, messages.decimal(online.get("precision")), "in the test window", delta_color="off",
        delta_arrow="off", border=True, help=messages.ABOUT_PER_DELIVERY,
    )  # fmt: skip


def _over_time(found: services.Simulation) -> None:
    if found.own_times:
        st.caption("Visitors come at the times they have in the test window.")
    else:
        st.caption(
            f"Visitors come with their user's first event in the test window: {messages.percent(found.came, 0)} do. "
            "The others come last, in a seeded order, as a message would reach them."
        )
    steps = found.course.steps
    if steps["on_pace"].notna().any() or steps["over"].notna().any():
        charts.show(audience_charts.course(steps), "course", "Share of the promises on pace as visitors come")
    else:
        st.info("This plan promises nothing: there is no pace to keep.", icon=":material/info:")
    columns = {
        "decided": Column("Visitors so far", "count"),
        "time": Column("Until", "time"),
        "delivered": Column("Deliveries", "count", "Of all items"),
        "on_pace": Column("On pace", "share", "Promised items at or above their promise times the share decided"),
        "kept": Column("Kept", "share", "Promised items that reached their whole promise"),
        "over": Column("Above the maximum", "share"),
    }
    tables.beside(steps, {c: k for c, k in columns.items() if steps[c].notna().any()}, "course-table")
    _items(found)


def _items(found: services.Simulation) -> None:
    """Courses of some items, those furthest from keeping their promise first."""
    st.subheader("Item by item", anchor=False)
    short = (found.items["minimum"] - found.items["delivered"]).where(found.items["minimum"] > 0, -np.inf)
    over = (found.items["delivered"] - found.items["maximum"]).astype(float).fillna(-np.inf)
    gap = np.maximum(short.astype(float), over)
    ordered = found.items.assign(gap=gap).sort_values(["gap", "delivered"], ascending=False, kind="stable")
    labels = dict(zip(ordered["item_id"], ordered["title"], strict=True))
    chosen = st.multiselect(
        "Items", list(labels), default=list(labels)[:3], format_func=labels.__getitem__, max_selections=MOST_ITEMS,
        key="course-items", help="Furthest from their promise first. The dotted line is an even pace to the promise.",
    )  # fmt: skip
    if chosen:
        columns = found.items.set_index("item_id")["column"]
        courses = {labels[i]: found.course.item(int(columns[i])) for i in chosen}
        charts.show(audience_charts.item_courses(courses), "item-courses", "Deliveries of some items as visitors come")
    shown = {
        "title": Column("Item"),
        "item_id": Column("Id"),
        "verdict": Column("Promise"),
        "delivered": Column("Delivered", "count", "Visitors of the test window"),
        "minimum": Column("At least", "count"),
        "maximum": Column("At most", "count"),
        "online_share": Column("Of the visitors", "share"),
    }
    if found.items["maximum"].isna().all():
        del shown["maximum"]
    tables.paged(ordered, shown, "course-items-table", search=("title", "item_id"))


def _offline(scenario: services.Scenario, found: services.Simulation) -> None:
    st.caption(
        "Offline, the plan knew its visitors in advance (calibration windows). Online, the same prices met others "
        "(test window). Items off the line were delivered more or less than planned."
    )
    charts.show(audience_charts.shares(found.items), "shares", "Planned against delivered share of every item")
    columns = {
        "figure": Column("Figure"),
        "planned": Column("Planned, offline", help="On the calibration windows"),
        "online": Column("Delivered, online", help="On the test window"),
    }
    words = {c: [_figure(k, v) for k, v in zip(found.figures["kind"], found.figures[c], strict=True)] for c in STAGES}
    tables.show(found.figures.assign(**words), columns, "figures-table", rows=9)
    st.subheader("Against hindsight", anchor=False)
    task = services.task(services.hindsight_key(scenario))
    if task is None:
        st.caption("How much better could one have planned, had all visitors of the test window been known?")
        if st.button("Plan the test window with everything known", key="hindsight-go", icon=":material/history:"):
            services.request_hindsight(scenario, waiting.wish("hindsight"))
            st.rerun()
        return
    services.request_hindsight(scenario, waiting.wish("hindsight"))
    best: services.Hindsight | None = waiting.result(task.key, "plan with hindsight", wish=waiting.wish("hindsight"))
    if best is not None:
        _hindsight(best)


def _figure(kind: str, value: float | None) -> str:
    """A figure of the comparison as people read it."""
    if kind == "share":
        return messages.percent(value)
    return messages.count(value) if kind == "count" else messages.decimal(value)


def _hindsight(best: services.Hindsight) -> None:
    cells = st.columns(3)
    cells[0].metric(
        "Online reaches", messages.percent(best.share), "of the upper bound", delta_color="off", delta_arrow="off",
        border=True, help="Expected interactions delivered online, as a share of what no plan of the test window can "
        "exceed that keeps the promises. Above 100 % where online breaks promises.",
    )  # fmt: skip
    cells[1].metric(
        "Precision online", messages.decimal(best.precision_online),
        f"with hindsight {messages.decimal(best.precision_hindsight)}", delta_color="off",
        delta_arrow="off", border=True,
    )  # fmt: skip
    cells[2].metric(
        "Promises kept online", messages.percent(best.kept_online),
        f"with hindsight {messages.percent(best.kept_hindsight)}", delta_color="off", delta_arrow="off", border=True,
    )  # fmt: skip
    if not best.feasible:
        st.info(
            "On the test window not even hindsight can keep all promises together: there were fewer visitors, or "
            "other ones, than planned for.",
            icon=":material/info:",
        )


def _load(found: services.Simulation) -> None:
    figures = found.figures.set_index("figure")
    reached = next((row for name, row in figures.iterrows() if "Visitors effectively" in str(name)), None)
    if reached is not None and reached["online"] is not None:
        st.caption(
            f"Online, the load is as even as if {messages.count(reached['online'], 'visitors')} of "
            f"{messages.count(found.states)} shared it equally."
        )
    full = found.load[found.load[["planned", "online"]].max(axis=1) > 0]
    if len(full) == 1 and full["low"].iloc[0] == full["high"].iloc[0]:
        st.caption(
            f"Every visitor gets {messages.count(full['low'].iloc[0], 'items')}: no limit keeps an item back, so "
            "all places are filled. With a limit on the popular items, or a larger K, the load spreads."
        )
    charts.show(audience_charts.load(found.load), "load", "How many items visitors get, planned and online")
    columns = {
        "low": Column("From (items)", "count"),
        "high": Column("To (items)", "count"),
        "planned": Column("Planned", "share", "Of the visitors of the calibration windows"),
        "online": Column("Online", "share", "Of the visitors of the test window"),
    }
    tables.beside(found.load, columns, "load-table")


def _capacity(scenario: services.Scenario) -> None:
    """Relevance against the balance of load, and what is really delivered, as users may get more (Section F)."""
    st.caption(
        "Every item may reach only a share of the visitors, and wants to. The more items a user may get, "
        "the more relevant the deliveries are, and the more they pile up on few users."
    )
    choose, button = st.columns([2, 1], vertical_alignment="bottom")
    percent = choose.select_slider(
        "No item reaches more than", [0.5, 1.0, 2.0, 5.0, 10.0, 20.0], 1.0, format_func=lambda p: f"{p:g} %",
        key="load-most", help="Share of the visitors; the paper's β′.",
    )  # fmt: skip
    share = float(percent) / 100
    if not waiting.over(services.load_key(scenario, share), "sweep the capacity"):
        return
    stored = services.stored_load(scenario, share)
    label = "Sweep again" if stored is not None else "Sweep the capacity"
    if button.button(label, key="load-go", icon=":material/balance:", width="stretch"):
        services.request_load(scenario, share)
        st.rerun()
    if stored is None:
        messages.empty(
            "No sweep yet for this limit",
            "The sweep plans with this plan's model, with 1 % to 100 % of the items for each user, users known in "
            "advance and one at a time. It goes on beside the page, and its points are kept.",
            icon=":material/balance:",
        )
        return
    _sweep(stored)


def _sweep(points: pd.DataFrame) -> None:
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Relevance against an even load**", help="Figures S4 to S6 of the paper")
        charts.show(
            audience_charts.user_load(points),
            "user-load",
            "Interactions per delivery against visitors effectively reached",
        )
    with right:
        st.markdown("**Really delivered per item**", help="Figure S7 of the paper")
        alt = "Share of the visitors delivered per item by capacity"
        charts.show(audience_charts.delivered_share(points), "delivered-share", alt)
    columns = {
        "mode": Column("How", help="With the users known in advance, or deciding for one visitor at a time (online)"),
        "capacity": Column("Items a user", "count"),
        "alpha": Column("Of all items", "share", "Items a user may get, as a share of all: the paper's α"),
        "precision": Column(messages.PER_DELIVERY, "decimal", messages.ABOUT_PER_DELIVERY),
        "users_reached": Column("Visitors reached", "share", "Effective number (perplexity), of all"),
        "delivered_share": Column("Delivered per item", "share", "Mean share of the visitors"),
        "ideal_share": Column("Ideal", "share", "The limit, or what there are places for"),
        "over": Column("Items above the limit", "share"),
    }
    tables.beside(points.assign(mode=points["mode"].map(charts.mode)), columns, "user-load-table")


page()
