"""More rules of a plan: a cap over the period, a budget, dates, values and costs of items, single pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import streamlit as st

from app import services
from app.ui import messages, tables
from app.ui.tables import Column
from app.views import history

PAIR_WORDS = dict(zip(services.PAIR_RULES.values(), services.PAIR_RULES, strict=True))


def area(request: services.PlanRequest) -> services.PlanRequest:
    """The rules beside the promises, folded away; the request with them."""
    state = st.session_state
    rules: services.Rules = state.setdefault(history.RULES, services.Rules())
    label = f"More rules ({rules.describe()})" if rules else "More rules"
    with st.expander(messages.plain(label), icon=":material/rule:", key="plan-rules-area"):
        rules = _limits(rules)
        _keep(rules)
        items, pairs = st.tabs([":material/category: Items", ":material/person_off: Single users and items"])
        with items:
            _items(rules, request.model_id)
        with pairs:
            _pairs(rules, request.model_id)
    return replace(request, rules=state[history.RULES])


def _keep(rules: services.Rules) -> None:
    st.session_state[history.RULES] = rules


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
        help="Over all of a user's user-states together. K above limits each of them.",
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


def _items(rules: services.Rules, model_id: str) -> None:
    """Dates, values and costs."""
    catalogue = services.catalogue_of(model_id)
    if not rules.items:
        st.caption(
            "None yet. An item may have dates (only user-states between them get it), a value (the plan then maximises "
            "value × interactions: a margin, for example; items without one count 1) and a cost for the budget."
        )
    else:
        columns = {
            "title": Column("Item"),
            "item_id": Column("Id"),
            "start": Column("From", help="UTC; user-states at or after it"),
            "end": Column("Until", help="UTC; user-states before it"),
            "value": Column("Value", "decimal", "Of one interaction; 1 where none is given"),
            "cost": Column("Cost", "decimal", "Of one delivery"),
        }
        tables.show(services.rules_table(rules.items, catalogue), columns, "rules-items", rows=6)

    def take(text: str, every: bool) -> services.ReadRules:
        read = services.item_rules_from_text(text, catalogue)
        if read.items:
            kept = () if every else rules.items
            _keep(replace(rules, items=(*kept, *read.items)))
        return read

    caption = (
        "One row an item, with a header: item and any of start, end, value, cost. A row replaces the item's one before."
    )
    with st.container(horizontal=True):
        _exchange("items", caption, "item,start,end,value,cost\nCOFFEE,2024-03-01,,2.5,0.10", take, None)
        _away("items", services.rules_to_csv(rules.items), bool(rules.items), replace(rules, items=()))


def _pairs(rules: services.Rules, model_id: str) -> None:
    """Users who never, always or no more get an item."""
    catalogue = services.catalogue_of(model_id)
    if not rules.pairs:
        st.caption(
            "None yet. A user never gets an item (she asked not to), always gets it (it was promised to her), or was "
            "contacted about it already."
        )
    else:
        columns = {"said": Column("Rule"), "user": Column("User"), "title": Column("Item"), "item_id": Column("Id")}
        frame = services.rules_table(rules.pairs, catalogue)
        frame["said"] = frame["rule"].map(services.PAIR_RULES)
        tables.paged(frame, columns, "rules-pairs", search=("user", "title"))

    def take(text: str, every: bool) -> services.ReadRules:
        rule = PAIR_WORDS[st.session_state["rules-pairs-rule"]]
        read = services.pair_rules_from_text(text, catalogue, rule)
        if read.pairs:
            kept = () if every else rules.pairs
            _keep(replace(rules, pairs=(*kept, *read.pairs)))
        return read

    def which() -> None:
        st.selectbox("These users", list(PAIR_WORDS), key="rules-pairs-rule", help="For rows without a rule column.")

    caption = "One row a pair: user and item. A header, and a third column with the rule, are welcome."
    with st.container(horizontal=True):
        _exchange("pairs", caption, "user,item\n1042,COFFEE", take, which)
        _away("pairs", services.rules_to_csv(rules.pairs), bool(rules.pairs), replace(rules, pairs=()))


def _exchange(
    key: str,
    caption: str,
    example: str,
    take: Callable[[str, bool], services.ReadRules],
    before: Callable[[], None] | None,
) -> None:
    """Rows pasted or uploaded; what was left out is said with its reason."""
    with st.popover("Paste or upload", icon=":material/content_paste:", key=f"rules-{key}-paste"):
        if before is not None:
            before()
        st.caption(caption)
        text = st.text_area("Rows", key=f"rules-{key}-text", height=140, placeholder=example)
        file = st.file_uploader("or a CSV file", ["csv", "tsv", "txt"], key=f"rules-{key}-file", max_upload_size=16)
        every = st.toggle("Replace what is there", key=f"rules-{key}-replace")
        if st.button("Take in", type="primary", key=f"rules-{key}-take", disabled=not (text.strip() or file)):
            raw = file.getvalue().decode("utf-8-sig", errors="replace") if file is not None else text
            read = take(raw, every)
            for problem in read.problems:
                st.warning(messages.plain(problem), icon=":material/warning:")
            taken = len(read.items) + len(read.pairs)
            if taken:
                st.toast(f"{messages.count(taken, 'rows')} taken in.", icon=":material/check:")
                if not read.problems:
                    st.rerun()


def _away(key: str, file: bytes, some: bool, without: services.Rules) -> None:
    """The rows as a file, and a way to drop them."""
    st.download_button(
        "Download as CSV", file, f"{key}.csv", "text/csv", on_click="ignore", icon=":material/download:",
        key=f"rules-{key}-download", disabled=not some,
    )  # fmt: skip
    st.button(
        "Clear", icon=":material/delete_sweep:", key=f"rules-{key}-clear", disabled=not some,
        on_click=_keep, args=(without,),
    )  # fmt: skip
