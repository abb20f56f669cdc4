"""What the promises of a plan cost: the price list, why an item costs what it does, and who loses."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app import services
from app.ui import charts, messages, plan_charts, tables
from app.ui.tables import Column
from app.views import choosing

ALIKE = 0.995
"""Costs within half a percent of each other are called the same."""


def prices(result: services.PlanResult) -> None:
    """What minimums cost, and what maximums hold back."""
    dear = result.items[result.items["cost"] > 0].sort_values("cost", ascending=False)
    held = result.items[result.items["held_back"] > 0].sort_values("held_back", ascending=False)
    if dear.empty and (held.empty or (result.items["planned_minimum"] > 0).any()):
        least = "every item reaches its minimum by itself" if result.promises else "nothing is promised"
        st.info(f"No minimum costs anything: {least}.", icon=":material/savings:")
    if len(dear):
        _minimums(result, dear)
    if len(held):
        _maximums(result, held)


def _minimums(result: services.PlanResult, dear: pd.DataFrame) -> None:
    unit = result.unit
    st.caption(
        f"{messages.count(len(dear), 'items')} would not reach the promised minimum by themselves. "
        f"The cost is the {unit} given up for each further visitor such an item is shown to. {_dearest(dear)}"
    )
    alt = "What one more delivery of each item with a price costs, dearest first"
    charts.show(plan_charts.prices(dear.assign(item=dear["title"]), unit), "prices", alt)
    _story(result, dear)
    dear = dear.assign(
        thousand=1000 * dear["cost"],
        boosted=(dear["planned_delivered"] - dear["free"]).clip(lower=0),
    )
    costs = {
        "thousand": Column("A thousand more cost", "decimal", f"In {unit}, at the price of the next one"),
        "cost": Column("Cost of one more", "decimal", f"{unit.capitalize()} given up per delivery"),
    }
    more = {"boosted": Column("Boosted by", "count", "Visitors it gets beyond those")}
    limit = {"planned_minimum": Column("At least", "count", "Promised visitors")}
    _priced(dear, costs, more, limit, "prices-table")


def _maximums(result: services.PlanResult, held: pd.DataFrame) -> None:
    most = held.iloc[0]
    st.caption(
        f"{messages.count(len(held), 'items')} would reach more than the promised maximum. The maximum costs what each "
        f"further visitor of such an item would bring: {messages.decimal(most['held_back'])} {result.unit} for "
        f"{messages.plain(most['title'])}, which is held back most."
    )
    held = held.assign(kept_back=(held["free"] - held["planned_delivered"]).clip(lower=0))
    gain = {"held_back": Column("One more would bring", "decimal", f"In {result.unit}, if its maximum were one higher")}
    more = {"kept_back": Column("Held back by", "count", "Visitors that it would reach and does not")}
    limit = {"planned_maximum": Column("At most", "count", "Promised visitors")}
    _priced(held, gain, more, limit, "maximums-table")


def _priced(
    items: pd.DataFrame, price: dict[str, Column], moved: dict[str, Column], limit: dict[str, Column], key: str
) -> None:
    """Items with a price; what it moved (``moved``) where it is known what each would reach without promises."""
    free = {"free": Column("By itself", "count", "Visitors it would reach without promises"), **moved}
    columns = {
        "title": Column("Item"),
        "item_id": Column("Id"),
        **price,
        **(free if items["free"].notna().any() else {}),
        "planned_delivered": Column("Planned", "count", "Visitors in the calibration windows"),
        **limit,
    }
    tables.paged(items, columns, key, search=("title", "item_id"))


def _dearest(dear: pd.DataFrame) -> str:
    """Which items cost most, in a sentence. ``dear``: title and cost, dearest first."""
    most = dear["cost"].iloc[0]
    alike = int((dear["cost"] >= ALIKE * most).sum())
    each = messages.decimal(most)
    if alike == 1:
        return f"The dearest is {messages.plain(dear['title'].iloc[0])}, at {each}."
    if alike == len(dear):
        return f"All of them cost the same, {each} each."
    return f"{messages.count(alike)} of them cost the most, {each} each."


def _story(result: services.PlanResult, dear: pd.DataFrame) -> None:
    """Why one item costs what it costs, and at whose expense."""
    if result.made is None:
        st.caption("Press **Compute again** above to see for each item who gave way to it.")
        return
    titles = dict(zip(dear["item_id"], dear["title"], strict=True))
    chosen = st.selectbox(
        "Who gave way to", list(titles), index=None, format_func=titles.__getitem__, key="story-item",
        placeholder="choose an item",
    )  # fmt: skip
    story = services.item_story(result, chosen) if chosen else None
    if story is None:
        return
    st.markdown(messages.plain(story.sentence))
    known = result.items.set_index("item_id")["title"]
    if len(story.gave_way):
        shown = story.gave_way.assign(title=story.gave_way["item_id"].map(known))
        columns = {
            "title": Column("Item"),
            "item_id": Column("Id"),
            "lost": Column("Loses per delivery", "decimal", "Visitors, at the margin"),
        }
        tables.show(shown, columns, "story-table", rows=6)


def who_loses(result: services.PlanResult) -> None:
    """Which items give places up, and how what is given up falls on the users."""
    losses, items = result.losses, result.items
    if losses is None or items["free"].isna().any():
        choosing.work_out(result)
        return
    lost = (items["free"] - items["planned_delivered"]).clip(lower=0)
    items = items.assign(lost=lost).sort_values(["lost", "item_id"], ascending=[False, True])
    gave = items[items["lost"] > 0]
    if gave.empty:
        st.success("Nobody: the plan is the one without promises.", icon=":material/check_circle:")
        return
    cells = st.columns(3)
    cells[0].metric("Places that change hands", messages.count(int(lost.sum())), border=True)
    cells[1].metric(
        "Visitors who lose relevance",
        messages.percent(losses.worse),
        border=True,
        help="That give up more than half a percent of the interactions expected of them.",
    )
    cells[2].metric(
        "Borne by the tenth that loses most",
        messages.percent(losses.worst_tenth, 0),
        border=True,
        help="Share of all that is given up. A tenth would be even.",
    )
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Items that give way", anchor=False)
        charts.show(plan_charts.gave_way(gave.head(12)), "gave-way", "Items that lose most visitors")
    with right:
        st.subheader("Users who pay", anchor=False)
        charts.show(plan_charts.given_up(result.given_up), "given-up", "Visitors by the share they give up")
        columns = {
            "low": Column("From", "share", "Share of expected interactions given up"),
            "high": Column("To", "share"),
            "states": Column("Visitors", "count"),
        }
        tables.beside(result.given_up, columns, "given-up-table")
    columns = {
        "title": Column("Item"),
        "item_id": Column("Id"),
        "free": Column("Without promises", "count", "Visitors"),
        "planned_delivered": Column("With them", "count", "Visitors"),
        "lost": Column("Lost", "count", "Visitors"),
    }
    tables.paged(gave, columns, "gave-way-table", search=("title", "item_id"))
