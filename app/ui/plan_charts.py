"""Charts of plans: the frontier, deliveries against promises, what promises cost, who pays."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from app.ui import charts
from app.ui.charts import MODES, PER_DELIVERY, layout, literal, palette

SKEWED = 20
"""Most over median deliveries from which the axis is logarithmic."""
FEW, DRAWN = 12, 1_000
"""Items of which each gets a bar, and points of a curve at most."""
NOTHING = 0.5
"""Where a logarithmic axis shows zero."""
SYMBOLS = ("circle", "diamond", "square", "triangle-up")
OUTLOOKS = {
    "likely": "likely",
    "takes": "likely, but takes from others",
    "even": "about even",
    "unlikely": "unlikely",
    "": "nothing promised",
}


def frontier(frame: pd.DataFrame, here: pd.DataFrame, landmarks: pd.DataFrame) -> go.Figure:
    """Relevance against perplexity (Figure 4), one line per model and mode.

    ``frame``: model, mode, min_exposure, item_perplexity, precision; may be empty. ``here``: the current plan, one
    row of item_perplexity and precision. ``landmarks``: kind ("baseline", "saved"), id, name, item_perplexity,
    precision. Points carry what a click means: ("share", β) or ("open", id).
    """
    figure = go.Figure()
    dashes = dict(zip(MODES, ("dot", "dash", "solid"), strict=True))
    markers = dict(zip(MODES, ("circle-open", "diamond-open", "circle"), strict=True))
    names = frame["model"].unique() if len(frame) else []
    colours = {m: palette().series[i % len(palette().series)] for i, m in enumerate(names)}
    if len(frame):
        for (model, mode), part in frame.groupby(["model", "mode"], sort=False):
            part = part.sort_values("min_exposure")
            name = literal(f"{model}, {charts.mode(mode)}" if len(names) > 1 else charts.mode(mode))
            figure.add_trace(
                go.Scatter(
                    x=part["item_perplexity"],
                    y=part["precision"],
                    customdata=[["share", share, f"{100 * share:.2f}"] for share in part["min_exposure"]],
                    name=name,
                    mode="lines+markers",
                    line={"color": colours[model], "dash": dashes.get(mode, "solid"), "width": 2},
                    marker={"size": 9, "symbol": markers.get(mode, "circle")},
                    hovertemplate=(
                        f"<b>{name}</b><br>minimum exposure %{{customdata[2]}} %<br>"
                        f"%{{x:,.0f}} items in effect<br>{PER_DELIVERY}<extra></extra>"
                    ),
                )
            )
    for kind, name, symbol, colour in (
        ("baseline", "no promises", "x", palette().ink),
        ("saved", "saved plans", "square", palette().over),
    ):
        part = landmarks[landmarks["kind"] == kind]
        if len(part):
            figure.add_trace(
                go.Scatter(
                    x=part["item_perplexity"],
                    y=part["precision"],
                    customdata=[["share", 0.0, ""] if kind == "baseline" else ["open", i, ""] for i in part["id"]],
                    text=part["name"].map(literal),
                    name=name,
                    mode="markers",
                    marker={"size": 11, "symbol": symbol, "color": colour},
                    hovertemplate=f"<b>%{{text}}</b><br>%{{x:,.0f}} items in effect<br>{PER_DELIVERY}<extra></extra>",
                )
            )
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
            hovertemplate=f"<b>this plan</b><br>%{{x:,.0f}} items in effect<br>{PER_DELIVERY}<extra></extra>",
        )
    )
    figure.update_layout(clickmode="event+select")
    return layout(figure, "items effectively reached", "interactions per delivery", legend=True, height=420)


def plans(frame: pd.DataFrame) -> go.Figure:
    """Saved plans in the plane of the frontier. ``frame``: name, item_perplexity, precision."""
    figure = go.Figure()
    for i, row in enumerate(frame.itertuples()):
        name = literal(row.name)
        figure.add_trace(
            go.Scatter(
                x=[row.item_perplexity],
                y=[row.precision],
                name=name,
                mode="markers",
                marker={"size": 14, "symbol": SYMBOLS[i % 4], "color": palette().series[i % 7]},
                hovertemplate=(f"<b>{name}</b><br>%{{x:,.0f}} items in effect<br>{PER_DELIVERY}<extra></extra>"),
            )
        )
    return layout(figure, "items effectively reached", "interactions per delivery", legend=True, height=360)


def differences(frame: pd.DataFrame, names: tuple[str, ...]) -> go.Figure:
    """Deliveries of a few items under every plan. ``frame``: title, delivered_0 …; most different first."""
    figure = go.Figure()
    top = frame.iloc[::-1]
    labels = _short(top["title"])
    for i, name in enumerate(map(literal, names)):
        figure.add_trace(
            go.Scatter(
                x=top[f"delivered_{i}"],
                y=labels,
                name=name,
                mode="markers",
                marker={"size": 11, "symbol": SYMBOLS[i % 4], "color": palette().series[i % 7]},
                hovertemplate=f"<b>{name}</b><br>%{{y}}: %{{x:,}} visitors<extra></extra>",
            )
        )
    columns = [f"delivered_{i}" for i in range(len(names))]
    for label, row in zip(labels, top[columns].to_numpy(), strict=True):
        figure.add_shape(
            type="line", x0=row.min(), x1=row.max(), y0=label, y1=label, line={"color": palette().quiet, "width": 1}
        )
    figure.update_xaxes(rangemode="tozero")
    height = 110 + 26 * max(3, len(top))
    return layout(figure, "visitors reached in the test window", "", legend=True, height=height)


def delivery(frame: pd.DataFrame, *, outlook: bool) -> go.Figure:
    """Delivered or, with ``outlook``, expected user-states of every item against its promise, fewest first.

    ``frame``: item, delivered, minimum, maximum (maximum may be NaN), verdict ("kept", "short", "over"), expected, low,
    high, outlook. With ``outlook`` the marks say what to expect of the promise, with the interval; otherwise whether it
    was kept.
    """
    p = palette()
    if outlook:
        frame = frame.assign(delivered=frame["expected"])
    ordered = frame.sort_values(["delivered", "item"]).reset_index(drop=True)
    position = np.arange(1, len(ordered) + 1)
    figure = go.Figure()
    skewed = ordered["delivered"].max() > SKEWED * max(1.0, ordered["delivered"].median())
    floor = NOTHING if skewed else 0.0
    if outlook:
        figure.add_trace(_band(position, ordered, floor))
    styles = (
        {
            "likely": (p.good, "circle"),
            "takes": (p.second, "diamond"),
            "even": (p.over, "square"),
            "unlikely": (p.bad, "triangle-down"),
            "": (p.quiet, "circle-open"),
        }
        if outlook
        else {"kept": (p.good, "circle"), "short": (p.bad, "triangle-down"), "over": (p.over, "triangle-up")}
    )
    for verdict, (colour, symbol) in styles.items():
        mask = (ordered["outlook" if outlook else "verdict"] == verdict).to_numpy()
        if not mask.any():
            continue
        name = OUTLOOKS[verdict] if outlook else verdict
        part = ordered.loc[mask]
        between = "<br>90 % of the windows: %{customdata[3]:,.0f} to %{customdata[4]:,.0f}" if outlook else ""
        came = "expected for %{customdata[2]:,.1f}" if outlook else "delivered to %{customdata[2]:,}"
        figure.add_trace(
            go.Scatter(
                x=position[mask],
                y=part["delivered"].clip(lower=floor),
                customdata=part.assign(item=part["item"].map(literal))[["item", "minimum", "delivered", "low", "high"]],
                name=f"{name} ({mask.sum():,})",
                mode="markers",
                marker={"color": colour, "symbol": symbol, "size": 6},
                hovertemplate=(
                    f"<b>%{{customdata[0]}}</b> ({name})<br>{came}, promised ≥ %{{customdata[1]:,}}{between}"
                    "<extra></extra>"
                ),
            )
        )
    for column, name, dash in (("minimum", "promised minimum", "dash"), ("maximum", "promised maximum", "dot")):
        bound = ordered[column].astype(float)
        if (bound.notna() & (bound > 0)).any():
            line = {"color": p.ink, "width": 1.5, "dash": dash}
            figure.add_trace(go.Scatter(x=position, y=bound, name=name, mode="lines", line=line, hoverinfo="skip"))
    if skewed:
        ticks = [t for t in (1, 2, 5, 10, 20, 50, *(10**i for i in range(2, 7))) if t <= 2 * ordered["delivered"].max()]
        figure.update_yaxes(type="log", tickvals=[NOTHING, *ticks], ticktext=["0", *(f"{t:,}" for t in ticks)])
    else:
        figure.update_yaxes(rangemode="tozero")
    verb = "expected" if outlook else "delivered"
    axis = f"visitors {verb}{' (log)' if skewed else ''}"
    return layout(figure, f"items, fewest {verb} first", axis, legend=True, height=420)


def _band(position: np.ndarray, ordered: pd.DataFrame, floor: float) -> go.Scatter:
    """Where nine of ten windows would lie."""
    colour = palette().quiet
    return go.Scatter(
        x=np.concatenate([position, position[::-1]]),
        y=np.concatenate([ordered["high"].clip(lower=floor), ordered["low"].clip(lower=floor)[::-1]]),
        fill="toself",
        fillcolor=f"rgba({int(colour[1:3], 16)},{int(colour[3:5], 16)},{int(colour[5:7], 16)},0.22)",
        line={"width": 0},
        name="90 % of the windows",
        hoverinfo="skip",
    )


def prices(frame: pd.DataFrame, unit: str) -> go.Figure:
    """What promises cost. ``frame``: item, cost (in ``unit`` per delivery), dearest first.

    A bar an item where there are few; otherwise how the cost falls from the dearest item to the last.
    """
    if len(frame) > FEW:
        return _price_curve(frame, unit)
    top = frame.iloc[::-1]
    figure = go.Figure(
        go.Bar(
            x=top["cost"],
            y=_short(top["item"]),
            orientation="h",
            marker_color=palette().second,
            hovertemplate=f"%{{y}}<br>%{{x:.4f}} {unit} per delivered visitor<extra></extra>",
        )
    )
    return layout(figure, f"{unit} given up per delivery", "", height=60 + 30 * max(3, len(top)))


def _price_curve(frame: pd.DataFrame, unit: str) -> go.Figure:
    """The cost of one more delivery by rank, thinned where there are very many items."""
    ranks = np.unique(np.linspace(0, len(frame) - 1, DRAWN).round().astype(int)) if len(frame) > DRAWN else slice(None)
    shown = frame.assign(rank=np.arange(1, len(frame) + 1)).iloc[ranks]
    figure = go.Figure(
        go.Scatter(
            x=shown["rank"],
            y=shown["cost"],
            customdata=shown["item"].map(literal),
            mode="lines",
            line={"color": palette().second, "width": 2, "shape": "hv"},
            fill="tozeroy",
            hovertemplate=f"<b>%{{customdata}}</b><br>%{{y:.4f}} {unit} per delivered visitor<extra></extra>",
        )
    )
    figure.update_yaxes(rangemode="tozero")
    return layout(figure, "items with a price, dearest first", f"{unit} for one more", height=280)


def gave_way(frame: pd.DataFrame) -> go.Figure:
    """Items that lost most. ``frame``: title, free and planned user-states, most lost first."""
    top = frame.iloc[::-1]
    p = palette()
    figure = go.Figure()
    for column, name, colour, pattern in (
        ("planned_delivered", "with the promises", p.main, ""),
        ("lost", "lost to other items", p.second, "/"),
    ):
        figure.add_trace(
            go.Bar(
                x=top[column],
                y=_short(top["title"]),
                orientation="h",
                name=name,
                marker={"color": colour, "pattern": {"shape": pattern, "fgcolor": p.ink, "size": 5}},
                hovertemplate=f"%{{y}}<br>{name}: %{{x:,}} visitors<extra></extra>",
            )
        )
    figure.update_layout(barmode="stack")
    return layout(figure, "visitors", "", legend=True, height=90 + 26 * max(3, len(top)))


def given_up(frame: pd.DataFrame) -> go.Figure:
    """User-states by the share they give up. ``frame``: low, high, states."""
    labels = [
        f"less than {100 * high:g} %" if low == 0 else f"{100 * low:g} to {100 * high:g} %"
        for low, high in zip(frame["low"], frame["high"], strict=True)
    ]
    figure = go.Figure(
        go.Bar(
            x=frame["states"][::-1],
            y=labels[::-1],
            orientation="h",
            marker_color=palette().main,
            hovertemplate="%{y} given up<br>%{x:,} visitors<extra></extra>",
        )
    )
    figure.update_yaxes(type="category")
    return layout(figure, "visitors", "", height=90 + 26 * len(labels))


def _short(names: pd.Series) -> list[str]:
    """Names that leave room for the bars, each of its own."""
    out: list[str] = []
    for name in names:
        text = literal(name if len(name) <= 34 else f"{name[:33]}…")
        while text in out:
            text += "\N{ZERO WIDTH SPACE}"
        out.append(text)
    return out
