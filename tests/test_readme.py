"""What the README shows has to run."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rim_core as rim

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    """The first code block of a language."""
    found = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found is not None
    return found.group(1)


def test_the_walk_of_the_readme_runs_and_keeps_its_promises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walk = block("python")
    steps = [line for line in walk.splitlines() if line and not line.startswith("import")]
    assert len(steps) <= 10
    full, brief = rim.load_dataset, rim.GRU
    small = {"users": 300, "items": 40, "days": 90, "seed": 5}
    monkeypatch.setattr(rim, "load_dataset", lambda name: full("shop", **small), raising=False)
    monkeypatch.setattr(rim, "GRU", lambda: brief(max_epochs=1), raising=False)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(walk, "README.md", "exec"), names)
    plan, delivered = names["plan"], names["delivered"]
    assert isinstance(plan, rim.Plan)
    assert isinstance(delivered, rim.Assignment)
    assert plan.certificate.feasible
    assert plan.certificate.objective <= plan.certificate.upper_bound * (1 + 1e-9)
    rows = list(csv.DictReader((tmp_path / "audience.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == delivered.delivered
    assert "complete-journey" in walk  # the real one is what the reader gets


def test_every_command_of_the_readme_is_there() -> None:
    shown = {line.split()[1] for line in README.splitlines() if re.match(r"rim [a-z]+", line)}
    assert shown
    call = [sys.executable, "-c", "from rim_core.cli import main; main()", "--help"]
    answer = subprocess.run(call, capture_output=True, text=True, check=True).stdout
    commands = answer.partition("Commands:")[2].splitlines()
    assert shown <= {line.split()[0] for line in commands if re.match(r"  [a-z]+ ", line)}


def test_every_picture_and_page_it_points_to_is_there() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target
