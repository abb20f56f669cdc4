"""Times as files write them, into UTC: SQL for one column, and guessing its format from a sample."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from math import isfinite
from typing import TYPE_CHECKING, Final

from rim_core.datasets.sql import literal
from rim_core.errors import FormatError

if TYPE_CHECKING:
    import duckdb

EPOCHS: Final = {"s": 1_000_000, "ms": 1_000, "us": 1}
"""Unix time units, in microseconds; "ns" besides."""

PATTERNS: Final = (
    "%Y-%m-%d %H:%M:%S",
    "%d/%m/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d",
    "%Y%m%d%H%M%S",
    "%Y%m%d",
    "%m/%d/%Y %I:%M:%S %p",
    "%m/%d/%Y %I:%M %p",
    "%d-%m-%Y %H:%M:%S",
    "%m-%d-%Y %H:%M:%S",
    "%d-%m-%Y %H:%M",
    "%m-%d-%Y %H:%M",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%d-%b-%Y",
    "%d %b %Y",
    "%a %b %d %H:%M:%S %Y",
)
"""What is tried on times that are neither ISO 8601 nor Unix times."""

_RANGE = 253_402_300_799_999_999  # microseconds from 1970 to the end of year 9999


def check_zone(connection: duckdb.DuckDBPyConnection, zone: str) -> None:
    """Raise :class:`FormatError` unless ``zone`` is a time zone such as "UTC" or "Europe/Paris"."""
    known = connection.execute("SELECT 1 FROM pg_timezone_names() WHERE name = $1", [zone]).fetchall()
    if not known:
        raise FormatError(f"There is no time zone {zone!r}: give an IANA name such as 'UTC' or 'Europe/Paris'.")


def time_sql(text: str, form: str, zone: str = "UTC") -> str:
    """TIMESTAMP (UTC) of a VARCHAR expression, NULL where it cannot be read.

    Parameters
    ----------
    text : str
        SQL expression.
    form : str
        "iso"; "s", "ms", "us" or "ns" (Unix time); or a strptime pattern such as "%d/%m/%Y %H:%M".
    zone : str
        Where clocks stood that wrote times without an offset. Unix times have none to begin with.

    Raises
    ------
    FormatError
        Another format.
    """
    if form in EPOCHS:
        return epoch_sql(f"TRY_CAST({text} AS DOUBLE)", form)
    if form == "ns":
        return epoch_sql(f"TRY_CAST({text} AS BIGINT)", form)
    if form != "iso" and "%" not in form:
        raise FormatError(
            f"There is no time format {form!r}: use 'iso', 's', 'ms', 'us', 'ns' or a pattern like '%d/%m/%Y'."
        )
    read = _iso_sql if form == "iso" else partial(_pattern_sql, form)
    return f"coalesce({read(text, zone)}, {read(f'trim({text})', zone)})"


def _iso_sql(text: str, zone: str) -> str:
    zoned = f"regexp_matches(substr({text}, 12), '[+\\-A-Za-z]')"  # an offset or a zone's name
    return (
        f"CASE WHEN ends_with({text}, 'Z') THEN TRY_CAST(left({text}, -1) AS TIMESTAMP) "
        f"WHEN {zoned} THEN timezone('UTC', TRY_CAST({text} AS TIMESTAMPTZ)) "
        f"ELSE {_local(f'TRY_CAST({text} AS TIMESTAMP)', zone)} END"
    )


def _pattern_sql(form: str, text: str, zone: str) -> str:
    parsed = f"try_strptime({text}, {literal(form)})"
    if "%z" in form or "%Z" in form:
        return f"timezone('UTC', {parsed}::TIMESTAMPTZ)"
    return _local(parsed, zone)


def epoch_sql(number: str, unit: str) -> str:
    """TIMESTAMP of a numeric expression of Unix time in ``unit``."""
    micros = f"TRY_CAST({number} // 1000 AS BIGINT)"
    if unit != "ns":
        micros = f"TRY_CAST(round({number} * {EPOCHS[unit]}) AS BIGINT)"
    return f"CASE WHEN {micros} BETWEEN -{_RANGE} AND {_RANGE} THEN make_timestamp({micros}) END"


def native_sql(column: str, kind: str, form: str, zone: str = "UTC") -> str:
    """TIMESTAMP (UTC) of a column of a typed table (Parquet); ``kind`` is DuckDB's name of its type."""
    if kind == "VARCHAR":
        return time_sql(column, form, zone)
    if kind.startswith("TIMESTAMP WITH TIME ZONE"):
        return f"timezone('UTC', {column})"
    if kind.startswith("TIMESTAMP") or kind == "DATE":
        return _local(f"CAST({column} AS TIMESTAMP)", zone)
    return epoch_sql(column, form if form in (*EPOCHS, "ns") else "s")


def guess_format(connection: duckdb.DuckDBPyConnection, sample: Sequence[str]) -> str | None:
    """The format that reads the most of the sample; None when none reads half of it.

    Raises
    ------
    FormatError
        Day and month cannot be told apart.
    """
    cells = [cell for cell in sample if cell and cell.strip()]
    if not cells:
        return None
    unit = _guess_unit(cells)
    scored = []
    for form in (unit,) if unit else ("iso", *PATTERNS):
        query = f"SELECT count({time_sql('cell', form)}) FROM (SELECT unnest($1::VARCHAR[]) AS cell)"
        scored.append((connection.execute(query, [cells]).fetchall()[0][0], form))
        if form == "iso" and scored[0][0] == len(cells):
            return form
    most = max(count for count, _ in scored)
    best = [form for count, form in scored if count == most]
    if 2 * most <= len(cells):
        return None
    orders = {form[:5].replace("-", "/") for form in best}
    if {"%d/%m", "%m/%d"} <= orders:
        raise FormatError(
            f"In times such as {cells[0]!r} day and month cannot be told apart: "
            f"state time_format={best[0]!r} or {best[1]!r}."
        )
    return best[0]


def _guess_unit(cells: Sequence[str]) -> str | None:
    """The Unix time unit by magnitude (years 2001 to 2286), or None when these are no such numbers."""
    numbers = []
    for cell in cells:
        with suppress(ValueError):
            numbers.append(abs(float(cell)))
    numbers = [number for number in numbers if isfinite(number)]
    if 2 * len(numbers) <= len(cells):
        return None
    typical = sorted(numbers)[len(numbers) // 2]
    for unit, low in (("ns", 1e17), ("us", 1e14), ("ms", 1e11), ("s", 1e8)):
        if typical >= low:
            return None if _is_calendar(cells) else unit
    return None


def _is_calendar(cells: Sequence[str]) -> bool:
    """Whether digits are dates such as 20240131 or 20240131235959."""

    def plausible(text: str) -> bool:
        return (
            len(text) in (8, 14)
            and 1900 <= int(text[:4]) <= 2100
            and 1 <= int(text[4:6]) <= 12
            and 1 <= int(text[6:8]) <= 31
        )

    digits = [cell.strip() for cell in cells]
    return all(text.isdigit() and plausible(text) for text in digits)


def _local(stamp: str, zone: str) -> str:
    return stamp if zone == "UTC" else f"timezone('UTC', timezone({literal(zone)}, {stamp}))"
