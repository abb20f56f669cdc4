"""The DuckDB file: opened by one process, brought up to date by numbered migrations, used by many threads."""

from __future__ import annotations

import logging
import shutil
import threading
import weakref
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

import duckdb

from rim_core.datasets.memory import ENVIRONMENT, settings
from rim_core.errors import StorageError
from rim_core.storage.files import now, unwritable
from rim_core.storage.owner import Owner, busy, read_owner, write_owner

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

log = logging.getLogger(__name__)

_open: dict[Path, Database] = {}
_open_lock = threading.RLock()


@dataclass(frozen=True)
class Migration:
    """One numbered step of the schema."""

    number: int
    name: str
    sql: str


def migrations() -> list[Migration]:
    """All migrations this package knows, in order (files ``migrations/0001_name.sql``)."""
    folder = resources.files("rim_core.storage") / "migrations"
    found = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return [Migration(int(f.name[:4]), f.name[5:-4], f.read_text(encoding="utf-8")) for f in found]


def open_database(path: Path, owner: Owner) -> Database:
    """The database of ``path``, shared by everyone in this process who opens it.

    Raises
    ------
    WorkspaceBusyError
        Another process has it.
    StorageError
        It cannot be created, read or brought up to date.
    """
    path = path.resolve()
    with _open_lock:
        database = _open.get(path)
        if database is None:
            database = _open[path] = Database(path, owner)
        database.users += 1
        return database


