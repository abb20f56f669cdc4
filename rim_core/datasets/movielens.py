"""MovieLens in its three layouts: ``ratings.dat`` (1M, 10M), ``u.data`` (100K), ``ratings.csv`` (20M and later)."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rim_core.columns import ITEM, USER
from rim_core.datasets.catalogue import Entry, stage_catalogue, text_lines
from rim_core.datasets.importing import Reader, Staged
from rim_core.datasets.rows import RowSelect
from rim_core.datasets.text import Layout, read_text
from rim_core.datasets.times import time_sql
from rim_core.errors import DataError

if TYPE_CHECKING:
    import duckdb

COLUMNS = ("user", "item", "rating", "time")

OCCUPATIONS = (
    "other", "academic/educator", "artist", "clerical/admin", "college/grad student", "customer service",
    "doctor/health care", "executive/managerial", "farmer", "homemaker", "K-12 student", "lawyer", "programmer",
    "retired", "sales/marketing", "scientist", "self-employed", "technician/engineer", "tradesman/craftsman",
    "unemployed", "writer",
)  # fmt: skip
AGES = {"1": "under 18", "18": "18-24", "25": "25-34", "35": "35-44", "45": "45-49", "50": "50-55", "56": "56+"}
"""Codes of ml-1m, as its README explains them."""

GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
"""Flags at the end of a line of u.item."""


@dataclass(frozen=True)
class Edition:
    """One layout: its files and how the ratings are cut."""

    ratings: str
    items: str
    users: str | None
    layout: Layout


EDITIONS = (
    Edition("ratings.dat", "movies.dat", "users.dat", Layout(COLUMNS, "::", quote=False)),
    Edition("u.data", "u.item", "u.user", Layout(COLUMNS, "\t", quote=False)),
    Edition("ratings.csv", "movies.csv", None, Layout(COLUMNS, ",", header=True)),
)


class MovieLensReader(Reader):
    """A MovieLens folder, or the ratings file in it; titles and demographics come along when their files are there.

    Every rating is an event of type "rating" with the stars as value.

    Raises
    ------
    DataError
        No such folder, or no ratings file in it.
    """

    def __init__(self, path: str | Path) -> None:
        self.folder, self.edition, self.path = _find(Path(path).expanduser())
        self.name = "movielens"

    @property
    def source(self) -> str:
        return str(self.path)

    def stage(self, connection: duckdb.DuckDBPyConnection, scratch: Path) -> Staged:
        select = RowSelect(
            user_id="user",
            item_id="item",
            timestamp=time_sql('"time"', "s"),
            time_text='"time"',
            value="TRY_CAST(rating AS DOUBLE)",
            value_text="rating",
        )
        part = read_text(connection, self.path, self.edition.layout, select.sql)
        items = users = None
        notes = []
        if (file := self.folder / self.edition.items).is_file():
            items = stage_catalogue(connection, "staged_movies", ITEM, _movies(file))
        else:
            notes.append(f"There is no {self.edition.items} beside the ratings: items have no titles.")
        if self.edition.users is not None and (file := self.folder / self.edition.users).is_file():
            users = stage_catalogue(connection, "staged_people", USER, _people(file))
        return Staged((part,), "rating", items, users, tuple(notes))


def _find(path: Path) -> tuple[Path, Edition, Path]:
    """Folder, edition and ratings file."""
    for edition in EDITIONS:
        names = (edition.ratings, f"{edition.ratings}.gz")
        if path.is_file() and path.name in names:
            return path.parent, edition, path
        for name in names:
            if (path / name).is_file():
                return path, edition, path / name
    wanted = ", ".join(edition.ratings for edition in EDITIONS)
    if not path.exists():
        raise DataError(f"There is no {path}: give the folder that holds {wanted}.")
    raise DataError(f"{path} is no MovieLens data: give a folder that holds one of {wanted}, or that file.")


def _movies(path: Path) -> Iterator[Entry]:
    """(id, title, genres) of a catalogue in any of the layouts; lines of another form are passed over."""
    if path.suffix == ".csv":
        for cells in csv.reader(text_lines(path, "utf-8"), strict=False):
            if len(cells) == 3 and cells[0] != "movieId":
                yield cells[0], cells[1], {"genres": cells[2]}
        return
    for line in text_lines(path):
        if path.suffix == ".dat":
            cells = line.split("::")
            if len(cells) == 3:
                yield cells[0], cells[1], {"genres": cells[2]}
            continue
        cells = line.split("|")
        if len(cells) == 5 + len(GENRES):
            genres = "|".join(g for g, flag in zip(GENRES, cells[5:], strict=True) if flag == "1")
            yield cells[0], cells[1], {"genres": genres, "released": cells[2]}


def _people(path: Path) -> Iterator[Entry]:
    """(id, None, demographics) of users.dat or u.user."""
    for line in text_lines(path):
        if path.suffix == ".dat":
            cells = line.split("::")
            if len(cells) == 5:
                user, gender, age, work, code = cells
                job = OCCUPATIONS[int(work)] if work.isdigit() and int(work) < len(OCCUPATIONS) else work
                yield user, None, {"gender": gender, "age": AGES.get(age, age), "occupation": job, "zip_code": code}
            continue
        cells = line.split("|")
        if len(cells) == 5:
            user, age, gender, job, code = cells
            years = int(age) if age.isdigit() else None
            yield user, None, {"gender": gender, "age": years, "occupation": job, "zip_code": code}
