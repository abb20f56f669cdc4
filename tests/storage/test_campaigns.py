"""What leaves the workspace can be made again, and what comes back is kept as it was."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import rim_core as rim
from rim_core.audiences import AudienceRecipe, AudienceRules, held_out, reproduces, stored_contacts, write_audience
from rim_core.cli import rim as command
from rim_core.cli.output import Output
from rim_core.evaluation import evaluate
from rim_core.storage import Scenario, Workspace, acting_as
from rim_core.storage.database import migrations

KNOWN = "973dfe463ec85785f5f95af5ba3906eedb2d931c24e69824a89ea65dba4e813b"
"""SHA-256 of test@example.com."""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Sixty users with e-mail addresses, and a plan that gives each two of four items."""
    rng = np.random.default_rng(0)
    users, items = [f"u{i:02d}" for i in range(60)], ["tea", "milk", "salt", "rice"]
    rows = [(u, items[j], d) for u in users for d, j in enumerate(rng.integers(0, 4, 30))]
    events = pd.DataFrame(rows, columns=["user_id", "item_id", "day"])
    events["timestamp"] = pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(events["day"], unit="D")
    addresses = [None if i % 10 == 3 else f"User{i}@Example.com" for i in range(60)]
    people = pd.DataFrame({"Email": addresses, "age": 30}, index=pd.Index(users, name="user_id"))
    people.loc["u00", "Email"] = "Test@Example.com "
    opened = Workspace(tmp_path / "w", create=True)
    opened.add_log("shop", rim.EventLog.from_frame(events, users=people, name="shop"))
    return opened


@pytest.fixture
def scenario(workspace: Workspace) -> Scenario:
    info = workspace.dataset("shop")
    split = rim.split_by_time(workspace.log("shop"), horizon="7D")
    model = rim.Popularity().fit(split)
    calibration, test = model.score(split.calibration), model.score(split.test)
    plan = rim.DualPlanner(rim.Constraints(capacity=2, min_exposure=0.3)).fit(calibration)
    delivered = plan.assign(test)
    return workspace.save_scenario(
        "spring", dataset=info, split=split.config, model_id="m", constraints=plan.constraints.to_dict(), seed=0,
        promises=plan.promises, certificate={}, metrics={"online": evaluate(delivered, split.test).to_dict()},
        pairs={"test": rim.plan_pairs(delivered)},
    )  # fmt: skip


def test_an_export_can_be_made_again_with_the_same_bytes(workspace: Workspace, scenario: Scenario) -> None:
    listed = workspace.add_suppression_list("opted out", ["u01", "u02", "u01", " "])
    assert listed.users == 2
    rules = AudienceRules(listed.id, holdout=0.2, holdout_seed=4, max_per_user=1, min_size=2)
    for form in ("csv", "parquet", "google", "meta"):
        recipe = AudienceRecipe(scenario.id, "test", ("tea", "milk"), rules, form)
        with acting_as("ann"):
            receipt, record, audience = write_audience(workspace, recipe)
        assert record.who == "ann"
        assert record.sha256 == hashlib.sha256(receipt.path.read_bytes()).hexdigest()
        assert AudienceRecipe.from_dict(record.recipe) == recipe
        workspace.add_suppression_list("opted out", ["u05"])  # a later version changes nothing of an old export
        assert reproduces(workspace, record.id)
        assert [r.rule for r in audience.removals][:3] == ["suppression", "frequency cap", "hold-out"]
    assert workspace.suppression_list("opted out").users == 1
    assert len(workspace.exports(scenario_id=scenario.id)) == 4
    assert workspace.exports(scenario_id="another") == []


def test_an_export_whose_plan_changed_is_told_apart(workspace: Workspace, scenario: Scenario) -> None:
    _, record, _ = write_audience(workspace, AudienceRecipe(scenario.id))
    with workspace.transaction() as cursor:
        cursor.execute("UPDATE scenario_pairs SET score = score + 1 WHERE item_id = 'tea'")
    assert not reproduces(workspace, record.id)
    workspace.record_export(Path(record.path), rows=1, format="csv")
    with pytest.raises(rim.DataError, match="before recipes were kept"):
        reproduces(workspace, workspace.exports(limit=1)[0].id)


def test_contacts_come_from_the_users_of_the_dataset(workspace: Workspace, scenario: Scenario) -> None:
    contacts = stored_contacts(workspace, scenario)
    assert contacts is not None
    assert list(contacts.columns) == ["email"]
    assert contacts.loc["u05", "email"] == "User5@Example.com"
    receipt, _, audience = write_audience(workspace, AudienceRecipe(scenario.id, format="google"))
    lines = receipt.path.read_text().splitlines()
    assert lines[0] == "Email"
    assert KNOWN in lines
    assert receipt.left_out == len([u for u in audience.pairs["user_id"].unique() if int(u[1:]) % 10 == 3])
    workspace.remove_dataset("shop")
    assert stored_contacts(workspace, workspace.scenario(scenario.id)) is None


