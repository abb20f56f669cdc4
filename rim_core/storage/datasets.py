"""Datasets and their versions."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rim_core.datasets.importing import drop_staged, stage_events
from rim_core.errors import DataError, EmptyLogError, NotFoundError
from rim_core.progress import Progress, silent
from rim_core.storage import eventlogs
from rim_core.storage.eventlogs import Layout, Stored
from rim_core.storage.files import new_id, now, to_json
from rim_core.storage.records import DatasetInfo
from rim_core.storage.store import Store, utc
from rim_core.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import duckdb

    from rim_core.datasets.log import EventLog
    from rim_core.datasets.report import ImportReport
    from rim_core.progress import Callback

_COLUMNS = (
    "id, name, version, content, source, options, events, users, items, first_time, last_time, event_types, "
    "user_columns, item_columns, report, added_at"
)


class DatasetStore(Store):
    """The part of :class:`Workspace` that keeps event logs."""

    def add_dataset(
        self,
        name: str,
        source: str,
        *,
        path: Path | str | None = None,
        options: Mapping[str, Any] | None = None,
        callback: Callback = silent,
    ) -> DatasetInfo:
        """Import a file or an official format as a new version of ``name``, all of it or nothing.

        Parameters
        ----------
        source : str
            A format of :func:`rim_core.datasets.reader_for` ("complete-journey", "movielens", "csv" ...).
        path : Path, optional
            File or folder.
        options : mapping, optional
            What the format takes ({"columns": {...}}, {"items": "product_type"}), and ``duplicates``
            ("reject" or "keep").
        callback : callable
            Gets a :class:`Progress` at each step; may raise :class:`Cancelled`, and nothing was changed.

        Returns
        -------
        DatasetInfo
            ``is_new`` is False when the same content is already kept under that name: there is one copy.

        Raises
        ------
        DataError
            The file cannot be used; the workspace is exactly as it was.
        """
        from rim_core.datasets import reader_for

        _check_name(name)
        given = dict(options or {})
        duplicates = given.pop("duplicates", "reject")
        reader = reader_for(source, path=path, **given) if path is not None else reader_for(source, **given)
        rejects = self.root / "data" / "rejects" / f"{new_id(name)}.csv"
        rejects.parent.mkdir(parents=True, exist_ok=True)
        asked = {**given, "duplicates": duplicates, **({} if path is None else {"path": str(Path(path).resolve())})}
        cursor = self.cursor()
        try:
            callback(Progress(f"Reading {reader.source}", 0, 3))
            with self.database.errors():
                report = stage_events(cursor, reader, rejects_file=rejects, duplicates=duplicates)

            def fill(cursor: duckdb.DuckDBPyConnection, dataset: int) -> tuple[Stored, ImportReport | None]:
                callback(Progress(f"Storing {counted(report.rows_kept, 'events')}", 1, 3))
                stored = eventlogs.store_staged(cursor, dataset, report.event_types)
                callback(Progress("Writing to disk", 2, 3))
                return stored, report

            info = self._add(name, source, asked, fill)
        except EmptyLogError:  # the message names the rejects file: it stays
            raise
        except BaseException:
            rejects.unlink(missing_ok=True)
            raise
        finally:
            with self.database.errors():
                drop_staged(cursor)
        callback(Progress("Done", 3, 3))
        return info

    def add_log(
        self, name: str, log: EventLog, *, source: str = "python", options: dict[str, Any] | None = None
    ) -> DatasetInfo:
        """Store an event log as a new version of ``name``; content that is already there is kept once."""
        return self._add(
            name, source, options or {}, lambda cursor, dataset: (eventlogs.store_log(cursor, dataset, log), log.report)
        )

    def datasets(self, *, all_versions: bool = False) -> list[DatasetInfo]:
        """The latest version of every dataset (or all versions), by name."""
        latest = "" if all_versions else "QUALIFY version = max(version) OVER (PARTITION BY name)"
        return [_info(row) for row in self.query(f"SELECT {_COLUMNS} FROM datasets {latest} ORDER BY name, version")]

    def dataset(self, name: str, version: int | None = None) -> DatasetInfo:
        """One dataset, its latest version by default.

        Raises
        ------
        NotFoundError
            There is no such dataset or version.
        """
        found = [d for d in self.datasets(all_versions=True) if d.name == name]
        if not found:
            names = ", ".join(sorted({d.name for d in self.datasets()})) or "none yet"
            raise NotFoundError(f"There is no dataset {name!r} here ({names}): add it with `rim data add {name}`.")
        if version is None:
            return found[-1]
        for info in found:
            if info.version == version:
                return info
        there = ", ".join(str(d.version) for d in found)
        raise NotFoundError(f"Dataset {name!r} has no version {version}: choose among {there}.")

    def log(self, name: str, version: int | None = None) -> EventLog:
        """The events of a dataset (latest version by default) as an :class:`EventLog`.

        A million events take a fraction of a second: they are stored coded and sorted.
        """
        info = self.dataset(name, version)
        with self.database.errors():
            return eventlogs.load_log(self.cursor(), info.id, info.name, _layout(info), info.report)

    def write_log(self, name: str, version: int | None, folder: Path) -> DatasetInfo:
        """Write a dataset as files that a worker reads without the database."""
        info = self.dataset(name, version)
        with self.database.errors():
            eventlogs.write_parquet(self.cursor(), info.id, info.name, _layout(info), folder)
        return info

    def remove_dataset(self, name: str, version: int | None = None) -> list[DatasetInfo]:
        """Remove a dataset (or one version of it); models and scenarios made from it stay, but cannot be recomputed."""
        self.dataset(name, version)
        gone = [d for d in self.datasets(all_versions=True) if d.name == name and version in (None, d.version)]
        with self.transaction() as cursor:
            for info in gone:
                for table in ("event_rows", "users", "items"):
                    cursor.execute(f"DELETE FROM {table} WHERE dataset = ?", [info.id])
                cursor.execute("DELETE FROM datasets WHERE id = ?", [info.id])
                self.record("dataset removed", info.label, events=info.events)
        return gone

    def _add(
        self,
        name: str,
        source: str,
        options: dict[str, Any],
        fill: Callable[[duckdb.DuckDBPyConnection, int], tuple[Stored, ImportReport | None]],
    ) -> DatasetInfo:
        """Fill the tables and the row of a dataset in one transaction; undone when the content is already there."""
        _check_name(name)
        try:
            with self.transaction() as cursor:
                (dataset,) = cursor.execute("SELECT nextval('dataset_ids')::INTEGER").fetchone() or (0,)
                stored, report = fill(cursor, dataset)
                same = cursor.execute(
                    "SELECT version FROM datasets WHERE name = ? AND content = ? AND catalogue = ?",
                    [name, stored.content, stored.catalogue],
                ).fetchone()
                if same is not None:
                    raise _AlreadyThere(int(same[0]), report)
                self._insert(cursor, dataset, name, source, options, stored, report)
        except _AlreadyThere as known:
            info = self.dataset(name, known.version)
            return info if known.report is None else replace(info, report=known.report)
        return replace(self.dataset(name), is_new=True)

    def _insert(
        self,
        cursor: duckdb.DuckDBPyConnection,
        dataset: int,
        name: str,
        source: str,
        options: dict[str, Any],
        stored: Stored,
        report: ImportReport | None,
    ) -> None:
        (version,) = cursor.execute(
            "SELECT coalesce(max(version), 0) + 1 FROM datasets WHERE name = ?", [name]
        ).fetchone() or (1,)
        values = [dataset, name, version, stored.content, stored.catalogue, source, to_json(options)]
        values += [stored.events, stored.users, stored.items, stored.first_time, stored.last_time]
        values += [list(stored.layout.event_types)]
        values += [to_json(stored.layout.user_columns), to_json(stored.layout.item_columns)]
        values += [None if report is None else to_json(report.to_dict()), now()]
        cursor.execute(f"INSERT INTO datasets VALUES ({', '.join('?' * len(values))})", values)
        self.record("dataset added", f"{name} v{version}", source=source, events=stored.events)


class _AlreadyThere(Exception):
    """Undoes the transaction: the content is kept already."""

    def __init__(self, version: int, report: ImportReport | None) -> None:
        self.version, self.report = version, report
        super().__init__(version)


def _check_name(name: str) -> None:
    if not name or name != name.strip() or "/" in name or name.startswith("-"):
        raise DataError(f"{name!r} cannot name a dataset: use a word without slashes, outer spaces or a leading -.")


def _layout(info: DatasetInfo) -> Layout:
    return Layout(info.event_types, info.user_columns, info.item_columns)


def _report(stored: dict[str, Any]) -> ImportReport:
    from rim_core.datasets.report import ImportReport

    return ImportReport.from_dict(stored)


def _moment(microseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def _info(row: tuple[Any, ...]) -> DatasetInfo:
    (identity, name, version, content, source, options, events, users, items, first, last, kinds, *rest) = row
    user_columns, item_columns, report, added_at = rest
    return DatasetInfo(
        id=identity,
        name=name,
        version=version,
        content=content,
        source=source,
        options=json.loads(options),
        events=events,
        users=users,
        items=items,
        first=_moment(first),
        last=_moment(last),
        event_types=tuple(kinds),
        user_columns=json.loads(user_columns),
        item_columns=json.loads(item_columns),
        report=None if report is None else _report(json.loads(report)),
        added_at=utc(added_at),
    )
