"""Delimited text into a DuckDB table, every record accounted for.

DuckDB's reader is fast, but on damaged files it loses rows without a word: after a quote that is never
closed, in a truncated gzip file, in lines longer than its buffer. :func:`rim_core.datasets.scan.scan`
therefore walks the bytes once beside it and counts the records, and :func:`read_text` compares: what was
read plus what was rejected must be what is there. Where quotes make them differ, the file is read again
line by line, so that a stray quote costs one row; where they still differ, the file is refused.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import numpy as np

from rim_core.datasets.report import Reason
from rim_core.datasets.rows import ROWS, TextPart, nth_line, put_texts
from rim_core.datasets.scan import Lines, Scan, is_gzip, open_bytes, scan
from rim_core.datasets.sql import cause, exact_path, identifier, literal
from rim_core.errors import FormatError

if TYPE_CHECKING:
    from rim_core.datasets.scan import Reread

MAX_RECORD = 32 << 20
"""Bytes of the longest record that is read at all."""

NULLS = ("", "NULL", "null", "\\N")
"""Cells that mean nothing is there."""

_REASONS = {
    "MISSING COLUMNS": Reason.COLUMNS,
    "TOO MANY COLUMNS": Reason.COLUMNS,
    "INVALID ENCODING": Reason.ENCODING,
    "UNQUOTED VALUE": Reason.QUOTE,
    "LINE SIZE OVER MAXIMUM": Reason.LENGTH,
}


@dataclass(frozen=True)
class Layout:
    """How a text file is cut into cells.

    Attributes
    ----------
    columns : tuple of str
        Names in file order.
    delimiter : str
        One to four characters.
    header : bool
        Whether the first record names the columns.
    quote : bool
        Whether cells may stand in double quotes.
    encoding : str
        "utf-8" or "latin-1"; :func:`as_readable` turns others into UTF-8 first.
    nulls : tuple of str
        Cells that mean nothing is there.
    pad : bool
        Whether lines may have fewer cells than columns (the others are NULL).
    """

    columns: tuple[str, ...]
    delimiter: str = ","
    header: bool = False
    quote: bool = True
    encoding: str = "utf-8"
    nulls: tuple[str, ...] = NULLS
    pad: bool = False


def read_text(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    layout: Layout,
    select: str,
    *,
    table: str = ROWS,
    name: Path | None = None,
) -> TextPart:
    """Append a text file to a temporary table, in file order, converted on the way.

    Records that cannot be cut into cells go to :data:`REJECTS`. Streams; memory is DuckDB's.

    Parameters
    ----------
    select : str
        SQL list over ``layout.columns`` (all VARCHAR) that gives columns of ``table`` by name.
    name : Path, optional
        What to call the file in rejects and errors (default ``path``).

    Raises
    ------
    FormatError
        A record is longer than 32 MB, or records are lost in a way no fallback mends.
    """
    name = name or path
    seen = _scan_bounded(path, layout, name)
    header = layout.header and seen.records > 0
    attempts = [(True, seen.records - header)] if layout.quote and not seen.unclosed else []
    before = _count(connection, table)
    for quoted, expected in [*attempts, (False, seen.lines - header)]:
        cells = ", ".join(_cell(c, unquote=layout.quote and not quoted) for c in layout.columns)
        source = f"(SELECT {cells} FROM {_read_csv(path, layout, seen, quoted=quoted)})"
        try:
            connection.execute(f"INSERT INTO {table} BY NAME SELECT {select} FROM {source}")
        except duckdb.InvalidInputException as error:
            raise FormatError(f"{name.name} cannot be read as delimited text: {cause(error, path, name)}") from error
        rows = _count(connection, table) - before
        bad = connection.execute("SELECT count(DISTINCT line) FROM staged_reject_errors").fetchall()[0][0]
        if rows + bad == expected:
            reread = Lines(path, layout.encoding, quoted)
            skipped = _collect(connection, name, seen, reread, header=header, quoted=quoted)
            by_line = layout.quote and not quoted
            return TextPart(name, rows, rows + bad, skipped, seen.nul, by_line, seen.longest, reread)
        _drop_reader_tables(connection)
        _truncate(connection, table, before)
    raise FormatError(
        f"{name.name}: {expected:,} records are there but only {rows + bad:,} could be told apart. "
        "Save the file as plain UTF-8 text with one record a line and the same line ends throughout."
    )


@contextmanager
def as_table(
    connection: duckdb.DuckDBPyConnection, path: Path, layout: Layout, *, name: Path | None = None
) -> Iterator[str]:
    """SQL of a text file as a table of its cells, for one look before it is read; records that cannot be cut into
    cells are not in it.
    """
    seen = _scan_bounded(path, layout, name or path)
    try:
        yield _read_csv(path, layout, seen, quoted=layout.quote and not seen.unclosed)
    finally:
        _drop_reader_tables(connection)


def _scan_bounded(path: Path, layout: Layout, name: Path) -> Scan:
    """The scan of a file whose records all fit into the reader's buffer."""
    seen = scan(path, quote=layout.quote)
    if seen.longest > MAX_RECORD and layout.quote:  # a quote never closed makes one record of the rest
        unquoted = scan(path, quote=False)
        seen = unquoted if unquoted.longest <= MAX_RECORD else seen
    if seen.longest > MAX_RECORD:
        raise FormatError(
            f"{name.name}, line {seen.longest_line}: one record of {seen.longest / 2**20:.0f} MB. "
            "Look for a quote that is never closed or a file of another kind."
        )
    return seen


