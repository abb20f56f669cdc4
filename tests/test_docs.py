"""The documentation names functions that exist, and leads to pages and pictures that are there."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = sorted(p for p in DOCS.rglob("*.md") if "_build" not in p.parts)


def test_every_equation_is_mapped_to_a_function_that_exists() -> None:
    targets = re.findall(r"\{py:\w+\}`([\w.]+)`", (DOCS / "method.md").read_text(encoding="utf-8"))
    assert len(targets) > 12
    for target in targets:
        parts = target.split(".")
        for cut in range(len(parts), 0, -1):
            try:
                found = importlib.import_module(".".join(parts[:cut]))
            except ModuleNotFoundError:
                continue
            for name in parts[cut:]:
                found = getattr(found, name)
            break
        else:
            pytest.fail(f"{target} is nowhere")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(DOCS)))
def test_links_and_pictures_lead_somewhere_and_nowhere_outside(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)", text):
        assert not target.startswith("http"), f"{page.name} needs {target} from elsewhere"
        assert (page.parent / target).exists(), f"{page.name} leads to {target}, which is not there"


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_pictures_are_taken_of_a_demo_that_is_made_first() -> None:
    steps = subprocess.run(
        ["make", "--dry-run", "pictures"], cwd=DOCS.parent, capture_output=True, text=True, check=True
    ).stdout
    assert 0 < steps.index("rim demo --prepare") < steps.index("test_pictures.py")
