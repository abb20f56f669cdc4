"""Every chart of the dashboard: a frame in, a plotly figure out.

Colours are Okabe and Ito's, which colour-blind people tell apart, in a shade that reads on the theme's
background; whatever a colour says is said by a symbol or a dash too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

Theme = Literal["light", "dark"]
HEIGHT = 320
DAY = pd.Timedelta(days=1)
PER_DELIVERY = "%{y:,.3~r} interactions per delivery"
"""The height of a point in what is said of it, in three digits."""
BAR = 30
"""Pixels on top that belong to Plotly's buttons, which show when the mouse is over a chart; legends stand below."""
LEGEND = 30
"""Pixels below for the names of what is drawn."""
UNUSED = ["lasso2d", "select2d", "autoScale2d", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d"]
"""Buttons of Plotly that nobody needs: dragging zooms, a double click resets."""


MODES = {
    "offline greedy": "known in advance, item by item",
    "offline dual": "known in advance, by prices",
    "online dual": "one at a time, by prices",
}
"""Ways to plan: with the users known in advance (offline) or not, and by a greedy rule or the prices of items."""


def mode(name: object) -> str:
    """A way to plan in plain words."""
    return MODES.get(str(name), str(name))


@dataclass(frozen=True)
class Palette:
    """Colours by what they say."""

    main: str
    second: str
    good: str
    bad: str
    over: str
    quiet: str
    ink: str
    series: tuple[str, ...]


PALETTES: dict[Theme, Palette] = {
    "light": Palette(
        main="#0072B2",
        second="#E69F00",
        good="#0072B2",
        bad="#D55E00",
        over="#CC79A7",
        quiet="#9AA3AD",
        ink="#1F2933",
        series=("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#5B5B5B"),
    ),
    "dark": Palette(
        main="#56B4E9",
        second="#E69F00",
        good="#56B4E9",
        bad="#FF8A4C",
        over="#E8A6C8",
        quiet="#77818C",
        ink="#E6EAEE",
        series=("#56B4E9", "#FF8A4C", "#2FC9A0", "#E8A6C8", "#F0C24B", "#8FA8FF", "#B8B8B8"),
    ),
}


def palette() -> Palette:
    """The palette of the theme the page is shown in."""
    return PALETTES["dark" if st.context.theme.type == "dark" else "light"]


def literal(name: object) -> str:
    """A name that Plotly must not interpret: its labels are HTML, and its templates fill in %{…}."""
    return escape(str(name), quote=False).replace("{", "&#123;")


def show(figure: go.Figure, key: str, alt: str, on_select: Callable[[], None] | None = None) -> None:
    """Put a figure on the page, as wide as its column; ``alt`` says in words what it shows.

    ``on_select`` is called when a point was clicked; what was clicked stands in the session state under ``key``.
    """
    st.plotly_chart(
        figure,
        width="stretch",
        key=key,
        alt=alt,
        on_select=on_select or "ignore",
        selection_mode="points",
        config={"displaylogo": False, "modeBarButtonsToRemove": UNUSED},
    )


def layout(figure: go.Figure, x: str, y: str, *, height: int = HEIGHT, legend: bool = False) -> go.Figure:
    figure.update_layout(
        height=height + (LEGEND if legend else 0),
        margin={"l": 8, "r": 8, "t": BAR, "b": 8},
        showlegend=legend,
        legend={"orientation": "h", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom"},
        hoverlabel={"align": "left"},
    )
    figure.update_xaxes(title=x, automargin=True, separatethousands=True)
    figure.update_yaxes(title=y, automargin=True, separatethousands=True)
    _lone_points(figure)
    return figure


def _lone_points(figure: go.Figure) -> None:
    """A line of one point is drawn as a mark, and an axis of one value gets a scale that makes sense of it."""
    for trace in figure.data:
        if isinstance(trace, go.Scatter) and trace.mode == "lines" and len(trace.x) == 1:
            trace.update(mode="markers", marker={"size": 10, "color": trace.line.color})
    for axis, name in ((figure.layout.xaxis, "x"), (figure.layout.yaxis, "y")):
        values = {value for trace in figure.data if trace[name] is not None for value in list(trace[name])}
        if len(values) != 1 or axis.type in ("log", "category") or axis.range is not None:
            continue
        (only,) = values
        if isinstance(only, datetime | np.datetime64):
            middle = pd.Timestamp(only)
            axis.update(range=[middle - DAY, middle + DAY], tickvals=[middle], tickformat="%d %b %Y")
        elif not isinstance(only, str):
            axis.update(rangemode="tozero")


# -- data ------------------------------------------------------------------------------------------------


def events_over_time(frame: pd.DataFrame, unit: str) -> go.Figure:
    """Events a day or week. ``frame``: start, events."""
    figure = go.Figure(
        go.Scatter(
            x=frame["start"],
            y=frame["events"],
            mode="lines",
            line={"color": palette().main, "width": 1.5},
            fill="tozeroy",
            hovertemplate=f"{unit} of %{{x|%d %b %Y}}<br>%{{y:,}} events<extra></extra>",
        )
    )
    figure.update_yaxes(rangemode="tozero")
    return layout(figure, "", f"events per {unit}")


def popularity(frame: pd.DataFrame) -> go.Figure:
    """Events of every item, from the most popular down. ``frame``: rank, item, events."""
    figure = go.Figure(
        go.Scatter(
            x=frame["rank"],
            y=frame["events"],
            customdata=frame["item"].map(literal),
            mode="lines",
            line={"color": palette().main, "width": 2},
            hovertemplate="%{customdata}<br>rank %{x:,}: %{y:,} events<extra></extra>",
        )
    )
    figure.update_xaxes(type="log", dtick=1)
    figure.update_yaxes(type="log", dtick=1)
    return layout(figure, "item rank (log)", "events (log)")


def user_activity(frame: pd.DataFrame) -> go.Figure:
    """How many users have how many events. ``frame``: low, high, users."""
    labels = [
        f"{low:,}" if low == high else f"{low:,}–{high:,}"
        for low, high in zip(frame["low"], frame["high"], strict=True)
    ]
    figure = go.Figure(
        go.Bar(
            x=labels,
            y=frame["users"],
            marker_color=palette().main,
            hovertemplate="%{x} events<br>%{y:,} users<extra></extra>",
        )
    )
    figure.update_xaxes(type="category")
    return layout(figure, "events per user", "users")


def windows(frame: pd.DataFrame, activity: pd.DataFrame, unit: str) -> go.Figure:
    """The windows of a split drawn over the activity. ``frame``: part, start, stop; ``activity``: start, events."""
    p = palette()
    styles = {"training": (p.quiet, ""), "calibration": (p.second, "/"), "test": (p.main, "x")}
    most = float(activity["events"].max()) or 1.0
    figure = go.Figure()
    named: set[str] = set()
    for row in frame.itertuples():
        dates = f"{row.start:%d %b %Y} → {row.stop:%d %b %Y}"
        colour, pattern = styles[row.part]
        figure.add_trace(
            go.Bar(
                x=[row.start + (row.stop - row.start) / 2],
                y=[1.05 * most],
                width=[(row.stop - row.start).total_seconds() * 1000],
                name=row.part,
                legendgroup=row.part,
                showlegend=row.part not in named,
                marker={"color": colour, "opacity": 0.45, "pattern": {"shape": pattern, "fgcolor": p.ink, "size": 6}},
                hovertemplate=f"<b>{row.part}</b><br>{dates}<extra></extra>",
            )
        )
        named.add(row.part)
    figure.add_trace(
        go.Scatter(
            x=activity["start"],
            y=activity["events"],
            mode="lines",
            name=f"events per {unit}",
            line={"color": p.ink, "width": 1},
            hoverinfo="skip",
        )
    )
    figure.update_xaxes(type="date")
    figure.update_yaxes(rangemode="tozero")
    figure.update_layout(barmode="overlay", bargap=0)
    return layout(figure, "", f"events per {unit}", legend=True, height=260)
