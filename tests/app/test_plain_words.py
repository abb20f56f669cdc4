"""What the pages say is in a campaign planner's words; the paper's stand in help texts at most."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from app.ui import charts, messages

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*(ROOT / "app" / "views").glob("*.py"), *(ROOT / "app" / "ui").glob("*.py")])
JARGON = ("user-state", "α", "Section F", "Figure S", "λ(")


def said(path: Path) -> set[str]:
    """Every text in a file but docstrings and help."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    hidden: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            hidden.add(node.value)
        if isinstance(node, ast.keyword) and node.arg == "help":
            hidden |= set(ast.walk(node.value))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Column":
            hidden |= {inner for argument in node.args[2:] for inner in ast.walk(argument)}
    texts = (n for n in ast.walk(tree) if isinstance(n, ast.Constant) and n not in hidden)
    return {n.value for n in texts if isinstance(n.value, str)}


@pytest.mark.parametrize("path", PAGES, ids=lambda p: str(p.relative_to(ROOT / "app")))
def test_no_page_speaks_like_the_paper(path: Path) -> None:
    found = {text for text in said(path) for word in JARGON if word in text and text.lower() != word}
    assert not found


def test_ways_to_plan_and_what_the_engine_says_are_put_into_plain_words() -> None:
    for mode in ("offline greedy", "offline dual", "online dual"):
        assert not {"dual", "greedy", "offline"} & set(charts.mode(mode).split())
    assert messages.visitors("12 user-states have 24 places") == "12 visitors have 24 places"
