"""Charts of deliveries, audiences and campaigns: a frame in, a plotly figure out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from app.ui import charts
from app.ui.charts import PER_DELIVERY, layout, literal, palette

DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
STYLES = {"kept": "circle", "short": "triangle-down", "over": "triangle-up", "unknown": "square"}


def _colours() -> dict[str, str]:
    p = palette()
    return {"kept": p.good, "short": p.bad, "over": p.over, "unknown": p.quiet}


def _line(x: Any, y: Any, name: str, colour: str, dash: str = "solid", hover: str = "", **more: Any) -> go.Scatter:
    line = {"color": colour, "width": 2, "dash": dash}
    return go.Scatter(x=x, y=y, name=name, mode="lines", line=line, hovertemplate=hover, **more)


# -- audiences -------------------------------------------------------------------------------------------


def size_curve(everyone: pd.DataFrame, plan: pd.DataFrame, counts: bool) -> go.Figure:
    """Expected response by audience size. ``everyone`` and ``plan``: size, expected and, maybe, happened."""
    p = palette()
    unit = "interactions" if counts else "summed preference"
    figure = go.Figure()
    hover = "best %{x:,} visitors<br>%{y:,.2f} " + unit
    figure.add_trace(
        _line(
            everyone["size"],
            everyone["expected"],
            "best by score: expected",
            p.main,
            "solid",
            hover + "<extra></extra>",
        )
    )
    if counts and "happened" in everyone:
        figure.add_trace(
            _line(
                everyone["size"],
                everyone["happened"],
                "best by score: happened",
                p.main,
                "dot",
                hover + "<extra></extra>",
            )
        )
    if len(plan):
        figure.add_trace(
            _line(
                plan["size"],
                plan["expected"],
                "what the plan gives: expected",
                p.second,
                "dash",
                hover + "<extra></extra>",
            )
        )
        last = plan.iloc[-1]
        marker = {"size": 13, "symbol": "diamond", "color": p.second, "line": {"color": p.ink, "width": 1}}
        figure.add_trace(
            go.Scatter(
                x=[last["size"]],
                y=[last["expected"]],
                name="size of the plan's audience",
                mode="markers",
                marker=marker,
                hovertemplate="the plan: %{x:,} visitors<br>%{y:,.2f} " + unit + "<extra></extra>",
            )
        )
    figure.update_yaxes(rangemode="tozero")
    figure.update_xaxes(rangemode="tozero")
    return layout(figure, "size of the audience (visitors, best first)", f"{unit} expected", legend=True, height=380)


# -- delivery --------------------------------------------------------------------------------------------


def course(frame: pd.DataFrame) -> go.Figure:
    """Share of the promises on pace, kept and overrun as user-states come. ``frame``: decided, on_pace, kept, over."""
    p = palette()
    figure = go.Figure()
    lines = (
        ("on_pace", "on pace or ahead", p.main, "solid"),
        ("kept", "promise already kept", p.second, "dash"),
        ("over", "above the maximum", p.over, "dot"),
    )
    for column, name, colour, dash in lines:
        if frame[column].notna().any():
            hover = f"after %{{x:,}} visitors<br>{name}: %{{y:.1%}}<extra></extra>"
            figure.add_trace(_line(frame["decided"], frame[column], name, colour, dash, hover))
    figure.update_yaxes(tickformat=".0%", range=[-0.02, 1.04])
    return layout(figure, "visitors decided so far", "share of the promised items", legend=True)


def item_courses(frames: dict[str, pd.DataFrame]) -> go.Figure:
    """Deliveries of some items against the pace of their promises. Frames: decided, delivered, pace, time."""
    figure = go.Figure()
    colours = palette().series
    for i, (title, frame) in enumerate(frames.items()):
        colour = colours[i % len(colours)]
        name, short = literal(title), literal(title if len(title) <= 28 else f"{title[:27]}…")
        figure.add_trace(
            _line(
                frame["decided"], frame["delivered"], short, colour, DASHES[i % len(DASHES)],
                f"<b>{name}</b><br>after %{{x:,}} visitors (%{{customdata|%d %b, %H:%M}})<br>"
                "delivered to %{y:,}<extra></extra>",
                customdata=frame["time"],
            )
        )  # fmt: skip
        if frame["pace"].max() > 0:
            pace = f"<b>{name}</b><br>promise, at an even pace: %{{y:,.0f}}<extra></extra>"
            figure.add_trace(
                go.Scatter(
                    x=frame["decided"],
                    y=frame["pace"],
                    mode="lines",
                    showlegend=False,
                    line={"color": colour, "width": 1, "dash": "dot"},
                    opacity=0.8,
                    hovertemplate=pace,
                )
            )
    figure.update_yaxes(rangemode="tozero")
    return layout(figure, "visitors decided so far", "visitors reached", legend=True, height=360)


def load(frame: pd.DataFrame) -> go.Figure:
    """How many items user-states get, planned and online. ``frame``: low, high, planned, online (shares)."""
    p = palette()
    labels = [f"{a:,}" if a == b else f"{a:,}–{b:,}" for a, b in zip(frame["low"], frame["high"], strict=True)]
    figure = go.Figure()
    for column, name, colour, pattern in (("planned", "planned", p.quiet, "/"), ("online", "online", p.main, "")):
        figure.add_trace(
            go.Bar(
                x=labels,
                y=frame[column],
                name=name,
                marker={"color": colour, "pattern": {"shape": pattern}},
                hovertemplate=f"{name}: %{{y:.1%}} of the visitors get %{{x}} items<extra></extra>",
            )
        )
    figure.update_xaxes(type="category")
    figure.update_yaxes(tickformat=".0%")
    figure.update_layout(barmode="group", bargap=0.15)
    return layout(figure, "items for a visitor", "share of the visitors", legend=True)


def shares(frame: pd.DataFrame) -> go.Figure:
    """Offline against online, a point an item. ``frame``: title, planned_share, online_share, verdict."""
    figure = go.Figure()
    values = frame[["planned_share", "online_share"]].to_numpy(float)
    positive = values[values > 0]
    low = float(positive.min()) * 0.7 if len(positive) else 1e-4
    high = float(values.max()) * 1.3 if values.size and values.max() > 0 else 1.0
    line = {"color": palette().ink, "width": 1, "dash": "dash"}
    figure.add_trace(
        go.Scatter(x=[low, high], y=[low, high], mode="lines", name="as planned", line=line, hoverinfo="skip")
    )
    for verdict, colour in _colours().items():
        part = frame[frame["verdict"] == verdict]
        if len(part):
            figure.add_trace(
                go.Scatter(
                    x=part["planned_share"].clip(lower=low),
                    y=part["online_share"].clip(lower=low),
                    customdata=part.assign(title=part["title"].map(literal))[
                        ["title", "planned_share", "online_share"]
                    ],
                    mode="markers",
                    name=f"{verdict} ({len(part):,})",
                    marker={"size": 7, "symbol": STYLES[verdict], "color": colour, "opacity": 0.85},
                    hovertemplate="<b>%{customdata[0]}</b><br>planned %{customdata[1]:.2%}, online %{customdata[2]:.2%}"
                    " of the visitors<extra></extra>",
                )
            )
    ticks = [base * 10.0**power for power in range(-6, 1) for base in (1, 2, 5)]
    for axis in (figure.update_xaxes, figure.update_yaxes):
        axis(type="log", tickvals=ticks, tickformat=".2~%", range=[np.log10(low), np.log10(high)])
    return layout(figure, "planned: share of the visitors (log)", "online (log)", legend=True, height=380)


def user_load(frame: pd.DataFrame) -> go.Figure:
    """Relevance against the balance of the users' load (Figures S4 to S6). ``frame``: a user-load sweep."""
    figure = go.Figure()
    for (mode, part), colour, dash in zip(frame.groupby("mode"), palette().series, DASHES, strict=False):
        name = charts.mode(mode)
        figure.add_trace(
            go.Scatter(
                x=part["users_reached"],
                y=part["precision"],
                customdata=part[["capacity", "alpha"]],
                name=name,
                mode="lines+markers",
                line={"color": colour, "dash": dash, "width": 2},
                marker={"size": 8},
                hovertemplate=f"<b>{name}</b><br>up to %{{customdata[0]:,}} items each "
                f"(%{{customdata[1]:.0%}} of all)<br>%{{x:.1%}} of the visitors effectively reached<br>"
                f"{PER_DELIVERY}<extra></extra>",
            )
        )
    figure.update_xaxes(tickformat=".0%")
    figure.update_yaxes(rangemode="tozero")
    return layout(
        figure,
        "visitors effectively reached, share of all",
        "interactions per delivery",
        legend=True,
        height=340,
    )


