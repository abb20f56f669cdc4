"""After the campaign, run without a browser: results as campaign tools report them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from streamlit.testing.v1 import AppTest

from app import services
from rim_core.audiences import held_out
from rim_core.storage import Scenario
from tests.app.plans import fine, finished, go, metric, words

CAMPAIGN = "views/campaign.py"


def campaign_file(plan: Scenario, rules: services.AudienceRules, path: Path, effect: float, seed: int = 0) -> Path:
    """What a campaign tool would report: everybody of the audience shown, outcomes up by ``effect`` for them."""
    made = finished(services.request_audience(services.AudienceRecipe(plan.id, "test", None, rules), "t"))
    assert isinstance(made, services.MadeAudience)
    rng = np.random.default_rng(seed)
    everyone = services.workspace().scenario_pairs(plan.id, "test")
    out = held_out(pa.array(everyone["user_id"], pa.string()), rules.holdout, rules.holdout_seed)
    rate = np.where(out, 1.0, 1 + effect)
    happened = everyone.loc[everyone.index.repeat(rng.poisson(rate)), ["user_id", "item_id"]]
    rows = [made.pairs[["user_id", "item_id"]].assign(event_type="impression"), happened.assign(event_type="purchase")]
    frame = pd.concat(rows, ignore_index=True)
    frame["timestamp"] = pd.Timestamp("2024-05-01") + pd.to_timedelta(rng.integers(0, 72, len(frame)), "h")
    frame.to_csv(path, index=False)
    return path


def test_results_of_a_campaign_show_the_lift_and_are_kept(
    plan: Scenario, app: AppTest, until: Callable, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rules = services.AudienceRules(holdout=0.3, holdout_seed=1)
    services.export_file(services.AudienceRecipe(plan.id, "test", None, rules))
    path = campaign_file(plan, rules, tmp_path_factory.mktemp("in") / "results.csv", effect=1.0)
    fine(go(app, CAMPAIGN))
    assert "No results yet" in words(app)
    assert "30 % held out" in app.selectbox(key=f"campaign-audience-{plan.id}").options[0]
    app.text_input(key="campaign-path").set_value(str(path)).run()
    until(app, lambda page: any(m.label == "Lift" for m in page.metric))
    assert app.multiselect(key=f"shown-{path}").value == ["impression"]
    assert app.multiselect(key=f"came-{path}").value == ["purchase"]
    assert "The campaign added outcomes" in words(fine(app))
    app.button(key="campaign-keep").click().run()
    (record,) = services.campaigns(services.datasets()[0])
    lift = services.kept_result(record).lift
    assert lift is not None
    assert lift.relative_low < 1.0 < lift.relative_high
    assert record.recipe["rules"]["holdout"] == 0.3
    assert record.source["files"][0]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    fine(app.run())
    assert record.name in str(app.selectbox(key="campaign-kept").options)
    app.button(key="campaign-remove").click().run()
    assert "No campaign kept yet" in words(fine(app))


def test_a_file_without_a_row_of_held_out_users_claims_nothing_that_the_campaign_added(
    plan: Scenario, app: AppTest, until: Callable, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rules = services.AudienceRules(holdout=0.3, holdout_seed=1)
    services.export_file(services.AudienceRecipe(plan.id, "test", None, rules))
    folder = tmp_path_factory.mktemp("in")
    path = campaign_file(plan, rules, folder / "results.csv", effect=1.0)
    rows = pd.read_csv(path, dtype=str)
    out = held_out(pa.array(rows["user_id"], pa.string()), rules.holdout, rules.holdout_seed)
    rows[~out].to_csv(path, index=False)
    fine(go(app, CAMPAIGN))
    app.text_input(key="campaign-path").set_value(str(path)).run()
    until(app, lambda page: any(m.label == "Delivered" for m in page.metric))
    assert "held-out users" in words(fine(app))
    assert "what the campaign added cannot be told" in words(app)
    assert not {"Lift", "Outcomes added"} & {m.label for m in app.metric}
    app.button(key="campaign-keep").click().run()
    (record,) = services.campaigns(services.datasets()[0])
    assert services.kept_result(record).lift is None
    assert "cannot be told" in services.kept_result(record).no_lift
    # an outcome of one of them, and both groups can be compared
    one = folder / "one.csv"
    pd.concat([rows[~out], rows[out].head(1)]).to_csv(one, index=False)
    app.text_input(key="campaign-path").set_value(str(one)).run()
    until(app, lambda page: any(m.label == "Outcomes added" for m in page.metric))


def test_answers_of_no_alone_tell_that_held_out_users_did_not_respond(plan: Scenario, tmp_path: Path) -> None:
    rules = services.AudienceRules(holdout=0.3, holdout_seed=1)
    pairs = services.workspace().scenario_pairs(plan.id, "test")
    out = held_out(pa.array(pairs["user_id"], pa.string()), 0.3, 1)
    pairs = pairs.assign(event_type=np.where(out, "control", "sent"), outcome=np.where(out, "no", "yes"))
    pairs[["user_id", "item_id", "event_type", "outcome"]].assign(timestamp="2024-05-01").to_csv(
        tmp_path / "r.csv", index=False
    )
    columns = tuple((c, c) for c in ("user_id", "item_id", "event_type", "outcome", "timestamp"))
    file = services.ResultFile(str(tmp_path / "r.csv"), "r.csv", ("sent",), (), columns)
    recipe = services.AudienceRecipe(plan.id, "test", None, rules)
    found = finished(services.request_results(services.CampaignRequest(recipe, (file,)), "t"))
    assert isinstance(found, services.CampaignResult)
    assert found.lift is not None
    assert found.lift.held_out_outcomes == 0


def test_files_of_several_layouts_are_one_audience_that_was_sent(plan: Scenario, app: AppTest) -> None:
    rules = services.AudienceRules(holdout=0.2, holdout_seed=5)
    for layout in ("csv", "parquet", "meta", "csv"):
        services.export_file(services.AudienceRecipe(plan.id, rules=rules, format=layout))
    services.export_file(services.AudienceRecipe(plan.id, rules=replace(rules, holdout_seed=6)))
    labels = [label for label, _ in services.sent_audiences(plan).values() if "20 % held out" in label]
    assert len(labels) == 2
    assert sum("Meta custom audience" in label and "Parquet" in label and "CSV" in label for label in labels) == 1
    assert len(set(fine(go(app, CAMPAIGN)).selectbox(key=f"campaign-audience-{plan.id}").options)) >= 3


def test_a_dry_run_on_history_says_that_nobody_was_held_out(plan: Scenario, app: AppTest, until: Callable) -> None:
    fine(go(app, CAMPAIGN))
    app.segmented_control(key="campaign-way").set_value("history").run()
    until(app, lambda page: any(m.label == "Happened" for m in page.metric))
    assert "Nobody was held out" in words(fine(app))
    assert "hold-out" in words(app)
    assert metric(app, "Delivered") == f"{int(plan.metrics['online']['delivered']):,}"
    assert metric(app, "Happened") == f"{int(plan.metrics['online']['hits']):,}"


def test_a_file_of_another_campaign_and_one_that_is_no_table_are_said_plainly(
    plan: Scenario, app: AppTest, tmp_path_factory: pytest.TempPathFactory, until: Callable
) -> None:
    folder = tmp_path_factory.mktemp("in")
    other = folder / "other.csv"
    other.write_text("user_id,item_id,timestamp,event_type\nx,y,2024-05-01T00:00:00Z,sent\n")
    fine(go(app, CAMPAIGN))
    app.text_input(key="campaign-path").set_value(str(other)).run()
    until(app, lambda page: page.error)
    assert not app.exception
    assert "No row of this file is about" in app.error[0].value
    broken = folder / "broken.csv"
    broken.write_text("a,b\n1,2\n")
    app.text_input(key="campaign-path").set_value(str(broken)).run()
    assert "Choose the column of: User, Item, Time" in words(app)
    app.text_input(key="campaign-path").set_value("/nowhere/x.csv").run()
    assert not app.exception
    assert "x.csv" in app.error[0].value


def test_columns_of_other_names_are_chosen_and_a_file_that_cannot_be_read_stops_no_other(
    plan: Scenario, app: AppTest, until: Callable, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pairs = services.workspace().scenario_pairs(plan.id, "test")
    rows = [f"{p.user_id};{p.item_id};2024-05-01 10:00:00;gesehen" for p in pairs.itertuples()]
    path = tmp_path_factory.mktemp("in") / "ergebnis.csv"
    path.write_text("\n".join(["Wer;Ding;Wann;Was", *rows]))
    fine(go(app, CAMPAIGN))
    app.file_uploader(key="campaign-upload").set_value([("broken.csv", b"nothing", "text/csv")])
    app.text_input(key="campaign-path").set_value(str(path)).run()
    assert "Choose the column of: User, Item" in words(app)
    assert not app.exception
    for role, column in (("user_id", "Wer"), ("item_id", "Ding"), ("timestamp", "Wann"), ("event_type", "Was")):
        app.selectbox(key=f"campaign-{role}-{path}").set_value(column)
    app.run()
    app.multiselect(key=f"shown-{path}").set_value(["gesehen"]).run()
    until(app, lambda page: any(m.label == "Delivered" for m in page.metric))
    assert "Measured without broken.csv" in words(app)
    assert len(app.error) == 1


def test_results_in_another_encoding_with_months_first_are_read_once_that_is_said(
    plan: Scenario, app: AppTest, until: Callable, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pairs = services.workspace().scenario_pairs(plan.id, "test")
    rows = [f"{p.user_id};{p.item_id};03/04/2024 10:00;geöffnet" for p in pairs.itertuples()]
    path = tmp_path_factory.mktemp("in") / "results.csv"
    path.write_bytes("\n".join(["user_id;item_id;timestamp;event_type", *rows]).encode("utf-16"))
    fine(go(app, CAMPAIGN))
    app.text_input(key="campaign-path").set_value(str(path)).run()
    assert "“Format of the times” '%d/%m/%Y %H:%M'" in app.error[0].value.replace("\\", "")
    assert str(path.parent) not in app.error[0].value
    app.text_input(key=f"campaign-{path}-time-format").set_value("%m/%d/%Y %H:%M").run()
    app.multiselect(key=f"shown-{path}").set_value(["geöffnet"]).run()
    until(app, lambda page: any(m.label == "Delivered" for m in page.metric))
    assert metric(fine(app), "Delivered") == f"{len(pairs):,}"
    assert "04 Mar 2024, 10:00" in app.text[0].value
    app.text_input(key=f"campaign-{path}-encoding").set_value("no such").run()
    assert "There is no encoding" in app.error[0].value


def test_the_template_is_a_file_that_can_be_imported(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(services.template())
    held = services.contents(str(path))
    assert (held.exposures, held.outcomes, len(held.rejects)) == (["exposure"], ["outcome"], 0)
    rows = pd.read_csv(path, dtype=str)
    (out,) = set(rows["user_id"]) - set(rows.loc[rows["event_type"] == "exposure", "user_id"])
    assert rows.loc[rows["user_id"] == out, "event_type"].tolist() == ["outcome"]  # as of a user held out


@pytest.mark.parametrize(
    ("yes", "no"), [("yes", "no"), ("true", "false"), ("1", "0"), ("y", "n"), ("bought", "-"), ("x", "")]
)
def test_an_outcome_of_yes_or_no_is_read_shown_and_measured_and_what_is_neither_is_listed(
    plan: Scenario, app: AppTest, until: Callable, tmp_path_factory: pytest.TempPathFactory, yes: str, no: str
) -> None:
    pairs = services.workspace().scenario_pairs(plan.id, "test")
    rows = [
        f"{p.user_id},{p.item_id},2024-05-01 10:00:00,{'perhaps' if i == 4 else yes if i % 3 == 0 else no}"
        for i, p in enumerate(pairs.itertuples())
    ]
    path = tmp_path_factory.mktemp("in") / "results.csv"
    path.write_text("\n".join(["user_id,item_id,timestamp,reaction", *rows]))
    fine(go(app, CAMPAIGN))
    app.text_input(key="campaign-path").set_value(str(path)).run()
    assert app.selectbox(key=f"campaign-outcome-{path}").value == "reaction"
    until(app, lambda page: any(m.label == "Happened" for m in page.metric))
    fine(app)
    yeses = len([i for i in range(len(rows)) if i % 3 == 0])
    words_read = next(d.value for d in app.dataframe if "word" in d.value).set_index("word")
    assert words_read["read"].to_dict() == {yes: "yes", no or "(nothing)": "no", "perhaps": "rejected"}
    assert words_read["rows"].to_dict() == {yes: yeses, no or "(nothing)": len(rows) - yeses - 1, "perhaps": 1}
    rejects = next(d.value for d in app.dataframe if "reason" in d.value)
    assert rejects[["line", "reason"]].to_numpy().tolist() == [[6, "neither yes nor no"]]
    assert "perhaps" in rejects["text"].iloc[0]
    assert metric(app, "Delivered") == f"{len(rows) - 1:,}"
    assert metric(app, "Happened") == f"{yeses:,}"
    assert "Every row is an exposure" in words(app)


def test_a_control_group_is_told_apart_by_its_event_type_and_its_answers_count(
    plan: Scenario, app: AppTest, until: Callable, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rules = services.AudienceRules(holdout=0.3, holdout_seed=1)
    services.export_file(services.AudienceRecipe(plan.id, "test", None, rules))
    pairs = services.workspace().scenario_pairs(plan.id, "test")
    out = held_out(pa.array(pairs["user_id"], pa.string()), 0.3, 1)
    pairs = pairs.assign(
        group=np.where(out, "control", "treated"), bought=np.where(np.arange(len(pairs)) % 4, "no", "yes")
    )
    path = tmp_path_factory.mktemp("in") / "results.csv"
    pairs[["user_id", "item_id", "group", "bought"]].assign(time="2024-05-01").to_csv(path, index=False)
    fine(go(app, CAMPAIGN))
    app.text_input(key="campaign-path").set_value(str(path)).run()
    app.selectbox(key=f"campaign-event_type-{path}").set_value("group").run()
    assert app.multiselect(key=f"shown-{path}").value == ["treated"]
    until(app, lambda page: any(m.label == "Lift" for m in page.metric))
    assert "held-out users were shown" not in words(fine(app))
    assert metric(app, "Delivered") == f"{int((~out).sum()):,}"
    table = next(d.value for d in app.dataframe if "outcomes" in d.value and "group" in d.value)
    assert table["outcomes"].sum() == (pairs["bought"] == "yes").sum()


def test_a_file_of_which_no_row_can_be_used_lists_them_all(
    plan: Scenario, app: AppTest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("in") / "results.csv"
    path.write_text("user_id,item_id,timestamp,bought\na,b,2024-05-01,later\na,c,2024-05-01,soon\n")
    fine(go(app, CAMPAIGN))
    app.text_input(key="campaign-path").set_value(str(path)).run()
    app.selectbox(key=f"campaign-outcome-{path}").set_value("bought").run()
    assert "2 rejected: neither yes nor no" in app.error[0].value.replace("\\", "")
    rejects = next(d.value for d in app.dataframe if "reason" in d.value)
    assert rejects["line"].tolist() == [2, 3]
