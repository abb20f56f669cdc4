"""Events from any source into DuckDB: streamed, validated, all or nothing.

How to import into tables of your own (a workspace does this)::

    reader = reader_for("csv", path="visits.csv", columns={"user_id": "visitor", ...})
    with staged_import(connection, reader, rejects_file=Path("data/rejects/visits.csv")) as report:
        connection.execute("INSERT INTO events SELECT 7, row_id, user_id, item_id, timestamp, ... FROM staged_events")
        connection.execute("INSERT INTO items  SELECT 7, * FROM staged_items")
        connection.execute("INSERT INTO users  SELECT 7, * FROM staged_users")
        # report.to_dict() is JSON-able

``staged_import`` runs the block in a transaction and commits it when the block ends; whatever goes wrong, in the
file or in the block, the database is exactly as it was and the error propagates. To begin and end the transaction
yourself call :func:`stage_events` before it, and :func:`drop_staged` when done or when it raises.

Nothing but temporary tables is touched while a source is read, so that needs no transaction, and better has none: what
an open transaction has written is scanned by one thread only.

Staged are three temporary tables of the connection:

===============  ==========================================================================================
staged_events    row_id BIGINT (file order, increasing, gaps where rows were rejected), user_id VARCHAR,
                 item_id VARCHAR, timestamp TIMESTAMP (UTC), value DOUBLE (finite, ≥ 0), event_type VARCHAR;
                 nothing is NULL
staged_items     item_id VARCHAR (unique), title VARCHAR (the id when unknown), features VARCHAR (a JSON object
                 of text, numbers and nulls, or NULL); every item with events, and the catalogue's others
staged_users     user_id VARCHAR (unique), features VARCHAR (JSON object or NULL); likewise
===============  ==========================================================================================

:func:`rim_core.datasets.read_log` makes an :class:`EventLog` from these tables, or from any tables or subqueries with
the same columns.

Rejected are rows without user, item or time; with a time that cannot be read or lies in the future; with a
value that is no finite number or negative, or an outcome that is neither yes nor no; identical to an earlier row
(``duplicates="keep"`` keeps them);
with ids that hold NUL or more than 1 000 characters; and lines that cannot be cut into cells or decoded.
Ids are kept as they are, formulas included: they are neutralised where a file for a spreadsheet is written.
An empty value counts as 1, an empty event type is the reader's default; both are counted in the report.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time as clock
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import duckdb
import numpy as np
import pandas as pd

from rim_core.columns import DEFAULT_TYPE, EVENT_COLUMNS, ITEM, TIME, TYPE, USER, VALUE
from rim_core.datasets.duplicates import times_rise, twins
from rim_core.datasets.memory import ENVIRONMENT
from rim_core.datasets.report import ImportReport, Reason
from rim_core.datasets.rows import (
    BAD_TIME,
    BAD_VALUE,
    LONGEST_TEXT,
    REJECTS,
    ROWS,
    TextPart,
    create_rejects,
    create_rows,
    put_texts,
)
from rim_core.datasets.sql import cause, identifier, literal
from rim_core.errors import DataError, EmptyLogError

logger = logging.getLogger(__name__)

EVENTS, ITEMS, USERS = "staged_events", "staged_items", "staged_users"
"""Names of the staged tables."""

LONGEST_ID = 1000

EARLIEST = "0001-01-01"
"""Earlier times are a mistake, and no date of Python's."""

Duplicates = Literal["reject", "keep"]


@dataclass(frozen=True, eq=False)
class Staged:
    """What a reader has put into :data:`ROWS`, and what it knows besides.

    Attributes
    ----------
    parts : tuple of TextPart
        Files in order, with their rows.
    default_type : str
        Event type where none is given.
    items, users : str or None
        Query of (item_id, title, features) and of (user_id, features); features is JSON.
    notes : tuple of str
        Sentences for the report.
    distinct : bool
        Whether every row counts, equal to another or not.
    answers : bool
        Whether values were read from yes and no.
    """

    parts: tuple[TextPart, ...]
    default_type: str = DEFAULT_TYPE
    items: str | None = None
    users: str | None = None
    notes: tuple[str, ...] = ()
    distinct: bool = False
    answers: bool = False


