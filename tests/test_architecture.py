"""Imports go one way, so that a change in one room is felt only above it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

LAYERS = {
    "errors": 0,
    "columns": 0,
    "progress": 0,
    "wording": 0,
    "datasets": 1,
    "scores": 1,
    "assignment": 1,
    "models": 2,
    "evaluation": 3,
    "planning": 4,
    "storage": 5,
    "audiences": 5,
    "jobs": 6,
    "walk": 7,
    "demo": 7,
    "cli": 8,
}
"""Rooms of the core, lowest first: a room imports from its own level and from below."""

DASHBOARD_LIBRARIES = {"streamlit", "plotly", "app"}


def imports(path: Path) -> set[str]:
    """Every module a file imports, with what is imported from it ("rim_core.errors.RimError")."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room(module: str) -> str:
    """ "rim_core.datasets.log.EventLog" lives in the room "datasets"."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


CORE_FILES = sorted(p for p in (ROOT / "rim_core").rglob("*.py") if p.parent != ROOT / "rim_core" or p.stem in LAYERS)
APP_FILES = sorted((ROOT / "app").rglob("*.py"))


@pytest.mark.parametrize("path", CORE_FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_engine_never_imports_upwards_nor_the_dashboard(path: Path) -> None:
    relative = path.relative_to(ROOT / "rim_core")
    mine = relative.parts[0].removesuffix(".py")
    assert mine in LAYERS, f"{relative} is in a room that LAYERS does not name"
    used = imports(path)
    assert not {m for m in used if m.split(".")[0] in DASHBOARD_LIBRARIES}
    rooms = {room(m) for m in used if m.startswith("rim_core.")} - {"__version__"}
    upwards = {r for r in rooms if LAYERS.get(r, len(LAYERS)) > LAYERS[mine]}
    assert not upwards, f"{relative} imports from {sorted(upwards)}, which stand above it"


@pytest.mark.parametrize("path", APP_FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_only_services_opens_the_door_to_the_engine(path: Path) -> None:
    relative = path.relative_to(ROOT / "app")
    used = imports(path)
    if relative.parts[0] != "services":
        engine = {m for m in used if m.split(".")[0] == "rim_core"}
        assert not engine - {"rim_core.wording", "rim_core.wording.counted"}, "words are no part of the engine"
    if relative.parts[0] == "ui":
        assert not {m for m in used if m.startswith(("app.views", "app.services", "app.main"))}
    if relative.parts[0] == "services":
        assert not {m for m in used if m.startswith("rim_core.cli")}, "what both need is a room of its own below them"
        assert not {m for m in used if m.startswith(("app.views", "app.main"))}


def test_nothing_reads_or_writes_a_pickle() -> None:
    forbidden = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
    for path in [*(ROOT / "rim_core").rglob("*.py"), *APP_FILES]:
        assert not {m for m in imports(path) if m.split(".")[0] in forbidden}, path
