"""Rows that may be identical to others, found cheaply: most files hold none, and should pay next to nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rim_core.columns import TIME
from rim_core.datasets.memory import ROWS_AT_ONCE

if TYPE_CHECKING:
    import duckdb

HASHES_AT_ONCE = 8_000_000


def times_rise(connection: duckdb.DuckDBPyConnection, events: str) -> bool:
    """Whether every row of a relation is later than the one before it; streamed, up to the first that is not."""
    last = None
    stream = connection.execute(f"SELECT epoch_us({TIME}) FROM {events}").to_arrow_reader(ROWS_AT_ONCE)
    for batch in stream:
        times = batch.column(0).to_numpy()
        if len(times) == 0:
            continue
        if (last is not None and times[0] <= last) or (times[1:] <= times[:-1]).any():
            return False
        last = times[-1]
    return True


def twins(connection: duckdb.DuckDBPyConnection, events: str, key: str) -> np.ndarray:
    """Values of ``key`` (SQL, a uint64 hash) that several rows have, uint64.

    Sorted in pieces, which takes less memory and time than grouping: two copies of :data:`HASHES_AT_ONCE` hashes
    (128 MB), and those that are found.
    """
    (rows,) = connection.execute(f"SELECT count(*) FROM {events}").fetchall()[0]
    pieces = 1 + int(rows) // HASHES_AT_ONCE
    found = []
    for piece in range(pieces):
        part = f"WHERE {key} % {pieces} = {piece}" if pieces > 1 else ""
        hashes = connection.execute(f"SELECT {key} AS h FROM {events} {part}").fetchnumpy()["h"]
        hashes.sort()
        found.append(np.unique(hashes[1:][hashes[1:] == hashes[:-1]]))
    return np.concatenate(found)
