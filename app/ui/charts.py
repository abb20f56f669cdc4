"""Every chart of the dashboard: a frame in, a plotly figure out.

Colours are Okabe and Ito's, which colour-blind people tell apart, in a shade that reads on the theme's
background; whatever a colour says is said by a symbol or a dash too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

Theme = Literal["light", "dark"]
HEIGHT = 320
SKEWED = 20
"""Most over median deliveries from which the axis is logarithmic."""
NOTHING = 0.5
"""Where a logarithmic axis shows zero."""
MODES = ("offline greedy", "offline dual", "online dual")


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


def show(figure: go.Figure, key: str, alt: str) -> None:
    """Put a figure on the page, as wide as its column; ``alt`` says in words what it shows."""
    st.plotly_chart(
        figure,
        width="stretch",
        key=key,
        alt=alt,
        config={"displaylogo": False, "modeBarButtonsToRemove": ["lasso2d", "select2d", "autoScale2d"]},
    )


def _layout(figure: go.Figure, x: str, y: str, *, height: int = HEIGHT, legend: bool = False) -> go.Figure:
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 28 if legend else 8, "b": 8},
        showlegend=legend,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        hoverlabel={"align": "left"},
    )
    figure.update_xaxes(title=x, automargin=True)
    figure.update_yaxes(title=y, automargin=True)
    return figure


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
    return _layout(figure, "", f"events per {unit}")


def popularity(frame: pd.DataFrame) -> go.Figure:
    """Events of every item, from the most popular down. ``frame``: rank, item, events."""
    figure = go.Figure(
        go.Scatter(
            x=frame["rank"],
            y=frame["events"],
            customdata=frame["item"],
            mode="lines",
            line={"color": palette().main, "width": 2},
            hovertemplate="%{customdata}<br>rank %{x:,}: %{y:,} events<extra></extra>",
        )
    )
    figure.update_xaxes(type="log", dtick=1)
    figure.update_yaxes(type="log", dtick=1)
    return _layout(figure, "item rank (log)", "events (log)")


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
    return _layout(figure, "events per user", "users")


def windows(frame: pd.DataFrame) -> go.Figure:
    """The windows of a split on the time axis. ``frame``: part, start, stop (timestamps)."""
    colours = dict(
        zip(("training", "calibration", "test"), (palette().quiet, palette().second, palette().main), strict=True)
    )
    figure = go.Figure()
    whole = (frame["stop"].max() - frame["start"].min()).total_seconds()
    for row in frame.itertuples():
        dates = f"{row.start:%d %b %Y} → {row.stop:%d %b %Y}"
        wide = (row.stop - row.start).total_seconds() > 0.4 * whole
        if not wide:
            figure.add_annotation(
                x=row.start, y=row.part, text=dates, showarrow=False, xanchor="right", xshift=-6, font={"size": 11}
            )
        figure.add_trace(
            go.Bar(
                y=[row.part],
                base=[row.start],
                x=[(row.stop - row.start).total_seconds() * 1000],
                orientation="h",
                marker_color=colours[row.part],
                text=dates if wide else "",
                textposition="inside",
                insidetextanchor="middle",
                hovertemplate=f"{row.part}: {dates}<extra></extra>",
            )
        )
    figure.update_xaxes(type="date")
    figure.update_yaxes(autorange="reversed")
    figure.update_layout(barmode="overlay")
    return _layout(figure, "", "", height=190)


# -- models ----------------------------------------------------------------------------------------------


def loss(frame: pd.DataFrame) -> go.Figure:
    """Training and held-out loss. ``frame``: step and one column per loss."""
    figure = go.Figure()
    names = {"train_loss": ("training", "dot"), "heldout_loss": ("held-out users", "solid")}
    for colour, (column, (name, dash)) in zip(palette().series, names.items(), strict=False):
        if column in frame and frame[column].notna().any():
            known = frame[frame[column].notna()]
            figure.add_trace(
                go.Scatter(
                    x=known["step"],
                    y=known[column],
                    name=name,
                    mode="lines+markers",
                    marker={"size": 5},
                    line={"color": colour, "dash": dash},
                    hovertemplate=f"epoch %{{x:.2~f}}<br>{name} %{{y:.3f}}<extra></extra>",
                )
            )
    return _layout(figure, "epoch", "loss (nats per event)", height=220, legend=True)


def comparison(frame: pd.DataFrame) -> go.Figure:
    """ItemRec against UserRec, one point a model (Figure 3). ``frame``: model, item_precision, user_precision."""
    figure = go.Figure()
    symbols = ("circle", "diamond", "square", "triangle-up", "cross", "x", "star")
    for i, row in enumerate(frame.itertuples()):
        figure.add_trace(
            go.Scatter(
                x=[row.item_precision],
                y=[row.user_precision],
                name=row.model,
                mode="markers",
                marker={
                    "size": 13,
                    "symbol": symbols[i % len(symbols)],
                    "color": palette().series[i % len(palette().series)],
                },
                hovertemplate=(
                    f"<b>{row.model}</b><br>items for a user %{{x:.3f}}<br>users for an item %{{y:.3f}}<extra></extra>"
                ),
            )
        )
    figure.update_xaxes(rangemode="tozero")
    figure.update_yaxes(rangemode="tozero")
    return _layout(figure, "items for a user: precision", "users for an item: precision", legend=True, height=400)


# -- plan ------------------------------------------------------------------------------------------------


def frontier(frame: pd.DataFrame, here: pd.DataFrame | None = None) -> go.Figure:
    """Relevance against perplexity (Figure 4), one line per model and mode.

    ``frame``: model, mode, min_exposure, item_perplexity, precision. ``here``: the current plan, one row of
    item_perplexity and precision.
    """
    figure = go.Figure()
    dashes = dict(zip(MODES, ("dot", "dash", "solid"), strict=True))
    markers = dict(zip(MODES, ("circle-open", "diamond-open", "circle"), strict=True))
    colours = {m: palette().series[i % len(palette().series)] for i, m in enumerate(frame["model"].unique())}
    many = frame["model"].nunique() > 1
    for (model, mode), part in frame.groupby(["model", "mode"], sort=False):
        part = part.sort_values("min_exposure")
        name = f"{model}, {mode}" if many else mode
        figure.add_trace(
            go.Scatter(
                x=part["item_perplexity"],
                y=part["precision"],
                customdata=100 * part["min_exposure"],
                name=name,
                mode="lines+markers",
                line={"color": colours[model], "dash": dashes.get(mode, "solid"), "width": 2},
                marker={"size": 8, "symbol": markers.get(mode, "circle")},
                hovertemplate=(
                    f"<b>{name}</b><br>minimum exposure %{{customdata:.2f}} %<br>"
                    "%{x:,.0f} items effectively reached<br>precision %{y:.4f}<extra></extra>"
                ),
            )
        )
    if here is not None and len(here):
        figure.add_trace(
            go.Scatter(
                x=here["item_perplexity"],
                y=here["precision"],
                name="this plan",
                mode="markers",
                marker={
                    "size": 17,
                    "symbol": "star",
                    "color": palette().second,
                    "line": {"color": palette().ink, "width": 1},
                },
                hovertemplate="<b>this plan</b><br>%{x:,.0f} items reached<br>precision %{y:.4f}<extra></extra>",
            )
        )
    return _layout(
        figure, "items effectively reached (perplexity)", "precision on the test window", legend=True, height=400
    )


def delivery(frame: pd.DataFrame) -> go.Figure:
    """Delivered user-states of every item against its promise, fewest first.

    ``frame``: item, delivered, minimum, maximum (maximum may be NaN), verdict ("kept", "short", "over").
    """
    p = palette()
    ordered = frame.sort_values(["delivered", "item"]).reset_index(drop=True)
    position = np.arange(1, len(ordered) + 1)
    figure = go.Figure()
    skewed = ordered["delivered"].max() > SKEWED * max(1.0, ordered["delivered"].median())
    styles = {"kept": (p.good, "circle"), "short": (p.bad, "triangle-down"), "over": (p.over, "triangle-up")}
    for verdict, (colour, symbol) in styles.items():
        mask = (ordered["verdict"] == verdict).to_numpy()
        if not mask.any():
            continue
        figure.add_trace(
            go.Scatter(
                x=position[mask],
                y=ordered["delivered"][mask].clip(lower=NOTHING if skewed else 0),
                customdata=ordered.loc[mask, ["item", "minimum", "delivered"]],
                name=f"{verdict} ({mask.sum():,})",
                mode="markers",
                marker={"color": colour, "symbol": symbol, "size": 6},
                hovertemplate=(
                    f"<b>%{{customdata[0]}}</b> ({verdict})<br>"
                    "delivered to %{customdata[2]:,}, promised ≥ %{customdata[1]:,}<extra></extra>"
                ),
            )
        )
    for column, name, dash in (("minimum", "promised minimum", "dash"), ("maximum", "promised maximum", "dot")):
        bound = ordered[column].astype(float)
        if (bound.notna() & (bound > 0)).any():
            figure.add_trace(
                go.Scatter(
                    x=position,
                    y=bound,
                    name=name,
                    mode="lines",
                    line={"color": p.ink, "width": 1.5, "dash": dash},
                    hoverinfo="skip",
                )
            )
    if skewed:
        ticks = [
            t
            for t in (1, 2, 5, 10, 20, 50, 100, 1_000, 10_000, 100_000, 1_000_000)
            if t <= 2 * ordered["delivered"].max()
        ]
        figure.update_yaxes(type="log", tickvals=[NOTHING, *ticks], ticktext=["0", *(f"{t:,}" for t in ticks)])
    else:
        figure.update_yaxes(rangemode="tozero")
    axis = "user-states delivered (log)" if skewed else "user-states delivered"
    return _layout(figure, "items, fewest delivered first", axis, legend=True, height=400)


def prices(frame: pd.DataFrame) -> go.Figure:
    """The promises that cost most. ``frame``: item, cost (expected interactions per delivery), dearest first."""
    top = frame.iloc[::-1]
    figure = go.Figure(
        go.Bar(
            x=top["cost"],
            y=[name if len(name) <= 34 else f"{name[:33]}…" for name in top["item"]],
            orientation="h",
            marker_color=palette().second,
            hovertemplate="%{y}<br>%{x:.4f} expected interactions per delivered user-state<extra></extra>",
        )
    )
    return _layout(figure, "expected interactions given up per delivery", "", height=60 + 30 * max(3, len(top)))
