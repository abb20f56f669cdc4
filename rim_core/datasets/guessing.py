"""Layout and column mapping of a table, guessed for a person to confirm."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pandas as pd

from rim_core.columns import ITEM, TIME, TYPE, USER
from rim_core.datasets.answers import answer_of
from rim_core.datasets.names import guess_names
from rim_core.datasets.sql import cause, exact_path
from rim_core.datasets.tables import (
    SAMPLE,
    dataset_name,
    existing_file,
    head_frame,
    is_parquet,
    sniff,
    unique_names,
)
from rim_core.datasets.text import Layout, as_readable
from rim_core.datasets.times import guess_format
from rim_core.errors import FormatError


@dataclass(frozen=True)
class Preview:
    """What :func:`guess_columns` found out about a file.

    Attributes
    ----------
    name : str
        What the dataset would be called.
    source : {"csv", "parquet"}
        The format to import it with.
    guess : dict of str to str
        Canonical column to column of the file, as far as it could be guessed.
    rows : DataFrame
        The first rows as text.
    delimiter : str or None
        None for Parquet.
    header : bool
    time_format : str or None
        Of the guessed time column; None when it cannot be read.
    missing : tuple of str
        Canonical columns a person must choose.
    outcome : str or None
        Column that answers yes or no and seems to say what came of it.
    """

    name: str
    source: str
    guess: dict[str, str]
    rows: pd.DataFrame
    delimiter: str | None
    header: bool
    time_format: str | None
    missing: tuple[str, ...]
    outcome: str | None = None


OUTCOMES = (
    "outcome", "response", "responded", "converted", "conversion", "purchased", "purchase", "bought", "redeemed",
    "clicked", "click", "ordered", "reaction", "success", "gekauft", "reagiert", "acheté", "comprado",
)  # fmt: skip
"""Names of columns that say what came of an exposure, best first."""


def guess_columns(path: str | Path, *, rows: int = 20, encoding: str = "utf-8") -> Preview:
    """Guess layout and column mapping of a CSV or Parquet file, for a person to confirm.

    Names decide where they are telling; what is left is chosen by content (a column that reads as times).

    Raises
    ------
    DataError
        The file is missing or cannot be read.
    """
    file = existing_file(path)
    parquet = is_parquet(file)
    with tempfile.TemporaryDirectory(prefix="rim-guess-") as scratch, duckdb.connect() as connection:
        layout = Layout(())
        if parquet:
            frame = _first_rows(connection, file)
        else:
            readable, encoding = as_readable(file, encoding, Path(scratch), limit=SAMPLE)
            layout = sniff(readable, encoding=encoding, name=file)
            frame = head_frame(readable, unique_names(layout))
        guess = {k: str(v) for k, v in guess_names([str(c) for c in frame.columns]).items()}
        left = [str(c) for c in frame.columns if str(c) not in guess.values()]
        form = None
        for column in [guess[TIME]] if TIME in guess else left:
            form = _quiet_format(connection, [str(v) for v in frame[column].dropna()])
            if form is not None:
                guess[TIME] = column
                break
    named = parquet or layout.header
    left = [str(c) for c in frame.columns if str(c) not in guess.values()]
    for role in (USER, ITEM) if not named else ():
        if role not in guess and left:
            guess[role] = left.pop(0)
    return Preview(
        name=dataset_name(file),
        source="parquet" if parquet else "csv",
        guess=guess,
        rows=frame.head(rows),
        delimiter=None if parquet else layout.delimiter,
        header=named,
        time_format=form,
        missing=tuple(role for role in (USER, ITEM, TIME) if role not in guess),
        outcome=_guess_outcome(frame, guess),
    )


def _guess_outcome(frame: pd.DataFrame, guess: dict[str, str]) -> str | None:
    """The column, mostly of answers, called like an outcome; without event types, else the only one of yes and no."""
    left = [str(c) for c in frame.columns if str(c) not in (guess.get(role) for role in (USER, ITEM, TIME, TYPE))]
    answers = {c: [answer_of(cell) for cell in frame[c].dropna()] for c in left}
    plain = {c.strip().lower(): c for c in left if 2 * answers[c].count(None) < len(answers[c])}
    named = next((plain[name] for name in OUTCOMES if name in plain), None)
    if named is not None or TYPE in guess:
        return named
    only = [c for c in left if set(answers[c]) == {0.0, 1.0}]
    return only[0] if len(only) == 1 else None


def _first_rows(connection: duckdb.DuckDBPyConnection, path: Path) -> pd.DataFrame:
    """The first rows of a Parquet file as text."""
    try:
        query = f"SELECT COLUMNS(*)::VARCHAR FROM (SELECT * FROM read_parquet({exact_path(path)}) LIMIT 200)"
        return connection.execute(query).df()
    except duckdb.Error as error:
        raise FormatError(f"{path.name} is no readable Parquet file: {cause(error, path)}") from error


def _quiet_format(connection: duckdb.DuckDBPyConnection, sample: list[str]) -> str | None:
    """The guessed format; None also where day and month cannot be told apart (a person must say)."""
    try:
        return guess_format(connection, sample)
    except FormatError:
        return None
