"""What charts show of a frame, and how their axes are written."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from app.ui import audience_charts, charts, messages, model_charts, plan_charts

CONFIG = Path(__file__).resolve().parents[2] / ".streamlit" / "config.toml"


def costs(values: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"item": [f"item {i}" for i in range(len(values))], "cost": values})


def test_the_losses_of_several_models_are_curves_of_their_own() -> None:
    steps = [("GRU", 1, 6.0, 6.1), ("GRU", 2, 5.0, 5.2), ("Transformer", 1, 4.0, np.nan)]
    frame = pd.DataFrame(steps, columns=["model", "step", "train_loss", "heldout_loss"])
    curves = {trace.name: list(trace.y) for trace in model_charts.loss(frame).data}
    assert curves == {
        "GRU, training": [6.0, 5.0], "GRU, held-out users": [6.1, 5.2], "Transformer, training": [4.0],
    }  # fmt: skip
    alone = model_charts.loss(frame[frame["model"] == "GRU"])
    assert [trace.name for trace in alone.data] == ["training", "held-out users"]


def test_thousands_are_separated_on_every_axis() -> None:
    figure = charts.popularity(pd.DataFrame({"rank": [1, 2], "item": ["a", "b"], "events": [2_000, 1_000]}))
    assert figure.layout.xaxis.separatethousands
    assert figure.layout.yaxis.separatethousands


def test_few_prices_are_bars_and_many_a_curve_from_the_dearest_to_the_last() -> None:
    few = plan_charts.prices(costs([3.0, 2.0, 1.0]), "margin")
    assert [trace.type for trace in few.data] == ["bar"]
    assert "margin" in few.layout.xaxis.title.text
    many = costs(list(np.linspace(9.0, 1.0, 30_000)))
    (curve,) = plan_charts.prices(many, "margin").data
    assert curve.type == "scatter"
    assert len(curve.x) <= plan_charts.DRAWN
    assert (curve.x[0], curve.x[-1]) == (1, 30_000)
    assert (curve.y[0], curve.y[-1]) == (9.0, 1.0)
    assert curve.customdata[-1] == "item 29999"


def test_the_outlook_shows_what_is_expected_and_the_rest_what_was_delivered() -> None:
    frame = pd.DataFrame(
        {
            "item": ["a", "b"], "delivered": [9, 1], "expected": [2.0, 4.0], "low": [0.0, 1.0], "high": [5.0, 8.0],
            "minimum": [3, 3], "maximum": np.nan, "verdict": ["kept", "short"], "outlook": ["unlikely", "takes"],
        }
    )  # fmt: skip
    for outlook, wanted in ((True, [2.0, 4.0]), (False, [1, 9])):
        marks = [t for t in plan_charts.delivery(frame, outlook=outlook).data if t.mode == "markers"]
        assert sorted(float(y) for t in marks for y in t.y) == wanted


@pytest.mark.parametrize(("states", "first"), [([5, 0, 1, 0, 2, 0, 7], 7)])
def test_who_pays_reads_from_the_least_given_up_on_top(states: list[int], first: int) -> None:
    edges = [0.0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0]
    (bars,) = plan_charts.given_up(pd.DataFrame({"low": edges[:-1], "high": edges[1:], "states": states})).data
    assert bars.orientation == "h"
    assert bars.x[0] == first
    assert bars.y[-1] == "less than 0.5 %"


def test_precision_is_called_by_its_unit_wherever_it_is_drawn() -> None:
    load = ONE.assign(mode="online", users_reached=0.5, precision=8.83, capacity=1, alpha=0.1)
    figures = [plan_charts.frontier(TWO, ONE, ONE), plan_charts.plans(ONE), audience_charts.user_load(load)]
    for figure in figures:
        assert figure.layout.yaxis.title.text == "interactions per delivery"
        drawn = str(figure.to_dict())
        assert "interactions per delivery<extra>" in drawn
        assert "precision" not in drawn


NAME = "<b>fat</b> %{x}"
ONE = pd.DataFrame(
    {
        "item": [NAME], "title": [NAME], "name": [NAME], "model": [NAME], "mode": ["online dual"], "id": ["1"],
        "kind": ["saved"], "verdict": ["kept"], "outlook": ["likely"], "rank": [1], "events": [1], "cost": [1.0],
        "item_perplexity": [1.0], "precision": [0.1], "min_exposure": [0.1], "delivered": [1], "delivered_0": [1],
        "minimum": [1], "maximum": [2], "expected": [1.0], "low": [0.0], "high": [2.0], "planned_delivered": [1],
        "lost": [1], "planned_share": [0.1], "online_share": [0.1], "outcomes": [1.0], "decided": [1], "pace": [1.0],
        "time": [pd.Timestamp("2024-01-01")], "step": [1], "train_loss": [1.0], "item_recall": [0.1],
        "user_recall": [0.1],
    }
)  # fmt: skip
TWO = pd.concat([ONE, ONE.assign(model=f"{NAME} two")])
DRAWN = {
    "popularity": lambda: charts.popularity(ONE),
    "frontier": lambda: plan_charts.frontier(TWO, ONE, ONE),
    "plans": lambda: plan_charts.plans(ONE),
    "differences": lambda: plan_charts.differences(ONE, (NAME,)),
    "delivery": lambda: plan_charts.delivery(ONE, outlook=False),
    "outlook": lambda: plan_charts.delivery(ONE, outlook=True),
    "few prices": lambda: plan_charts.prices(ONE, "margin"),
    "many prices": lambda: plan_charts.prices(pd.concat([ONE] * 20), "margin"),
    "gave way": lambda: plan_charts.gave_way(ONE),
    "courses": lambda: audience_charts.item_courses({NAME: ONE}),
    "shares": lambda: audience_charts.shares(ONE),
    "outcomes": lambda: audience_charts.expected_outcomes(ONE),
    "loss": lambda: model_charts.loss(TWO),
    "comparison": lambda: model_charts.comparison(ONE, "recall", "recall"),
}


@pytest.mark.parametrize("chart", DRAWN)
def test_a_name_is_written_as_it_is_and_not_read_as_html(chart: str) -> None:
    drawn = str(DRAWN[chart]().to_dict())
    assert "&lt;b&gt;fat&lt;/b&gt; %&#123;x}" in drawn
    assert "<b>fat" not in drawn
    assert "fat&lt;/b&gt; %{x}" not in drawn


def test_one_point_is_seen_and_its_axes_make_sense() -> None:
    day = pd.Timestamp("2024-05-01")
    for figure in (
        charts.events_over_time(pd.DataFrame({"start": [day], "events": [3]}), "day"),
        charts.popularity(ONE),
        audience_charts.size_curve(ONE.assign(size=[1]), ONE.assign(size=[1]), counts=True),
        audience_charts.item_courses({"Tea": ONE}),
    ):
        assert all("markers" in trace.mode for trace in figure.data)
    figure = charts.events_over_time(pd.DataFrame({"start": [day], "events": [3]}), "day")
    assert [pd.Timestamp(end) for end in figure.layout.xaxis.range] == [day - charts.DAY, day + charts.DAY]
    figure = plan_charts.frontier(ONE[:0], ONE, ONE[:0])
    assert figure.layout.xaxis.rangemode == figure.layout.yaxis.rangemode == "tozero"
    days = pd.date_range("2024-05-01", periods=3)
    figure = charts.events_over_time(pd.DataFrame({"start": days, "events": [3, 1, 2]}), "day")
    assert figure.data[0].mode == "lines"
    assert figure.layout.xaxis.range is None


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2, sRGB) of "#rrggbb"."""
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_words_on_the_main_colour_can_be_read_in_both_themes() -> None:
    themes = tomllib.loads(CONFIG.read_text())["theme"]
    (words,) = re.findall(r"color: light-dark\((#\w+), (#\w+)\)", messages.STYLE.read_text())
    for theme, word in zip(("light", "dark"), words, strict=True):
        low, high = sorted((luminance(word), luminance(themes[theme]["primaryColor"])))
        assert (high + 0.05) / (low + 0.05) >= 4.5, theme
