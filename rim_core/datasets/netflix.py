"""Netflix Prize: ``combined_data_*.txt`` or ``training_set/mv_*.txt``, and ``movie_titles.csv``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rim_core.columns import ITEM
from rim_core.datasets.catalogue import Entry, stage_catalogue, text_lines
from rim_core.datasets.importing import Reader, Staged
from rim_core.datasets.rows import ROWS, RowSelect, TextPart
from rim_core.datasets.scan import open_bytes
from rim_core.datasets.sql import literal
from rim_core.datasets.text import Layout, read_text
from rim_core.datasets.times import time_sql
from rim_core.errors import DataError, FormatError

if TYPE_CHECKING:
    import duckdb

RATINGS = Layout(("user", "rating", "day"), ",", quote=False)


class NetflixReader(Reader):
    """A Netflix Prize folder, or one ratings file; every rating is an event of type "rating" on its day (UTC).

    Raises
    ------
    DataError
        No such folder, or no ratings in it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()
        self.files = _find(self.path)
        self.name = "netflix"

    @property
    def source(self) -> str:
        return str(self.files[0]) if len(self.files) == 1 else f"{self.files[0].parent} ({len(self.files):,} files)"

    def stage(self, connection: duckdb.DuckDBPyConnection, scratch: Path) -> Staged:
        parts = tuple(
            _stage_movie(connection, file) if file.name.startswith("mv_") else _stage_combined(connection, file)
            for file in self.files
        )
        titles = _titles_file(self.files[0].parent)
        if titles is None:
            note = "There is no movie_titles.csv beside the ratings: items have no titles."
            return Staged(parts, "rating", notes=(note,))
        return Staged(parts, "rating", stage_catalogue(connection, "staged_titles", ITEM, _titles(titles)))


def _select(item: str) -> RowSelect:
    return RowSelect(
        user_id='"user"',
        item_id=item,
        timestamp=time_sql('"day"', "iso"),
        time_text='"day"',
        value="TRY_CAST(rating AS DOUBLE)",
        value_text="rating",
    )


def _stage_movie(connection: duckdb.DuckDBPyConnection, file: Path) -> TextPart:
    """One mv_*.txt: its first line names the movie, the others are ratings of it."""
    first = next(open_bytes(file), b"").split(b"\n", 1)[0].strip().removeprefix(b"\xef\xbb\xbf")
    if not re.fullmatch(rb"\d+:", first):
        raise FormatError(f"{file} does not start with a movie's number and a colon: it is no Netflix Prize file.")
    return read_text(connection, file, replace(RATINGS, header=True), _select(literal(first[:-1].decode())).sql)


def _stage_combined(connection: duckdb.DuckDBPyConnection, file: Path) -> TextPart:
    """One combined_data_*.txt: lines "MovieID:" with the ratings of that movie below each."""
    cells = ", ".join(f'"{name}"' for name in RATINGS.columns)
    connection.execute(f"CREATE TEMP TABLE staged_lines ({cells.replace(',', ' VARCHAR,')} VARCHAR)")
    part = read_text(connection, file, replace(RATINGS, pad=True), cells, table="staged_lines")
    marker = "rating IS NULL AND day IS NULL AND regexp_full_match(\"user\", '\\d+:')"
    connection.execute(
        "CREATE TEMP TABLE staged_movies AS "
        f'SELECT rowid AS line, "user"[:-2] AS movie FROM staged_lines WHERE {marker}'
    )
    found = "SELECT line - (SELECT min(rowid) FROM staged_lines) AS row FROM staged_movies ORDER BY row"
    marks = connection.execute(found).fetchnumpy()["row"].astype(np.int64)
    if len(marks) == 0:
        raise FormatError(f"{file} has no line with a movie's number and a colon: it is no Netflix Prize file.")
    connection.execute(
        f"""INSERT INTO {ROWS} BY NAME SELECT {_select("movie").sql}
        FROM (SELECT rowid AS line, * FROM staged_lines WHERE NOT ({marker})) ASOF LEFT JOIN staged_movies USING (line)
        ORDER BY line"""
    )
    connection.execute("DROP TABLE staged_movies; DROP TABLE staged_lines")
    return TextPart(
        file,
        rows=part.rows - len(marks),
        records=part.records - len(marks),
        skipped=np.union1d(part.skipped, part.line_of(marks)),
        nul=part.nul,
        reread=part.reread,
    )


def _find(path: Path) -> list[Path]:
    """Files with ratings, by number."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f"There is no {path}: give the folder that holds combined_data_1.txt or training_set/.")
    for folder, pattern in ((path, "combined_data_*.txt*"), (path, "mv_*.txt*"), (path / "training_set", "mv_*.txt*")):
        found = [f for f in folder.glob(pattern) if re.fullmatch(r"\w+_\d+\.txt(\.gz)?", f.name)]
        if found:
            return sorted(found, key=lambda file: (int(re.findall(r"\d+", file.name)[0]), file.name))
    raise DataError(f"{path} holds no Netflix ratings: it should hold combined_data_*.txt, mv_*.txt or training_set/.")


def _titles_file(folder: Path) -> Path | None:
    """movie_titles.csv (or .txt, as in the original archive) beside the ratings or above training_set/."""
    places = [place / f"movie_titles.{end}" for place in (folder, folder.parent) for end in ("csv", "txt")]
    return next((file for file in places if file.is_file()), None)


def _titles(path: Path) -> Iterator[Entry]:
    """(id, title, year); titles may hold commas, years are NULL or left out where nobody knew them."""
    for line in text_lines(path):
        if found := re.fullmatch(r"(\d+),(?:(\d{4}|NULL),)?(.*)", line):
            movie, year, title = found.groups()
            yield movie, title, {"year": int(year)} if year not in (None, "NULL") else {}