class Reader(ABC):
    """Knows one file format; made by :func:`rim_core.datasets.reader_for`."""

    name: str
    """What the dataset is called unless the user says otherwise."""

    @property
    @abstractmethod
    def source(self) -> str:
        """What is read, for the report."""

    @property
    def lies_in(self) -> tuple[Path, ...]:
        """Files and folders read, to be called by their names in errors."""
        return ()

    @abstractmethod
    def stage(self, connection: duckdb.DuckDBPyConnection, scratch: Path) -> Staged:
        """Stream the source into :data:`ROWS` in file order, converted but not yet judged.

        Further temporary tables have names that start with ``staged_``. ``scratch`` is a folder for temporary
        files; the importer deletes it.

        Raises
        ------
        DataError
            A file is missing, or not in the layout it was said to be.
        """


@contextmanager
def staged_import(
    connection: duckdb.DuckDBPyConnection,
    reader: Reader,
    *,
    rejects_file: Path | None = None,
    duplicates: Duplicates = "reject",
    now: datetime | None = None,
) -> Iterator[ImportReport]:
    """:func:`stage_events`, and a transaction around the block: all of it or nothing.

    Raises
    ------
    DataError
        See :func:`stage_events`. The database is as it was.
    """
    report: ImportReport | None = None
    try:
        report = stage_events(connection, reader, rejects_file=rejects_file, duplicates=duplicates, now=now)
        connection.execute("BEGIN TRANSACTION")
        try:
            yield report
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
    except BaseException:
        if report is not None and report.rejects_file is not None:
            report.rejects_file.unlink(missing_ok=True)
        raise
    finally:
        drop_staged(connection)


def stage_events(
    connection: duckdb.DuckDBPyConnection,
    reader: Reader,
    *,
    rejects_file: Path | None = None,
    duplicates: Duplicates = "reject",
    now: datetime | None = None,
) -> ImportReport:
    """Read and validate a source into the three staged tables of the connection.

    Parameters
    ----------
    rejects_file : Path, optional
        Where rejected rows go (.csv, or .parquet for the exact text); a new temporary file by default.
        Written only when there are some.
    duplicates : {"reject", "keep"}
        What happens to rows identical to an earlier one.
    now : datetime, optional
        Later events lie in the future (default: now).

    Raises
    ------
    FormatError
        The source is not in the layout it was said to be.
    EmptyLogError
        No row is usable; the message counts the reasons and names the rejects file.
    DataError
        A file is missing or cannot be read.
    """
    began = clock.perf_counter()
    drop_staged(connection)
    create_rejects(connection)
    create_rows(connection)
    with tempfile.TemporaryDirectory(prefix="rim-import-") as scratch, _file_order(connection):
        try:
            staged = reader.stage(connection, Path(scratch))
            first = connection.execute(f"SELECT min(rowid) FROM {ROWS}").fetchall()[0][0] or 0
            defaults = _create_view(connection, staged, first)
            _reject_faulty(connection, staged, first, now or datetime.now(UTC))
            if duplicates == "reject" and not staged.distinct:
                _reject_duplicates(connection, staged, first)
            seen = _stage_ids(connection, staged)
        except duckdb.OutOfMemoryException as error:
            raise DataError(
                f"{reader.source} does not fit into the memory and temporary disk space there is "
                f"({cause(error)}): free some, or allow more memory with {ENVIRONMENT}."
            ) from error
        except duckdb.Error as error:
            raise DataError(f"{reader.source} cannot be read: {cause(error, *reader.lies_in)}") from error
    report = _report(connection, reader, staged, rejects_file)
    report = replace(report, defaults=defaults, users=seen[0], items=seen[1], seconds=clock.perf_counter() - began)
    _drop(connection, keep=(ROWS, EVENTS, ITEMS, USERS))
    if report.rows_kept == 0:
        said = f"No usable event in it. {report.summary(where=False)}"
        raise EmptyLogError(f"No usable event in it. {report.summary()}", said=said, rejects_file=report.rejects_file)
    logger.info("imported %s: %d of %d rows", reader.source, report.rows_kept, report.rows_read)
    return report


