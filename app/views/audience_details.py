"""How large an audience should be, and why a user is in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from app import services
from app.ui import audience_charts, charts, messages, tables
from app.ui.tables import Column
from app.views import waiting

SHOWN = 200
"""Users offered in a list; others are typed."""


def _one_item(chosen: Sequence[str], labels: Mapping[str, str], key: str) -> str:
    """The item that is looked at, of those chosen."""
    if len(chosen) == 1:
        return chosen[0]
    picked: str = st.selectbox("Item", list(chosen), format_func=labels.__getitem__, key=key)
    return picked


def size(scenario: services.Scenario, part: str, chosen: Sequence[str], labels: Mapping[str, str]) -> None:
    """Size against expected response: of the best user-states, and of those the plan gives."""
    item = _one_item(chosen, labels, "size-item")
    key = services.request_curve(scenario, part, item, waiting.wish("curve"))
    found: services.SizeCurve | None = waiting.result(key, "draw the curve")
    if found is None:
        return
    if found.everyone.empty:
        st.info("Nobody may get this item here: every visitor has it already.", icon=":material/block:")
        return
    st.caption(_said(found))
    alt = "Expected response by size of the audience, for the best visitors and for those of the plan"
    charts.show(audience_charts.size_curve(found.everyone, found.plan, found.counts), "size-curve", alt)
    columns = {
        "size": Column("Size", "count", "Visitors, best first"),
        "expected": Column("Expected", "decimal", "Of all of them together"),
        "next": Column("Of the next one", "decimal", "Expected of the last one taken"),
        "share": Column("Of all", "share", "Of what all visitors together are expected to do"),
        "happened": Column("Happened", "count", "Interactions in the window, of all of them together"),
    }
    tables.beside(found.everyone, columns, "size-table")


def _said(found: services.SizeCurve) -> str:
    everyone = found.everyone
    half = everyone[everyone["share"] >= 0.5].iloc[0] if (everyone["share"] >= 0.5).any() else everyone.iloc[-1]
    total = int(everyone["size"].iloc[-1])
    text = (
        f"Half of all the response comes from the best {messages.count(half['size'])} of "
        f"{messages.count(total, 'visitors')} ({messages.percent(half['size'] / total, 0)})."
    )
    if len(found.plan):
        mine = found.plan.iloc[-1]
        best = float(everyone[everyone["size"] <= mine["size"]]["expected"].max())
        if best > 0:
            text += (
                f" The plan's {messages.count(mine['size'])} reach {messages.percent(mine['expected'] / best, 0)} of "
                "what the same number of best ones would: the rest is what the other items need."
            )
    return text


def why(
    scenario: services.Scenario, part: str, chosen: Sequence[str], labels: Mapping[str, str], pairs: pd.DataFrame
) -> None:
    """Intensity, preference, price and the past of one user."""
    item = _one_item(chosen, labels, "why-item")
    users = pairs.loc[pairs["item_id"] == item, "user_id"].head(SHOWN).tolist()
    if not users:
        st.info("Nobody gets this item under these rules.", icon=":material/group_off:")
        return
    names = list(dict.fromkeys(users))
    if st.session_state.get("why-user") not in names:
        st.session_state["why-user"] = names[0]
    pick, write = st.columns(2, vertical_alignment="bottom")
    listed = pick.selectbox("User", names, key="why-user", help=f"The best {SHOWN} of the audience.")
    user = write.text_input("or any other user id", key="why-user-typed").strip() or listed
    key = services.request_why(scenario, part, item, user, waiting.wish("why"))
    found: services.Reasons | None = waiting.result(key, "take the decision apart")
    if found is not None:
        _reasons(found, labels.get(item, item))


def _reasons(found: services.Reasons, label: str) -> None:
    cells = st.columns(4)
    cells[0].metric(
        "Activity (intensity)", messages.decimal(found.intensity), _compared(found.intensity, found.usual_intensity),
        delta_color="off", delta_arrow="off", border=True,
        help="λ(x): interactions expected of this user in the horizon, with all items together.",
    )  # fmt: skip
    cells[1].metric(
        "Preference for the item", messages.percent(found.preference, 2),
        _compared(found.preference, found.usual_preference), delta_color="off", delta_arrow="off", border=True,
        help="p(y|x): share of her interactions that the model expects with this item.",
    )  # fmt: skip
    cells[2].metric(
        "Expected interactions", messages.decimal(found.score), "activity × preference", delta_color="off",
        delta_arrow="off", border=True, help="λ(x, y), the score of the pair.",
    )  # fmt: skip
    price = (
        "lifted by its promise"
        if found.price < 0
        else "held back by its limit"
        if found.price > 0
        else "no promise binds"
    )
    cells[3].metric(
        "Price of the item", messages.decimal(found.price), price, delta_color="off", delta_arrow="off", border=True,
        help="v: negative where a minimum lifts the item, positive where a maximum holds it back. Items compete by "
        "expected interactions less their price.",
    )  # fmt: skip
    st.markdown(_sentence(found, label))
    st.markdown(f"**What she did before {found.time:%d %b %Y, %H:%M} UTC, nearest to the item first**")
    if found.events.empty:
        st.caption("Nothing is known of her past: the model goes by what is usual.")
        return
    alike = found.events["alike"].notna().any()
    if not alike:
        st.caption("This model prefers the same items for everybody, so the latest events are shown.")
    columns = {
        "title": Column("Item"),
        "time": Column("When", "time"),
        "days_before": Column("Days before", "count"),
        "event_type": Column("Event"),
        "alike": Column(
            "Alike", "decimal", "Correlation, over users, of what the model thinks they prefer: 1 is the same"
        ),
    }
    if not alike:
        del columns["alike"]
    tables.show(found.events, columns, "why-events", rows=8)


def _compared(value: float, usual: float) -> str:
    """A figure beside the usual one."""
    if usual <= 0:
        return "usual: 0"
    return f"{value / usual:,.1f} × the usual" if value / usual < 1000 else "far above the usual"


def _sentence(found: services.Reasons, label: str) -> str:
    """The decision in words."""
    place = f"at place {messages.count(found.place)} of her items"
    if found.place != found.place_without_prices:
        place += f" (by expected interactions alone it would be at {messages.count(found.place_without_prices)})"
    margin = found.value - found.threshold
    inside = (
        f"It has {messages.decimal(found.value)} after its price; {messages.decimal(found.threshold)} are needed to be "
        "among the best for her."
    )
    if margin < 0:
        inside += " It was given all the same, because the promise needed it."
    return f"**{messages.plain(label)}** is {place}. {inside}"
