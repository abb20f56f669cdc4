"""Any CSV or Parquet file with a column mapping."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from rim_core.columns import DEFAULT_TYPE, ITEM, TIME, USER, VALUE
from rim_core.datasets.answers import answer_sql
from rim_core.datasets.importing import Reader, Staged
from rim_core.datasets.names import guess_names
from rim_core.datasets.numbers import Decimal, Style, check_decimal, column_style, number_sql
from rim_core.datasets.rows import BAD_VALUE, ROWS, RowSelect, TextPart, add_columns, create_rejects, create_rows
from rim_core.datasets.scan import open_bytes
from rim_core.datasets.sql import cause, exact_path, identifier, packed
from rim_core.datasets.text import NULLS, Layout, as_readable, as_table, read_text
from rim_core.datasets.times import check_zone, guess_format, native_sql, time_sql
from rim_core.errors import DataError, FormatError

SAMPLE = 256 << 10
"""Bytes looked at to guess a layout."""

DELIMITERS = (",", "\t", ";", "|", "::")


@dataclass(frozen=True)
class Columns:
    """Which column of a file holds what: names, or positions (from 0) as text where there is no header.

    Attributes
    ----------
    user_id, item_id, timestamp : str
    value, event_type : str or None
        Without: every event counts 1, every type is the default.
    outcome : str or None
        In place of ``value``: whether something came of it, yes or no, or how often (see
        :mod:`rim_core.datasets.answers`).
    title : str or None
        Title of the item.
    item_features, user_features : tuple of str
        Columns that describe the item or the user; the first value found is kept.
    """

    user_id: str
    item_id: str
    timestamp: str
    value: str | None = None
    event_type: str | None = None
    title: str | None = None
    item_features: tuple[str, ...] = ()
    user_features: tuple[str, ...] = ()
    outcome: str | None = None

    @classmethod
    def of(cls, mapping: Mapping[str, object] | Columns | None, names: Sequence[str]) -> Columns:
        """Check a mapping against the columns found; None maps by :data:`ALIASES`.

        User, item and time are guessed where the mapping leaves them out; what else it leaves out is not read.

        Raises
        ------
        FormatError
            Says every unknown key, and every column that is missing or there twice, with those found.
        """
        if isinstance(mapping, Columns):
            columns = mapping
        else:
            columns = cls._from_mapping(dict(mapping) if mapping is not None else guess_names(names), names)
        if columns.value is not None and columns.outcome is not None:
            raise FormatError("An event counts by its value or by its outcome: map one of the two.")
        wanted = columns.used
        found = _listed(names)
        absent = [c for c in wanted if c not in names]
        if absent:
            raise FormatError(f"There is no column {', '.join(absent)}: the file has {found}.")
        twice = [c for c in wanted if names.count(c) > 1]
        if twice:
            raise FormatError(f"Column {', '.join(twice)} is there more than once: rename one; the file has {found}.")
        return columns

    @classmethod
    def _from_mapping(cls, mapping: dict[str, object], names: Sequence[str]) -> Columns:
        known = [f.name for f in fields(cls)]
        guessed = guess_names([n for n in names if n not in mapping.values()])
        mapping = {**{c: guessed[c] for c in (USER, ITEM, TIME) if c in guessed}, **mapping}
        unknown = sorted(set(mapping) - set(known))
        missing = [c for c in (USER, ITEM, TIME) if mapping.get(c) is None]
        if unknown or missing:
            problems = [f"{c} is not mapped" for c in missing] + [
                f"{c!r} is none of {', '.join(known)}" for c in unknown
            ]
            raise FormatError(
                f"Column mapping: {'; '.join(problems)}. The file has {_listed(names)}: say which is which, "
                f"{_example(missing, [n for n in names if n not in mapping.values()])}."
            )
        values: dict[str, object] = {}
        for key, value in mapping.items():
            if key.endswith("features"):
                values[key] = _several(value, names)
            else:
                values[key] = None if value is None else str(value)
        return cls(**values)  # type: ignore[arg-type]

    @property
    def used(self) -> tuple[str, ...]:
        """Every column of the file that is read, once."""
        single = (
            self.user_id, self.item_id, self.timestamp, self.value, self.outcome, self.event_type, self.title,
        )  # fmt: skip
        return tuple(dict.fromkeys(c for c in (*single, *self.item_features, *self.user_features) if c is not None))


def _several(value: object, names: Sequence[str]) -> tuple[str, ...]:
    """Names of columns: some, one, or some in one word ("brand,price") as a command line has them."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,) if value in names else tuple(v.strip() for v in value.split(",") if v.strip())
    return tuple(str(v) for v in value)  # type: ignore[attr-defined]


