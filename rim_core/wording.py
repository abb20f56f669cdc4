"""Numbers of things as people say them."""

from __future__ import annotations

VERBS = {"are": "is", "were": "was", "have": "has", "do": "does"}


def counted(number: float, things: str) -> str:
    """How many: "1,234 users", "1 user", "1 delivery"; a verb behind agrees ("1 user is").

    Parameters
    ----------
    number : float
        Said as a whole number.
    things : str
        In the plural, maybe with "are", "were", "have" or "do" behind it.

    Examples
    --------
    >>> [counted(1, "held-out users were"), counted(2, "deliveries"), counted(1, "deliveries")]
    ['1 held-out user was', '2 deliveries', '1 delivery']
    """
    text = f"{number:,.0f}"
    if text != "1":
        return f"{text} {things}"
    *words, last = things.split(" ")
    if words and last in VERBS:
        return " ".join([text, *words[:-1], _one(words[-1]), VERBS[last]])
    return " ".join([text, *words, _one(last)])


def _one(plural: str) -> str:
    return f"{plural[:-3]}y" if plural.endswith("ies") else plural.removesuffix("s")
