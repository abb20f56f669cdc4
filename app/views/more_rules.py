"""More rules of a plan: a cap over the period, a budget, dates, values and costs of items, single pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TypeVar

import pandas as pd
import streamlit as st

from app import services
from app.ui import messages
from app.ui.tables import PAGE, ROW
from app.views import history, pasting

if TYPE_CHECKING:
    from streamlit.elements.lib.column_types import ColumnConfig

Columns = dict[str, "ColumnConfig | str | None"]
Rule = TypeVar("Rule", services.ItemRule, services.PairRule)
PAIR_WORDS = dict(zip(services.PAIR_RULES.values(), services.PAIR_RULES, strict=True))


def area(request: services.PlanRequest) -> services.PlanRequest:
    """The rules beside the promises, folded away; the request with them."""
    rules: services.Rules = st.session_state.setdefault(history.RULES, services.Rules())
    label = f"More rules ({rules.describe()})" if rules else "More rules"
    with st.expander(messages.plain(label), icon=":material/rule:", key="plan-rules-area"):
        _keep(_limits(rules))
        items, pairs = st.tabs([":material/category: Items", ":material/person_off: Single users and items"])
        with items:
            _items(request.model_id)
        with pairs:
            _pairs(request.model_id)
    return replace(request, rules=_rules())


def _rules() -> services.Rules:
    kept: services.Rules = st.session_state[history.RULES]
    return kept


def _keep(rules: services.Rules) -> None:
    """What the fields and tables say now."""
    st.session_state[history.RULES] = rules


def _put(rules: services.Rules) -> None:
    """Rules that do not come from the tables: they are drawn anew."""
    _keep(rules)
    history.redraw_rules()


def _limits(rules: services.Rules) -> services.Rules:
    """The two limits that are one number each."""
    cap, budget = st.columns(2)
    most = cap.number_input(
        "Items for a user over the whole period, at most",
        1,
        None,
        None,
        step=1,
        placeholder="no limit",
        key="rules-per-user",
        persist_state="session",
        help="Over all times that a user comes, together. K above limits each of them.",
    )
    limit = budget.number_input(
        "Budget",
        0.0,
        None,
        None,
        placeholder="no budget",
        key="rules-budget",
        persist_state="session",
        help="What all planned deliveries may cost together, in the unit of the items' costs (below).",
    )
    return replace(rules, max_per_user=None if most is None else int(most), budget=limit)


def _items(model_id: str) -> None:
    """Dates, values and costs."""
    catalogue = services.catalogue_of(model_id)
    st.caption(
        "An item may have dates (only visitors who come between them get it), a value (the plan then maximises value × "
        "interactions: a margin, for example; items without one count 1) and a cost for the budget. Type into the last "
        "row to add one; choose rows on the left to delete them."
    )
    columns: Columns = {
        "item": st.column_config.TextColumn("Item", help="Its id or title"),
        "title": st.column_config.TextColumn("Title", disabled=True),
        "start": _moment("From", "UTC; visitors who come at or after it"),
        "end": _moment("Until", "UTC; visitors who come before it"),
        "value": st.column_config.NumberColumn("Value", min_value=0.0, help="Of one interaction; 1 where it is empty"),
        "cost": st.column_config.NumberColumn("Cost", min_value=0.0, help="Of one delivery"),
    }
    edited = _editor("items", _rules().items, services.item_table, columns, catalogue)
    _keep(replace(_rules(), items=edited))

    def take(text: str, every: bool) -> tuple[services.ReadRules, int]:
        read = services.item_rules_from_text(text, catalogue)
        before = () if every else _rules().items
        if read.items:
            _put(replace(_rules(), items=(*before, *read.items)))
        return read, len({r.item for r in before} & {r.item for r in read.items})

    caption = (
        "One row an item, with a header: item and any of start, end, value, cost. A row replaces the item's one before."
    )
    with st.container(horizontal=True):
        pasting.popover("rules-items", caption, "item,start,end,value,cost\nCOFFEE,2024-03-01,,2.5,0.10", take)
        _away("items", services.rules_to_csv(edited), bool(edited), replace(_rules(), items=()))
    pasting.left_out("rules-items")


def _pairs(model_id: str) -> None:
    """Users who never, always or no more get an item."""
    catalogue = services.catalogue_of(model_id)
    st.caption(
        "A user never gets an item (she asked not to), always gets it (it was promised to her), or was contacted about "
        "it already. Type into the last row to add one; choose rows on the left to delete them."
    )
    columns: Columns = {
        "rule": st.column_config.SelectboxColumn("Rule", options=list(PAIR_WORDS), default=next(iter(PAIR_WORDS))),
        "user": st.column_config.TextColumn("User", help="Her id"),
        "item": st.column_config.TextColumn("Item", help="Its id or title"),
        "title": st.column_config.TextColumn("Title", disabled=True),
    }
    edited = _editor("pairs", _rules().pairs, services.pair_table, columns, catalogue)
    _keep(replace(_rules(), pairs=edited))

    def take(text: str, every: bool) -> tuple[services.ReadRules, int]:
        rule = PAIR_WORDS[st.session_state["rules-pairs-rule"]]
        read = services.pair_rules_from_text(text, catalogue, rule)
        before = () if every else _rules().pairs
        if read.pairs:
            _put(replace(_rules(), pairs=(*before, *read.pairs)))
        return read, len(set(before) & set(read.pairs))

    def which() -> None:
        st.selectbox("These users", list(PAIR_WORDS), key="rules-pairs-rule", help="For rows without a rule column.")

    caption = "One row a pair: user and item. A header, and a third column with the rule, are welcome."
    with st.container(horizontal=True):
        pasting.popover("rules-pairs", caption, "user,item\n1042,COFFEE", take, before=which)
        _away("pairs", services.rules_to_csv(edited), bool(edited), replace(_rules(), pairs=()))
    pasting.left_out("rules-pairs")


def _moment(label: str, explanation: str) -> ColumnConfig:
    return st.column_config.DatetimeColumn(label, help=explanation, format="YYYY-MM-DD HH:mm", step=60)


def _editor(
    kind: Literal["items", "pairs"],
    rules: tuple[Rule, ...],
    table: Callable[[Iterable[Rule], pd.DataFrame], pd.DataFrame],
    columns: Columns,
    catalogue: pd.DataFrame,
) -> tuple[Rule, ...]:
    """The rules as a table to edit in place, a page at a time; rows can be added and deleted. What it says now.

    A table keeps its own edits as long as it is the same one: it begins with the rules as they were when it was drawn
    first, and is another one when rules come from elsewhere (undo, a file, a saved plan).
    """
    state = st.session_state
    wanted = _wanted(kind, len(rules))
    found = [r for r in rules if wanted in f"{getattr(r, 'user', '')} {r.item}".lower()]
    page = _page(kind, len(found))
    key = f"rules-{kind}-table-{state.get(history.RULES_VERSION, 0)}-{wanted}-{page}"
    if key not in state:
        shown = found[(page - 1) * PAGE : page * PAGE]
        taken = set(shown)
        state[f"rules-{kind}-base"] = table(shown, catalogue), tuple(r for r in rules if r not in taken)
    base: pd.DataFrame
    rest: tuple[Rule, ...]
    base, rest = state[f"rules-{kind}-base"]
    plain = (base["title"] == base["item"]).all()
    edited: pd.DataFrame = st.data_editor(
        base,
        key=key,
        num_rows="dynamic",
        hide_index=True,
        width="stretch",
        height=ROW * (2 + min(6, len(base))) + 3,
        row_height=ROW,
        placeholder=messages.NONE,
        column_config=columns,
        column_order=[c for c in columns if c != "title" or not plain],
    )
    read = services.rules_from_table(edited, catalogue, set(base["item"]))
    pasting.complaints(read.problems)
    said: tuple[Rule, ...] = getattr(read, kind)
    return rest + said


def _wanted(kind: str, rows: int) -> str:
    """What a long table is searched for, in lower case."""
    if rows <= PAGE:
        return ""
    return st.text_input("Search", key=f"rules-{kind}-search", placeholder="part of an id").strip().lower()


def _page(kind: str, rows: int) -> int:
    """Which page of a long table is looked at."""
    pages, key = max(1, -(-rows // PAGE)), f"rules-{kind}-page"
    if pages == 1:
        return 1
    if st.session_state.get(key, 1) > pages:
        st.session_state[key] = 1
    return int(st.number_input(f"Page (of {pages:,})", 1, pages, key=key))


def _away(key: str, file: bytes, some: bool, without: services.Rules) -> None:
    """The rows as a file, and a way to drop them."""
    st.download_button(
        "Download as CSV", file, f"{key}.csv", "text/csv", on_click="ignore", icon=":material/download:",
        key=f"rules-{key}-download", disabled=not some,
    )  # fmt: skip
    st.button(
        "Clear", icon=":material/delete_sweep:", key=f"rules-{key}-clear", disabled=not some,
        on_click=_put, args=(without,),
    )  # fmt: skip