def test_the_command_writes_a_layout_and_says_what_was_removed(
    workspace: Workspace, scenario: Scenario, tmp_path: Path
) -> None:
    workspace.close()
    out = tmp_path / "optedout.csv"
    out.write_text("User ID\nu01\nu07\n")
    arguments = ["-w", str(workspace.root), "export", "spring", "--format", "meta", "--holdout", "25", "--suppress"]
    arguments += [str(out), "--to", str(tmp_path / "meta.csv"), "--max-per-user", "1"]
    said = CliRunner().invoke(command, [*arguments, "--json"], obj=Output(), catch_exceptions=False)
    answer = json.loads(said.stdout)
    assert [r["rule"] for r in answer["removed"]] == ["suppression", "frequency cap", "hold-out"]
    assert (answer["format"], answer["hashed"]) == ("meta", True)
    assert (tmp_path / "meta.csv").read_text().splitlines()[0] == "email"
    text = CliRunner().invoke(command, arguments, obj=Output(), catch_exceptions=False).stdout
    assert "suppression removed" in text
    assert "have no e-mail or phone" in text
    with Workspace(workspace.root) as again:
        latest = again.exports()[0]
        assert reproduces(again, latest.id)
        assert AudienceRecipe.from_dict(latest.recipe).rules.holdout == 0.25


def test_the_figures_of_a_campaign_are_kept_as_they_were(workspace: Workspace, scenario: Scenario) -> None:
    items = pd.DataFrame(
        {
            "item_id": ["milk", "tea"], "promised": pd.array([3, None], "Int64"), "planned": [4, 5], "withheld": [1, 0],
            "delivered": [3, 5], "expected": [0.5, np.nan], "outcomes": [1, 2], "verdict": ["kept", "unknown"],
        }
    )  # fmt: skip
    days = pd.DataFrame({"day": [pd.Timestamp("2024-03-01")], "exposures": [8], "outcomes": [3]})
    summary = {"lift": {"relative": 0.3, "relative_low": None}}
    record = workspace.save_campaign(
        "spring mail", scenario=scenario, part="test", recipe={"part": "test"}, source={"file": "x.csv"},
        summary=summary, items=items, days=days,
    )  # fmt: skip
    assert workspace.campaigns([scenario.id]) == [record]
    assert workspace.campaigns(["another"]) == []
    assert record.summary == summary
    pd.testing.assert_frame_equal(workspace.campaign_items(record.id), items, check_dtype=False)
    assert workspace.campaign_days(record.id)["exposures"].tolist() == [8]
    assert "campaign imported" in [a.what for a in workspace.activity()]
    workspace.remove_campaign(record.id)
    with pytest.raises(rim.NotFoundError, match="import its results first"):
        workspace.campaign(record.id)
    assert workspace.campaign_items(record.id).empty


def test_a_list_without_users_and_one_that_is_not_there_say_so(workspace: Workspace) -> None:
    with pytest.raises(rim.DataError, match="one id a line"):
        workspace.add_suppression_list("x", [])
    with pytest.raises(rim.NotFoundError, match="there is none yet"):
        workspace.suppressed("x")


def test_a_workspace_of_the_first_layout_keeps_its_exports(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "rim.duckdb"
    first = migrations()[0]
    with duckdb.connect(str(path)) as old:
        old.execute(first.sql)
        old.execute("INSERT INTO schema_version VALUES (1, 'workspace', '2024-01-01')")
        old.execute("INSERT INTO exports VALUES ('e', NULL, 'tea', '/x.csv', 'csv', 3, 'abc', 'ann', '2024-01-01')")
    with Workspace(tmp_path) as opened:
        (export,) = opened.exports()
        assert (export.id, export.rows, export.who, export.recipe) == ("e", 3, "ann", None)
        assert opened.suppression_lists() == []


def test_held_out_users_are_in_no_file(workspace: Workspace, scenario: Scenario) -> None:
    import pyarrow as pa

    _, record, _ = write_audience(workspace, AudienceRecipe(scenario.id, rules=AudienceRules(holdout=0.5)))
    users = pd.read_csv(record.path)["user_id"]
    assert not held_out(pa.array(users, pa.string()), 0.5).any()
    assert 10 < users.nunique() < 50
