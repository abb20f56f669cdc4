"""Answers as campaign tools write them: yes or no in the words people use, or how often it happened."""

from __future__ import annotations

import re

from rim_core.datasets.sql import literal

YES = (
    "yes", "y", "true", "t", "x", "✓", "✔", "bought", "purchased", "ordered", "converted", "responded", "redeemed",
    "clicked", "opened", "ja", "j", "oui", "vrai", "wahr", "si", "sí", "sì", "sim", "tak",
)  # fmt: skip
NO = (
    "no", "n", "false", "f", "-", "–", "—", "none", "n/a", "na", "nan", "not bought", "not purchased", "not converted",
    "nein", "falsch", "non", "faux", "não", "nao", "nie", "nee",
)  # fmt: skip
"""Words of an answer, in lower case. Nothing at all is a no."""

_WHOLE = "[0-9]{1,9}([.]0*)?"


def answer_of(cell: str | None) -> float | None:
    """How often a cell says that it happened: 1 for yes, 0 for no or nothing, a whole number itself; None for neither.

    Examples
    --------
    >>> [answer_of(cell) for cell in ("Yes", " no ", "", "3", "maybe")]
    [1.0, 0.0, 0.0, 3.0, None]
    """
    bare = (cell or "").strip().lower()
    if not bare or bare in NO:
        return 0.0
    if bare in YES:
        return 1.0
    return float(bare) if re.fullmatch(_WHOLE, bare) else None


def answer_sql(text: str) -> str:
    """:func:`answer_of` as SQL: DOUBLE of a VARCHAR expression, NULL where it is neither yes nor no."""
    bare = f"lower(trim({text}))"
    return (
        f"CASE WHEN {text} IS NULL OR {bare} IN ({_listed('', *NO)}) THEN 0.0::DOUBLE "
        f"WHEN {bare} IN ({_listed(*YES)}) THEN 1.0::DOUBLE "
        f"WHEN regexp_full_match({bare}, {literal(_WHOLE)}) THEN TRY_CAST({bare} AS DOUBLE) END"
    )


def _listed(*words: str) -> str:
    return ", ".join(literal(word) for word in words)
