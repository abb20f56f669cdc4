"""The temporary tables of an import: converted rows, and rejected ones with where they stood and what they said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rim_core.datasets.sql import literal

if TYPE_CHECKING:
    import duckdb

    from rim_core.datasets.scan import Reread

REJECTS = "staged_rejects"
"""Temporary table of rejected rows: file, line, reason, text."""

ROWS = "staged_rows"
"""Temporary table of converted rows, columns :data:`ROW_COLUMNS`."""

ROW_COLUMNS = {
    "user_id": "VARCHAR",
    "item_id": "VARCHAR",
    "timestamp": "TIMESTAMP",
    "value": "DOUBLE",
    "event_type": "VARCHAR",
    "fault": "TINYINT",
}
"""Missing is NULL; ``fault`` tells what is missing from what cannot be read. Memory is what an import costs most, so
columns are few."""

MORE_COLUMNS = ("title", "item_features", "user_features")
"""VARCHAR columns of rows that describe the item (title, JSON) and the user (JSON); there only when asked for."""

BAD_TIME, BAD_VALUE = 1, 2
"""Bits of ``fault``: a time or a value is there but cannot be read."""

LONGEST_TEXT = 10_000
"""Characters of a rejected record that are kept."""

TEXTS_AT_ONCE = 100_000


@dataclass(frozen=True)
class RowSelect:
    """SQL expressions over the columns of a source for the columns of :data:`ROWS`; what is left out is NULL there.

    ``time_text`` and ``value_text`` are what ``timestamp`` and ``value`` are read from, where they can fail to be;
    ``answers`` says that values are read from yes and no.
    """

    user_id: str
    item_id: str
    timestamp: str
    time_text: str | None = None
    value: str | None = None
    value_text: str | None = None
    event_type: str | None = None
    title: str | None = None
    item_features: str | None = None
    user_features: str | None = None
    answers: bool = False

    @property
    def more(self) -> tuple[str, ...]:
        """Which of :data:`MORE_COLUMNS` it gives."""
        return tuple(name for name in MORE_COLUMNS if getattr(self, name) is not None)

    @property
    def sql(self) -> str:
        """The list for INSERT … BY NAME SELECT."""
        names = [name for name in (*ROW_COLUMNS, *MORE_COLUMNS) if getattr(self, name, None) is not None]
        return ", ".join([*(f"{getattr(self, name)} AS {name}" for name in names), f"{self._fault} AS fault"])

    @property
    def _fault(self) -> str:
        tests = ((self.timestamp, self.time_text, BAD_TIME), (self.value, self.value_text, BAD_VALUE))
        found = [
            f"CASE WHEN {sql} IS NULL AND {text} IS NOT NULL THEN {bit} ELSE 0 END"
            for sql, text, bit in tests
            if text is not None
        ]
        return f"({' + '.join(found) or 0})::TINYINT"


def nth_line(skipped: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Number (from 1) of the n-th line (from 0) that is none of the ``skipped`` (sorted); int64."""
    free = skipped - np.arange(len(skipped))
    line: np.ndarray = n + 1 + np.searchsorted(free, n + 1, side="right")
    return line


@dataclass(frozen=True, eq=False)
class TextPart:
    """Rows that one file gave: ``rows`` of them in order, and which lines gave none.

    Attributes
    ----------
    file : Path
    rows : int
    records : int
        Rows plus what was rejected here.
    skipped : ndarray of int64
        Sorted line numbers (from 1) that start no kept row.
    nul : bool
        Whether NUL bytes may be in it.
    by_line : bool
        Whether quotes had to be ignored.
    longest : int or None
        Bytes of the longest record, where that is known.
    reread : callable or None
        Gives the texts of records by line number (sorted); None where they cannot be read again.
    """

    file: Path
    rows: int
    records: int
    skipped: np.ndarray
    nul: bool = False
    by_line: bool = False
    longest: int | None = None
    reread: Reread | None = None

    def line_of(self, row: np.ndarray) -> np.ndarray:
        """Line number (from 1) of the given rows (from 0) of this file; int64."""
        return nth_line(self.skipped, row)


def create_rejects(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the temporary table that :func:`read_text` adds to, empty."""
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {REJECTS} (file VARCHAR, line BIGINT, reason VARCHAR, text VARCHAR)"
    )


def create_rows(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the temporary table of converted rows, empty."""
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {ROWS} ({', '.join(f'{name} {kind}' for name, kind in ROW_COLUMNS.items())})"
    )


def add_columns(connection: duckdb.DuckDBPyConnection, select: RowSelect) -> None:
    """Give :data:`ROWS`, still empty, the columns that describe items and users."""
    for name in select.more:
        connection.execute(f"ALTER TABLE {ROWS} ADD COLUMN {name} VARCHAR")


def put_texts(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    key: str,
    keys: np.ndarray,
    lines: np.ndarray,
    name: Path,
    reread: Reread | None,
) -> None:
    """Add rows of ``table`` (key, reason and perhaps text) to :data:`REJECTS` with the text of their lines.

    Parameters
    ----------
    name : Path
        The file; it is called by its name, whatever folder it lies in.
    keys, lines : ndarray of int64, shape (k,)
        Which rows, and the lines they stand in (sorted).
    reread : callable or None
        Without, the table's own column ``text`` is taken.
    """
    texts: Iterator[str | None] = repeat(None) if reread is None else (text[:LONGEST_TEXT] for text in reread(lines))
    text = "text" if reread is None else "raw"
    for lo in range(0, len(keys), TEXTS_AT_ONCE):
        batch = slice(lo, lo + TEXTS_AT_ONCE)
        found = pd.DataFrame({key: keys[batch], "line_number": lines[batch]})
        found["raw"] = pd.Series(list(islice(texts, len(found))), dtype="object")
        connection.register("staged_found", found)
        connection.execute(
            f"INSERT INTO {REJECTS} SELECT {literal(name.name)}, line_number, reason, {text} "
            f"FROM {table} JOIN staged_found USING ({key})"
        )
        connection.unregister("staged_found")
