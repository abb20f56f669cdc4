"""YooChoose (RecSys Challenge 2015): ``yoochoose-clicks.dat`` and ``yoochoose-buys.dat``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rim_core.datasets.importing import Reader, Staged
from rim_core.datasets.rows import RowSelect
from rim_core.datasets.text import Layout, read_text
from rim_core.datasets.times import time_sql
from rim_core.errors import DataError

if TYPE_CHECKING:
    import duckdb

CLICKS = Layout(("session", "time", "item", "category"), ",", quote=False)
BUYS = Layout(("session", "time", "item", "price", "quantity"), ",", quote=False)


class YooChooseReader(Reader):
    """A YooChoose folder, or one of its files; sessions are users, events are of type "click" and "buy".

    A click counts 1, a buy price × quantity (the files write 0 where the price is unknown). The category of a
    click is that of the page and no property of the item, so it is not read.

    Parameters
    ----------
    path : str or Path
    events : {"all", "clicks", "buys"}

    Raises
    ------
    DataError
        No such folder, or none of the files in it.
    """

    def __init__(self, path: str | Path, *, events: str = "all") -> None:
        if events not in ("all", "clicks", "buys"):
            raise DataError(f"events is {events!r}: choose all, clicks or buys.")
        self.files = _find(Path(path).expanduser(), events)
        self.name = "yoochoose"

    @property
    def source(self) -> str:
        return " and ".join(str(file) for file, _ in self.files)

    def stage(self, connection: duckdb.DuckDBPyConnection, scratch: Path) -> Staged:
        parts = []
        for file, kind in self.files:
            buys = kind == "buy"
            select = RowSelect(
                user_id="session",
                item_id="item",
                timestamp=time_sql('"time"', "iso"),
                time_text='"time"',
                value="TRY_CAST(price AS DOUBLE) * TRY_CAST(quantity AS DOUBLE)" if buys else None,
                value_text="coalesce(price, quantity)" if buys else None,
                event_type=f"'{kind}'",
            )
            parts.append(read_text(connection, file, BUYS if buys else CLICKS, select.sql))
        return Staged(tuple(parts), "click")


def _find(path: Path, events: str) -> list[tuple[Path, str]]:
    """Files and their event types, clicks first."""
    if not path.exists():
        raise DataError(f"There is no {path}: give the folder that holds yoochoose-clicks.dat.")
    found = []
    for kind in ("click", "buy"):
        names = (f"yoochoose-{kind}s.dat", f"yoochoose-{kind}s.dat.gz")
        file = next((path / name for name in names if (path / name).is_file()), None)
        if path.is_file():
            file = path if f"{kind}s" in path.name else None
        if file is not None and events in ("all", f"{kind}s"):
            found.append((file, kind))
    if not found:
        wanted = "yoochoose-clicks.dat and yoochoose-buys.dat" if events == "all" else f"yoochoose-{events}.dat"
        raise DataError(f"{path} holds no YooChoose events: it should be or hold {wanted}.")
    return found
