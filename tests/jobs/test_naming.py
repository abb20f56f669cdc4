"""Models and settings as people write them."""

from __future__ import annotations

import pytest

from rim_core.errors import ModelError
from rim_core.jobs import model_config, parse_settings
from rim_core.jobs.naming import available
from rim_core.models import Model


def called(text: str) -> str:
    return Model.from_config(model_config(text)).name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("GRU", "GRU"),
        (" gru ", "GRU"),
        ("GRU×HawkesPoisson", "GRU×HawkesPoisson"),
        ("gru * hawkespoisson", "GRU×HawkesPoisson"),
        ("gruxhawkes", "GRU×Hawkes"),
        ("PopularityXActivity", "Popularity×Activity"),
        ("RFM-GBDT", "RFM-GBDT"),
        ("rfmgbdt", "RFM-GBDT"),
        ("GraphConv-Extra", "GraphConv-Extra"),
        ("graphconvextra", "GraphConv-Extra"),
        ("LightFM-BPR-Item", "LightFM-BPR-Item"),
        ("lightfmbpruser", "LightFM-BPR-User"),
        ("Horizon-GRU x hawkes", "HorizonGRU×Hawkes"),
        ("horizon-gruxhawkes", "HorizonGRU×Hawkes"),
        ("Frequency+NewItems", "Frequency+NewItems"),
        ("gru*ema + new-items", "GRU×EMA+NewItems"),
    ],
)
def test_a_name_is_understood_however_it_is_written(text: str, name: str) -> None:
    assert called(text) == name


def test_every_model_is_found_by_its_registered_name_and_by_what_its_row_is_called() -> None:
    for key, cls in available().items():
        assert model_config(key)["model"] == key
        row = Model.from_config({"model": key}).name
        if row.replace("-", "").lower() == key.lower():
            assert model_config(row)["model"] == cls.__name__


@pytest.mark.parametrize(
    "text",
    ["", "LightFM", "GRU××Hawkes", "×Hawkes", "GRU×", "GRU×Hawkes×GRU", "RIM", "x", "GRU/x", "GRU+Hawkes", "+NewItems"],
)
def test_what_is_no_model_is_answered_with_those_there_are(text: str) -> None:
    with pytest.raises(ModelError, match=r"GRU"):
        model_config(text)


def test_factors_in_the_wrong_place_are_refused() -> None:
    with pytest.raises(ModelError, match="choose an intensity model"):
        model_config("GRU×GRU")
    with pytest.raises(ModelError, match="choose a preference model"):
        model_config("Hawkes×Hawkes")


def test_settings_reach_the_model_they_name_and_no_other() -> None:
    settings = parse_settings(["gru.dim=8", " GRU.dropout=0 ", "GraphConv-Extra.seed=3"])
    assert settings == {"gru": {"dim": 8, "dropout": 0}, "graphconvextra": {"seed": 3}}
    product = model_config("GRU×HawkesPoisson", settings)
    assert product["preference"]["dim"] == 8
    assert model_config("graphconv-extra", settings)["seed"] == 3
    assert model_config("Transformer", settings) == model_config("Transformer")
    added = model_config("GRU+NewItems", {**settings, "newitems": {"few": 3.0}})
    assert (added["base"]["dim"], added["few"]) == (8, 3.0)
    assert parse_settings([]) == {}


@pytest.mark.parametrize(
    ("word", "match"),
    [
        ("gru", "write model.parameter=value"),
        ("gru=3", "write model.parameter=value"),
        ("gru.dim", "write model.parameter=value"),
        ("nope.dim=3", "There is no model 'nope'"),
        ("gru.nope=3", "it takes dim,"),
        ("popularity.x=3", "has no setting 'x'"),
        ("gru.dim=abc", "write something like"),
        ("gru.dim=2.5", "write something like"),
        ("gru.dim=", "write something like"),
        ("gru.dropout=true", "write something like"),
        ("gru.one_by_one=1", "write something like"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_before_anything_is_trained(word: str, match: str) -> None:
    with pytest.raises(ModelError, match=match):
        parse_settings([word])