def _example(missing: Sequence[str], free: Sequence[str]) -> str:
    """How to write a mapping, of what is missing and of columns that are not mapped yet."""
    role, column = (missing or [VALUE])[0], (free or ["price"])[0][:40]
    return f"for example --column {role}={column}, or columns={{'{role}': '{column}'}} in Python"


def _listed(names: Sequence[str]) -> str:
    """Column names for a message, however many and long they are."""
    shown = ", ".join(repr(name[:40])[1:-1] for name in names[:20])
    return f"the columns {shown}" + (f" and {len(names) - 20} more" if len(names) > 20 else "")


class TableReader(Reader):
    """A CSV (plain or gzip) or Parquet file.

    Parameters
    ----------
    path : str or Path
    columns : mapping or Columns, optional
        Canonical column to column of the file; by default guessed from the names.
    delimiter : str, optional
        Guessed by default.
    header : bool, optional
        Whether the first line names the columns; guessed by default. Without, columns are "0", "1", ...
    encoding : str
        Any Python codec.
    time_format : str
        "auto", "iso", "s", "ms", "us", "ns" or a strptime pattern.
    timezone : str
        Of times without an offset.
    decimal : {"auto", ".", ","}
        What values are written with: 1,234.5 or 1.234,5. Told from all of them by default; a column that may be either
        is read as neither, and the report says so.
    default_type : str
        Event type where none is given.
    nulls : sequence of str
        Cells that mean nothing is there.
    name : str, optional
        What to call the dataset (the file's name by default).
    """

    def __init__(
        self,
        path: str | Path,
        *,
        columns: Mapping[str, object] | Columns | None = None,
        delimiter: str | None = None,
        header: bool | None = None,
        encoding: str = "utf-8",
        time_format: str = "auto",
        timezone: str = "UTC",
        decimal: str = "auto",
        default_type: str = DEFAULT_TYPE,
        nulls: Sequence[str] = NULLS,
        name: str | None = None,
    ) -> None:
        check_decimal(decimal)
        self.path = existing_file(path)
        self.columns = columns
        self.delimiter = delimiter
        self.header = header
        self.encoding = encoding
        self.time_format = time_format
        self.timezone = timezone
        self.decimal = decimal
        self.default_type = default_type
        self.nulls = tuple(nulls)
        self.name = name or dataset_name(self.path)

    @property
    def source(self) -> str:
        return self.path.name

    @property
    def lies_in(self) -> tuple[Path, ...]:
        return (self.path,)

    def stage(self, connection: duckdb.DuckDBPyConnection, scratch: Path) -> Staged:
        check_zone(connection, self.timezone)
        if is_parquet(self.path):
            return self._stage_parquet(connection)
        path, encoding = as_readable(self.path, self.encoding, scratch)
        layout = sniff(
            path, delimiter=self.delimiter, header=self.header, encoding=encoding, nulls=self.nulls, name=self.path
        )
        columns = Columns.of(self.columns, layout.columns)
        names = layout.columns
        layout = replace(layout, columns=tuple(f"c{i}" for i in range(len(names))))  # names may be anything, or equal

        def cell(column: str) -> str:
            return f"c{names.index(column)}"

        head = head_frame(path, layout)
        form = self._time_format(connection, [str(text) for text in head[cell(columns.timestamp)]])
        stamp = time_sql(cell(columns.timestamp), form, self.timezone)

        def read(decimal: Decimal) -> tuple[RowSelect, TextPart]:
            select = _row_select(columns, stamp, cell, decimal=decimal)
            add_columns(connection, select)
            return select, read_text(connection, path, layout, select.sql, name=self.path)

        def style() -> Style:
            with as_table(connection, path, layout, name=self.path) as source:
                return column_style(connection, cell(str(columns.value)), source, semicolons=layout.delimiter == ";")

        if columns.value is None:
            return self._staged(*read("plain"))
        suspect = bool(head[cell(columns.value)].str.contains(",").any())
        return self._read_values(connection, read, style, suspect=suspect)

    def _stage_parquet(self, connection: duckdb.DuckDBPyConnection) -> Staged:
        source = f"read_parquet({exact_path(self.path)})"
        try:
            described = connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
        except duckdb.Error as error:
            raise FormatError(f"{self.path.name} is no readable Parquet file: {cause(error, self.path)}") from error
        kinds = {row[0]: row[1] for row in described}
        columns = Columns.of(self.columns, list(kinds))
        kind = kinds[columns.timestamp]
        form = "iso"
        if not kind.startswith(("TIMESTAMP", "DATE")):
            query = f"SELECT {identifier(columns.timestamp)}::VARCHAR FROM {source} LIMIT 1000"
            form = self._time_format(connection, [row[0] for row in connection.execute(query).fetchall()])
        stamp = native_sql(identifier(columns.timestamp), kind, form, self.timezone)

        def text(column: str) -> str:
            """The cell as text; ids that pandas turned into 123.0 are 123 again."""
            cell = identifier(column)
            if kinds[column] in ("DOUBLE", "FLOAT"):
                whole = f"CASE WHEN {cell} = floor({cell}) THEN TRY_CAST({cell} AS HUGEINT) END"
                return f"coalesce({whole}::VARCHAR, {cell}::VARCHAR)"
            return f"{cell}::VARCHAR"

        def read(decimal: Decimal) -> tuple[RowSelect, TextPart]:
            select = _row_select(columns, stamp, text, identifier, decimal=decimal)
            add_columns(connection, select)
            connection.execute(f"INSERT INTO {ROWS} BY NAME SELECT {select.sql} FROM {source}")
            rows = int(connection.execute(f"SELECT count(*) FROM {ROWS}").fetchall()[0][0])
            nowhere = np.empty(0, np.int64)
            return select, TextPart(self.path, rows, rows, nowhere, nul=True, reread=partial(_json_rows, self.path))

        def style() -> Style:
            return column_style(connection, identifier(str(columns.value)), source, semicolons=False)

        if columns.value is None or kinds[columns.value] != "VARCHAR":
            return self._staged(*read("plain"))
        return self._read_values(connection, read, style, suspect=False)

    def _read_values(
        self,
        connection: duckdb.DuckDBPyConnection,
        read: Callable[[Decimal], tuple[RowSelect, TextPart]],
        style: Callable[[], Style],
        *,
        suspect: bool,
    ) -> Staged:
        """Read with the decimal sign of the values.

        Nearly every file has plain numbers and is read once, without a look before. Where the first rows have commas
        in their values, or some values cannot be read, all of the column tells how it is written; in the second case
        the file is read again if that helps.
        """
        if self.decimal != "auto":
            return self._staged(*read(self.decimal))  # type: ignore[arg-type]
        found = style() if suspect else Style()
        select, part = read(found.decimal)
        if not suspect and _unread_values(connection):
            found = style()
            if found.decimal != "plain":
                create_rows(connection)
                create_rejects(connection)
                select, part = read(found.decimal)
        return self._staged(select, part, found.note)

    def _time_format(self, connection: duckdb.DuckDBPyConnection, sample: list[str]) -> str:
        return self.time_format if self.time_format != "auto" else guess_format(connection, sample) or "iso"

    def _staged(self, select: RowSelect, part: TextPart, note: str = "") -> Staged:
        about_items = [name for name in select.more if name != "user_features"]
        return Staged(
            (part,),
            self.default_type,
            items=_first_known(ITEM, about_items) if about_items else None,
            users=_first_known(USER, ["user_features"]) if "user_features" in select.more else None,
            notes=(note,) if note else (),
            answers=select.answers,
        )


