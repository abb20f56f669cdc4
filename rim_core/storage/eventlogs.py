"""Event logs in the database and in parquet files: written once, read back as arrays in a moment.

Users and items are stored with their code (position in the sorted vocabulary) and events as codes, sorted by user, time
and file order: reading needs no sort and no string comparison.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from rim_core.columns import EVENT_COLUMNS, ITEM, TIME, TITLE, TYPE, USER, VALUE
from rim_core.datasets.importing import EVENTS, ITEMS, USERS
from rim_core.datasets.log import EventLog
from rim_core.datasets.memory import ROWS_AT_ONCE
from rim_core.datasets.sql import identifier
from rim_core.errors import EmptyLogError, StorageError
from rim_core.storage.files import read_json, to_json, unwritable, write_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import duckdb

    from rim_core.datasets.report import ImportReport

CODES = ("user_code", "item_code", "time", "value", "type")

_SQL_TYPES = {"BOOLEAN": "BOOLEAN", "BIGINT": "BIGINT", "UBIGINT": "BIGINT", "DOUBLE": "DOUBLE"}
"""What features are read back as; everything else is text."""


@dataclass(frozen=True)
class Layout:
    """What is needed to read a stored dataset back.

    Attributes
    ----------
    event_types : tuple of str
        In code order.
    user_columns, item_columns : dict of str to str
        Features and their SQL types.
    """

    event_types: tuple[str, ...]
    user_columns: dict[str, str]
    item_columns: dict[str, str]


@dataclass(frozen=True)
class Stored:
    """What :func:`store_staged` and :func:`store_log` put into the tables of a dataset.

    Attributes
    ----------
    content : str
        ``EventLog.version`` of what was stored.
    catalogue : str
        Hash of titles and features.
    events, users, items : int
    first_time, last_time : int
        Microseconds since 1970-01-01 UTC.
    layout : Layout
    """

    content: str
    catalogue: str
    events: int
    users: int
    items: int
    first_time: int
    last_time: int
    layout: Layout


def store_staged(cursor: duckdb.DuckDBPyConnection, dataset: int, kinds: tuple[str, ...]) -> Stored:
    """Code and sort staged tables into the tables of the workspace, inside the caller's transaction.

    Memory is DuckDB's, within its limit, and that of a million rows.

    Parameters
    ----------
    kinds : tuple of str
        Event types that are there, sorted (``ImportReport.event_types``).

    Raises
    ------
    EmptyLogError
        There are no events.
    """
    item_columns = _store_ids(cursor, dataset, ITEMS, ITEM, "items")
    user_columns = _store_ids(cursor, dataset, USERS, USER, "users")
    cursor.execute(
        f"""INSERT INTO event_rows
            SELECT ?, u.code, i.code, epoch_us(s.{TIME}) AS time, s.{VALUE}, list_position(?::VARCHAR[], s.{TYPE}) - 1
            FROM {EVENTS} s
            JOIN users u ON u.dataset = ? AND u.user_id = s.{USER}
            JOIN items i ON i.dataset = ? AND i.item_id = s.{ITEM}
            ORDER BY u.code, time, s.row_id""",
        [dataset, list(kinds), dataset, dataset],
    )
    return _describe(cursor, dataset, Layout(kinds, user_columns, item_columns))


def store_log(cursor: duckdb.DuckDBPyConnection, dataset: int, log: EventLog) -> Stored:
    """Put an event log into the tables of the workspace, inside the caller's transaction."""
    a = log.arrays
    columns = []
    for frame, key, table in ((log.users, USER, "users"), (log.items, ITEM, "items")):
        with _registered(cursor, f"incoming_{table}", _arrow(frame, key)) as relation:
            columns.append(_store_ids(cursor, dataset, _packed(cursor, relation, key), key, table))
    coded = pa.table({"user_code": a.user, "item_code": a.item, "time": a.time, "type": a.type})
    coded = coded.append_column(VALUE, pa.array(log.events[VALUE].to_numpy(float)))
    with _registered(cursor, "incoming_events", coded) as relation:
        cursor.execute(
            f"INSERT INTO event_rows SELECT ?, user_code, item_code, time, value, type FROM {relation}", [dataset]
        )
    return _describe(cursor, dataset, Layout(tuple(log.event_types), *columns))


