"""Compare: saved plans side by side, named, cloned, put away, and sent as a link."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pandas as pd
import streamlit as st

from app import services
from app.ui import charts, messages, plan_charts, tables
from app.ui.tables import Column
from app.views import address, frame

SHOWN = 15
"""Items in the chart of differences."""
LONGEST_NOTE = 400
"""Characters of a note."""
STACKED = 3
"""Plans from which the two tables stand under each other: their columns need the width."""
LONGEST = 40
"""Characters of a plan's name over its column of figures."""


def page() -> None:
    """The saved plans, and two to four of them beside each other."""
    messages.title("Compare", "Saved plans side by side: what was promised, what it cost, who got what.")
    info = frame.dataset()
    rows = services.saved_plans(info) if info is not None else pd.DataFrame()
    away = services.saved_plans(info, archived=True) if info is not None else pd.DataFrame()
    if info is None or away.empty:
        body = "Add a dataset first." if info is None else "Set promises under Plan, save two plans, and compare them."
        messages.empty("No saved plan yet", body, icon=":material/compare_arrows:")
        target, label = ("views/data.py", "Go to Data") if info is None else ("views/plan.py", "Go to Plan")
        st.page_link(target, label=label, icon=":material/arrow_forward:")
        return
    _undo()
    with messages.guard(services.Problem, "list the saved plans"):
        shown = st.toggle("Show archived plans too", key="compare-archived") or rows.empty
        listed = away if shown else rows
        chosen = _choose(listed, away)
        _manage(info, away, chosen)
    with messages.guard(services.Problem, "compare the plans"):
        if len(chosen) < 2:
            more = "Choose" if len(listed) > 1 else "There is one plan: save another under Plan, then choose"
            st.info(f"{more} two to four plans to set them side by side.", icon=":material/arrow_upward:")
        else:
            _side_by_side(services.side_by_side(chosen), chosen)


# -- choosing ------------------------------------------------------------------------------------------------


def _choose(listed: pd.DataFrame, known: pd.DataFrame) -> list[str]:
    """Which plans stand beside each other; part of the address."""
    names = dict(zip(known["id"], known["label"], strict=True))
    linked = address.asked(address.PLANS, "compare")
    if linked:
        wanted = [i for i in linked.split(",") if i]
        st.session_state["compare-plans"] = [i for i in wanted if i in names][: services.MOST]
        gone = [messages.plain(i) for i in wanted if i not in names]
        address.not_here("plan", gone, [messages.plain(n) for n in names.values()])
    offered = list(dict.fromkeys([*listed["id"], *st.session_state.get("compare-plans", [])]))
    offered = [i for i in offered if i in names]
    if "compare-plans" in st.session_state:
        st.session_state["compare-plans"] = [i for i in st.session_state["compare-plans"] if i in names]
    else:
        st.session_state["compare-plans"] = list(listed["id"][:2])
    chosen = st.multiselect(
        "Plans side by side",
        offered,
        format_func=names.__getitem__,
        max_selections=services.MOST,
        key="compare-plans",
        persist_state="session",
        help="Two to four; the order here is the order of the columns.",
    )
    address.write(address.PLANS, ",".join(chosen))
    units = list(dict.fromkeys(listed["unit"]))
    columns = {
        "label": Column("Plan", width=240),
        "model": Column("Model", width=170),
        "version": Column("Data version", "count"),
        "capacity": Column("K", "count", "Items for each user"),
        "min_exposure": Column("At least", "share", "Promised minimum (β), share of the visitors"),
        "max_exposure": Column("At most", "share", "Promised maximum (β′), share of the visitors"),
        "own": Column("Own", "count", "Items and groups with a promise of their own"),
        "feasible": Column(
            "Kept in the plan",
            "yes",
            "Whether every promise is kept on the visitors that the plan was made for, who were known in advance. How "
            "many are kept on others stands below: “Promises kept when delivered”.",
        ),
        "objective": Column(units[0].capitalize() if len(units) == 1 else "Expected", "count", "In the plan"),
        "unit": Column("What is expected", help="What the scores of the plan are summed up to"),
        "precision": Column(messages.PER_DELIVERY, "decimal", messages.ABOUT_PER_DELIVERY),
        "item_perplexity": Column("Items reached", "count", "Effective number (perplexity), in the test window"),
        "archived": Column("Archived", "yes"),
        "note": Column("Note"),
        "created_at": Column("Saved", "time"),
    }
    columns = {name: column for name, column in columns.items() if name not in _unsaying(listed)}
    tables.show(listed, columns, "saved-plans", rows=8)
    return list(chosen)


def _unsaying(listed: pd.DataFrame) -> set[str]:
    """Columns that say nothing about these plans: a table should fit the window."""
    nothing = {
        "version": listed["version"].nunique() == 1,
        "unit": listed["unit"].nunique() == 1,
        "max_exposure": listed["max_exposure"].isna().all(),
        "own": not listed["own"].fillna(0).any(),
        "archived": not listed["archived"].any(),
        "note": not listed["note"].str.len().any(),
    }
    return {name for name, quiet in nothing.items() if quiet}


