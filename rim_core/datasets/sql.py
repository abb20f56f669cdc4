"""Bits of SQL."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def literal(text: str | Path) -> str:
    """A SQL string literal."""
    return "'" + str(text).replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def exact_path(path: Path) -> str:
    """A SQL literal of an absolute path in which no character is a wildcard."""
    text = str(path.resolve())
    return literal("".join(f"[{c}]" if c in "*?[" else c for c in text))


def cause(error: Exception, *paths: Path) -> str:
    """The first line of an error, with files called by their names: whoever reads it may not know the folders."""
    text = str(error).splitlines()[0]
    for path in paths:
        for whole in (str(path.resolve()), str(path)):
            text = text.replace(whole, paths[-1].name)
    return text


def packed(fields: Mapping[str, str]) -> str:
    """SQL of a JSON object (as text) of named SQL expressions; NULL when every one of them is."""
    pairs = ", ".join(f"{literal(name)}, {sql}" for name, sql in fields.items())
    known = ", ".join(f"{sql}::VARCHAR" for sql in fields.values())
    return f"CASE WHEN coalesce({known}) IS NOT NULL THEN json_object({pairs})::VARCHAR END"
