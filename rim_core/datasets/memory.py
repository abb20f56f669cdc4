"""How much memory DuckDB may take, and where the rest goes.

Left to itself DuckDB takes four fifths of the machine before it writes temporary data to disk. Every connection that
imports is therefore given a limit and a folder: a quarter of the memory and at most 2 GB, or what the environment
variable RIM_MEMORY_LIMIT says. The limit is DuckDB's own buffers; Python, numpy and arrow come on top.
"""

from __future__ import annotations

import os
import re
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from rim_core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

ENVIRONMENT = "RIM_MEMORY_LIMIT"

MOST = 2_000_000_000
"""Bytes that are taken unless more is asked for."""

LEAST = 64_000_000
"""With less than this DuckDB cannot sort or join at all."""

ROWS_AT_ONCE = 1 << 20
"""Rows that stand in Python's memory while a result is streamed."""

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
_UNITS |= {"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}


def memory_limit() -> int:
    """Bytes that DuckDB may take: what RIM_MEMORY_LIMIT says, else a quarter of the memory and at most 2 GB.

    Raises
    ------
    DataError
        RIM_MEMORY_LIMIT is no size, or too small to work with.
    """
    text = os.environ.get(ENVIRONMENT, "").strip()
    if not text:
        return max(LEAST, min(MOST, _machine() // 4))
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.lower())
    if found is None or found[2] not in _UNITS:
        raise DataError(f"{ENVIRONMENT} is {text!r}: give a size such as 512MB or 4GB.")
    size = int(float(found[1]) * _UNITS[found[2]])
    if size < LEAST:
        raise DataError(f"{ENVIRONMENT} is {text!r}: less than {LEAST // 10**6}MB is too little to sort with.")
    return size


def settings(temporary: Path) -> dict[str, str | bool | int | float | list[str]]:
    """Configuration of a connection that keeps to :func:`memory_limit` and overflows into ``temporary``."""
    return {"memory_limit": f"{memory_limit()}B", "temp_directory": str(temporary)}


@contextmanager
def scratch_connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in memory, within :func:`memory_limit`; its overflow goes to a folder that is deleted afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="rim-scratch-") as folder,
        duckdb.connect(config=settings(Path(folder))) as connection,
    ):
        yield connection


def _machine() -> int:
    """Bytes of memory this process may use: the machine's, or its control group's where that is less."""
    sizes = []
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            sizes.append(int(Path(file).read_text(encoding="ascii")))
        except (OSError, ValueError):  # none, or "max"
            continue
    try:
        sizes.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (ValueError, OSError, AttributeError):  # not on this system
        sizes.append(4 * MOST)
    return min(sizes)