def sniff(
    path: Path,
    *,
    delimiter: str | None = None,
    header: bool | None = None,
    encoding: str = "utf-8",
    nulls: Sequence[str] = NULLS,
    name: Path | None = None,
) -> Layout:
    """Delimiter, header and columns of a text file, from its first 256 KB; ``name`` is what messages call it.

    Raises
    ------
    FormatError
        The file is empty, or has one column only.
    """
    shown = (name or path).name
    lines = _head(path, encoding)
    if not lines:
        raise FormatError(f"{shown} is empty: choose a file with a header line and at least one event.")
    if _is_binary("".join(lines[:100])):
        raise FormatError(f"{shown} is no text file, or not in the encoding {encoding}: save it as CSV in UTF-8.")
    chosen = delimiter or best_delimiter(lines)
    rows = [_cells(line, chosen) for line in lines]
    first = rows[0]
    if len(first) < 2:
        hint = "another character" if delimiter is None else f"another character than {delimiter!r}"
        raise FormatError(
            f"{shown} has one column only ({lines[0][:80]!r}): if {hint} separates its cells, state delimiter=."
        )
    named = header if header is not None else not any(_is_data(cell) for cell in first)
    columns = tuple(cell.strip() for cell in first) if named else tuple(str(i) for i in range(len(first)))
    return Layout(columns, chosen, named, quote=True, encoding=encoding, nulls=tuple(nulls))


