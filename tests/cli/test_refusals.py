"""Bad input gets one clear line, its own exit code, and never a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Call, Walk

LONG = "x" * 400

REFUSED: list[tuple[int, list[str], str]] = [
    # what was typed
    (2, ["nosuch"], "No such command"),
    (2, ["plan", "--bogus"], "No such option"),
    (2, ["plan"], "Name a model"),
    (2, ["plan", "Popularity", "-k", "0"], "not in the range"),
    (2, ["plan", "Popularity", "--min-exposure", "abc"], "write 0.005 or 0.5%"),
    (2, ["plan", "Popularity", "--seed", "-1"], "not in the range"),
    (2, ["frontier"], "Missing argument"),
    (2, ["frontier", "Popularity", "--seed", "-1"], "not in the range"),
    (2, ["evaluate", "--k", "0"], "not in the range"),
    (2, ["export", "spring", "--format", "xls"], "'xls' is not one of"),
    (2, ["export", "spring", "--holdout", "100"], "not in the range"),
    (2, ["export", "spring", "--country-code", "49"], "goes with --format google or meta"),
    (2, ["train"], "Name a dataset"),
    (2, ["train", "toy", "--split", "user", "--calibration", "2"], "--calibration cannot be chosen with --split user"),
    (2, ["train", "toy", "--split", "user", "--fraction", "nan"], "no share of the users"),
    (2, ["data", "add", "x", "shop", "--option", "users"], "not of the form NAME=VALUE"),
    (2, ["data", "add", "x", "--path", "one.csv", "--option", "columns=3"], "--column user_id=visitor"),
    # data
    (3, ["data", "add", "x"], "Say what x is"),
    (3, ["data", "add", "x", "nosource"], "There is no source 'nosource'"),
    (3, ["data", "add", "a/b", "shop"], "cannot name a dataset"),
    (3, ["data", "add", "x", "shop", "--option", "users=many"], "Choose users in"),
    (3, ["data", "add", "x", "--path", "empty.csv"], "is empty"),
    (3, ["data", "add", "x", "--path", "nofile.csv"], "There is no file nofile.csv"),
    (3, ["data", "add", "x", "csv", "--path", "folder"], "is a folder"),
    (3, ["data", "add", "x", "--path", "one.csv", "--column", "user_id=nope"], "no column"),
    (3, ["export", "spring", "--to", "file.xls"], "ends in .csv"),
    (3, ["train", "toy", "--horizon", "banana"], "no length of time"),
    (3, ["train", "toy", "--horizon", "400D"], "Choose a shorter horizon"),
    (3, ["export", "spring", "--to", "nowhere/file.csv"], "make it first"),
    (3, ["export", "spring", "--format", "google", "--country-code", "abc"], "no country code"),
    (3, ["export", "spring", "--suppress", "folder"], "one user id a line"),
    (3, ["export", "spring", "--suppress", "empty.csv"], "holds no user ids"),
    # models
    (4, ["train", "toy", "-m", "Nope"], "There is no model 'Nope'"),
    (4, ["train", "toy", "-m", "LightFM"], "LightFM"),
    (4, ["train", "toy", "-m", ","], "give at least one"),
    (4, ["train", "toy", "-m", "GRU×GRU"], "choose an intensity model"),
    (4, ["train", "toy", "--set", "gru"], "model.parameter=value"),
    (4, ["train", "toy", "--set", "gru.nope=1"], "no setting 'nope'"),
    (4, ["train", "toy", "-m", "GRU", "--set", "gru.dim=-4"], "dim is -4"),
    (4, ["train", "toy", "--set", "gru.max_epochs=abc"], "write something like"),
    # promises
    (5, ["plan", "Popularity", "--min-exposure", "nan"], "must be finite"),
    (5, ["plan", "Popularity", "--min-exposure", "150%"], "cannot exceed 1"),
    (5, ["plan", "Popularity", "--min-exposure", "5%", "--min-count", "3"], "not both"),
    (5, ["plan", "Popularity", "--min-exposure", "0.3", "--max-exposure", "0.1"], "above its maximum"),
    # the workspace
    (7, ["export", "spring", "--to", "one.csv/below.csv"], "cannot be written"),
    # what is not there
    (9, ["data", "show", "nope"], "(toy): add it"),
    (9, ["data", "show", "toy", "--version", "9"], "choose among 1"),
    (9, ["data", "remove", "nope", "--yes"], "There is no dataset"),
    (9, ["train", "nope"], "There is no dataset"),
    (9, ["train", "--resume"], "No job waits to be resumed"),
    (9, ["train", "--resume", "zzz"], "There is no job 'zzz'"),
    (9, ["models", "list", "nope"], "There is no dataset"),
    (9, ["models", "show", "Nope"], "there are Popularity"),
    (9, ["models", "remove", ""], "There is no model"),
    (9, ["evaluate", "nope"], "There is no dataset"),
    (9, ["plan", "Nope"], "There is no model"),
    (9, ["frontier", "Nope"], "There is no model"),
    (9, ["deliver", "nope"], "rim plan --list"),
    (9, ["export", ""], "There is no plan"),
    (9, ["export", "spring", "--item", "Baker"], "There is no item"),
    (9, ["export", "spring", "--suppress", LONG], "There is no suppression list"),
    (9, ["jobs", "cancel", "zzz"], "There is no job"),
    (9, ["jobs", "discard", "zzz"], "There is no job"),
]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the commands below are given to read."""
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("empty.csv").write_text("")
    Path("one.csv").write_text("user_id,item_id,timestamp\na,b,2024-01-01\n")


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(("code", "words", "match"), REFUSED, ids=[" ".join(w)[:60] for _, w, _ in REFUSED])
def test_bad_input_is_refused_in_one_line(walked: Walk, call: Call, code: int, words: list[str], match: str) -> None:
    said = call(*words, "--json", root=walked.root)
    assert said.code == code, said.err
    (line,) = said.lines
    assert match in line
    assert "Traceback" not in said.err
    assert "Unexpected" not in said.err
    error = json.loads(said.out)["error"]
    assert error["exit_code"] == code
    assert f"rim: {error['message']}" == line


