"""What every part of the workspace stands on: queries, transactions and the log of who did what."""

from __future__ import annotations

import getpass
import json
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from rim_core.errors import StorageError
from rim_core.storage.files import now, to_json
from rim_core.storage.records import Activity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    import duckdb
    import pandas as pd

    from rim_core.storage.database import Database

_actor: ContextVar[str | None] = ContextVar("actor", default=None)


@contextmanager
def acting_as(who: str) -> Iterator[None]:
    """Everything recorded inside the block was done by ``who`` (a signed-in user, later)."""
    token = _actor.set(who)
    try:
        yield
    finally:
        _actor.reset(token)


def actor() -> str:
    """Who is acting: the name given to :func:`acting_as`, else the system's user."""
    named = _actor.get()
    if named is not None:
        return named
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run under a number without a name
        return "unknown"


class Store:
    """Base of the parts of a workspace."""

    root: Path
    database: Database

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """The cursor of the calling thread."""
        return self.database.cursor()

    def transaction(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """All of the block or nothing; blocks inside it join it."""
        return self.database.transaction()

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of a question asked on this thread's cursor."""
        with self.database.errors():
            return self.cursor().execute(sql, list(parameters)).fetchall()

    def _frame(self, sql: str, parameters: list[Any]) -> pd.DataFrame:
        """Rows of a question as a frame."""
        with self.database.errors():
            table = self.cursor().execute(sql, parameters).to_arrow_table()
        try:
            frame: pd.DataFrame = table.to_pandas()
        except pa.ArrowException as error:
            raise StorageError(f"Stored rows cannot be read: {error}. Run `rim doctor`.") from error
        return frame

    def record(self, what: str, subject: str, **detail: Any) -> None:
        """Write down that the current actor did something; part of the transaction it stands in."""
        with self.transaction() as cursor:
            cursor.execute(
                "INSERT INTO activity VALUES (nextval('activity_ids'), ?, ?, ?, ?, ?)",
                [now(), actor(), what, subject, to_json(detail)],
            )

    def activity(self, limit: int = 100) -> list[Activity]:
        """Who did what, the latest first."""
        rows = self.query("SELECT moment, who, what, subject, detail FROM activity ORDER BY id DESC LIMIT ?", [limit])
        return [Activity(utc(at), who, what, subject, json.loads(detail)) for at, who, what, subject, detail in rows]


def utc(moment: datetime) -> datetime:
    """A time as the database keeps it, with its zone."""
    return moment.replace(tzinfo=UTC)


def utc_or_none(moment: datetime | None) -> datetime | None:
    """The same for a time that may not have come yet."""
    return None if moment is None else utc(moment)