def unique_names(layout: Layout) -> Layout:
    """The layout with later columns of the same name told apart (they are not read)."""
    seen: dict[str, int] = {}
    names: list[str] = []
    for name in layout.columns:
        seen[name] = seen.get(name, 0) + 1
        names.append(name if seen[name] == 1 and name else f"{name} #{len(names)}")
    return replace(layout, columns=tuple(names))


def existing_file(path: str | Path) -> Path:
    """The path of a file that exists.

    Raises
    ------
    DataError
        It does not, or is a folder.
    """
    file = Path(path).expanduser()
    if file.is_dir():
        raise DataError(f"{file} is a folder: give the file in it.")
    if not file.is_file():
        raise DataError(f"There is no file {file}: check the path (now in {Path.cwd()}).")
    return file


def dataset_name(path: Path) -> str:
    """What a dataset read from this file is called unless the user says otherwise."""
    return path.name.split(".")[0].strip(" -") or "events"


def is_parquet(path: Path) -> bool:
    """Whether the file starts with the mark of Parquet (or is named so)."""
    return path.suffix in (".parquet", ".pq") or next(open_bytes(path), b"")[:4] == b"PAR1"


def _head(path: Path, encoding: str) -> list[str]:
    """The first complete lines that are not blank."""
    data = next(open_bytes(path), b"")
    whole = len(data) <= SAMPLE
    text = data[:SAMPLE].decode(encoding, errors="replace").removeprefix("\ufeff")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return [line for line in (lines if whole or len(lines) == 1 else lines[:-1]) if line][:1000]


def _cells(line: str, delimiter: str) -> list[str]:
    if len(delimiter) > 1:
        return line.split(delimiter)
    return next(csv.reader(io.StringIO(line), delimiter=delimiter), [])


def _is_binary(text: str) -> bool:
    """Whether one character in ten is none that is written."""
    strange = sum(c == "\ufffd" or (c < " " and c not in "\t\f\x1e\x1f") for c in text)
    return 10 * strange > len(text)


