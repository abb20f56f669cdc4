"""Audiences: who gets what and why, under which rules, as files that campaign tools take."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app import services
from app.ui import messages, tables
from app.ui.tables import Column
from app.views import choosing, waiting
from app.views.audience_details import size, why
from app.views.audience_rules import rules_of

PARTS = {"test": "Delivered online (test window)", "calibration": "Planned (calibration windows)"}
COLUMNS = {
    "rank": Column("Rank", "count", "1 is the best visitor of the item"),
    "user_id": Column("User"),
    "title": Column("Item"),
    "item_id": Column("Item id"),
    "score": Column("Score", "decimal", "Score of the model"),
    "expected": Column("Expected interactions", "decimal", "In the horizon, for this pair"),
}
REMOVED = {
    "rule": Column("Rule"),
    "pairs": Column("Deliveries removed", "count"),
    "users": Column("Users gone", "count", "Users who get nothing any more"),
    "items": Column("Items gone", "count", "Items that nobody gets any more"),
    "left": Column("Deliveries left", "count"),
}


def page() -> None:
    """Choose a saved plan, set the rules, look at it from either side, take the files."""
    messages.title("Audiences", "Who gets what and why: the best users of an item, the items of a user, and the files.")
    left, right = st.columns(2)
    with left:
        scenario = choosing.saved_plan(
            "Audiences are made from a saved plan: set your promises and save one.", ":material/groups:"
        )
    if scenario is None:
        return
    part = right.selectbox("Users", list(PARTS), format_func=PARTS.__getitem__, key="audience-part")
    with messages.guard(services.Problem, "show the audience"):
        _plan(scenario, part)
    with messages.guard(services.Problem, "list the files"):
        _exported(scenario)


def _plan(scenario: services.Scenario, part: str) -> None:
    items = services.audience_items(scenario, part)
    if not items["delivered"].any():
        if part == "test" and "online" not in scenario.metrics:
            choosing.not_delivered(scenario)
        else:
            body = "Raise K or β under Plan and save again."
            messages.empty("This plan reaches nobody here", body, icon=":material/group_off:")
        return
    rules = rules_of(scenario)
    if rules is None:
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
        _for_items(scenario, part, items, rules)
    with for_user:
        _for_user(scenario, part)
    with everything:
        _whole(scenario, part, items, rules)


def _for_items(scenario: services.Scenario, part: str, items: pd.DataFrame, rules: services.AudienceRules) -> None:
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
    recipe = services.AudienceRecipe(scenario.id, part, tuple(chosen), rules)
    made = _made(recipe, "items")
    if made is None:
        return
    promised = items[items["item_id"].isin(chosen)]["minimum"].sum(min_count=1)
    known = "not known" if pd.isna(promised) else messages.count(promised, "visitors")
    cells = st.columns(4)
    cells[0].metric("Deliveries", messages.count(len(made.pairs)), border=True, help="After the rules")
    cells[1].metric("Users reached", messages.count(made.users), border=True, help="Distinct users")
    cells[2].metric("Expected interactions", messages.decimal(made.expected), border=True, help="In the horizon")
    cells[3].metric("Promised", known, border=True, help="Minimum exposure of the plan, on these visitors")
    _removed(made)
    listed, larger, reasons = st.tabs(
        [":material/list: Users", ":material/query_stats: How large", ":material/help: Why this user"],
        key="audience-item-tabs",
    )
    with listed:
        columns = _telling(made.pairs, "rank", "user_id", "score", "expected")
        if len(chosen) > 1:
            columns = {"title": COLUMNS["title"], **columns}
        tables.paged(made.pairs, columns, "audience-item", search=("user_id",))
        what = "this audience" if len(chosen) == 1 else f"these {len(chosen)} audiences"
        _download(recipe, scenario, made, f"Download {what}", "items")
    with larger, messages.guard(services.Problem, "draw the curve"):
        size(scenario, part, chosen, labels)
    with reasons, messages.guard(services.Problem, "take the decision apart"):
        why(scenario, part, chosen, labels, made.pairs)


def _telling(pairs: pd.DataFrame, *names: str) -> dict[str, Column]:
    """Columns by name; the score not where it is what is expected, as it is when items have no value."""
    same = bool((pairs["score"] == pairs["expected"]).all())
    return {name: COLUMNS[name] for name in names if not (same and name == "score")}


def _made(recipe: services.AudienceRecipe, what: str) -> services.MadeAudience | None:
    """The audience of a recipe, once it is there."""
    key = services.request_audience(recipe, waiting.wish(f"audience {what}"))
    found: services.MadeAudience | None = waiting.result(key, "make the audience")
    return found


def _removed(made: services.MadeAudience) -> None:
    """What each rule took away."""
    if made.removals.empty:
        return
    tables.show(made.removals, REMOVED, f"removed-{'-'.join(made.removals['rule'])}", rows=5)
    if made.held_out:
        st.caption(
            f":material/science: {messages.count(made.held_out, 'users are')} held out. Import the results under "
            "After the campaign to see what writing to the others added."
        )
    if made.pairs.empty:
        st.warning(
            "Nobody is left: the rules remove every delivery. Lower the minimum size or the hold-out.",
            icon=":material/group_off:",
        )


def _for_user(scenario: services.Scenario, part: str) -> None:
    user = st.text_input("User id", key="audience-user", placeholder="for example 1").strip()
    if not user:
        st.caption("Type a user id to see the items that the plan gives this user, whatever the rules.")
        return
    pairs = services.audience_of_user(scenario, part, user)
    if pairs.empty:
        st.info(f"The plan gives nothing to a user {messages.plain(user)} here. Ids are compared letter by letter.")
        return
    st.caption(f"{messages.count(len(pairs), 'items')} for user {messages.plain(user)}, best first.")
    tables.show(
        pairs.sort_values("score", ascending=False),
        _telling(pairs, "title", "item_id", "score", "expected", "rank"),
        "audience-user-table",
    )


def _whole(scenario: services.Scenario, part: str, items: pd.DataFrame, rules: services.AudienceRules) -> None:
    recipe = services.AudienceRecipe(scenario.id, part, None, rules)
    made = _made(recipe, "whole")
    if made is None:
        return
    items = _after_rules(items, made)
    cells = st.columns(4)
    cells[0].metric("Deliveries in all", messages.count(len(made.pairs)), border=True, help="After the rules")
    cells[1].metric("Items that reach somebody", messages.count((items["written"] > 0).sum()), border=True)
    cells[2].metric("Expected interactions", messages.decimal(made.expected), border=True, help="In the horizon")
    short = (items["minimum"] > items["written"]).sum() if items["minimum"].notna().all() else None
    cells[3].metric("Items below their promise", messages.count(short), border=True, help="After the rules")
    _removed(made)
    columns = {
        "title": Column("Item"),
        "item_id": Column("Id"),
        "written": Column("Deliveries", "count", "After the rules"),
        "users": Column("Users", "count", "Distinct users, after the rules"),
        "delivered": Column("In the plan", "count", "Visitors who get the item, before any rule"),
        "minimum": Column("Promised", "count", "Visitors that it was promised"),
        "expected": Column("Expected interactions", "decimal", "In the horizon, of the deliveries after the rules"),
    }
    tables.paged(items, columns, "audience-items", search=("title", "item_id"))
    _download(recipe, scenario, made, "Download the whole plan", "all")


def _after_rules(items: pd.DataFrame, made: services.MadeAudience) -> pd.DataFrame:
    """Items with what the rules leave of them: deliveries, distinct users and the interactions expected of these."""
    left = made.pairs.assign(expected=made.pairs["expected"].astype(float)).groupby("item_id")
    by_item = pd.DataFrame(
        {"written": left.size(), "users": left["user_id"].nunique(), "expected": left["expected"].sum(min_count=1)}
    )
    counts = bool(made.pairs["expected"].notna().all())
    nobody = {"written": 0, "users": 0, **({"expected": 0.0} if counts else {})}
    return items.drop(columns="expected", errors="ignore").join(by_item, on="item_id").fillna(nobody)


def _download(
    recipe: services.AudienceRecipe, scenario: services.Scenario, made: services.MadeAudience, label: str, key: str
) -> None:
    """The file is made when it is asked for, and written down; the button says what it will hold."""
    form = st.segmented_control(
        "Layout",
        list(services.FORMATS),
        format_func=services.FORMATS.__getitem__,
        default="csv",
        required=True,
        key=f"layout-{key}",
    )
    contacts = services.contacts_known(scenario)
    country = None
    if form in ("google", "meta"):
        st.caption(_layout_note(contacts))
        if "phone" in contacts:
            typed = st.text_input(
                "Country code of phone numbers without one", key=f"country-{key}", placeholder="for example 1 or 49",
                max_chars=4,
            )  # fmt: skip
            try:
                country = services.country_code(typed)
            except services.Problem as error:
                messages.problem(messages.plain(str(error)))
                return
    asked = services.AudienceRecipe(recipe.scenario_id, recipe.part, recipe.items, recipe.rules, form or "csv", country)
    holds = f"{messages.count(len(made.pairs), 'rows')}, {messages.count(made.users, 'users')}"
    if form in ("google", "meta"):
        wish = waiting.wish(f"file {key}")
        found: services.ToolFile | None = waiting.result(services.request_tool_file(asked, wish), "count the users")
        if found is None:
            return
        _left_out(found)
        holds = f"{messages.count(found.users, 'users')}, one a row"
    with messages.guard(services.Problem, "make the file"):
        st.download_button(
            f"{label} ({holds})",
            lambda: services.export_file(asked),
            file_name=services.export_name(asked),
            mime="application/vnd.apache.parquet" if form == "parquet" else "text/csv",
            on_click="ignore",
            icon=":material/download:",
            type="primary",
            key=f"download-{key}",
            help="Kept in the workspace and written down with what makes the same bytes again. In CSV, cells that a "
            "spreadsheet would take for a formula get a leading apostrophe.",
        )


def _layout_note(contacts: tuple[str, ...]) -> str:
    if not contacts:
        return (
            "One row a user, named by the user id: this dataset carries neither e-mail addresses nor phone numbers. "
            "Add the events with them (Data → Add a dataset, “Known of users”) to send hashes of them."
        )
    return (
        f"One row a user, however many deliveries, named by SHA-256 of {' and '.join(contacts)}, normalised as the "
        "tool asks."
    )


def _left_out(found: services.ToolFile) -> None:
    """How many users are not in a tool's file, and why."""
    if not found.left_out:
        return
    everybody = messages.count(found.users + found.left_out, "users are")
    reasons = []
    if found.without:
        reasons.append(f"{messages.count(found.without)} without any e-mail or phone")
    if found.unusable:
        broken = "no address, or a number that names no country"
        reasons.append(f"{messages.count(found.unusable)} with one that cannot be used ({broken})")
    st.warning(
        f"{messages.count(found.left_out)} of {everybody} left out of this file: {', '.join(reasons)}.",
        icon=":material/person_off:",
    )


def _exported(scenario: services.Scenario) -> None:
    files = services.exports(scenario)
    if files.empty:
        return
    with st.expander(f"Files made from this plan ({messages.count(len(files))})", icon=":material/history:"):
        columns = {
            "created_at": Column("When", "time"),
            "who": Column("Who"),
            "file": Column("File", help="Kept in the workspace under data/exports"),
            "format": Column("Layout"),
            "rules": Column("Rules"),
            "rows": Column("Rows", "count"),
            "sha256": Column("SHA-256", help="The same recipe gives the same bytes"),
        }
        tables.show(files, columns, "exports")
        names = dict(zip(files["id"], files["file"], strict=True))
        pick, go = st.columns([4, 1], vertical_alignment="bottom")
        chosen = pick.selectbox("Make a file again", list(names), format_func=names.__getitem__, key="export-again")
        if go.button("Make and compare", key="export-again-go", icon=":material/fact_check:", width="stretch"):
            if services.made_again(chosen):
                st.success("The same bytes, from what is stored.", icon=":material/check_circle:")
            else:
                st.warning(
                    "Other bytes: the plan was delivered again, or its dataset changed, since this file was made.",
                    icon=":material/difference:",
                )


page()
