"""Files that are there whole or not at all, and JSON that any reader understands."""

from __future__ import annotations

import hashlib
import json
import math
import os
import secrets
from contextlib import contextmanager, suppress
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rim_core.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator


def to_json(value: Any, *, indent: int | None = None) -> str:
    """JSON with NaN and infinities as null, and numpy scalars, paths, dates and dataclasses understood."""
    return json.dumps(_plain(value), indent=indent, ensure_ascii=False, allow_nan=False)


def write_json(path: Path, value: Any) -> None:
    """Replace ``path`` by the JSON of ``value`` in one step: a reader sees the old file or the new one."""
    with replacing(path) as temporary:
        temporary.write_text(to_json(value, indent=1), encoding="utf-8")


def read_json(path: Path) -> Any | None:
    """What a JSON file holds; None when there is none, or it was cut short."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError, UnicodeDecodeError):
        return None


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place when the block ends well, and vanishes otherwise.

    Raises
    ------
    StorageError
        The folder cannot be written, or the disk is full.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        with suppress(OSError):  # a folder that cannot be written holds nothing to remove
            temporary.unlink()


def unwritable(path: Path, error: Exception) -> StorageError:
    """The error a person can act on when a file could not be written."""
    return StorageError(
        f"{path} cannot be written ({error}): free some disk space, or choose a folder you may write to "
        "(--workspace, or the environment variable RIM_WORKSPACE)."
    )


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def new_id(prefix: str) -> str:
    """An id that sorts by time and can be typed: ``plan-20170614-0931-4f2a1c``."""
    return f"{prefix}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def now() -> datetime:
    """The time now, UTC, as the database keeps it (without zone)."""
    return datetime.now(UTC).replace(tzinfo=None)


def _plain(value: Any) -> Any:
    if isinstance(value, np.bool_ | np.integer):
        return value.item()
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(v) for v in value]
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
