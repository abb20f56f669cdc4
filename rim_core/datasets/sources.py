"""Every dataset by name: ``load_dataset`` for a log in memory, ``reader_for`` to import into tables."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rim_core.datasets.complete_journey import CompleteJourneyReader
from rim_core.datasets.importing import Duplicates, Reader, staged_import
from rim_core.datasets.memory import scratch_connection
from rim_core.datasets.movielens import MovieLensReader
from rim_core.datasets.netflix import NetflixReader
from rim_core.datasets.reading import read_log
from rim_core.datasets.shop import ShopReader
from rim_core.datasets.tables import TableReader
from rim_core.datasets.yoochoose import YooChooseReader
from rim_core.errors import DataError

if TYPE_CHECKING:
    from datetime import datetime

    from rim_core.datasets.log import EventLog


@dataclass(frozen=True)
class Source:
    """One entry of :data:`SOURCES`.

    Attributes
    ----------
    about : str
        For a person to choose by.
    reader : callable
        Makes the reader; its keyword arguments are the options.
    needs_path : bool
        Whether a file or folder must be given.
    """

    about: str
    reader: Callable[..., Reader]
    needs_path: bool = True


SOURCES: dict[str, Source] = {
    "complete-journey": Source("A real year of a grocery chain (comes along)", CompleteJourneyReader, needs_path=False),
    "movielens": Source("MovieLens folder: ratings.dat, u.data or ratings.csv", MovieLensReader),
    "netflix": Source("Netflix Prize folder: combined_data_*.txt or mv_*.txt", NetflixReader),
    "yoochoose": Source("YooChoose folder: yoochoose-clicks.dat, yoochoose-buys.dat", YooChooseReader),
    "shop": Source("A simulated shop with known truth", ShopReader, needs_path=False),
    "csv": Source("Any table of text, with a column mapping", TableReader),
    "parquet": Source("Any Parquet file, with a column mapping", TableReader),
}
"""Names that :func:`load_dataset` and :func:`reader_for` know."""


def reader_for(name: str, path: str | Path | None = None, **options: Any) -> Reader:
    """The reader of a source, to be given to :func:`rim_core.datasets.staged_import`.

    Raises
    ------
    DataError
        No such source or option, or a path is missing.
    """
    source = SOURCES.get(name)
    if source is None:
        raise DataError(f"There is no source {name!r}: choose {', '.join(SOURCES)}.")
    known = inspect.signature(source.reader).parameters
    unknown = sorted(set(options) - (set(known) - {"path"}))
    if unknown:
        choices = ", ".join(k for k in known if k != "path") or "none"
        raise DataError(f"{name} has no option {', '.join(unknown)}: its options are {choices}.")
    if path is None:
        if source.needs_path:
            raise DataError(f"{name} needs a path: give the file or folder that holds it.")
        return source.reader(**options)
    if "path" not in known:
        raise DataError(f"{name} is made, not read: leave the path out.")
    return source.reader(path=path, **options)


def load_dataset(
    name: str,
    path: str | Path | None = None,
    *,
    duplicates: Duplicates = "reject",
    rejects_file: Path | None = None,
    now: datetime | None = None,
    **options: Any,
) -> EventLog:
    """Read a dataset into memory.

    The log takes about 40 bytes an event; reading it takes as much again, and
    :func:`rim_core.datasets.memory.memory_limit` on top.

    Parameters
    ----------
    name : str
        "complete-journey", "movielens", "netflix", "yoochoose", "csv", "parquet" or "shop".
    path : str or Path, optional
        File or folder (not for "complete-journey" and "shop").
    duplicates : {"reject", "keep"}
        What happens to rows identical to an earlier one.
    rejects_file : Path, optional
        Where rejected rows go; a temporary file by default (``log.report.rejects_file``).
    now : datetime, optional
        Later events lie in the future (default: now).
    **options
        Of the source: "complete-journey" takes ``level`` ("product_type", "product_id", "product_category");
        "shop" takes ``users``, ``items``, ``days``, ``seed`` and more (:class:`SimulatedShop`);
        "csv" and "parquet" take ``columns`` ({"user_id": "visitor", "item_id": ...}), "csv" besides
        ``delimiter``, ``header``, ``encoding``; both ``time_format``, ``timezone``, ``decimal``.

    Returns
    -------
    EventLog
        ``.report`` says what was rejected and why.

    Raises
    ------
    DataError
        No such source, option or file, or a file that cannot be used (:class:`FormatError`,
        :class:`EmptyLogError`).

    Examples
    --------
    >>> log = load_dataset("movielens", path="ml-1m")  # doctest: +SKIP
    >>> log = load_dataset("csv", "visits.csv", columns={"user_id": "who", "item_id": "what", "timestamp": "when"})
    ... # doctest: +SKIP
    """
    reader = reader_for(name, path, **options)
    with (
        scratch_connection() as connection,
        staged_import(connection, reader, rejects_file=rejects_file, duplicates=duplicates, now=now) as report,
    ):
        return read_log(connection, reader.name, report=report)
