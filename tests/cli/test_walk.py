"""The whole job from a terminal, in text and in JSON."""

from __future__ import annotations

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import click
import pandas as pd
import pytest

import rim_core
from rim_core.cli import COMMANDS, rim
from rim_core.storage import Workspace
from rim_core.storage.scenarios import MEASURED
from tests.cli.conftest import WALK, Call, Walk

PACKAGE = str(Path(rim_core.__file__).resolve().parents[1])


def test_every_step_of_the_walk_says_what_the_next_one_needs(walked: Walk) -> None:
    said = walked.answers
    assert said["init"] == {"workspace": str(walked.root), "created": True, "layout": said["init"]["layout"]}
    assert said["add"]["is_new"]
    assert said["list"] == [{k: v for k, v in said["add"].items() if k != "is_new"}]
    assert said["show"]["events"] == said["add"]["events"] > 0
    names = {"Popularity", "Random", "Popularity×HawkesPoisson"}
    assert {m["model"] for m in said["train"]["models"]} == names == {m["name"] for m in said["models"]}
    assert said["card"]["name"] == "Popularity"
    (group,) = said["evaluate"]
    assert {m["item_size"] for m in group["models"]} == {3}
    assert all(0 <= m["item_precision"] <= 1 for m in group["models"])
    assert said["plan"]["certificate"]["feasible"]
    assert [p["id"] for p in said["plans"]] == [said["plan"]["id"]]
    points = said["frontier"]["points"]
    assert {p["model"] for p in points} == {"Popularity", "Random"}
    assert {p["mode"] for p in points} == {"online dual"}
    assert {p["min_exposure"] for p in points} == {0.0, 0.05}
    deliver = said["deliver"]
    assert deliver["kept"] + deliver["short"] + deliver["over"] == len(deliver["items"]) == 12
    assert [j["state"] for j in said["jobs"]] == ["done"]
    assert said["doctor"]["exit_code"] == 0
    assert {f["level"] for f in said["doctor"]["findings"]} == {"ok"}


def test_the_audience_file_holds_what_was_delivered(walked: Walk) -> None:
    said = walked.answers["export"]
    with Path(said["path"]).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == said["rows"] == sum(i["delivered"] for i in walked.answers["deliver"]["items"])
    assert list(rows[0]) == ["user_id", "item_id", "rank", "score", "expected_interactions"] == said["columns"]


def test_a_plan_of_the_command_line_knows_who_loses_and_what_to_expect(walked: Walk) -> None:
    said = walked.answers["plan"]
    losses = said["metrics"]["losses"]
    with Workspace(walked.root) as workspace:
        items = workspace.scenario_items(said["id"])
    assert items[list(MEASURED)].notna().all(axis=None)
    moved = items["delivered"] - items["free"]
    assert moved.clip(lower=0).sum() == -moved.clip(upper=0).sum() > 0
    assert sum(losses["states"]) > sum(losses["states"][1:]) > 0
    assert 0 < losses["cost"] < 1
    assert ((items["low"] <= items["expected"]) & (items["expected"] <= items["high"])).all()


def test_a_delivery_gives_a_plan_of_an_older_version_what_it_lacks(shop: Path, call: Call) -> None:
    with Workspace(shop) as workspace:
        kept = workspace.scenario("spring")
        before = workspace.scenario_items(kept.id)
        with workspace.transaction() as cursor:
            for column in MEASURED:
                cursor.execute(f"UPDATE scenario_items SET {column} = NULL")
            cursor.execute("UPDATE scenarios SET metrics = '{}'")
    assert call("deliver", "spring", root=shop).code == 0
    with Workspace(shop) as workspace:
        again, after = workspace.scenario(kept.id), workspace.scenario_items(kept.id)
    pd.testing.assert_frame_equal(after, before)
    assert again.metrics["online"] == kept.metrics["online"]
    states = kept.metrics["losses"].pop("states")
    assert again.metrics["losses"].pop("states") == states
    assert again.metrics["losses"] == pytest.approx(kept.metrics["losses"])


def test_every_command_answers_in_text_too(shop: Path, call: Call) -> None:
    for name, words in WALK.items():
        if name in ("train", "frontier", "plan"):
            continue
        said = call(*words, root=shop)
        assert (said.code, said.lines) == (0, []), (name, said.err)
        assert said.out.strip()
        assert not said.out.startswith(("{", "["))
    assert "is a workspace already" in call("init", root=shop).out
    assert "was kept already" in call(*WALK["add"], root=shop).out