def load_log(
    cursor: duckdb.DuckDBPyConnection, dataset: int, name: str, layout: Layout, report: ImportReport | None = None
) -> EventLog:
    """Read a stored dataset back, equal to what was put in."""
    codes = cursor.execute(f"SELECT {', '.join(CODES)} FROM event_rows WHERE dataset = ?", [dataset]).to_arrow_table()
    users = _features(cursor, dataset, "users", USER, layout.user_columns)
    items = _features(cursor, dataset, "items", ITEM, layout.item_columns)
    return _assemble(name, codes, users, items, layout.event_types, report)


def write_parquet(cursor: duckdb.DuckDBPyConnection, dataset: int, name: str, layout: Layout, folder: Path) -> None:
    """Write a stored dataset as files that :func:`read_parquet` turns into the same log, without the database.

    Events are streamed: memory is that of a million of them, and of the users and items.

    Raises
    ------
    StorageError
        The folder cannot be written, or the disk is full.
    """
    import pyarrow.parquet as pq

    codes = cursor.execute(f"SELECT {', '.join(CODES)} FROM event_rows WHERE dataset = ?", [dataset])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (
            codes.to_arrow_reader(ROWS_AT_ONCE) as batches,
            pq.ParquetWriter(folder / "events.parquet", batches.schema, compression="zstd") as events,
        ):
            for batch in batches:
                events.write_batch(batch)
        for part, key, columns in (("users", USER, layout.user_columns), ("items", ITEM, layout.item_columns)):
            table = _features(cursor, dataset, part, key, columns)
            pq.write_table(table, folder / f"{part}.parquet", compression="zstd")
    except OSError as error:
        raise unwritable(folder, error) from error
    write_json(folder / "log.json", {"name": name, "event_types": layout.event_types})


def read_parquet(folder: Path) -> EventLog:
    """The log that :func:`write_parquet` wrote.

    Raises
    ------
    StorageError
        Files are missing or damaged.
    """
    import pyarrow.parquet as pq

    about = read_json(folder / "log.json")
    if not isinstance(about, dict):
        raise StorageError(f"{folder} holds no event log: start the job again.")
    try:
        codes, users, items = (pq.read_table(folder / f"{part}.parquet") for part in ("events", "users", "items"))
        return _assemble(about["name"], codes, users, items, tuple(about["event_types"]), None)
    except (OSError, KeyError, TypeError, pa.ArrowException) as error:
        raise StorageError(f"The event log in {folder} cannot be read ({error}): start the job again.") from error


def _store_ids(cursor: duckdb.DuckDBPyConnection, dataset: int, relation: str, key: str, table: str) -> dict[str, str]:
    """Store ids in sorted order with title and features; returns the features' types."""
    title = f", coalesce({TITLE}, {key})" if table == "items" else ""
    cursor.execute(
        f"""INSERT INTO {table}
            SELECT ?, (row_number() OVER (ORDER BY {key}) - 1)::INTEGER AS code, {key} {title}, features::JSON
            FROM {relation} ORDER BY code""",
        [dataset],
    )
    row = cursor.execute(f"SELECT json_group_structure(features) FROM {table} WHERE dataset = ?", [dataset]).fetchone()
    structure = json.loads(row[0]) if row and row[0] else None
    if not isinstance(structure, dict):  # nobody has features
        return {}
    return {name: _SQL_TYPES.get(str(kind), "VARCHAR") for name, kind in structure.items()}


def _packed(cursor: duckdb.DuckDBPyConnection, relation: str, key: str) -> str:
    """A subquery of id, title and features (JSON) over a relation with a column per feature."""
    names = [name for name, *_ in cursor.execute(f"DESCRIBE {relation}").fetchall()]
    features = ", ".join(f"{identifier(n)} := {identifier(n)}" for n in names if n not in (key, TITLE))
    title = f", {TITLE}" if TITLE in names else ""
    packed = f"to_json(struct_pack({features}))" if features else "NULL"
    return f"(SELECT {key} {title}, {packed} AS features FROM {relation})"


@contextmanager
def _registered(cursor: duckdb.DuckDBPyConnection, name: str, table: pa.Table) -> Iterator[str]:
    cursor.register(name, table)
    try:
        yield name
    finally:
        cursor.unregister(name)