# -- one plan ------------------------------------------------------------------------------------------------


def _manage(info: services.DatasetInfo, known: pd.DataFrame, chosen: list[str]) -> None:
    """Open, rename, note, clone, put away, send one plan."""
    names = dict(zip(known["id"], known["label"], strict=True))
    with st.expander("Rename, clone, archive or send a plan", icon=":material/edit:", key="compare-manage"):
        first = chosen[0] if chosen else next(iter(names))
        plan = st.selectbox(
            "Plan", list(names), list(names).index(first), format_func=names.__getitem__, key=f"manage-{first}"
        )
        row = known[known["id"] == plan].iloc[0]
        naming, noting = st.columns(2)
        for cell, what, change, longest in (
            (naming, "name", _rename, messages.LONGEST_NAME),
            (noting, "note", _note, LONGEST_NOTE),
        ):
            key = f"{what}-{plan}-{row[what]}"
            cell.text_input(
                what.capitalize(), row[what], key=key, on_change=change, args=(plan, row[what], key, longest)
            )
        st.caption(
            "Name and note are kept as soon as you press Enter or leave the field; the last change can be undone."
        )
        with st.container(horizontal=True, vertical_alignment="center"):
            if st.button("Clone", icon=":material/content_copy:", key="manage-clone"):
                copy = services.clone(plan)
                back, forth = (partial(services.archive, copy.id, archived=a) for a in (True, False))
                _can_undo(f"cloning “{row['name']}”", back, forth)
                st.rerun()
            label, icon = ("Take back", "unarchive") if row["archived"] else ("Archive", "archive")
            if st.button(label, icon=f":material/{icon}:", key="manage-archive"):
                back, forth = (
                    partial(services.archive, plan, archived=a) for a in (row["archived"], not row["archived"])
                )
                forth()
                if not row["archived"]:
                    st.session_state["compare-drop"] = plan
                done = "taking back" if row["archived"] else "archiving"
                _can_undo(f"{done} “{row['name']}”", back, forth)
                st.rerun()
            query = {"scenario": plan, "dataset": f"{info.name} v{row['version']}"}
            st.page_link("views/plan.py", label="Open under Plan", icon=":material/tune:", query_params=query)
        st.caption("A link that opens exactly this plan: its data version, model, promises and seed.")
        st.code(address.link("plan", **query), language=None)


def _rename(plan: str, before: str, key: str, longest: int) -> None:
    """Give a plan the name that was typed, before the page is drawn."""
    messages.shorten(key, longest)
    name = str(st.session_state[key]).strip()
    if not name:
        st.session_state[key] = before
        st.toast(f"A plan needs a name: it is still called **{messages.plain(before)}**.")
    elif name != before:
        with messages.guard(services.Problem, "rename the plan"):
            renamed = services.rename(plan, name).name
            taken = "" if renamed == name else " Another plan has the name you typed."
            st.toast(f"The plan is called **{messages.plain(renamed)}** now.{taken}", icon=":material/check:")
            _can_undo("renaming it", *(partial(services.rename, plan, n) for n in (before, renamed)))


def _note(plan: str, before: str, key: str, longest: int) -> None:
    """Keep the note that was typed beside a plan."""
    messages.shorten(key, longest)
    text = str(st.session_state[key]).strip()
    if text != before:
        with messages.guard(services.Problem, "keep the note"):
            services.note(plan, text)
            st.toast("The note is kept.", icon=":material/check:")
            _can_undo("the note", *(partial(services.note, plan, t) for t in (before, text)))


def _can_undo(what: str, back: Callable[[], object], forth: Callable[[], object]) -> None:
    """Offer to take the last change back, and to make it again after that."""
    st.session_state["compare-undo"] = (what, back, forth)
    st.session_state.pop("compare-redo", None)


def _undo() -> None:
    """The last change to a saved plan, taken back with one press and made again with another."""
    dropped = st.session_state.pop("compare-drop", None)
    if dropped is not None:
        kept = [i for i in st.session_state.get("compare-plans", []) if i != dropped]
        st.session_state["compare-plans"] = kept
    for this, other in (("undo", "redo"), ("redo", "undo")):
        offered = st.session_state.get(f"compare-{this}")
        if offered is None:
            continue
        what, back, forth = offered
        label = f"{this.capitalize()} {messages.plain(what)}"
        if st.button(label, icon=f":material/{this}:", key=f"compare-{this}-go"):
            (back if this == "undo" else forth)()
            st.session_state[f"compare-{other}"] = st.session_state.pop(f"compare-{this}")
            st.rerun()


# -- side by side ----------------------------------------------------------------------------------------------


