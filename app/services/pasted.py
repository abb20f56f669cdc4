"""Cells that were pasted from a spreadsheet or uploaded."""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Collection, Hashable, Iterable
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

SHOWN = 60
"""Characters of a cell that are repeated to say what is wrong with it."""


NEAREST = 3
"""Items that are named in place of one that is not there."""
HINTS = 12
"""Rows about no item that are told the nearest ones."""
COMPARED = 4_000
"""Names that one is compared with, letter by letter."""


class BadCell(ValueError):
    """A cell that cannot be read: what stands in it, why, and what to write instead."""

    def __init__(self, cell: str, cause: str, advice: str) -> None:
        super().__init__(f"{cell}: {cause} {advice}")
        self.cell, self.cause, self.advice = cell, cause, advice


@dataclass(frozen=True)
class LeftOut:
    """A row that was left out.

    Attributes
    ----------
    row : int
        Its number, the first is 1; blank lines and the header count.
    cell : str
        What stands in the cell that is to blame.
    cause, advice : str
        Sentences: what is wrong with it, and what to do.
    """

    row: int
    cell: str
    cause: str
    advice: str

    @classmethod
    def of(cls, row: int, error: BadCell) -> LeftOut:
        """The row of a cell that cannot be read."""
        cell = error.cell if len(error.cell) <= SHOWN else f"{error.cell[:SHOWN]}…"
        return cls(row, cell, error.cause, error.advice)

    def __str__(self) -> str:
        return f"Row {self.row}, {self.cell or '(empty)'}: {self.cause} {self.advice}"


def text_of(file: bytes) -> str:
    """A file's text: UTF-8 or UTF-16 as spreadsheets mark it, otherwise the code page of Western Windows."""
    for start, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"", "utf-8-sig")):
        if file.startswith(start):
            try:
                return file.decode(encoding)
            except UnicodeDecodeError:
                continue
    return file.decode("cp1252", errors="replace")


def rows_of(text: str) -> list[tuple[int, list[str]]]:
    """Number and cells of every line that is not blank; cells are parted by tabs, semicolons or commas."""
    lines = [(i, line) for i, line in enumerate(text.lstrip("\ufeff").splitlines(), 1) if line.strip()]
    if not lines:
        return []
    delimiter = next((d for d in ("\t", ";", ",") if d in lines[0][1]), ",")
    return [(i, [cell_text(c) for c in _cells(line, delimiter)]) for i, line in lines]


def _cells(line: str, delimiter: str) -> list[str]:
    """A line's cells; each line is read by itself, so that a quote left open spoils no other."""
    try:
        return next(csv.reader([line], delimiter=delimiter))
    except csv.Error:
        return [line]


def left_over(text: str, rows: Collection[int], headed: bool) -> str:
    """The lines of a text that were left out, under its header if it has one: to be corrected and taken in again."""
    lines = [(i, line) for i, line in enumerate(text.lstrip("\ufeff").splitlines(), 1) if line.strip()]
    kept = [line for n, (i, line) in enumerate(lines) if i in rows or (headed and rows and n == 0)]
    return "\n".join(kept)


def repeated(rows: Iterable[tuple[Hashable, str]]) -> tuple[str, ...]:
    """Names of what several rows are about, in order; a row is what it is about, and its name."""
    seen: set[Hashable] = set()
    names: dict[str, None] = {}
    for key, name in rows:
        if key in seen:
            names[name] = None
        seen.add(key)
    return tuple(names)


def cell_text(text: str) -> str:
    """A cell without the apostrophe that keeps a spreadsheet from running it."""
    text = text.strip()
    return text[1:] if re.match(r"'[\s\"'`]*[=+\-@\uff1d\uff0b\uff0d\uff20]", text) else text


class Items:
    """The items of a model, as people write them: by id or title."""

    def __init__(self, catalogue: pd.DataFrame) -> None:
        self.ids = catalogue.index.astype(str)
        self.titles = catalogue["title"].astype(str)
        lower = self.titles.str.lower()
        unique = ~lower.duplicated(keep=False)
        self._by_title = dict(zip(lower[unique], self.ids[unique], strict=True))
        self._hints = HINTS

    def id_of(self, written: str) -> str:
        """The id of an item, also where its title is written and no other item has that; otherwise what is written."""
        return written if written in self.ids else self._by_title.get(written.lower(), written)

    def unknown(self, written: str) -> BadCell:
        """There is no such item: of the first few, what items are called nearly so."""
        self._hints -= 1
        near = self._nearest(written) if self._hints >= 0 else []
        advice = f"Did you mean {' or '.join(near)}?" if near else "Check how it is written."
        return BadCell(written, f"There is no item {written} among the items of this model.", advice)

    def _nearest(self, written: str) -> list[str]:
        """Titles or ids most like it, one an item; of very many only those that begin alike or share a word count."""
        name, among = written.lower(), list(self._names)
        if len(among) > COMPARED:
            words = "|".join(re.escape(word) for word in re.findall(r"\w{3,}", name)) or re.escape(name)
            every = pd.Series(among)
            among = every[every.str.startswith(name[:2]) | every.str.contains(words)].head(COMPARED).tolist()
        near: dict[str, str] = {}
        holding = [one for one in among if len(name) >= 3 and re.search(rf"\b{re.escape(name)}", one)]
        for found in (sorted(holding, key=len) + difflib.get_close_matches(name, among, n=NEAREST))[:NEAREST]:
            said, item = self._names[found]
            near.setdefault(item, said)
        return list(near.values())

    @cached_property
    def _names(self) -> dict[str, tuple[str, str]]:
        """Titles and ids, with the item's id, by how they are in lower case."""
        pairs = [*zip(self.ids, self.ids, strict=True), *zip(self.titles, self.ids, strict=True)]
        return {said.lower(): (said, item) for said, item in pairs}
