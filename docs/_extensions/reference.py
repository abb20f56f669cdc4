"""One reference page a room, written from the files there are: a new module is in it without further ado."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOMS = {
    "datasets": "Datasets",
    "models": "Models",
    "scores": "Scores",
    "assignment": "Assignment",
    "planning": "Planning",
    "evaluation": "Evaluation",
    "audiences": "Audiences",
    "storage": "The workspace",
    "jobs": "Training jobs",
    "errors": "Errors",
}
"""Rooms of the engine in the order in which data walk through them."""


def write(app: Any) -> None:
    """Write the pages below reference/ (they are not kept under version control)."""
    here = Path(app.srcdir) / "reference"
    core = Path(app.srcdir).parent / "rim_core"
    for room, title in ROOMS.items():
        place = core / room
        files = sorted(place.rglob("*.py")) if place.is_dir() else [core / f"{room}.py"]
        lines = [title, "=" * len(title), ""]
        for file in files:
            if file.name == "__init__.py":
                continue
            name = ".".join(file.relative_to(core.parent).with_suffix("").parts)
            lines += [name, "-" * len(name), "", f".. automodule:: {name}", ""]
        text = "\n".join(lines)
        page = here / f"{room}.rst"
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")
    pages = "\n".join(f"   {room}" for room in ROOMS)
    index = f"Reference\n=========\n\nFrom the docstrings of the engine.\n\n.. toctree::\n   :maxdepth: 2\n\n{pages}\n"
    if not (here / "index.rst").exists() or (here / "index.rst").read_text(encoding="utf-8") != index:
        (here / "index.rst").write_text(index, encoding="utf-8")


def plain(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """|x| and **arguments in a docstring are what they are in Python, not markup."""
    for i, line in enumerate(lines):
        parts = line.split("``")
        parts[::2] = [re.sub(r"\*\*(?=\w)(?![^*]*\*\*)", r"\\*\\*", p).replace("|", r"\|") for p in parts[::2]]
        lines[i] = "``".join(parts)


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", plain, priority=400)
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