def test_what_was_trained_planned_or_added_can_be_removed(shop: Path, call: Call) -> None:
    said = call("data", "remove", "toy", root=shop)  # nobody there to say yes
    assert said.code in (1, 130)
    assert call("data", "remove", "toy", "--yes", root=shop).code == 0
    for words in (["plan", "Popularity"], ["frontier", "Popularity"], ["deliver", "spring"]):
        said = call(*words, root=shop)
        assert said.code == 9
        assert "was removed: add it and train again" in said.lines[0]
    assert call("evaluate", "--k", "3", root=shop).code == 0  # figures that are kept are still shown
    assert call("evaluate", "--k", "4", root=shop).code == 0
    assert call("models", "remove", "Popularity", root=shop).code == 0
    assert call("models", "show", "Popularity", root=shop).code == 9
    assert call("doctor", root=shop).code == 0


def test_doctor_says_what_is_broken_and_what_to_do(shop: Path, call: Call) -> None:
    with Workspace(shop) as workspace:
        folder = workspace.models()[0].folder
        Path(workspace.exports()[0].path).unlink(missing_ok=True)
    (folder / "weights.safetensors").write_bytes(b"")
    said = call("doctor", root=shop)
    assert said.code == 1
    assert re.search(rf"^PROBLEM {folder.name}: ", said.out, re.MULTILINE)
    assert f"→ rim models remove {folder.name}" in said.out


# -- help -----------------------------------------------------------------------------------------------------


def commands() -> list[tuple[str, ...]]:
    """Every command and every command of a group."""
    found: list[tuple[str, ...]] = []
    context = click.Context(rim)
    for name in COMMANDS:
        command = rim.get_command(context, name)
        assert command is not None
        found.append((name,))
        found += [(name, below) for below in getattr(command, "commands", {})]
    return found


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_help_says_what_a_command_does_with_examples(words: tuple[str, ...], call: Call) -> None:
    said = call(*words, "--help")
    assert (said.code, said.err) == (0, "")
    assert f"Usage: rim {' '.join(words)}" in said.out
    assert f"  rim {words[0]}" in said.out.partition("Examples:")[2] or words[0] in ("init", "doctor")
    assert "Examples:" in said.out
    group = words in (("data",), ("models",))
    assert group or "--json" in said.out


def test_without_a_command_the_help_is_shown(call: Call) -> None:
    for words in ([], ["data"], ["models"]):
        said = call(*words)
        assert said.code == 2
        shown = said.out + said.err
        assert shown.startswith("Usage: rim")
        assert "rim: " not in shown
    assert call("--version").out.startswith("rim, version")


# -- as a process ---------------------------------------------------------------------------------------------


def shell(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "import sys; from rim_core.cli import main; sys.exit(main())", *words],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": PACKAGE, **more},
    )  # fmt: skip


def test_a_busy_workspace_ends_with_its_own_code_and_names_who_has_it(shop: Path) -> None:
    with Workspace(shop, command="rim serve", address="http://localhost:8501"):
        said = shell("data", "list", "--json", RIM_WORKSPACE=str(shop))
        assert said.returncode == 8
        assert '"type": "WorkspaceBusyError"' in said.stdout
        for word in (f"process {os.getpid()}", "rim serve", "http://localhost:8501"):
            assert word in said.stderr
        assert said.stderr.count("\n") == 1
        said = shell("doctor", RIM_WORKSPACE=str(shop))
        assert said.returncode == 8
        assert f"process {os.getpid()}" in said.stdout


def test_a_reader_who_has_seen_enough_is_no_error(shop: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    command = (
        f"set -o pipefail; {sys.executable} -c 'from rim_core.cli import main; raise SystemExit(main())' data list"
    )
    said = subprocess.run(
        [bash, "-c", f"{command} --json | true"],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": PACKAGE,
             "RIM_WORKSPACE": str(shop)},
    )  # fmt: skip
    assert said.returncode == 141  # as any program that is cut off so
    assert said.stderr == ""


def test_a_command_that_was_killed_is_told_of_by_the_next(shop: Path, call: Call) -> None:
    script = (
        "import sys\nfrom rim_core.storage import Workspace\n"
        f"w = Workspace({str(shop)!r}, command='rim plan')\nprint('ready', flush=True)\nsys.stdin.read()"
    )
    held = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": PACKAGE},
    )  # fmt: skip
    assert held.stdout is not None
    held.stdout.readline()
    held.send_signal(signal.SIGKILL)
    held.communicate()
    said = call("data", "list", "--json", root=shop)
    assert said.code == 0
    assert said.out.startswith("[")
    assert f"process {held.pid} (`rim plan`)" in said.err
    assert call("data", "list", root=shop).err == ""
