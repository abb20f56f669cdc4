"""Numbers as files write them: with a decimal comma or point, with or without thousands set apart.

"1,234" alone is one and a bit to a German and more than a thousand to a Briton, so a column is read one way
throughout, and which way is decided by all of its cells: what only one way can have written settles it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rim_core.datasets.sql import literal
from rim_core.errors import FormatError

if TYPE_CHECKING:
    import duckdb

Decimal = Literal["plain", ".", ","]
"""How a column is written: 1234.5 only; 1,234.5 as well; 1.234,5."""

DECIMALS = ("auto", ".", ",")
"""What a person may say of it."""

_GAP = " \u00a0\u202f'’"
"""What sets thousands apart besides comma and point."""

_SIGN = "[+-]?"
_GROUPED: dict[str, str] = {
    ".": f"{_SIGN}[1-9][0-9]{{0,2}}([,{_GAP}][0-9]{{3}})+([.][0-9]*)?",
    ",": f"{_SIGN}[1-9][0-9]{{0,2}}([.{_GAP}][0-9]{{3}})+(,[0-9]*)?",
}
_POINT = f"{_SIGN}([0-9]+[.][0-9]*|[.][0-9]+)"
_COMMA = f"{_SIGN}([0-9]+,[0-9]*|,[0-9]+)"
_EITHER = f"{_SIGN}[1-9][0-9]{{0,2}}[.,][0-9]{{3}}"


@dataclass(frozen=True)
class Style:
    """How a column of numbers is to be read.

    Attributes
    ----------
    decimal : {"plain", ".", ","}
    note : str
        What was understood, for the report; empty where there is nothing to say.
    """

    decimal: Decimal = "plain"
    note: str = ""


def check_decimal(decimal: str) -> None:
    """Raise :class:`FormatError` unless it is one of :data:`DECIMALS`."""
    if decimal not in DECIMALS:
        raise FormatError(f"There is no decimal sign {decimal!r}: use 'auto', '.' or ','.")


def number_sql(text: str, decimal: Decimal) -> str:
    """DOUBLE of a VARCHAR expression, NULL where it cannot be read.

    Thousands may be set apart only in threes, and only by what is not the decimal sign.
    """
    plain = f"TRY_CAST({text} AS DOUBLE)"
    if decimal == "plain":
        return plain
    bare = f"trim({text})"
    apart = literal(f"[{',' if decimal == '.' else '.'}{_GAP}]")
    whole = f"regexp_replace({bare}, {apart}, '', 'g')"
    grouped = _matches(bare, _GROUPED[decimal])
    if decimal == ".":
        return f"CASE WHEN {grouped} THEN TRY_CAST({whole} AS DOUBLE) ELSE {plain} END"
    return (
        f"CASE WHEN {_matches(bare, _COMMA)} OR {grouped} THEN TRY_CAST(replace({whole}, ',', '.') AS DOUBLE) "
        f"WHEN NOT contains({text}, '.') THEN {plain} END"
    )


def column_style(connection: duckdb.DuckDBPyConnection, text: str, source: str, *, semicolons: bool) -> Style:
    """How a column is written, by all of its cells; one pass.

    Parameters
    ----------
    text, source : str
        SQL of the cell as text, and of the table it is in.
    semicolons : bool
        Whether cells are cut at semicolons, which programs do where the comma is the decimal sign: there "1,234" is
        read so, unless other cells say otherwise.
    """
    bare = f"trim({text})"
    either, has_comma = _matches(bare, _EITHER), f"contains({bare}, ',')"
    comma = f"({_matches(bare, _GROUPED[','])} OR {_matches(bare, _COMMA)})"
    has_point, thousand = f"contains({bare}, '.')", _matches(bare, _GROUPED["."])
    tests = (
        f"{has_comma} AND {thousand} AND NOT {either}",
        f"{has_point} AND ({_matches(bare, _POINT)} OR {thousand}) AND NOT {either}",
        f"({has_comma} OR {has_point}) AND {comma} AND NOT {either}",
        f"{has_comma} AND {either}",
        f"NOT {has_comma} AND {thousand}",
    )
    found = ", ".join(f"any_value({bare}) FILTER ({test})" for test in tests)
    row: tuple[str | None, ...] = connection.execute(f"SELECT {found} FROM {source}").fetchall()[0]
    thousands, points, commas, eithers, gaps = row
    if commas and (thousands or points):
        return Style(
            note=f"Values are written with a decimal comma ({commas}) and with a point ({thousands or points}), so "
            "only those without a comma were read: write them alike, or state decimal=',' or decimal='.'."
        )
    if commas or (eithers and semicolons and not (thousands or points)):
        shown = commas or eithers or ""
        return Style(",", f"Values are written with a decimal comma: {shown} was read as {_plain(shown, '.')}.")
    if thousands or gaps or (eithers and points):
        shown = thousands or eithers or gaps or ""
        return Style(".", f"Thousands in values are set apart: {shown} was read as {_plain(shown, ',')}.")
    if eithers:
        return Style(
            note=f"Values such as {eithers} have a decimal comma, or set thousands apart: state decimal=',' or "
            "decimal='.'."
        )
    return Style()


def _matches(text: str, pattern: str) -> str:
    return f"regexp_full_match({text}, {literal(pattern)})"


def _plain(text: str, apart: str) -> str:
    """A number as programs write it; ``apart`` sets its thousands apart."""
    return "".join(c for c in text if c not in apart + _GAP).replace(",", ".")