def test_refusals_have_changed_nothing(walked: Walk, call: Call) -> None:
    for name in ("list", "models", "plans", "jobs"):
        words = {"list": ["data", "list"], "models": ["models", "list"], "plans": ["plan", "--list"], "jobs": ["jobs"]}
        kept = json.loads(call(*words[name], "--json", root=walked.root).out)
        assert len(kept) == len(walked.answers[name])


def test_where_there_is_no_workspace_every_command_says_how_to_make_one(tmp_path: Path, call: Call) -> None:
    for words in (["data", "list"], ["train", "x"], ["evaluate"], ["plan", "--list"], ["jobs"], ["export", "x"]):
        said = call(*words, root=tmp_path / "none")
        assert (said.code, said.out) == (9, "")
        assert "rim init" in said.lines[0]
    said = call("doctor", root=tmp_path / "none")
    assert said.code == 9
    assert "→ rim init" in said.out
    assert not (tmp_path / "none").exists()
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "file", tmp_path / LONG):
        said = call("init", root=root)
        assert said.code == 7
        assert len(said.lines) == 1


def test_an_error_of_the_program_is_a_line_unless_asked_for(
    walked: Walk, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rim_core.storage.Workspace.datasets", lambda *_, **__: 1 / 0)
    said = call("data", "list", "--json", root=walked.root)
    assert said.code == 1
    assert "RIM_DEBUG=1" in said.lines[0]
    assert json.loads(said.out)["error"]["type"] == "ZeroDivisionError"
    monkeypatch.setenv("RIM_DEBUG", "1")
    monkeypatch.setattr("logging.basicConfig", lambda **_: None)
    with pytest.raises(ZeroDivisionError):
        call("data", "list", root=walked.root)
    monkeypatch.setattr(
        "rim_core.storage.Workspace.datasets", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    said = call("data", "list", root=walked.root)
    assert (said.code, said.lines) == (130, ["rim: Stopped."])