class Database:
    """One DuckDB file and the lock of this process on it; make one with :func:`open_database`.

    Attributes
    ----------
    path : Path
    owner : Owner
        This process.
    overflow : Path
        Folder of temporary data that exceed the memory limit; there only while the database is open.
    recovered : tuple of str
        What the last owner left behind when it ended without closing, in words; empty after a clean end.
    schema : int
        Number of the last migration applied.
    """

    def __init__(self, path: Path, owner: Owner) -> None:
        self.path = path
        self.users = 0
        self.owner_file = path.with_name(path.name + ".owner.json")
        self.overflow = path.with_name(path.name + ".tmp")
        self._write_lock = threading.RLock()
        self._local = threading.local()
        self._cursors: list[tuple[weakref.ref[threading.Thread], duckdb.DuckDBPyConnection]] = []
        self._cursors_lock = threading.Lock()
        replayed = _size(path.with_name(path.name + ".wal"))
        self._connection = self._connect()
        try:
            self.recovered = self._what_happened(replayed)
            self.schema = _migrate(self._connection, path)
            self.owner = write_owner(self.owner_file, owner)
        except BaseException:
            self._connection.close()
            raise

    def _connect(self) -> duckdb.DuckDBPyConnection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = duckdb.connect(str(self.path), config=settings(self.overflow))
            shutil.rmtree(self.overflow, ignore_errors=True)  # left by one that was killed: the lock is ours now
            return connection
        except OSError as error:
            raise unwritable(self.path, error) from error
        except duckdb.Error as error:
            if "Could not set lock" in str(error):
                raise busy(self.path, self.owner_file, str(error)) from error
            if isinstance(error, duckdb.IOException) and "not a valid DuckDB" not in str(error):
                raise unwritable(self.path, error) from error
            raise StorageError(
                f"{self.path} cannot be read as a RIM workspace ({error}). If it was written by a newer version, "
                "upgrade; otherwise move the file away, restore a copy, or start another one with `rim init`."
            ) from error

    def _what_happened(self, replayed: int) -> tuple[str, ...]:
        """After the lock was got: whoever the owner file names is no longer using the database."""
        if not self.owner_file.exists():  # whoever closes removes it first; what was replayed was seen before the lock
            return ()
        before = read_owner(self.owner_file)
        who = f"The last session, {before.describe()}," if before else "The last session"
        how = f"{replayed:,} bytes of committed changes were recovered" if replayed else "no change was under way"
        text = f"{who} ended without closing the workspace: {how}; what it had committed is here, the rest was undone."
        log.warning(text)
        return (text,)

    def announce(self, address: str) -> None:
        """Name the address this process serves, for whoever is refused the database."""
        self.owner = write_owner(self.owner_file, self.owner, address)

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """The cursor of the calling thread (DuckDB connections must not be shared by threads)."""
        cursor: duckdb.DuckDBPyConnection | None = getattr(self._local, "cursor", None)
        if cursor is None:
            with self._cursors_lock:
                cursor = self._local.cursor = self._connection.cursor()
                ended = [c for thread, c in self._cursors if thread() is None]
                self._cursors = [(thread, c) for thread, c in self._cursors if thread() is not None]
                self._cursors.append((weakref.ref(threading.current_thread()), cursor))
            for old in ended:
                old.close()
            cursor.execute("SET TimeZone = 'UTC'")
        return cursor

    @contextmanager
    def transaction(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """All of the block or nothing, one writer at a time; blocks inside a block belong to the outer one.

        Raises
        ------
        StorageError
            The database refuses (disk full, damaged).
        """
        with self._write_lock:
            cursor = self.cursor()
            if getattr(self._local, "writing", False):
                yield cursor
                return
            self._local.writing = True
            try:
                with self.errors():
                    cursor.execute("BEGIN")
                    try:
                        yield cursor
                        cursor.execute("COMMIT")
                    except BaseException:
                        _rollback(cursor)
                        raise
            finally:
                self._local.writing = False

    @contextmanager
    def errors(self) -> Iterator[None]:
        """DuckDB's errors, said so that a person can act on them."""
        try:
            yield
        except duckdb.FatalException as error:
            raise StorageError(
                f"{self.path} had to be shut ({error}). Committed data is safe: free some disk space, then start again."
            ) from error
        except duckdb.IOException as error:
            raise unwritable(self.path, error) from error
        except duckdb.OutOfMemoryException as error:
            raise StorageError(
                f"There was not enough memory or temporary disk space for this step ({error}): free some, or allow "
                f"more memory with the environment variable {ENVIRONMENT}, and try again."
            ) from error
        except duckdb.Error as error:
            if "Could not write file" in str(error):  # a commit that finds the disk full
                raise unwritable(self.path, error) from error
            raise StorageError(f"{self.path}: {error}") from error

    def close(self) -> None:
        """Give the lock back when the last user in this process closes."""
        with _open_lock:
            self.users -= 1
            if self.users > 0:
                return
            _open.pop(self.path, None)
            try:  # first, while the lock is ours: later it may name the next owner
                self.owner_file.unlink(missing_ok=True)
            finally:
                for _, cursor in self._cursors:  # an open cursor keeps the lock
                    cursor.close()
                shutil.rmtree(self.overflow, ignore_errors=True)  # this one too
                self._connection.close()


def _migrate(connection: duckdb.DuckDBPyConnection, path: Path) -> int:
    """Apply what is missing, each migration and its version row in one transaction."""
    known = migrations()
    tables = {name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    if "schema_version" in tables:
        row = connection.execute("SELECT max(version) FROM schema_version").fetchone()
        current = int(row[0] or 0) if row else 0
    elif tables:
        raise StorageError(f"{path} is a database of something else: choose another folder with --workspace.")
    else:
        current = 0
    if current > known[-1].number:
        raise StorageError(
            f"{path} was written by a newer version of RIM (layout {current}, this version knows {known[-1].number}): "
            "upgrade with `pip install --upgrade rim-core`, or open another workspace. Nothing was changed."
        )
    for migration in known:
        if migration.number > current:
            _apply(connection, migration, path)
    return known[-1].number


def _apply(connection: duckdb.DuckDBPyConnection, migration: Migration, path: Path) -> None:
    try:
        connection.execute("BEGIN")
        connection.execute(migration.sql)
        connection.execute("INSERT INTO schema_version VALUES (?, ?, ?)", [migration.number, migration.name, now()])
        connection.execute("COMMIT")
    except duckdb.Error as error:
        _rollback(connection)
        raise StorageError(
            f"{path} could not be brought to layout {migration.number} ({migration.name}), nothing was changed: {error}"
        ) from error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # there is none, or none can be here: opening the database says why
        return 0


def _rollback(cursor: duckdb.DuckDBPyConnection) -> None:
    try:
        cursor.execute("ROLLBACK")
    except duckdb.Error as error:  # already rolled back, or shut after a full disk
        log.debug("rollback: %s", error)