def _read_csv(path: Path, layout: Layout, seen: Scan, *, quoted: bool) -> str:
    """The table function call that reads a file as text cells."""
    columns = ", ".join(f"{literal(c)}: 'VARCHAR'" for c in layout.columns)
    options = [
        exact_path(path),
        "auto_detect = false",
        f"columns = {{{columns}}}",
        f"header = {str(layout.header).lower()}",
        f"delim = {literal(layout.delimiter)}",
        f"quote = {literal(chr(34) if quoted else '')}",
        f"escape = {literal(chr(34) if quoted else '')}",
        f"nullstr = [{', '.join(literal(n) for n in layout.nulls)}]",
        f"encoding = {literal(layout.encoding)}",
        f"strict_mode = {str(not seen.mixed).lower()}",
        f"null_padding = {str(layout.pad).lower()}",
        "store_rejects = true",
        "rejects_table = 'staged_reject_errors'",
        "rejects_scan = 'staged_reject_scans'",
    ]
    if is_gzip(path):
        options.append("compression = 'gzip'")
    if seen.longest > 2 << 20:
        options.append(f"buffer_size = {8 * seen.longest}")
    if seen.leading:
        options.append(f"skip = {seen.leading}")
    return f"read_csv({', '.join(options)})"


def _cell(column: str, *, unquote: bool) -> str:
    name = identifier(column)
    if not unquote:
        return name
    inner = f"replace({name}[2:-2], '\"\"', '\"')"
    whole = f"len({name}) > 1 AND starts_with({name}, '\"') AND ends_with({name}, '\"')"
    return f"CASE WHEN {whole} THEN {inner} ELSE {name} END AS {name}"


def _collect(
    connection: duckdb.DuckDBPyConnection, name: Path, seen: Scan, reread: Reread, *, header: bool, quoted: bool
) -> np.ndarray:
    """Move what the reader rejected to :data:`REJECTS`; returns the lines that start no kept row."""
    cases = " ".join(f"WHEN {literal(kind)} THEN {literal(reason.value)}" for kind, reason in _REASONS.items())
    connection.execute(
        "CREATE TEMP TABLE staged_unread AS SELECT line, "
        f"CASE first(error_type::VARCHAR ORDER BY error_type::VARCHAR) {cases} ELSE {literal(Reason.OTHER.value)} END "
        "AS reason FROM staged_reject_errors GROUP BY line"
    )
    told = connection.execute("SELECT line FROM staged_unread ORDER BY line").fetchnumpy()["line"].astype(np.int64)
    continued = seen.continued if quoted else told[:0]
    found = nth_line(continued, told - 1)  # the reader does not count lines that continue a quoted cell
    put_texts(connection, "staged_unread", "line", told, found, name, reread)
    connection.execute("DROP TABLE staged_unread")
    _drop_reader_tables(connection)
    parts = [found, seen.blank, continued]
    return np.unique(np.concatenate([*parts, np.array([1 + seen.leading] if header else [], np.int64)]))


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])


def _truncate(connection: duckdb.DuckDBPyConnection, table: str, rows: int) -> None:
    """Keep the first ``rows`` rows."""
    connection.execute(f"CREATE TEMP TABLE staged_copy AS SELECT * FROM {table} LIMIT {rows}")
    connection.execute(f"DROP TABLE {table}; ALTER TABLE staged_copy RENAME TO {table}")


def _drop_reader_tables(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("DROP TABLE IF EXISTS staged_reject_errors; DROP TABLE IF EXISTS staged_reject_scans")


def as_readable(path: Path, encoding: str, scratch: Path, *, limit: int | None = None) -> tuple[Path, str]:
    """The file itself, or a copy in UTF-8 under ``scratch`` where DuckDB cannot read its encoding.

    Bytes that the encoding does not know stay invalid in the copy, so that their lines are rejected.

    Parameters
    ----------
    limit : int, optional
        Copy about so many bytes only (a preview).

    Returns
    -------
    (path, encoding) with encoding "utf-8" or "latin-1".

    Raises
    ------
    FormatError
        The encoding is unknown.
    """
    try:
        name = codecs.lookup(encoding).name
        "".encode(name)  # some codecs are none of text
    except (LookupError, TypeError, ValueError) as error:
        raise FormatError(f"There is no encoding {encoding!r}: use utf-8, latin-1, cp1252 or utf-16.") from error
    start = next(open_bytes(path), b"")[:4]
    for mark, marked in (
        (codecs.BOM_UTF32_LE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if start.startswith(mark):
            name = marked
            break
    if name in ("utf-8", "ascii", "utf-8-sig"):
        return path, "utf-8"
    if name == "iso8859-1":
        return path, "latin-1"
    copy = scratch / f"{path.stem}.utf-8"
    decoder = codecs.getincrementaldecoder(name)(errors="rim-mark")
    written = 0
    with copy.open("wb") as out:
        for chunk in open_bytes(path):
            written += out.write(decoder.decode(chunk).encode("utf-8", "surrogateescape"))
            if limit is not None and written >= limit:
                return copy, "utf-8"
        out.write(decoder.decode(b"", final=True).encode("utf-8", "surrogateescape"))
    return copy, "utf-8"


def _mark(error: UnicodeError) -> tuple[str, int]:
    """Stands for what cannot be decoded: a lone byte that is invalid in UTF-8."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\udcff", error.end


codecs.register_error("rim-mark", _mark)