def delivered_share(frame: pd.DataFrame) -> go.Figure:
    """Share of the user-states really delivered per item (Figure S7). ``frame``: a user-load sweep."""
    figure = go.Figure()
    ideal = frame.drop_duplicates("capacity").sort_values("alpha")
    line = {"color": palette().ink, "width": 1.5, "dash": "dot"}
    figure.add_trace(
        go.Scatter(x=ideal["alpha"], y=ideal["ideal_share"], name="ideal", mode="lines", line=line, hoverinfo="skip")
    )
    for (mode, part), colour, dash in zip(frame.groupby("mode"), palette().series, DASHES, strict=False):
        name = charts.mode(mode)
        figure.add_trace(
            go.Scatter(
                x=part["alpha"],
                y=part["delivered_share"],
                name=name,
                mode="lines+markers",
                line={"color": colour, "dash": dash, "width": 2},
                marker={"size": 8},
                hovertemplate=f"<b>{name}</b><br>up to %{{x:.0%}} of the items each<br>"
                "%{y:.3%} of the visitors per item<extra></extra>",
            )
        )
    figure.update_xaxes(type="log", tickformat=".0%", tickvals=[0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0])
    figure.update_yaxes(tickformat=".2~%", rangemode="tozero")
    return layout(figure, "items a user may get, share of all (log)", "delivered per item", legend=True, height=340)