def _side_by_side(found: services.SideBySide, chosen: list[str]) -> None:
    if not found.same_data:
        st.warning(
            "These plans were made on different events or windows: their figures cannot be compared one to one.",
            icon=":material/warning:",
        )
    if len(found.units) > 1:
        st.info(
            f"These plans sum up different things: {', '.join(found.units)}. What one of them comes to is no measure "
            "of another; each has a row of its own.",
            icon=":material/straighten:",
        )
    for scenario_id in found.undelivered:
        scenario = services.find_scenario(scenario_id)
        if scenario is not None:
            _deliver(scenario)
    gone = [n for i, n in zip(chosen, found.names, strict=True) if n in found.unread and i not in found.undelivered]
    if gone:
        names = ", ".join(messages.plain(n) for n in gone)
        st.info(
            f"The items of {names} cannot be shown: the data or the model are here no more.", icon=":material/info:"
        )
    only = st.toggle("Only what differs", key="compare-only")
    beside = len(found.names) < STACKED
    asked, came = st.columns(2, gap="large") if beside else (st.container(), st.container())
    for cell, heading, rows in ((asked, "What was promised", found.asked), (came, "What came of it", found.came)):
        with cell:
            st.subheader(heading, anchor=False)
            rows = rows.assign(differs=rows.apply(_differ, axis=1))
            _figures(rows[rows["differs"]] if only else rows, found.names)
    left, right = st.columns([2, 3], gap="large")
    with left:
        st.subheader("Relevance against reach", anchor=False)
        if len(found.points) < 2:
            st.caption("Fewer than two of these plans were delivered.")
        else:
            alt = "Interactions per delivery against items reached, one mark a plan"
            charts.show(plan_charts.plans(found.points), "compare-points", alt)
    with right:
        _items(found)
    st.caption("A link that opens this comparison:")
    st.code(address.link("compare", plans=",".join(chosen), dataset=st.session_state.get("dataset", "")), language=None)


def _deliver(scenario: services.Scenario) -> None:
    """A plan that was never delivered has no figures of its test window: the way to them."""
    text, link = st.columns([5, 2], vertical_alignment="center")
    text.info(
        f"“{messages.plain(scenario.name)}” was not yet delivered to its test window: what came of it is not known.",
        icon=":material/schedule_send:",
    )
    query = {"scenario": scenario.id, "dataset": f"{scenario.dataset} v{scenario.dataset_version}"}
    link.page_link("views/delivery.py", label="Deliver it", icon=":material/arrow_forward:", query_params=query)


def _differ(row: pd.Series) -> bool:
    """Whether figures differ as people read them; a plan that has no such figure is passed over."""
    read = {_value(row["kind"], value) for value in row.filter(like="value_") if value == value}
    return bool(row["differs"]) and (row["kind"] == "text" or len(read) > 1)


def _figures(rows: pd.DataFrame, names: tuple[str, ...]) -> None:
    """Figures as a table, a column a plan; what differs is marked."""
    if rows.empty:
        st.caption("No difference here.")
        return
    shown = pd.DataFrame(
        {"": [("● " if d else "") + label for d, label in zip(rows["differs"], rows["label"], strict=True)]}
    )
    heads = [name if len(name) <= LONGEST else f"{name[: LONGEST - 1].rstrip()}…" for name in names]
    for i, name in enumerate(heads if len(set(heads)) == len(heads) else names):
        shown[messages.plain(name)] = [
            messages.plain(_value(kind, value)) for kind, value in zip(rows["kind"], rows[f"value_{i}"], strict=True)
        ]
    st.table(shown.set_index(""))


def _value(kind: str, value: object) -> str:
    """A figure as people read it."""
    if value is None or isinstance(value, str):
        return messages.NONE if value is None else value
    number = float(str(value))
    if kind == "share" and 0 < number < 0.0001:
        return f"below {messages.percent(0.0001, 2)}"
    if kind == "share":
        return messages.percent(number, 2 if number < 0.1 else 1)
    return messages.count(number) if kind == "count" else messages.decimal(number, 5)


def _items(found: services.SideBySide) -> None:
    st.subheader("Who gets more, who gets less", anchor=False)
    names = tuple(n for n in found.names if n not in found.unread)
    if len(names) < 2 or found.items.empty:
        st.caption("The items of fewer than two of these plans can be shown.")
        return
    different = found.items[found.items["spread"] > 0]
    if different.empty:
        st.success("Every item reaches just as many visitors under each of these plans.", icon=":material/equal:")
        return
    st.caption(
        f"{messages.count(len(different), 'items')} of {messages.count(len(found.items))} differ; "
        f"the {min(SHOWN, len(different))} that differ most:"
    )
    charts.show(
        plan_charts.differences(different.head(SHOWN), names),
        "compare-items",
        "Visitors reached by the items that differ most, one mark a plan",
    )
    with st.expander("Show all items as a table", icon=":material/table:"):
        columns = {"title": Column("Item"), "item_id": Column("Id"), "spread": Column("Difference", "count")}
        for i, name in enumerate(names):
            columns[f"delivered_{i}"] = Column(f"{name}: delivered", "count")
            columns[f"minimum_{i}"] = Column(f"{name}: at least", "count")
            columns[f"cost_{i}"] = Column(f"{name}: cost of one more", "decimal")
        tables.paged(found.items, columns, "compare-table", search=("title", "item_id"))


page()