def best_delimiter(lines: list[str], delimiters: Sequence[str] = DELIMITERS) -> str:
    """What cuts the most lines into as many cells as the first; the first of ``delimiters`` where nothing cuts."""
    return max(delimiters, key=lambda d: _consistency(lines, d))


def _consistency(lines: list[str], delimiter: str) -> tuple[int, int]:
    """(lines with as many cells as the first, cells) or (0, 0) when it does not cut at all."""
    widths = [len(_cells(line, delimiter)) for line in lines[:200]]
    return (0, 0) if widths[0] < 2 else (widths.count(widths[0]), widths[0])


def _is_data(cell: str) -> bool:
    """Whether a cell is a number or starts with a date: no column is called so."""
    text = cell.strip()
    try:
        float(text)
    except ValueError:
        digits = sum(c.isdigit() for c in text)
        return digits >= 4 and len(text) >= 6 and digits >= len(text) / 2
    return True


def head_frame(path: Path, layout: Layout) -> pd.DataFrame:
    """The first rows of a text file as text."""
    rows = [_cells(line, layout.delimiter) for line in _head(path, layout.encoding)[int(layout.header) :]]
    width = len(layout.columns)
    return pd.DataFrame([(row + [""] * width)[:width] for row in rows], columns=list(layout.columns), dtype=str)


def _json_rows(path: Path, wanted: np.ndarray) -> Iterator[str]:
    """Rows of a Parquet file (numbers from 1, sorted) as JSON."""
    with duckdb.connect() as connection:
        found = connection.execute(
            f"""SELECT to_json(r)::VARCHAR FROM (
                SELECT file_row_number AS number, struct_pack(*COLUMNS(c -> c <> 'file_row_number')) AS r
                FROM read_parquet({exact_path(path)}, file_row_number = true)
                WHERE file_row_number + 1 IN (SELECT unnest($1::BIGINT[]))
            ) ORDER BY number""",
            [wanted],
        )
        while rows := found.fetchmany(10_000):
            yield from (row[0] for row in rows)


def _unread_values(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether a value of the rows could not be read."""
    return bool(
        connection.execute(f"SELECT coalesce(bool_or(fault >= {BAD_VALUE}), false) FROM {ROWS}").fetchall()[0][0]
    )


def _row_select(
    columns: Columns,
    stamp: str,
    text: Callable[[str], str],
    cell: Callable[[str], str] | None = None,
    *,
    decimal: Decimal = "plain",
) -> RowSelect:
    """What of a mapped source goes where; ``text`` gives the SQL of a column as text, ``cell`` of the column itself."""
    cell = cell or text
    optional: dict[str, str] = {}
    if columns.value is not None:
        optional["value"] = number_sql(cell(columns.value), decimal)
        optional["value_text"] = text(columns.value)
    elif columns.outcome is not None:
        optional["value"] = answer_sql(text(columns.outcome))
        optional["value_text"] = text(columns.outcome)
    if columns.event_type is not None:
        optional["event_type"] = text(columns.event_type)
    if columns.title is not None:
        optional["title"] = text(columns.title)
    for role, names in (("item_features", columns.item_features), ("user_features", columns.user_features)):
        if names:
            optional[role] = packed({name: cell(name) for name in names})
    answers = columns.outcome is not None
    return RowSelect(
        text(columns.user_id), text(columns.item_id), stamp, text(columns.timestamp), answers=answers, **optional
    )


def _first_known(key: str, columns: Sequence[str]) -> str:
    """Query of the first title and features given for each user or item, in file order."""
    picked = {"title": "NULL", "features": "NULL"}
    picked |= {c.split("_")[-1]: f"arg_min({c}, rowid) FILTER ({c} IS NOT NULL)" for c in columns}
    return f"SELECT {key}, {', '.join(f'{sql} AS {name}' for name, sql in picked.items())} FROM {ROWS} GROUP BY {key}"
