"""The command line in this process, and the whole walk done once on a tiny shop."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rim_core.cli import main, rim
from rim_core.cli.output import Output

WALK: dict[str, list[str]] = {
    "init": ["init"],
    "add": ["data", "add", "toy", "shop", *(f"--option={o}" for o in ("users=60", "items=12", "days=60", "seed=1"))],
    "list": ["data", "list"],
    "show": ["data", "show", "toy"],
    "train": [
        "train",
        "toy",
        "--horizon",
        "7D",
        "--threads",
        "1",
        "-m",
        "Popularity,Random",
        "-m",
        "popularity*hawkespoisson",
    ],
    "models": ["models", "list"],
    "card": ["models", "show", "Popularity"],
    "evaluate": ["evaluate", "toy", "--k", "3"],
    "plan": ["plan", "Popularity×HawkesPoisson", "-k", "2", "--min-exposure", "5%", "--name", "spring"],
    "plans": ["plan", "--list"],
    "frontier": ["frontier", "Popularity", "Random", "-k", "2", "--share", "5%", "--mode", "online dual"],
    "deliver": ["deliver", "spring"],
    "export": ["export", "spring"],
    "jobs": ["jobs"],
    "doctor": ["doctor"],
}
"""The walk, in its order."""


@dataclass(frozen=True)
class Walk:
    """A workspace after the walk, and what every command answered with --json."""

    root: Path
    answers: dict[str, Any]


@pytest.fixture(scope="session")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    """Read it only; :func:`shop` is a copy."""
    root = tmp_path_factory.mktemp("walked")
    answers = {}
    for name, words in WALK.items():
        said = CliRunner().invoke(rim, ["-w", str(root), *words, "--json"], obj=Output(), catch_exceptions=False)
        assert said.exit_code == 0, (name, said.stderr)
        answers[name] = json.loads(said.stdout)
    return Walk(root, answers)


@pytest.fixture
def shop(walked: Walk, tmp_path: Path) -> Path:
    """A copy of the workspace after the walk."""
    root = tmp_path / "w"
    shutil.copytree(walked.root, root)
    return root


@dataclass(frozen=True)
class Said:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """Complaints: lines of stderr that are neither progress nor a pointer to the help."""
        return [line for line in self.err.splitlines() if line.startswith("rim: ")]


Call = Callable[..., Said]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run ``rim`` as the shell would, in this process."""
    monkeypatch.setattr("signal.signal", lambda *_: None)

    def run(*words: str | Path, root: Path | None = None) -> Said:
        capsys.readouterr()
        code = main([*([] if root is None else ["-w", str(root)]), *map(str, words)])
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return run