def drop_staged(connection: duckdb.DuckDBPyConnection) -> None:
    """Drop every staged table of the connection."""
    _drop(connection, keep=())


@contextmanager
def _file_order(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Rows keep the order of the file, whatever the connection is set to."""
    setting = "preserve_insertion_order"
    before = connection.execute(f"SELECT current_setting('{setting}')").fetchall()[0][0]
    if before:
        yield
        return
    connection.execute(f"SET {setting} = true")
    try:
        yield
    finally:
        with connection.cursor() as other:  # the transaction of this one may be beyond repair
            other.execute(f"SET {setting} = false")


def _create_view(connection: duckdb.DuckDBPyConnection, staged: Staged, first: int) -> dict[str, int]:
    """Lay the view of events over the rows; returns how many empty cells of a column that is there get a default.

    ``coalesce`` makes a copy of every text, so it is used only where some cells are empty and others are not.
    """
    rows, values, kinds = connection.execute(
        f"SELECT count(*), count(value) + coalesce(count_if(fault >= {BAD_VALUE}), 0), count(event_type) FROM {ROWS}"
    ).fetchall()[0]
    columns = {}
    for column, given, default in ((VALUE, values, "1.0::DOUBLE"), (TYPE, kinds, literal(staged.default_type))):
        mixed = f"coalesce({column}, {default})"
        columns[column] = column if given == rows else default if given == 0 else mixed
    connection.execute(
        f"CREATE TEMP VIEW {EVENTS} AS SELECT rowid - {first} AS row_id, user_id, item_id, timestamp, "
        f"{columns[VALUE]} AS value, {columns[TYPE]} AS event_type FROM {ROWS}"
    )
    return {c: int(rows - given) for c, given in ((VALUE, values), (TYPE, kinds)) if 0 < given < rows}


def _reject_faulty(connection: duckdb.DuckDBPyConnection, staged: Staged, first: int, now: datetime) -> None:
    """Move rows without user, item, time or a plausible value to the rejects.

    Rows are converted first and the faulty ones taken out afterwards: a filter on the way in would make DuckDB
    compute every conversion twice.
    """
    instant = literal(now.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")) + "::TIMESTAMP"
    cases = " ".join(f"WHEN {test} THEN {literal(reason.value)}" for test, reason in _reasons(staged, instant))
    suspects = " UNION ".join(f"SELECT rowid FROM {ROWS} WHERE {test}" for test in _suspicions(staged, instant))
    connection.execute(
        f"CREATE TEMP TABLE staged_suspects AS SELECT rowid - {first} AS row_id, * FROM {ROWS} "
        f"WHERE rowid IN ({suspects})"
    )
    connection.execute(
        f"CREATE TEMP TABLE staged_bad AS SELECT row_id, CASE {cases} END AS reason, {_joined(*EVENT_COLUMNS)} AS text "
        "FROM staged_suspects WHERE reason IS NOT NULL"
    )
    _reject(connection, staged, first)


def _suspicions(staged: Staged, instant: str) -> list[str]:
    """SQL of which every faulty row meets one: where it can be, one column against a constant, so that DuckDB's
    statistics of the column answer for most rows without a look at them.
    """
    tests = [f"{column} IS NULL" for column in (USER, ITEM, TIME)]
    tests += [f"{column} < '!'" for column in (USER, ITEM)]
    tests += [f"{TIME} < '{EARLIEST}'::TIMESTAMP", f"{TIME} > {instant}"]
    tests += [f"fault >= {BAD_VALUE}", "value < 0", f"value > {sys.float_info.max!r}"]  # more are infinity and NaN
    if any(part.longest is None or 2 * part.longest > LONGEST_ID for part in staged.parts):  # Latin-1 grows in UTF-8
        tests.append(_LONG)
    if any(part.nul for part in staged.parts):
        tests.append(_NUL)
    if any(part.by_line for part in staged.parts):
        tests += [f"starts_with({column}, '\"')" for column in (USER, ITEM)]
    return tests


_LONG = f"strlen(user_id) > {LONGEST_ID} OR strlen(item_id) > {LONGEST_ID}"
_NUL = "contains(concat(user_id, item_id, event_type), chr(0))"


def _reasons(staged: Staged, instant: str) -> list[tuple[str, Reason]]:
    """What can be wrong with a converted row, as SQL, most telling first."""
    tests: list[tuple[str, Reason]] = [
        ("user_id IS NULL", Reason.USER),
        ("regexp_full_match(user_id, '\\s*')", Reason.USER),
        ("item_id IS NULL", Reason.ITEM),
        ("regexp_full_match(item_id, '\\s*')", Reason.ITEM),
        (f"timestamp IS NULL AND fault & {BAD_TIME} = 0", Reason.TIME),
        (f"timestamp IS NULL OR timestamp < '{EARLIEST}'::TIMESTAMP", Reason.BAD_TIME),
        ("timestamp = 'infinity'::TIMESTAMP", Reason.BAD_TIME),
        (f"timestamp > {instant}", Reason.FUTURE),
        (f"fault >= {BAD_VALUE} OR NOT isfinite(value)", Reason.ANSWER if staged.answers else Reason.BAD_VALUE),
        ("value < 0", Reason.NEGATIVE),
        (_LONG, Reason.LONG_ID),
    ]
    if any(part.nul for part in staged.parts):
        tests.insert(0, (_NUL, Reason.NUL))
    if any(part.by_line for part in staged.parts):
        for column in (ITEM, USER):
            test = f"starts_with({column}, '\"') AND (NOT ends_with({column}, '\"') OR len({column}) = 1)"
            tests.insert(0, (test, Reason.QUOTE))
    return tests


def _reject_duplicates(connection: duckdb.DuckDBPyConnection, staged: Staged, first: int) -> None:
    """Move every row after the first of identical ones to the rejects.

    A file whose times rise from row to row holds none. Otherwise hashes of user, item and time are compared first, so
    that a file without duplicates pays for sorting integers.
    """
    if times_rise(connection, EVENTS):
        return
    event, key = ", ".join(EVENT_COLUMNS), f"hash({USER}, {ITEM}, {TIME})"
    hashes = twins(connection, EVENTS, key)
    if len(hashes):
        connection.register("staged_twins", pd.DataFrame({"h": hashes}))
        connection.execute(
            f"""CREATE TEMP TABLE staged_bad AS
            SELECT row_id, {literal(Reason.DUPLICATE.value)} AS reason, {_joined(*EVENT_COLUMNS)} AS text
            FROM (SELECT *, row_number() OVER (PARTITION BY {event} ORDER BY row_id) AS copy
                  FROM {EVENTS} WHERE {key} IN (SELECT h FROM staged_twins))
            WHERE copy > 1"""
        )
        connection.unregister("staged_twins")
        _reject(connection, staged, first)


def _joined(*cells: str) -> str:
    """SQL of a row as text, for sources whose lines cannot be read again."""
    texts = ", ".join(f"coalesce({cell}::VARCHAR, '')" for cell in cells)
    return f"left(concat_ws(',', {texts}), {LONGEST_TEXT})"


def _reject(connection: duckdb.DuckDBPyConnection, staged: Staged, first: int) -> None:
    """Move staged_bad from the rows to the rejects, with the file, line and text of every row."""
    rows = connection.execute("SELECT row_id FROM staged_bad ORDER BY row_id").fetchnumpy()["row_id"].astype(np.int64)
    bounds = np.cumsum([part.rows for part in staged.parts])
    part_of = np.searchsorted(bounds, rows, side="right")
    for k in np.unique(part_of):
        part, here = staged.parts[k], rows[part_of == k]
        lines = part.line_of(here - (bounds[k] - part.rows))
        put_texts(connection, "staged_bad", "row_id", here, lines, part.file, part.reread)
    if len(rows):
        connection.execute(f"DELETE FROM {ROWS} WHERE rowid IN (SELECT row_id + {first} FROM staged_bad)")
    connection.execute("DROP TABLE staged_bad")


def _stage_ids(connection: duckdb.DuckDBPyConnection, staged: Staged) -> tuple[int, int]:
    """Staged users and items: those with events, and what the source knows of them and of others.

    Returns
    -------
    (users, items) with events.
    """
    counts = []
    for table, key, known, title in (
        (USERS, USER, staged.users, ""),
        (ITEMS, ITEM, staged.items, f"coalesce(nullif(trim(title), ''), {ITEM}) AS title, "),
    ):
        seen = f"SELECT DISTINCT {key} FROM {EVENTS}"
        if known is None:
            named = f"{key} AS title, " if title else ""
            connection.execute(
                f"CREATE TEMP TABLE {table} AS SELECT {key}, {named}NULL::VARCHAR AS features FROM ({seen})"
            )
            counts.append(_count(connection, table))
            continue
        connection.execute(f"CREATE TEMP TABLE staged_seen AS {seen}")
        counts.append(_count(connection, "staged_seen"))
        first = "first(title) AS title, " if title else ""
        connection.execute(
            f"""CREATE TEMP TABLE {table} AS SELECT {key}, {title}features FROM staged_seen
            FULL JOIN (SELECT {key}, {first}first(features)::VARCHAR AS features
                       FROM ({known}) WHERE {key} IS NOT NULL GROUP BY {key}) USING ({key})"""
        )
        connection.execute("DROP TABLE staged_seen")
    return counts[0], counts[1]


def _report(
    connection: duckdb.DuckDBPyConnection, reader: Reader, staged: Staged, rejects_file: Path | None
) -> ImportReport:
    form = "'%Y-%m-%dT%H:%M:%SZ'"
    kinds = connection.execute(
        f"SELECT event_type, count(*), strftime(min(timestamp), {form}), strftime(max(timestamp), {form}) "
        f"FROM {EVENTS} GROUP BY 1 ORDER BY 1"
    ).fetchall()
    counts = connection.execute(f"SELECT reason, count(*) FROM {REJECTS} GROUP BY 1 ORDER BY 2 DESC, 1").fetchall()
    notes = list(staged.notes)
    if any(part.by_line for part in staged.parts):
        notes.append("Quotes do not balance, so the file was read line by line: cells over several lines are lost.")
    return ImportReport(
        source=reader.source,
        rows_read=sum(part.records for part in staged.parts),
        rows_kept=sum(int(row[1]) for row in kinds),
        rejected=dict(counts),
        rejects_file=_write_rejects(connection, rejects_file) if counts else None,
        first=min((row[2] for row in kinds), default=""),
        last=max((row[3] for row in kinds), default=""),
        event_types=tuple(row[0] for row in kinds),
        notes=tuple(notes),
    )


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])


def _write_rejects(connection: duckdb.DuckDBPyConnection, path: Path | None) -> Path:
    """The rejects as a file, complete or absent; text that a spreadsheet would run is disarmed in CSV."""
    if path is None:
        handle, name = tempfile.mkstemp(prefix="rim-rejects-", suffix=".csv")
        os.close(handle)
        path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    text = "text"
    if path.suffix != ".parquet":
        text = "CASE WHEN regexp_matches(text, '^[=+\\-@\\t\\r]') THEN '''' || text ELSE text END AS text"
    form = "FORMAT parquet" if path.suffix == ".parquet" else "FORMAT csv, HEADER"
    connection.execute(
        f"COPY (SELECT file, line, reason, {text} FROM {REJECTS} ORDER BY file, line) TO {literal(partial)} ({form})"
    )
    partial.replace(path)
    return path


def _drop(connection: duckdb.DuckDBPyConnection, keep: tuple[str, ...]) -> None:
    for kind in ("view", "table"):
        names = connection.execute(
            f"SELECT {kind}_name FROM duckdb_{kind}s() WHERE temporary AND {kind}_name LIKE 'staged!_%' ESCAPE '!'"
        ).fetchall()
        for (name,) in names:
            if name not in keep:
                connection.execute(f"DROP {kind} temp.{identifier(name)}")


__all__ = [
    "EVENTS",
    "ITEMS",
    "USERS",
    "Duplicates",
    "Reader",
    "Staged",
    "drop_staged",
    "stage_events",
    "staged_import",
]