# -- campaigns -------------------------------------------------------------------------------------------


def groups(frame: pd.DataFrame) -> go.Figure:
    """Outcomes per user of both groups with their intervals. ``frame``: group, mean, half."""
    p = palette()
    figure = go.Figure()
    styles = ((p.main, "circle"), (p.quiet, "square"))
    for row, (colour, symbol) in zip(frame.itertuples(), styles, strict=False):
        figure.add_trace(
            go.Scatter(
                x=[row.mean],
                y=[row.group],
                error_x={"type": "data", "array": [row.half], "color": colour, "thickness": 2.5, "width": 8},
                mode="markers",
                marker={"size": 13, "symbol": symbol, "color": colour},
                hovertemplate="%{y}: %{x:.4f} ± " + f"{row.half:.4f} outcomes per user<extra></extra>",
                showlegend=False,
            )
        )
    figure.update_xaxes(rangemode="tozero")
    figure.update_yaxes(autorange="reversed")
    return layout(figure, "outcomes per user", "", height=170)


def expected_outcomes(frame: pd.DataFrame) -> go.Figure:
    """What happened against what was expected, a point an item. ``frame``: title, expected, outcomes, verdict."""
    figure = go.Figure()
    wide, high = (1.06 * float(max(frame[c].max(), 1.0)) for c in ("expected", "outcomes"))
    top = min(wide, high)
    line = {"color": palette().ink, "width": 1, "dash": "dash"}
    figure.add_trace(go.Scatter(x=[0, top], y=[0, top], name="as expected", mode="lines", line=line, hoverinfo="skip"))
    for verdict, colour in _colours().items():
        part = frame[(frame["verdict"] == verdict) & frame["expected"].notna()]
        if len(part):
            figure.add_trace(
                go.Scatter(
                    x=part["expected"],
                    y=part["outcomes"],
                    customdata=part["title"].map(literal),
                    name=f"promise {verdict} ({len(part):,})",
                    mode="markers",
                    marker={"size": 8, "symbol": STYLES[verdict], "color": colour, "opacity": 0.85},
                    hovertemplate="<b>%{customdata}</b><br>expected %{x:,.2f}, happened %{y:,}<extra></extra>",
                )
            )
    figure.update_xaxes(range=[-0.02 * wide, wide])
    figure.update_yaxes(range=[-0.02 * high, high])
    return layout(figure, "interactions expected of what was delivered", "happened", legend=True, height=380)


def days(frame: pd.DataFrame) -> go.Figure:
    """Exposures and outcomes by day. ``frame``: day, exposures, outcomes."""
    p = palette()
    figure = go.Figure()
    for column, colour, dash in (("exposures", p.quiet, "dash"), ("outcomes", p.main, "solid")):
        figure.add_trace(
            go.Scatter(
                x=frame["day"],
                y=frame[column],
                name=column,
                mode="lines+markers",
                line={"color": colour, "dash": dash, "width": 2},
                marker={"size": 6},
                hovertemplate=f"%{{x|%d %b %Y}}: %{{y:,}} {column}<extra></extra>",
            )
        )
    figure.update_yaxes(rangemode="tozero")
    return layout(figure, "", "events per day", legend=True, height=260)
