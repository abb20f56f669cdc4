"""Cells that were pasted from a spreadsheet or uploaded."""

from __future__ import annotations

import re

import pandas as pd


def cell_text(text: str) -> str:
    """A cell without the apostrophe that keeps a spreadsheet from running it."""
    text = text.strip()
    return text[1:] if re.match(r"'[\s\"'`]*[=+\-@\uff1d\uff0b\uff0d\uff20]", text) else text


def titles_of(catalogue: pd.DataFrame) -> dict[str, str]:
    """Ids by title in lower case, where a title belongs to one item only."""
    lower = catalogue["title"].astype(str).str.lower()
    unique = ~lower.duplicated(keep=False)
    return dict(zip(lower[unique], catalogue.index[unique].astype(str), strict=True))
