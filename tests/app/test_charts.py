"""What charts show of a frame, and how their axes are written."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from app.ui import charts, model_charts, plan_charts


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
