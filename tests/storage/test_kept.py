"""What is kept comes back as it was, and half of a file is never taken for a whole one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import rim_core as rim
from rim_core.errors import ArtifactError, NotFoundError, StorageError
from rim_core.evaluation import evaluate
from rim_core.models import artifact_id, save_model
from rim_core.storage import DatasetInfo, EvaluationRecord, Workspace, acting_as, read_json, replacing, write_json

SHOP = {"users": 60, "items": 12, "days": 60, "seed": 1}


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace(tmp_path / "w", create=True) as opened:
        opened.add_dataset("toy", "shop", options=SHOP)
        yield opened


@pytest.fixture
def split(workspace: Workspace) -> rim.Split:
    return rim.split_by_time(workspace.log("toy"), horizon="7D")


def registered(workspace: Workspace, split: rim.Split, tmp_path: Path) -> str:
    """A trained Popularity in the registry, as a job would put it there."""
    info, model = workspace.dataset("toy"), rim.Popularity().fit(split)
    identity = artifact_id(model.get_config(), info.content, split.config)
    made = save_model(model, tmp_path / "out" / identity)
    figures = EvaluationRecord(identity, "test", "item", 1, {"precision": 0.25})
    workspace.add_model(
        made, id=identity, name=model.name, config=model.get_config(), dataset=info, seconds=1.5, facts={"why": "test"},
        split_id=workspace.save_split(info, split.config, split.summary().to_dict("records")), evaluations=[figures],
    )  # fmt: skip
    return identity


def reopened(workspace: Workspace) -> Workspace:
    workspace.close()
    workspace.__init__(workspace.root)  # type: ignore[misc]
    return workspace


def test_a_dataset_comes_back_equal_and_the_same_content_is_kept_once(workspace: Workspace) -> None:
    log, info = workspace.log("toy"), workspace.dataset("toy")
    again = workspace.add_log("copy", log)
    assert again.is_new
    assert (again.content, again.events) == (info.content, info.events) == (log.version, len(log.events))
    assert not workspace.add_log("copy", log).is_new
    opened = reopened(workspace)
    for name in ("toy", "copy"):
        back = opened.log(name)
        pd.testing.assert_frame_equal(back.events, log.events)
        pd.testing.assert_frame_equal(back.items, log.items)
        pd.testing.assert_frame_equal(back.users, log.users)
    assert opened.dataset("toy") == info
    (finding,) = [f for f in opened.health() if f.subject == info.label]
    assert finding.level == "ok"
    with opened.transaction() as cursor:
        cursor.execute("DELETE FROM event_rows WHERE dataset = ? AND user_code = 0", [info.id])
    (finding,) = [f for f in opened.health() if f.subject == info.label]
    assert (finding.level, "rim data remove" in finding.remedy) == ("problem", True)


def test_a_plan_is_opened_again_with_its_scores_and_prices(workspace: Workspace, split: rim.Split) -> None:
    model = rim.Popularity().fit(split)
    calibration, test = model.score(split.calibration), model.score(split.test)
    plan = rim.DualPlanner(rim.Constraints(capacity=2, min_exposure=0.1)).fit(calibration)
    pairs = {"calibration": rim.plan_pairs(plan.assignment)}
    kept = workspace.save_scenario(
        "spring", dataset=workspace.dataset("toy"), split=split.config, model_id="m",
        constraints=plan.constraints.to_dict(), seed=7, note="βeta", promises=plan.promises,
        certificate={"gap": None, "objective": 1.5}, pairs=pairs,
        metrics={"offline": evaluate(plan.assignment, split.calibration).to_dict()},
    )  # fmt: skip
    delivered = plan.assign(test)
    sent = rim.plan_pairs(delivered)
    told = workspace.deliver(kept.id, "test", sent, {"online": evaluate(delivered, split.test).to_dict()})
    workspace.deliver(kept.id, "test", sent, {"online": {"precision": 0.5}})  # replaces, does not add
    opened = reopened(workspace)
    back = opened.scenario(kept.id)
    assert set(told.metrics) == {"offline", "online"}
    assert back == opened.scenario("spring") == opened.scenario(kept.id[-6:])
    assert (back.seed, back.note, back.certificate) == (7, "βeta", {"gap": None, "objective": 1.5})
    assert rim.Constraints(**back.constraints).to_dict() == plan.constraints.to_dict()
    assert rim.split_from_config(opened.log("toy"), back.split).config == split.config
    items = opened.scenario_items(kept.id)
    assert items[["free", "expected", "low", "high", "chance"]].isna().all(axis=None)
    assert items["item_id"].tolist() == plan.promises["item_id"].astype(str).tolist()
    np.testing.assert_array_equal(items["price"], plan.promises["price"])
    for part, table in (("calibration", pairs["calibration"]), ("test", sent)):
        found = opened.scenario_pairs(kept.id, part)
        expected = table.to_pandas().sort_values(["item_id", "rank", "state"], ignore_index=True)
        pd.testing.assert_frame_equal(found, expected[found.columns], check_dtype=False)
    counts = opened.delivered_by_item(kept.id).set_index("item_id")["delivered"]
    assert counts.sum() == len(sent)
    one = opened.scenario_pairs(kept.id, item=str(counts.index[0]), limit=1)
    assert len(one) == 1
    opened.update_scenario(kept.id, name="summer", archived=True)
    assert opened.scenarios() == []
    assert [s.name for s in opened.scenarios(archived=True)] == ["summer"]
    opened.remove_dataset("toy")
    assert (opened.scenario("summer").dataset, opened.scenario("summer").dataset_version) == ("(removed)", 0)


def test_what_a_plan_lacked_is_filled_in_with_its_delivery_and_the_order_of_its_items_stays(
    workspace: Workspace, split: rim.Split
) -> None:
    plan = rim.DualPlanner(rim.Constraints(capacity=2)).fit(rim.Popularity().fit(split).score(split.calibration))
    ids = [
        workspace.save_scenario(
            name, dataset=workspace.dataset("toy"), split=split.config, model_id="m", constraints={"capacity": 2},
            seed=0, promises=plan.promises, certificate={},
        ).id
        for name in ("lacking", "other")
    ]  # fmt: skip
    figures = {"expected": 1.5, "low": 0.0, "high": 4.0, "chance": 0.5}
    items = plan.promises[["item_id"]].assign(free=range(len(plan.promises)), **figures)
    shuffled = items.sample(frac=1.0, random_state=1)
    workspace.deliver(ids[0], "test", rim.plan_pairs(plan.assignment), {"losses": {"cost": 0.0}}, shuffled)
    found, other = (workspace.scenario_items(i) for i in ids)
    assert found["item_id"].tolist() == plan.promises["item_id"].tolist()
    assert found["free"].tolist() == items["free"].tolist()
    assert (found["chance"] == 0.5).all()
    assert other["free"].isna().all()


def test_a_name_that_two_plans_have_asks_for_the_id(workspace: Workspace, split: rim.Split) -> None:
    promises = pd.DataFrame({"item_id": ["a"], "minimum": [0], "maximum": [1], "delivered": [1], "price": [0.0]})
    ids = [
        workspace.save_scenario(
            "twin", dataset=workspace.dataset("toy"), split=split.config, model_id="m", constraints={"capacity": 1},
            seed=0, promises=promises, certificate={},
        ).id
        for _ in range(2)
    ]  # fmt: skip
    assert [workspace.scenario(i).name for i in ids] == ["twin", "twin (2)"]
    with workspace.transaction() as cursor:  # as older versions let them be, and two datasets may
        cursor.execute("UPDATE scenarios SET name = 'twin'")
    with pytest.raises(NotFoundError, match=f"{ids[1]}, {ids[0]}.*Give the id"):
        workspace.scenario("twin")
    with pytest.raises(NotFoundError, match="rim plan --list"):
        workspace.scenario("")


def test_a_plan_that_cannot_be_written_whole_is_not_there(workspace: Workspace, split: rim.Split) -> None:
    promises = pd.DataFrame({"item_id": ["a", "a"], "minimum": 0, "maximum": 1, "delivered": 1, "price": ["x", "y"]})
    with pytest.raises(StorageError):
        workspace.save_scenario(
            "half", dataset=workspace.dataset("toy"), split=split.config, model_id="m", constraints={}, seed=0,
            promises=promises, certificate={},
        )  # fmt: skip
    assert workspace.scenarios() == []
    assert "plan saved" not in [a.what for a in workspace.activity()]


def test_a_frontier_comes_back_point_by_point(workspace: Workspace, split: rim.Split) -> None:
    points = pd.DataFrame(
        {
            "model": ["a", "a"],
            "mode": "online dual",
            "min_exposure": [0.0, 0.1],
            "gap": [np.nan, 1e-9],
            "kept": [1.0, 0.5],
        }
    )
    with acting_as("ann"):
        record = workspace.save_frontier(
            points, dataset=workspace.dataset("toy"), split=split.config, model_ids=["m"], settings={"capacity": 2}
        )
    opened = reopened(workspace)
    assert opened.frontiers("toy") == [record]
    assert opened.frontiers("other") == []
    pd.testing.assert_frame_equal(opened.frontier_points(record.id), points)
    assert opened.activity(1)[0].who == "ann"


def test_a_model_is_registered_found_checked_and_removed(
    workspace: Workspace, split: rim.Split, tmp_path: Path
) -> None:
    identity = registered(workspace, split, tmp_path)
    opened = reopened(workspace)
    (info,) = opened.models("toy")
    assert (info.id, info.name, info.seconds, info.facts) == (identity, "Popularity", 1.5, {"why": "test"})
    assert opened.model_info(identity[:5]) == info
    assert not (tmp_path / "out" / identity).exists()
    expected = rim.Popularity().fit(split).score(split.test)
    np.testing.assert_allclose(opened.load_model(identity).score(split.test).block(0, 3), expected.block(0, 3))
    assert [e.metrics for e in opened.evaluations(identity)] == [{"precision": 0.25}]
    opened.save_evaluations([EvaluationRecord(identity, "test", "item", 1, {"precision": 0.5})])
    assert [e.metrics for e in opened.evaluations()] == [{"precision": 0.5}]
    (opened.models_folder / "stranger").mkdir()
    assert [(f.level, f.subject) for f in opened.check_models()] == [("ok", identity), ("note", "stranger")]
    opened.remove_model(identity)
    assert (opened.models(), opened.evaluations(), info.folder.exists()) == ([], [], False)
    with pytest.raises(NotFoundError, match="rim train"):
        opened.model_info(identity)


def test_a_kill_between_moving_and_registering_is_mended_by_doing_it_again(
    workspace: Workspace, split: rim.Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(workspace, "save_evaluations", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            registered(workspace, split, tmp_path)
    assert workspace.models() == []
    assert [f.level for f in workspace.check_models()] == ["note"]  # the folder is there, nobody knows it
    identity = registered(workspace, split, tmp_path)
    assert [f.level for f in workspace.check_models()] == ["ok"]
    assert [f.name for f in workspace.models_folder.iterdir()] == [identity]


@pytest.mark.parametrize("part", ["weights.safetensors", "config.json"])
@pytest.mark.parametrize("share", [0.0, 0.5, None])
def test_a_half_written_model_is_refused_with_what_to_do(
    workspace: Workspace, split: rim.Split, tmp_path: Path, part: str, share: float | None
) -> None:
    identity = registered(workspace, split, tmp_path)
    path = workspace.model_info(identity).folder / part
    whole = path.read_bytes()
    path.unlink() if share is None else path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ArtifactError):
        workspace.load_model(identity)
    (finding,) = workspace.check_models()
    assert (finding.level, finding.subject) == ("problem", identity)
    assert f"rim models remove {identity}" in finding.remedy


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "x.json"
    write_json(path, {"a": np.int64(1), "b": float("nan"), "c": (np.float32(0.5), path)})
    assert read_json(path) == {"a": 1, "b": None, "c": [0.5, str(path)]}
    full = OSError(28, "No space left on device")
    with pytest.raises(StorageError, match="free some disk space"), replacing(path) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise full
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise ZeroDivisionError
    assert read_json(path) == {"a": 1, "b": None, "c": [0.5, str(path)]}
    assert list(path.parent.iterdir()) == [path]
    for torn in ("", "{", "\x00"):
        path.write_text(torn)
        assert read_json(path) is None
    path.write_bytes(b"\xff\xfe")
    assert read_json(path) is None
    assert read_json(tmp_path / "none.json") is None
    with pytest.raises(StorageError, match="cannot be written"):  # below a file
        write_json(path / "below.json", {})


def test_an_import_that_is_cut_off_leaves_the_workspace_as_it_was(workspace: Workspace) -> None:
    def stop(progress: rim.Progress) -> None:
        if progress.done >= 2:
            raise rim.Cancelled("stop")

    info: DatasetInfo = workspace.dataset("toy")
    with pytest.raises(rim.Cancelled):
        workspace.add_dataset("toy", "shop", options={**SHOP, "seed": 2}, callback=stop)
    assert workspace.datasets(all_versions=True) == [info]
    assert workspace.query("SELECT count(*) FROM event_rows") == [(info.events,)]
    assert workspace.add_dataset("toy", "shop", options={**SHOP, "seed": 2}).version == 2
    assert len(workspace.log("toy", 1).events) == info.events
    workspace.remove_dataset("toy", 2)
    with pytest.raises(NotFoundError, match="no version 2: choose among 1"):
        workspace.log("toy", 2)
