"""Values as text that fits into an address."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

LONGEST_LINK = 1 << 20
"""Bytes that a link may unfold to."""


def packed(value: Any) -> str:
    """A JSON-able value; equal ones give equal text."""
    folded = zlib.compress(json.dumps(value, sort_keys=True).encode(), 9)
    return base64.urlsafe_b64encode(folded).decode().rstrip("=")


def unpacked(token: str) -> Any:
    """Inverse of :func:`packed`; ValueError when the text was cut off or changed."""
    try:
        folded = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        return json.loads(zlib.decompressobj().decompress(folded, LONGEST_LINK))
    except zlib.error as error:
        raise ValueError(token) from error
