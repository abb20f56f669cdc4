"""The frontier of a plan: relevance against reach as the promise grows, and points that lead to other plans."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pandas as pd
import streamlit as st

from app import services
from app.ui import charts, messages, plan_charts, tables
from app.ui.tables import Column
from app.views import history, waiting


def frontier(result: services.PlanResult) -> None:
    """Relevance against perplexity, computed on demand and kept."""
    request = result.request
    names = services.comparable(request.model_id)
    chosen = st.multiselect(
        "Models",
        list(names),
        default=[request.model_id],
        format_func=names.__getitem__,
        key=f"frontier-models-{request.model_id}",
        help="Models trained on the same windows; the sweep plans with each of them.",
    ) or [request.model_id]
    if not waiting.over(services.frontier_key(request, chosen), "sweep the promises"):
        return
    stored = services.stored_frontier(request, chosen)
    here = pd.DataFrame({"item_perplexity": [result.online.item_perplexity], "precision": [result.online.precision]})
    drawn = pd.DataFrame() if stored is None else stored
    marks = services.landmarks(request)
    if result.saved is not None:
        marks = marks[marks["id"] != result.saved.id]
    st.caption("Click a point to put its promise on the sliders, or to open the saved plan that it stands for.")
    charts.show(
        plan_charts.frontier(drawn, here, marks),
        "frontier",
        "Interactions per delivery against items reached: this plan, the plan without promises, saved plans",
        on_select=_clicked,
    )
    if stored is None:
        st.caption(
            ":material/show_chart: Sweep the promised minimum from nothing to its largest value, and the curve shows "
            "how much relevance each step costs."
        )
    else:
        columns = {
            "model": Column("Model"),
            "mode": Column(
                "How", help="With the users known in advance, or deciding for one visitor at a time (online)"
            ),
            "min_exposure": Column("At least", "share", "Promised minimum (β), share of the visitors"),
            "precision": Column(messages.PER_DELIVERY, "decimal", messages.ABOUT_PER_DELIVERY),
            "item_perplexity": Column("Items reached", "count", "Effective number (perplexity)"),
            "user_perplexity": Column("Users reached", "count", "Effective number of visitors (perplexity)"),
            "kept": Column("Promises kept", "share", "Share of the items at or above their promise"),
            "shortfall": Column("Shortfall", "share", "Missing deliveries, as a share of those promised"),
            "gap": Column("Gap", "share", "How far from the optimum the plan can be"),
        }
        tables.beside(stored.assign(mode=stored["mode"].map(charts.mode)), columns, "frontier-table")
    columns = {
        "name": Column("Plan"),
        "precision": Column(messages.PER_DELIVERY, "decimal"),
        "item_perplexity": Column("Items reached", "count"),
    }
    tables.beside(marks, columns, "landmarks-table", "Show the marked plans as a table")
    label = "Sweep again" if stored is not None else "Sweep the promises"
    kind: Literal["primary", "secondary"] = "primary" if stored is None else "secondary"
    if st.button(label, key="frontier-go", icon=":material/show_chart:", type=kind):
        services.request_frontier(request, chosen)
        st.rerun()


def _clicked() -> None:
    """A point of the frontier was clicked: its promise on the sliders, or the plan it stands for."""
    points = st.session_state["frontier"]["selection"]["points"]
    said = points[0].get("customdata") if points else None
    current = next(iter(st.session_state.get("plan-past", [])[-1:]), None)
    if not said or current is None:
        return
    if said[0] == "share":
        history.put(replace(current, min_exposure=round(float(said[1]), 6)))
    elif said[0] == "open":
        history.open_scenario(str(said[1]))