def _describe(cursor: duckdb.DuckDBPyConnection, dataset: int, layout: Layout) -> Stored:
    """Count and hash what now stands in the tables; memory is that of a million rows, however many there are."""
    events, first, last = cursor.execute(
        "SELECT count(*), min(time), max(time) FROM event_rows WHERE dataset = ?", [dataset]
    ).fetchall()[0]
    if events == 0:
        raise EmptyLogError("The file holds no usable events: see the import report for what was rejected and why.")
    users, items = (
        cursor.execute(f"SELECT count(*) FROM {table} WHERE dataset = ?", [dataset]).fetchall()[0][0]
        for table in ("users", "items")
    )
    return Stored(
        content=_content(cursor, dataset, layout.event_types),
        catalogue=_catalogue(cursor, dataset),
        events=int(events),
        users=int(users),
        items=int(items),
        first_time=int(first),
        last_time=int(last),
        layout=layout,
    )


def _catalogue(cursor: duckdb.DuckDBPyConnection, dataset: int) -> str:
    """Hash of titles and features of all users and items, whatever their order."""
    digest = hashlib.sha256()
    for columns, table in (("user_id, features::VARCHAR", "users"), ("item_id, title, features::VARCHAR", "items")):
        row = cursor.execute(
            f"SELECT bit_xor(md5_number(concat_ws(chr(31), {columns}))) FROM {table} WHERE dataset = ?", [dataset]
        ).fetchone()
        digest.update(str(row).encode())
    return digest.hexdigest()[:12]


def _content(cursor: duckdb.DuckDBPyConnection, dataset: int, kinds: tuple[str, ...]) -> str:
    """``EventLog.version`` of the log these tables make, without making it: column by column, streamed."""
    digest = hashlib.sha256()
    for key, table in ((USER, "users"), (ITEM, "items")):
        between = ""
        ids = cursor.execute(f"SELECT {key} FROM {table} WHERE dataset = ? ORDER BY code", [dataset])
        for batch in ids.to_arrow_reader(ROWS_AT_ONCE):
            digest.update((between + "\x1f".join(batch.column(0).to_pylist())).encode("utf-8", "surrogatepass"))
            between = "\x1f"
        digest.update(b"\x1e")
    digest.update("\x1f".join(kinds).encode("utf-8", "surrogatepass") + b"\x1e")
    for name, dtype in zip(CODES, (np.int32, np.int32, np.int64, np.float32, np.int16), strict=True):
        column = cursor.execute(f"SELECT {name} FROM event_rows WHERE dataset = ?", [dataset])
        for batch in column.to_arrow_reader(ROWS_AT_ONCE):
            digest.update(np.ascontiguousarray(batch.column(0).to_numpy(), dtype).data)
    return digest.hexdigest()[:12]


def _features(
    cursor: duckdb.DuckDBPyConnection, dataset: int, table: str, key: str, columns: dict[str, str]
) -> pa.Table:
    """id, title (items) and features of every user or item, in code order."""
    shown = f"{key}, {TITLE}" if table == "items" else key
    unpacked = ", unnest(from_json(features, ?))" if columns else ""
    parameters: list[Any] = [to_json(columns), dataset] if columns else [dataset]
    return cursor.execute(
        f"SELECT {shown}{unpacked} FROM {table} WHERE dataset = ? ORDER BY code", parameters
    ).to_arrow_table()


def _assemble(
    name: str,
    codes: pa.Table,
    users: pa.Table,
    items: pa.Table,
    event_types: tuple[str, ...],
    report: ImportReport | None,
) -> EventLog:
    user_frame, item_frame = _frame(users, USER), _frame(items, ITEM)
    time = pd.DatetimeIndex(codes["time"].to_numpy().view("datetime64[us]")).tz_localize("UTC")
    events = pd.DataFrame(
        {
            USER: pd.Categorical.from_codes(codes["user_code"].to_numpy(), categories=user_frame.index),
            ITEM: pd.Categorical.from_codes(codes["item_code"].to_numpy(), categories=item_frame.index),
            TIME: time,
            VALUE: codes["value"].to_numpy(),
            TYPE: pd.Categorical.from_codes(codes["type"].to_numpy(), categories=list(event_types)),
        }
    )
    return EventLog(name, events[list(EVENT_COLUMNS)], item_frame, user_frame, report)


def _frame(table: pa.Table, key: str) -> pd.DataFrame:
    frame = table.to_pandas().set_index(key)
    frame.index = frame.index.astype("str")
    return frame


def _arrow(frame: pd.DataFrame, key: str) -> pa.Table:
    """Ids and features as an arrow table; categories become their labels."""
    flat = frame.rename_axis(key).reset_index()
    for column in flat.columns:
        if isinstance(flat[column].dtype, pd.CategoricalDtype):
            flat[column] = flat[column].astype(object)
    return pa.Table.from_pandas(flat, preserve_index=False)
