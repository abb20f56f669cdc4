"""What becomes of a plan's promises: figures, deliveries, costs, who pays, the frontier, the proof."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from app import services
from app.ui import charts, messages, plan_charts, tables
from app.ui.tables import Column
from app.views import choosing, plan_costs, plan_frontier, promises, waiting

STAGES = {
    "outlook": "What to expect",
    "online": "Delivered online (test window)",
    "planned": "Planned (calibration windows)",
}
VERDICTS = {"short": 0, "over": 1, "kept": 2}
OUTLOOKS = {"unlikely": 0, "even": 1, "takes": 2, "likely": 3, "": 4}


def show(result: services.PlanResult, stored: services.PlanResult | None = None) -> None:
    """Everything about one plan; ``stored`` is the same plan as it was saved, when it was computed again."""
    _verdict(result, stored)
    headline(result)
    for tab, draw in zip(st.tabs(list(TABS), key="plan-tabs", on_change="rerun"), TABS.values(), strict=True):
        if tab.open:  # only what is seen is drawn: a moved slider answers sooner
            with tab, messages.guard(services.Problem, "show this part of the plan"):
                draw(result)


def _verdict(result: services.PlanResult, stored: services.PlanResult | None) -> None:
    """Where the figures come from, and what stands in the way of the promises."""
    if result.saved is not None:
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.caption(
                f":material/bookmark: **{messages.plain(result.saved.name)}**, as it was saved "
                f"{messages.ago(result.saved.created_at)}",
                width="content",
            )
            if st.button("Compute again", key="plan-compute-again", icon=":material/refresh:"):
                st.session_state["plan-again-of"] = result.request.key
                waiting.take_up()
                st.rerun()
    elif stored is not None and stored.saved is not None:
        same = services.same_figures(result, stored.saved)
        text = "computed again with the same figures" if same else "computed again; its figures have changed since"
        st.caption(f":material/bookmark: **{messages.plain(stored.saved.name)}** · {text}")
    if not result.certificate.feasible:
        _clash(result)
    if result.margin is not None:
        m = result.margin
        short = "" if m.reached >= m.asked else f" There is room for {messages.percent(m.reached, 0)} only."
        st.caption(
            f":material/shield: Planned to be {messages.percent(m.asked, 0)} sure: "
            f"{messages.count(m.added, 'deliveries are')} promised beyond what is asked for, at "
            f"{messages.percent(m.cost, 2)} of what is expected.{short}"
            if m.added or m.reached >= m.asked
            else f":material/shield: There is no room for a margin that would make it {messages.percent(m.asked, 0)} "
            "sure: the plan is the one without."
        )
    if not result.counts:
        st.info(
            "This model says what a user prefers, not how active she will be: its scores are shares of preference, "
            "and their sum is no number of interactions. Choose a product such as GRU×HawkesPoisson for counts.",
            icon=":material/info:",
        )


def _clash(result: services.PlanResult) -> None:
    """Which promises clash, and ways out at one click."""
    if services.promised_places(result.request) > services.all_places(result.request):
        st.warning(
            "**Not all promises can be kept together:** there are too few places. The plan keeps them as far as "
            "possible; the ways out stand under the sliders.",
            icon=":material/warning:",
        )
        return
    with st.container(border=True, key="plan-clash"):
        shown, rest = result.problems[:3], len(result.problems) - 3
        more = f"\n\n… and {messages.count(rest)} more." if rest > 0 else ""
        said, kept = "Not all promises can be kept together.", "The plan keeps them as far as possible."
        if result.over_budget and not result.broken:
            said = "The budget is too small for what is promised."
            kept = (
                f"The plan keeps every promise to items and overruns the budget of {result.request.rules.budget:,.6g} "
                f"by {result.over_budget:,.6g}."
            )
        st.warning(
            f"**{said}**\n\n"
            + "\n".join(f"- {messages.plain(messages.visitors(p))}" for p in shown)
            + f"{more}\n\n{kept}",
            icon=":material/warning:",
        )
        promises.ways_out(result.request, result, "plan", "Ways out:")


def headline(result: services.PlanResult) -> None:
    """Four figures that sum the plan up."""
    certificate = result.certificate
    gap = "no gap is shown" if certificate.gap is None else f"gap {_small(certificate.gap)}"
    if result.over_budget:
        gap = f"{result.over_budget:,.6g} over the budget"
    elif len(result.short_groups):
        gap = f"{messages.count(len(result.short_groups), 'groups')} together not kept"
    made = result.promises > 0
    total = messages.count(result.promises)
    metrics = (
        (
            result.unit.capitalize(),
            messages.short(certificate.objective),
            _given_up(result),
            "Sum of the scores of all planned deliveries; below it, what is given up against a plan without promises.",
        ),
        (
            "Kept in the plan",
            f"{messages.count(result.promises - result.broken)} of {total}" if made else "none made",
            gap,
            "Promises kept on the calibration windows, where prices are found. The gap says how far from the optimum "
            "the plan can be, at most.",
        ),
        (
            "Kept when delivered",
            f"{messages.count(result.promises - result.broken_online)} of {total}" if made else "none made",
            "one visitor at a time",
            "Promises kept in the test window, where the same prices decide for one visitor at a time.",
        ),
        (
            messages.PER_DELIVERY,
            messages.decimal(result.online.precision),
            f"{messages.count(result.online.item_perplexity, 'items')} in effect",
            f"{messages.ABOUT_PER_DELIVERY}; below it, the effective number of items reached (perplexity).",
        ),
    )  # fmt: skip
    for cell, (label, value, delta, explanation) in zip(st.columns(4), metrics, strict=True):
        cell.metric(label, value, delta, delta_color="off", delta_arrow="off", border=True, help=explanation)


def preview(before: services.PlanResult, seen: services.PlanPreview | None) -> None:
    """What the promises would come to, about, until the plan is there; or the plan before."""
    if seen is None:
        st.caption(f"Until then, the plan before: {messages.plain(before.request.describe())}")
        headline(before)
        return
    st.caption(":material/bolt: A preview, from the prices of the plan before; the proven plan follows.")
    was = before.certificate.objective
    change = seen.expected / was - 1 if was > 0 else 0.0
    cells = st.columns(3)
    cells[0].metric(
        f"{before.unit.capitalize()}, about",
        messages.short(seen.expected),
        f"{'+' if change > 0 else ''}{messages.percent(change, 2)}",
        delta_color="off",
        delta_arrow="off",
        border=True,
        help="Below it, against the plan before.",
    )
    cells[1].metric("Items in effect, about", messages.count(seen.item_perplexity), border=True, help="Perplexity")
    moved = abs(seen.delivered - before.items["planned_delivered"].to_numpy()).sum() / 2
    cells[2].metric("Deliveries that move, about", messages.count(moved), border=True, help="From one item to another")


def _given_up(result: services.PlanResult) -> str:
    """What the promises cost; nothing is said of a plan that spends more than one without promises may."""
    cost = result.cost_of_promises
    if cost is None or result.over_budget:
        return "in the plan"
    return f"{messages.percent(-cost, 1)} for the promises" if cost else "nothing given up"


def _small(gap: float) -> str:
    """A gap as people read it: below a hundredth of a percent it says so."""
    return f"below {messages.percent(0.0001, 2)}" if gap < 0.0001 else f"≤ {messages.percent(gap, 2)}"


def _delivery(result: services.PlanResult) -> None:
    stage = st.segmented_control(
        "Where",
        list(STAGES),
        format_func=STAGES.__getitem__,
        default="outlook",
        required=True,
        key="plan-stage",
        label_visibility="collapsed",
    )
    outlook = stage == "outlook"
    if outlook and not result.measured:
        choosing.work_out(result)
        return
    part = "planned" if stage == "planned" else "online"
    items = result.items.assign(
        item=result.items["title"],
        delivered=result.items[f"{part}_delivered"],
        minimum=result.items[f"{part}_minimum"],
        maximum=result.items[f"{part}_maximum"],
        verdict=result.items[f"{part}_verdict"],
        said=result.items["outlook"].map(plan_charts.OUTLOOKS),
    )
    if outlook:
        _outlook(result)
    charts.show(
        plan_charts.delivery(items, outlook=outlook),
        "delivery",
        "Visitors expected to get every item against its promise, with the interval that holds nine of ten windows"
        if outlook
        else "Visitors who got every item against its promise",
    )
    columns = {
        "title": Column("Item"),
        "item_id": Column("Id"),
        "said": Column("Outlook", help="Of the promise, when other visitors come one at a time", width=210),
        "chance": Column("Chance", "share", "That the promise is kept"),
        "verdict": Column("Promise"),
        "expected": Column("Expected", "count", "Visitors who will get the item"),
        "low": Column("From", "count", "Nine of ten windows lie between"),
        "high": Column("To", "count", "Nine of ten windows lie between"),
        "delivered": Column("In the test window" if outlook else "Delivered", "count", "Visitors who get the item"),
        "minimum": Column("At least", "count", "Promised visitors"),
        "maximum": Column("At most", "count", "Promised visitors"),
        "cost": Column(
            "Cost of one more", "decimal", "Expected interactions given up for one more delivery of this item"
        ),
    }
    for name in ("verdict",) if outlook else ("said", "chance", "expected", "low", "high"):
        del columns[name]
    if items["maximum"].isna().all():
        del columns["maximum"]
    first = items["outlook"].map(OUTLOOKS) if outlook else items["verdict"].map(VERDICTS)
    by = "expected" if outlook else "delivered"
    ordered = items.assign(first=first).sort_values(["first", by], kind="stable")
    tables.paged(ordered, columns, "delivery-table", search=("title", "item_id"))


def _outlook(result: services.PlanResult) -> None:
    """How many promises are likely to be kept."""
    counts = result.items["outlook"].value_counts()
    least, sure = messages.percent(services.UNLIKELY, 0), messages.percent(services.LIKELY, 0)
    if not counts.drop("", errors="ignore").sum():
        st.caption("No minimum is promised: nothing can be missed.")
    else:
        for cell, (verdict, name, explanation) in zip(
            st.columns(4),
            (
                ("likely", "Likely", f"{sure} or more, without taking places from other items."),
                ("takes", "Likely at others’ cost", f"{sure} or more, because other items give places up for them."),
                (
                    "even",
                    "About even",
                    f"{least} to {sure}: what is met on average is missed about half of the time. Planning with "
                    "“90 % sure when delivered” takes a margin.",
                ),
                ("unlikely", "Unlikely", f"Less than {least}."),
            ),
            strict=True,
        ):
            number = messages.count(int(counts.get(verdict, 0)), "items")
            cell.metric(name, number, border=True, help=explanation)
    st.caption(
        "What these prices will deliver to as many other visitors as the test window has: the band holds nine of "
        "ten such windows, as users are drawn anew from the calibration windows. In the test window itself "
        f"{messages.percent(result.foreseen, 0)} of the items came to lie within their band."
    )


def _unkept(result: services.PlanResult) -> list[str]:
    """By how much items, groups together and the budget miss what is promised of them."""
    items, said = result.items, []
    for miss, verb in (
        (items["planned_minimum"] - items["planned_delivered"], "falls short"),
        (items["planned_delivered"] - items["planned_maximum"], "exceeds"),
    ):
        if (miss > 0).any():
            said.append(f"an item {verb} by up to {messages.count(miss.max(), 'visitors')}")
    for row in result.short_groups.to_dict("records"):
        verb = "falls short" if row["delivered"] < row["minimum"] else "exceeds"
        said.append(f"{messages.plain(row['name'])} together {verb} by {messages.count(row['missed'], 'deliveries')}")
    if result.over_budget:
        said.append(f"the budget is overrun by {result.over_budget:,.6g}")
    return said


def _certificate(result: services.PlanResult) -> None:
    """The proof of how good the plan is."""
    c = result.certificate
    unit = result.unit
    if c.feasible:
        st.success(
            f"Every promise is kept on the planned visitors. No plan that keeps them can have more than "
            f"{messages.decimal(c.upper_bound, 5)} {unit}; this one has {messages.decimal(c.objective, 5)}.",
            icon=":material/verified:",
        )
    else:
        st.warning(
            f"Some promises are not kept: {'; '.join(_unkept(result))}. Lower β or what groups are promised, raise K "
            "or leave items out.",
            icon=":material/warning:",
        )
    rows = {
        f"{unit.capitalize()} of the plan": messages.decimal(c.objective, 6),
        "Upper bound for any plan": messages.decimal(c.upper_bound, 6),
        "Gap (how far from the optimum, at most)": "none is shown while a promise is unmet"
        if c.gap is None
        else messages.percent(c.gap, 4),
        "Largest shortfall": messages.count(c.max_shortfall, "visitors"),
        "Largest excess": messages.count(c.max_excess, "visitors"),
        "Visitors planned": messages.count(result.states),
        "Items": messages.count(len(result.items)),
        "Seed": messages.count(result.request.seed),
    }
    if result.groups is not None:
        for row in result.groups.to_dict("records"):
            if row["kind"] == "budget":
                rows["Budget"] = f"{messages.decimal(row['delivered'], 5)} of {messages.decimal(row['maximum'], 5)}"
                continue
            most = row["maximum"]
            limit = "" if np.isinf(most) else f", at most {messages.count(most)}"
            said = (
                f"{messages.count(row['delivered'], 'deliveries')} (at least {messages.count(row['minimum'])}{limit})"
            )
            rows[f"Together: {messages.plain(row['name'])}"] = said
    if result.seconds is not None:
        rows["Computed in"] = messages.duration(result.seconds)
    st.table(pd.DataFrame({"": rows.keys(), "Value": rows.values()}).set_index(""))


TABS = {
    ":material/local_shipping: Delivery": _delivery,
    ":material/sell: Price list": plan_costs.prices,
    ":material/group_remove: Who loses": plan_costs.who_loses,
    ":material/show_chart: Frontier": plan_frontier.frontier,
    ":material/verified: Certificate": _certificate,
}
