"""Audiences: who gets what, as files that campaign tools take."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app import services
from app.ui import messages, tables
from app.ui.tables import Column
from app.views import frame

PARTS = {"test": "Delivered online (test window)", "calibration": "Planned (calibration windows)"}
COLUMNS = {
    "rank": Column("Rank", "count", "1 is the best user-state of the item"),
    "user_id": Column("User"),
    "title": Column("Item"),
    "item_id": Column("Item id"),
    "score": Column("Score", "decimal", "Score of the model"),
    "expected": Column("Expected interactions", "decimal", "In the horizon, for this pair"),
}


def page() -> None:
    """Choose a saved plan, look at it from either side, take the files."""
    messages.title("Audiences", "Who gets what: the best users of an item, the items of a user, and the files to send.")
    info = frame.dataset()
    saved = services.scenarios(info) if info is not None else []
    if info is None or not saved:
        body = (
            "Add a dataset first."
            if info is None
            else "Audiences are made from a saved plan: set your promises and save one."
        )
        messages.empty("No saved plan yet", body, icon=":material/groups:")
        target, label = ("views/data.py", "Go to Data") if info is None else ("views/plan.py", "Go to Plan")
        st.page_link(target, label=label, icon=":material/arrow_forward:")
        return
    names = {s.id: s for s in saved}
    if st.session_state.get("audience-plan") not in names:
        st.session_state["audience-plan"] = saved[0].id
    left, right = st.columns(2)
    chosen = left.selectbox(
        "Plan",
        list(names),
        format_func=lambda i: f"{names[i].name} · {messages.ago(names[i].created_at)}",
        key="audience-plan",
        persist_state="session",
    )
    part = right.selectbox("Users", list(PARTS), format_func=PARTS.__getitem__, key="audience-part")
    with messages.guard(services.Problem, "show the audience"):
        _plan(names[chosen], part)
    with messages.guard(services.Problem, "list the files"):
        _exported()


def _plan(scenario: services.Scenario, part: str) -> None:
    items = services.audience_items(scenario, part)
    if not items["delivered"].any():
        if part == "test" and "online" not in scenario.metrics:
            body = "Open it under Plan and save it again, or run `rim deliver`; what was planned is under Users."
            messages.empty("Not delivered yet", body, icon=":material/schedule_send:")
        else:
            body = "Raise K or β under Plan and save again."
            messages.empty("This plan reaches nobody here", body, icon=":material/group_off:")
        return
    for_items, for_user, everything = st.tabs(
        [
            ":material/inventory_2: For some items",
            ":material/person: For a user",
            ":material/table_rows: The whole plan",
        ],
        key="audience-tabs",
    )
    with for_items:
        _for_items(scenario, part, items)
    with for_user:
        _for_user(scenario, part)
    with everything:
        _whole(scenario, part, items)


def _for_items(scenario: services.Scenario, part: str, items: pd.DataFrame) -> None:
    """The users of one item, or of several together."""
    labels = dict(zip(items["item_id"], items["label"], strict=True))
    chosen = st.multiselect(
        "Items",
        list(labels),
        default=[next(iter(labels))],
        format_func=labels.__getitem__,
        key=f"audience-items-{scenario.id}",
        help="Type a part of a title or of an id.",
    )
    if not chosen:
        st.info("Choose at least one item.", icon=":material/arrow_upward:")
        return
    rows = items[items["item_id"].isin(chosen)]
    pairs = services.audience(scenario, part, items=chosen)
    users, expected = services.reach(pairs)
    cells = st.columns(4)
    cells[0].metric("Deliveries", messages.count(len(pairs)), border=True, help="One row of the file each")
    cells[1].metric("Users reached", messages.count(users), border=True, help="Distinct users")
    cells[2].metric("Expected interactions", messages.decimal(expected), border=True, help="In the horizon")
    promised = rows["minimum"].sum(min_count=1)
    known = "not known" if pd.isna(promised) else messages.count(promised, "user-states")
    cells[3].metric("Promised", known, border=True, help="Minimum exposure of the plan, on these user-states")
    columns = {c: COLUMNS[c] for c in ("rank", "user_id", "score", "expected")}
    if len(chosen) > 1:
        columns = {"title": COLUMNS["title"], **columns}
    tables.paged(pairs, columns, "audience-item", search=("user_id",))
    what = "this audience" if len(chosen) == 1 else f"these {len(chosen)} audiences"
    _download(scenario, part, chosen, f"Download {what} ({messages.count(len(pairs), 'rows')})")


def _for_user(scenario: services.Scenario, part: str) -> None:
    user = st.text_input("User id", key="audience-user", placeholder="for example 1").strip()
    if not user:
        st.caption("Type a user id to see the items that the plan gives this user.")
        return
    pairs = services.audience(scenario, part, user=user)
    if pairs.empty:
        st.info(f"The plan gives nothing to a user {messages.plain(user)} here. Ids are compared letter by letter.")
        return
    st.caption(f"{messages.count(len(pairs), 'items')} for user {messages.plain(user)}, best first.")
    tables.show(
        pairs.sort_values("score", ascending=False),
        {c: COLUMNS[c] for c in ("title", "item_id", "score", "expected", "rank")},
        "audience-user-table",
    )


def _whole(scenario: services.Scenario, part: str, items: pd.DataFrame) -> None:
    total = int(items["delivered"].sum())
    cells = st.columns(4)
    cells[0].metric("Deliveries in all", messages.count(total), border=True, help="One row of the file each")
    cells[1].metric("Items that reach somebody", messages.count((items["delivered"] > 0).sum()), border=True)
    expected = items["expected"].sum(min_count=1)
    cells[2].metric("Expected interactions", messages.decimal(expected), border=True, help="In the horizon")
    short = (items["minimum"] > items["delivered"]).sum() if items["minimum"].notna().all() else None
    cells[3].metric("Items below their promise", messages.count(short), border=True)
    columns = {
        "title": Column("Item"),
        "item_id": Column("Id"),
        "delivered": Column("Delivered", "count", "User-states that get the item"),
        "minimum": Column("Promised", "count", "User-states that it was promised"),
        "expected": Column("Expected interactions", "decimal", "In the horizon"),
    }
    tables.paged(items, columns, "audience-items", search=("title", "item_id"))
    _download(scenario, part, None, f"Download the whole plan ({messages.count(total, 'rows')})")


def _download(scenario: services.Scenario, part: str, items: list[str] | None, label: str) -> None:
    """The file is made when it is asked for, and written down."""
    st.download_button(
        label,
        lambda: services.export_csv(scenario, part, items),
        file_name=services.export_name(scenario, part, items),
        mime="text/csv",
        on_click="ignore",
        icon=":material/download:",
        type="primary",
        key=f"download-{'items' if items else 'all'}",
        help="CSV with user_id, item_id, rank, score and expected interactions. "
        "Cells that a spreadsheet would take for a formula get a leading apostrophe.",
    )


def _exported() -> None:
    files = services.exports()
    if files.empty:
        return
    with st.expander(f"Files made so far ({messages.count(len(files))})", icon=":material/history:"):
        columns = {
            "created_at": Column("When", "time"),
            "who": Column("Who"),
            "file": Column("File", help="Kept in the workspace under data/exports"),
            "rows": Column("Rows", "count"),
            "sha256": Column("SHA-256", help="The same plan gives the same bytes"),
        }
        tables.show(files, columns, "exports")


page()
