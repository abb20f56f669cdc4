"""Delivery and Audiences, run without a browser: every state a person can meet."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from streamlit.testing.v1 import AppTest

from app import services
from rim_core import walk
from rim_core.audiences import held_out
from rim_core.errors import Cancelled
from rim_core.planning.online import online_match
from rim_core.progress import Progress
from rim_core.storage import Scenario
from rim_core.storage.scenarios import MEASURED
from tests.app.plans import fine, finished, go, metric, words

AUDIENCES, DELIVERY, CAMPAIGN = "views/audiences.py", "views/delivery.py", "views/campaign.py"


# -- nothing there yet -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [DELIVERY, CAMPAIGN])
def test_an_empty_workspace_says_the_next_step(root: Path, app: AppTest, page: str) -> None:
    fine(go(app, page))
    assert "Add a dataset first" in words(app)


@pytest.mark.parametrize("page", [AUDIENCES, DELIVERY, CAMPAIGN])
def test_a_workspace_without_a_saved_plan_says_the_next_step(shop: Path, app: AppTest, page: str) -> None:
    fine(go(app, page))
    assert "save" in words(app)
    assert "No saved plan yet" in words(app)


@pytest.fixture
def undelivered(plan: Scenario) -> Scenario:
    """The same plan as an older version kept it from the command line: never delivered, without who loses."""
    with services.workspace().transaction() as cursor:
        cursor.execute("UPDATE scenarios SET metrics = '{}', updated_at = '2030-01-01'")
        cursor.execute("DELETE FROM scenario_pairs WHERE part = 'test'")
        for column in MEASURED:
            cursor.execute(f"UPDATE scenario_items SET {column} = NULL")
    return services.workspace().scenario(plan.id)


@pytest.mark.parametrize("page", [AUDIENCES, DELIVERY, CAMPAIGN])
def test_a_plan_that_was_not_delivered_is_delivered_with_one_press(
    plan: Scenario, undelivered: Scenario, app: AppTest, until: Callable, page: str
) -> None:
    fine(go(app, page))
    assert "Not delivered yet" in words(app)
    app.button(key=f"deliver-{plan.id}").click().run()
    until(app, lambda a: "Not delivered yet" not in words(a) and not a.get("progress"))
    fine(app)
    found = services.workspace().scenario(plan.id)
    assert found.metrics["online"] == plan.metrics["online"]
    assert "delivered a plan to its test states" in services.lately().iloc[0]["what"]


def test_a_delivery_that_is_stopped_keeps_nothing(
    undelivered: Scenario, app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slowly(*arguments: object, **more: object) -> object:
        begun.set()
        assert go_on.wait(60)
        return online_match(*arguments, **more)

    monkeypatch.setattr(walk, "online_match", slowly)
    fine(go(app, DELIVERY))
    app.button(key=f"deliver-{undelivered.id}").click().run()
    assert begun.wait(60)
    app.run()
    assert app.get("progress")
    task = services.task(services.delivery_key(undelivered))
    next(b for b in app.button if b.label == "Stop").click().run()
    go_on.set()
    assert task.over.wait(60)
    assert task.state == "dropped"
    assert services.workspace().scenario(undelivered.id) == undelivered
    app.run()
    assert "Not delivered yet" in words(app)


def test_a_delivery_is_asked_whether_to_go_on_between_blocks_of_user_states(
    undelivered: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rim_core.scores.BLOCK_ENTRIES", 300)
    for stage in ("delivering to the test window", "comparing with a plan without promises"):
        if stage.startswith("comparing"):
            monkeypatch.setattr(walk, "lacks_figures", lambda *_: True)
        asked: list[str] = []

        def stop(progress: Progress, stage: str = stage, asked: list[str] = asked) -> None:
            asked.append(progress.stage)
            if asked.count(stage) == 3:
                raise Cancelled("The user asked to stop.")

        with pytest.raises(Cancelled):
            walk.deliver_again(services.workspace(), undelivered, callback=stop)
        assert services.workspace().scenario(undelivered.id) == undelivered


def test_start_leads_to_the_plan_that_was_not_delivered(undelivered: Scenario, app: AppTest) -> None:
    services.clone(undelivered.id)
    (first, second) = [a for a in services.attention() if a.kind == "plan"]
    assert {first.query["scenario"], second.query["scenario"]} > {undelivered.id}
    assert "not yet delivered" in first.text
    assert first.page == DELIVERY
    app.run()
    app.query_params["scenario"] = undelivered.id
    fine(app.switch_page(DELIVERY).run())
    assert app.selectbox(key="audience-plan").value == undelivered.id


# -- audiences ---------------------------------------------------------------------------------------------------


def test_every_rule_says_what_it_removed_and_the_file_holds_what_is_left(plan: Scenario, app: AppTest) -> None:
    fine(go(app, AUDIENCES))
    before = int(metric(app, "Deliveries in all").replace(",", ""))
    app.slider(key="rule-holdout").set_value(20)
    app.number_input(key="rule-seed").set_value(7)
    app.number_input(key="rule-cap").set_value(2)
    app.number_input(key="rule-least").set_value(5)
    fine(app.run())
    table = [d.value for d in app.dataframe if "rule" in d.value][-1]
    assert table["rule"].tolist() == ["Frequency cap", "Hold-out", "Minimum size"]
    assert before - table["pairs"].sum() == table["left"].iloc[-1]
    assert int(metric(app, "Deliveries in all").replace(",", "")) == table["left"].iloc[-1]
    assert "users are held out" in words(app)
    rules = services.AudienceRules(holdout=0.2, holdout_seed=7, max_per_user=2, min_size=5)
    recipe = services.AudienceRecipe(plan.id, "test", None, rules)
    rows = list(csv.DictReader(io.StringIO(services.export_file(recipe).decode())))
    assert len(rows) == table["left"].iloc[-1]
    users = pa.array([r["user_id"] for r in rows])
    assert not held_out(users, 0.2, 7).any()
    assert pd.Series(users.to_pylist()).value_counts().max() <= 2
    fine(app.run())
    shown = next(d.value for d in app.dataframe if "written" in d.value)
    pairs = services.workspace().scenario_pairs(plan.id, "test").set_index(["user_id", "item_id"])
    left = (
        pairs["score"]
        .astype(float)
        .groupby(level=[0, 1])
        .max()
        .loc[[(r["user_id"], r["item_id"].lstrip("'")) for r in rows]]
    )
    by_item = left.groupby(level=1).sum().reindex(shown["item_id"], fill_value=0.0)
    np.testing.assert_allclose(shown["expected"].astype(float), by_item, rtol=1e-5)  # of what is left, as the sum above
    below = int((shown["minimum"] > shown["written"]).sum())
    assert int(metric(app, "Items below their promise").replace(",", "")) == below
    assert "20 % held out" in next(d.value for d in app.dataframe if "sha256" in d.value)["rules"].iloc[0]
    app.button(key="export-again-go").click().run()
    assert "The same bytes" in words(app)


def test_a_suppression_list_is_kept_and_chosen(plan: Scenario, app: AppTest) -> None:
    pairs = services.workspace().scenario_pairs(plan.id, "test")
    gone = pairs["user_id"].unique()[:5].tolist()
    listed = services.add_suppression_list("opted out.csv", ("user_id\n" + "\n".join(gone)).encode())
    fine(go(app, AUDIENCES))
    app.selectbox(key="rule-suppression").set_value(listed.id).run()
    table = [d.value for d in fine(app).dataframe if "rule" in d.value][-1]
    assert table["rule"].tolist() == ["Suppression"]
    assert table["pairs"].tolist() == [int(pairs["user_id"].isin(gone).sum())]
    assert table["users"].tolist() == [5]


def reloaded(app: AppTest, page: str) -> AppTest:
    """The page in a new session, at the address that the old one left."""
    again = AppTest.from_file(app._script_path, default_timeout=180)
    again.run()
    again.query_params.update({word: app.query_params[word] for word in ("scenario", "rules")})
    return again.switch_page(page).run()


def test_a_reload_and_a_sent_link_open_the_same_plan_under_the_same_rules(plan: Scenario, app: AppTest) -> None:
    services.clone(plan.id)  # the plan saved last, with which the page begins
    users = services.workspace().scenario_pairs(plan.id, "test")["user_id"].unique()[:5]
    listed = services.add_suppression_list("opted out", "\n".join(users).encode())
    fine(go(app, AUDIENCES))
    assert "rules" not in app.query_params
    app.selectbox(key="audience-plan").set_value(plan.id)
    app.selectbox(key="rule-suppression").set_value(listed.id)
    app.slider(key="rule-holdout").set_value(20)
    app.number_input(key="rule-seed").set_value(7)
    for name, limit in (("cap", 3), ("most", 40), ("least", 2)):
        app.number_input(key=f"rule-{name}").set_value(limit)
    fine(app.run())
    again = fine(reloaded(app, AUDIENCES))
    assert again.selectbox(key="audience-plan").value == plan.id
    assert again.selectbox(key="rule-suppression").value == listed.id
    assert again.query_params["rules"] == app.query_params["rules"]
    assert metric(again, "Deliveries in all") == metric(app, "Deliveries in all")
    again.number_input(key="rule-cap").set_value(1).run()
    assert again.number_input(key="rule-cap").value == 1  # the address it was opened with is not followed twice
    newer = services.add_suppression_list("opted out", users[0].encode())
    fine(again.run())
    assert again.selectbox(key="rule-suppression").value == listed.id
    assert "A newer list of this name is here" in words(again)
    again.selectbox(key="rule-suppression").set_value(newer.id).run()
    assert "A newer list" not in words(again)


def test_no_file_is_made_without_a_list_that_is_no_longer_there(plan: Scenario, app: AppTest) -> None:
    listed = services.add_suppression_list("opted out", b"somebody")
    fine(go(app, AUDIENCES))
    app.selectbox(key="rule-suppression").set_value(listed.id).run()
    with services.workspace().transaction() as cursor:
        cursor.execute("DELETE FROM suppression_lists")
    again = reloaded(app, AUDIENCES)
    assert [e.value for e in again.error if "no file is made without it" in e.value]
    assert not again.get("download_button")
    again.selectbox(key="rule-suppression").set_value("").run()
    assert fine(again).get("download_button")


def test_a_link_whose_rules_were_cut_off_says_so(plan: Scenario, app: AppTest) -> None:
    fine(go(app, AUDIENCES))
    app.query_params["rules"] = services.rules_token(services.AudienceRules(holdout=0.3))[:-9]
    assert "it may be cut off: copy it again" in words(app.run())
    assert not app.get("download_button")  # no file goes out without the rules that the link had, unless that was read
    app.button(key="not-here-read").click().run()
    assert app.get("download_button")


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_a_list_that_is_uploaded_is_chosen_at_once_whatever_separates_its_columns(
    plan: Scenario, app: AppTest, separator: str
) -> None:
    pairs = services.workspace().scenario_pairs(plan.id, "test")
    gone = pairs["user_id"].unique()[:2].tolist()
    rows = [("Email", "Kunde"), *((user, f"no-{i}") for i, user in enumerate([*gone, "stranger"]))]
    fine(go(app, AUDIENCES))
    content = "\n".join(separator.join(row) for row in rows).encode()
    app.file_uploader(key="rule-upload").set_value(("opted out.csv", content, "text/csv"))
    fine(app.run())
    (listed,) = services.suppression_lists()
    assert app.selectbox(key="rule-suppression").value == listed.id
    assert listed.users == 3  # the heading is no user
    assert not any("no rules" in e.label for e in app.expander)
    for _ in range(2):
        assert "2 of 3 ids are users of this dataset; unknown: stranger" in words(app)
        table = [d.value for d in fine(app).dataframe if "rule" in d.value][-1]
        assert table["pairs"].tolist() == [int(pairs["user_id"].isin(gone).sum())]
        app.run()
    app.selectbox(key="rule-suppression").set_value("").run()
    assert app.selectbox(key="rule-suppression").value == ""  # what was chosen since is not undone


def test_a_list_of_strangers_is_an_error_and_another_column_is_chosen_with_one_click(
    plan: Scenario, app: AppTest
) -> None:
    users = services.workspace().scenario_pairs(plan.id, "test")["user_id"].unique()[:3].tolist()
    fine(go(app, AUDIENCES))
    app.file_uploader(key="rule-upload").set_value(("strangers.txt", b"Mail\n9999991\n9999992", "text/plain")).run()
    assert services.suppression_lists() == []
    (said,) = [e.value for e in app.error]
    assert "None of the 2 ids of this list is a user of shop v1" in said
    assert "upload a list that has such ids" in said
    rows = "\n".join(f"{user};9999{i}" for i, user in enumerate(users))
    app.file_uploader(key="rule-upload").set_value(("table.csv", f"Kunde;Nr\n{rows}".encode(), "text/csv")).run()
    fine(app)
    (column,) = [s for s in app.selectbox if s.label == "Column with the user ids"]
    assert column.value == "Kunde"
    column.set_value("Nr").run()
    assert "None of the 3 ids of column “Nr”" in app.error[0].value


def test_rules_that_leave_nobody_say_so(plan: Scenario, app: AppTest) -> None:
    fine(go(app, AUDIENCES))
    app.number_input(key="rule-least").set_value(100_000).run()
    assert "Nobody is left" in words(fine(app))
    assert "Nobody gets this item" in words(app)


def test_an_empty_field_is_no_limit_of_an_audience(plan: Scenario, app: AppTest) -> None:
    fine(go(app, AUDIENCES))
    everything = metric(app, "Deliveries in all")
    limits = [app.number_input(key=f"rule-{name}") for name in ("cap", "most", "least")]
    assert [(n.value, n.placeholder, n.min) for n in limits] == [(None, "no limit", 1)] * 3
    app.number_input(key="rule-cap").set_value(1).run()
    assert metric(fine(app), "Deliveries in all") != everything
    app.number_input(key="rule-cap").set_value(None).run()
    assert metric(fine(app), "Deliveries in all") == everything


def test_why_a_user_is_there_adds_up(plan: Scenario, app: AppTest, until: Callable) -> None:
    fine(go(app, AUDIENCES))
    until(app, lambda page: any(m.label == "Price of the item" for m in page.metric))
    item = app.multiselect(key=f"audience-items-{plan.id}").value[0]
    user = services.workspace().scenario_pairs(plan.id, "test", item=item)["user_id"].iloc[0]
    found = finished(services.request_why(plan, "test", item, user, "t"))
    assert isinstance(found, services.Reasons)
    pair = services.workspace().scenario_pairs(plan.id, "test", item=item, user=user).iloc[0]
    assert found.score == pytest.approx(pair["score"], rel=1e-5)
    assert found.intensity * found.preference == pytest.approx(found.score)
    price = services.workspace().scenario_items(plan.id).set_index("item_id")["price"][item]
    assert found.price == price
    assert found.place <= 4  # the online rule gives the best four
    assert "nearest to the item first" in words(app)
    events = next(d.value for d in app.dataframe if "days_before" in d.value)
    assert (events["time"] < found.time).all()


def test_the_size_curve_ends_with_everybody_and_holds_the_plan(plan: Scenario, app: AppTest, until: Callable) -> None:
    fine(go(app, AUDIENCES))
    until(app, lambda page: "Half of all the response" in words(page))
    item = app.multiselect(key=f"audience-items-{plan.id}").value[0]
    found = finished(services.request_curve(plan, "test", item, "t"))
    assert isinstance(found, services.SizeCurve)
    pairs = services.workspace().scenario_pairs(plan.id, "test", item=item)
    assert found.plan["size"].iloc[-1] == len(pairs)
    assert found.plan["expected"].iloc[-1] == pytest.approx(pairs["expected"].sum(), rel=1e-5)
    same = found.everyone[found.everyone["size"] == len(pairs)]["expected"]
    assert len(same) == 0 or same.iloc[0] >= found.plan["expected"].iloc[-1] * (1 - 1e-6)


def test_layouts_without_contacts_name_users_by_id(plan: Scenario, app: AppTest) -> None:
    fine(go(app, AUDIENCES))
    app.segmented_control(key="layout-items").set_value("google").run()
    assert "neither e-mail addresses nor phone numbers" in words(fine(app))
    recipe = services.AudienceRecipe(plan.id, format="google")
    lines = services.export_file(recipe).decode().splitlines()
    assert lines[0] == "User ID"
    assert len(lines) - 1 == services.workspace().scenario_pairs(plan.id, "test")["user_id"].nunique()
    parquet = services.export_file(services.AudienceRecipe(plan.id, format="parquet"))
    assert pq.read_table(io.BytesIO(parquet)).num_rows == len(services.workspace().scenario_pairs(plan.id, "test"))
    kept = services.exports(plan)
    assert kept["format"].tolist() == ["Parquet", "Google Customer Match"]
    assert kept["sha256"].iloc[0] == hashlib.sha256(parquet).hexdigest()
    assert services.export_name(recipe) == "Spring_all-items_delivered_google.csv"


def test_buttons_say_the_rows_and_users_of_the_file_and_who_is_left_out_why(
    plan: Scenario, app: AppTest, until: Callable
) -> None:
    pairs = services.workspace().scenario_pairs(plan.id, "test")
    users = pairs["user_id"].drop_duplicates().tolist()
    assert len(users) < len(pairs)
    known = {user: f"+49 151 {1234500 + i}" for i, user in enumerate(users)}
    known |= dict.fromkeys(users[:5], "") | dict.fromkeys(users[5:8], "030 1234567")
    with services.workspace().transaction() as cursor:
        cursor.execute("""UPDATE datasets SET user_columns = '{"Telefon": "string"}'""")
        for user, phone in known.items():
            cursor.execute("UPDATE users SET features = ? WHERE user_id = ?", [json.dumps({"Telefon": phone}), user])
    fine(go(app, AUDIENCES))
    labels = lambda: [b.label for b in app.get("download_button")]  # noqa: E731
    assert f"Download the whole plan ({len(pairs):,} rows, {len(users)} users)" in labels()
    app.segmented_control(key="layout-all").set_value("google").run()
    fine(app)
    assert "named by SHA-256 of phone" in words(app)
    assert f"Download the whole plan ({len(users) - 8} users, one a row)" in labels()
    assert f"8 of {len(users)} users are left out of this file: 5 without any e-mail or phone, 3 with" in words(app)
    app.text_input(key="country-all").set_value("49").run()
    fine(app)
    assert f"5 of {len(users)} users are left out of this file: 5 without any e-mail or phone." in words(app)
    content = services.export_file(services.AudienceRecipe(plan.id, format="google", country_code="49"))
    assert f"Download the whole plan ({len(content.decode().splitlines()) - 1} users, one a row)" in labels()
    app.text_input(key="country-all").set_value("four").run()
    until(app, lambda page: page.error)
    assert "no country code" in app.error[0].value
    assert not any(b.label == "Try again" for b in app.button)  # it would be none again


def test_a_browser_gets_a_page_of_an_audience_and_never_all_of_it(plan: Scenario, app: AppTest) -> None:
    fine(go(app, AUDIENCES))
    assert max(len(d.value) for d in app.dataframe) <= 200


# -- delivery ----------------------------------------------------------------------------------------------------


def test_the_simulation_ends_with_what_was_delivered(plan: Scenario, app: AppTest, until: Callable) -> None:
    fine(go(app, DELIVERY))
    until(app, lambda page: any(m.label == "Promises kept" for m in page.metric))
    found = finished(services.request_simulation(plan, "t"))
    assert isinstance(found, services.Simulation)
    got = services.workspace().delivered_by_item(plan.id, "test").set_index("item_id")["delivered"]
    delivered = found.items.set_index("item_id")["delivered"]
    assert delivered[delivered > 0].to_dict() == got.to_dict()
    assert found.course.steps["delivered"].iloc[-1] == got.sum()
    assert found.load[["planned", "online"]].sum().tolist() == pytest.approx([1, 1])
    kept = int((found.items["verdict"] == "kept").sum())
    assert metric(app, "Promises kept") == f"{kept} of {len(found.items)}"
    assert found.course.steps["kept"].iloc[-1] == pytest.approx(
        (found.items["delivered"] >= found.items["minimum"]).mean()
    )
    assert "come with their user's first event" in words(fine(app))


def test_hindsight_is_a_bound_on_what_keeps_the_promises(plan: Scenario, app: AppTest, until: Callable) -> None:
    fine(go(app, DELIVERY))
    until(app, lambda page: any(b.key == "hindsight-go" for b in page.button))
    app.button(key="hindsight-go").click().run()
    until(app, lambda page: any(m.label == "Online reaches" for m in page.metric))
    best = services.task(services.hindsight_key(plan)).result
    assert best.hindsight <= best.bound * (1 + 1e-9)
    assert best.online == pytest.approx(plan.metrics["online"]["expected"])
    fine(app)


def test_the_capacity_sweep_is_kept_and_drawn(plan: Scenario, app: AppTest, until: Callable) -> None:
    fine(go(app, DELIVERY))
    assert "No sweep yet" in words(app)
    app.select_slider(key="load-most").set_value(10.0).run()
    app.button(key="load-go").click().run()
    until(app, lambda _: services.stored_load(plan, 0.1) is not None)
    points = services.stored_load(plan, 0.1)
    assert set(points["mode"]) == {"offline dual", "online dual"}
    assert (points["delivered_share"] <= points["alpha"] + 1e-9).all()
    until(app, lambda page: "Sweep again" in [b.label for b in page.button])
    assert services.stored_load(plan, 0.2) is None
    assert services.stored_frontier(services.PlanRequest(plan.model_id, 4), [plan.model_id]) is None
    fine(app)
