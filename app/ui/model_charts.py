"""Charts of models: how training goes, both rankings, whether what is expected happens."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from app.ui.charts import layout, literal, palette

SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross", "x", "star", "hexagon", "triangle-down", "pentagon")


def loss(frame: pd.DataFrame) -> go.Figure:
    """Training and held-out loss. ``frame``: model, step and one column per loss."""
    figure = go.Figure()
    names = {"train_loss": ("training", "dot"), "heldout_loss": ("held-out users", "solid")}
    several = frame["model"].nunique() > 1
    for i, (model, part) in enumerate(frame.groupby("model", sort=False)):
        for j, (column, (name, dash)) in enumerate(names.items()):
            known = part[part[column].notna()] if column in part else part[:0]
            if known.empty:
                continue
            label = literal(f"{model}, {name}" if several else name)
            figure.add_trace(
                go.Scatter(
                    x=known["step"],
                    y=known[column],
                    name=label,
                    mode="lines+markers",
                    marker={"size": 5},
                    line={"color": palette().series[(i if several else j) % len(palette().series)], "dash": dash},
                    hovertemplate=f"epoch %{{x}}<br>{label} %{{y:.3f}}<extra></extra>",
                )
            )
    figure.update_xaxes(tick0=1, dtick=max(1, int(frame["step"].max()) // 10))
    return layout(figure, "epoch", "loss (nats per event)", height=220, legend=True)


def comparison(frame: pd.DataFrame, measure: str, said: str) -> go.Figure:
    """ItemRec against UserRec, one point a model (Figure 3). ``frame``: model, item_<measure>, user_<measure>.

    ``said``: what the measure is called, with its unit.
    """
    figure = go.Figure()
    item, user = f"item_{measure}", f"user_{measure}"
    for i, row in enumerate(frame.to_dict("records")):
        name = literal(row["model"])
        figure.add_trace(
            go.Scatter(
                x=[row[item]],
                y=[row[user]],
                name=name,
                mode="markers",
                marker={
                    "size": 13,
                    "symbol": SYMBOLS[i % len(SYMBOLS)],
                    "color": palette().series[i % len(palette().series)],
                    "line": {"color": palette().ink, "width": 0.5},
                },
                hovertemplate=(
                    f"<b>{name}</b><br>{said}:<br>items for a user %{{x:,.3~r}}<br>"
                    "users for an item %{y:,.3~r}<extra></extra>"
                ),
            )
        )
    figure.update_xaxes(rangemode="tozero")
    figure.update_yaxes(rangemode="tozero")
    return layout(figure, f"items for a user: {said}", f"users for an item: {said}", legend=True, height=400)


def reliability(frame: pd.DataFrame) -> go.Figure:
    """What was expected against what happened, a mark per group. ``frame``: expected, happened, low, high, members."""
    p = palette()
    figure = go.Figure()
    least = max(float(frame.loc[frame["expected"] > 0, "expected"].min() or 1e-3) / 2, 1e-6)
    most = 2 * float(frame[["expected", "happened", "high"]].max().max())
    figure.add_trace(
        go.Scatter(
            x=[least, most],
            y=[least, most],
            mode="lines",
            name="as expected",
            line={"color": p.quiet, "dash": "dash", "width": 1.5},
            hoverinfo="skip",
        )
    )
    figure.add_trace(
        go.Scatter(
            x=frame["expected"].clip(lower=least),
            y=frame["happened"].clip(lower=least),
            customdata=frame[["members", "low", "high", "happened"]],
            mode="markers",
            name="groups of equal size",
            marker={"color": p.main, "size": 10},
            hovertemplate=(
                "%{customdata[0]:,} together<br>expected %{x:.3g} each<br>happened %{customdata[3]:.3g} each<br>"
                "chance alone: %{customdata[1]:.3g} to %{customdata[2]:.3g}<extra></extra>"
            ),
        )
    )
    figure.update_xaxes(type="log")
    figure.update_yaxes(type="log")
    return layout(figure, "expected interactions each (log)", "happened (log)", legend=True, height=330)
