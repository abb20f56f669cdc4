"""Lists of users that are uploaded: ids alone, or a table with a column of them."""

from __future__ import annotations

import csv
import io
from codecs import BOM_UTF16_BE, BOM_UTF16_LE

from rim_core.columns import USER
from rim_core.datasets.names import ALIASES
from rim_core.datasets.tables import DELIMITERS, best_delimiter
from rim_core.errors import DataError

HEADINGS = (*ALIASES[USER], "id", "household_key")
"""What a column of user ids is called, best first."""
ONLY = "ids"
"""Name of the one column of a list without a heading."""


def read_ids(content: bytes) -> list[str]:
    """User ids of an uploaded list: of a table, the column that is called so, or its first.

    Raises
    ------
    DataError
        It is no text.
    """
    return next(iter(id_columns(content).values()), [])


def id_columns(content: bytes) -> dict[str, list[str]]:
    """Distinct cells of every column of an uploaded list, in file order; the likeliest column of ids comes first.

    Cells are separated by what separates them in the import of a dataset; a heading is no id.

    Raises
    ------
    DataError
        It is no text.
    """
    try:
        text = content.decode("utf-16" if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig")
        lines = [line for line in text.splitlines() if line.strip()]
        delimiter = best_delimiter(lines, [d for d in DELIMITERS if len(d) == 1]) if lines else ","
        rows = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(text), delimiter=delimiter)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError("This list is no UTF-8 text: save it as CSV (UTF-8) with one user id a line.") from error
    rows = [row for row in rows if any(row)]
    width = max(map(len, rows), default=0)
    columns = [[row[i] if i < len(row) else "" for row in rows] for i in range(width)]
    names = [""] * width
    if _headed(columns):
        names = [column[0] for column in columns]
        columns = [column[1:] for column in columns]
    found: dict[str, list[str]] = {}
    for i in sorted(range(width), key=lambda i: _likely(names[i])):
        name = names[i] or (ONLY if width == 1 else f"column {i + 1}")
        found[name if name not in found else f"{name} #{i + 1}"] = list(dict.fromkeys(c for c in columns[i] if c))
    return found


def _likely(name: str) -> int:
    """Place among what columns of ids are called; the last for another name."""
    plain = name.lower().replace(" ", "_").replace("-", "_")
    return HEADINGS.index(plain) if plain in HEADINGS else len(HEADINGS)


def _headed(columns: list[list[str]]) -> bool:
    """Whether the first row names the columns: by a usual name, or as words above a column mostly of numbers.

    To be on the safe side, a first row with digits is a row of ids: one too many suppresses nobody.
    """
    first = [column[0] for column in columns]
    if any(_likely(name) < len(HEADINGS) for name in first):
        return True
    if any(_numbered(name) for name in first):
        return False
    return any(2 * sum(map(_numbered, column)) >= len(column) > 1 for column in columns)


def _numbered(cell: str) -> bool:
    return any(c.isdigit() for c in cell)
