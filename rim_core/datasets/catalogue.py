"""What official files say about items and users: small side files into a temporary table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from rim_core.errors import DataError

if TYPE_CHECKING:
    import duckdb

Entry = tuple[str, str | None, Mapping[str, object]]
"""Id, title (None for users), features."""


def stage_catalogue(connection: duckdb.DuckDBPyConnection, table: str, key: str, entries: Iterable[Entry]) -> str:
    """Put entries into a temporary table and return the query that :class:`Staged` wants.

    Parameters
    ----------
    table : str
        Starts with ``staged_``.
    key : str
        "item_id" or "user_id".
    """
    rows = [(i, title, json.dumps(dict(about), ensure_ascii=False) if about else None) for i, title, about in entries]
    frame = pd.DataFrame(rows, columns=[key, "title", "features"], dtype="object")
    connection.register("staged_entries", frame)
    connection.execute(
        f"CREATE TEMP TABLE {table} AS SELECT {key}::VARCHAR AS {key}, title::VARCHAR AS title, "
        "features::VARCHAR AS features FROM staged_entries"
    )
    connection.unregister("staged_entries")
    return f"SELECT * FROM {table}"


def text_lines(path: Path, encoding: str = "latin-1") -> Iterator[str]:
    """Lines of a side file without their ends; UTF-8 where it is valid, ``encoding`` otherwise.

    Raises
    ------
    DataError
        It cannot be opened.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}): check the path and its rights.") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode(encoding)
    for line in text.split("\n"):
        if line.strip():
            yield line.rstrip("\r")
