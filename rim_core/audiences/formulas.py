"""Text that a spreadsheet would take for a formula, made harmless."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

_STARTS_A_FORMULA = r"""^[\t\r\n]|^[\s\x00-\x20\x{00a0}\x{feff}"'`]*[=+\-@\x{ff1d}\x{ff0b}\x{ff0d}\x{ff20}]"""
"""A tab or a line end first; or = + - @, in either width, first or after nothing but quotes and space."""


def neutralised(texts: pa.Array | pa.ChunkedArray) -> tuple[pa.Array | pa.ChunkedArray, int]:
    """Put a ' before every cell that a spreadsheet would run as a formula.

    A file of user ids that someone else chose is opened in a spreadsheet sooner or later: ``=HYPERLINK(...)`` as an id
    would be run there. With the ' it is shown as text.

    Parameters
    ----------
    texts : Array of string

    Returns
    -------
    texts : Array of string
    changed : int
        Cells that got the '.
    """
    dangerous = pc.fill_null(pc.match_substring_regex(texts, _STARTS_A_FORMULA), False)
    changed = pc.sum(dangerous).as_py() or 0
    if not changed:
        return texts, 0
    return pc.if_else(dangerous, pc.binary_join_element_wise("'", texts, ""), texts), int(changed)
