"""Words and numbers as people read them, and the states a page can be in."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import streamlit as st

from rim_core.wording import counted

log = logging.getLogger(__name__)

NONE = "–"
STYLE = Path(__file__).with_name("style.css")
PER_DELIVERY = "Interactions per delivery"
"""What the paper calls precision, by its unit: a figure above 1 is no mistake."""
ABOUT_PER_DELIVERY = (
    "Interactions that happened in the test window per delivery planned or made (the paper's precision)"
)
WORD_JOINER = "\N{WORD JOINER}"
SHORTCODE = re.compile(r":(?=[A-Za-z+\-]|\d+:|//)")
"""A colon that Streamlit may read as :smile:, :material/home: or :red, or as that of a link, escaped or not."""
BARE_LINK = re.compile(r"(?<=www)(?=\.)|(?<=[\w.+-])(?=@)", re.IGNORECASE)
"""Within an address without a scheme, or of e-mail: Streamlit makes links of those as well."""
LONGEST_NAME = 120
"""Characters of a plan's name."""
THIN_SPACE = "\N{NARROW NO-BREAK SPACE}"


# -- numbers ---------------------------------------------------------------------------------------------


def count(value: float | None, unit: str = "") -> str:
    """1234567 as "1,234,567", with a unit when given ("1,234 users"; "1 user"; "1 user is" of "users are")."""
    if value is None or value != value:
        return NONE
    return counted(value, unit) if unit else f"{value:,.0f}"


def short(value: float | None, unit: str = "") -> str:
    """1234567 as "1.23 M", for large figures at a glance; with a unit when given."""
    if value is None or value != value:
        return NONE
    if unit:
        return f"{short(value)} {counted(round(value), unit).split(' ', 1)[1]}"
    for size, suffix in ((1e9, "B"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if suffix == 'k' else size):.3g} {suffix}"
    return f"{value:,.0f}"


def decimal(value: float | None, digits: int = 3) -> str:
    """A measured figure with so many significant digits ("0.0412", "1,230")."""
    if value is None or value != value:
        return NONE
    if value == 0:
        return "0"
    places = max(0, digits - 1 - int(f"{abs(value):e}".split("e")[1]))
    return f"{value:,.{places}f}"


def percent(value: float | None, places: int = 1) -> str:
    """0.0123 as "1.2 %"."""
    return NONE if value is None or value != value else f"{100 * value:,.{places}f}{THIN_SPACE}%"


def duration(seconds: float | None) -> str:
    """How long, in the two largest units ("3 min 12 s")."""
    if seconds is None or seconds != seconds:
        return NONE
    if seconds < 10:
        return f"{seconds:.1f} s"
    parts = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        n, seconds = divmod(int(seconds), size)
        if n:
            parts.append(f"{n} {unit}")
    return " ".join(parts[:2])


def ago(when: datetime | None) -> str:
    """How long since ``when`` ("3 min ago")."""
    if when is None:
        return NONE
    when = when.replace(tzinfo=UTC) if when.tzinfo is None else when
    seconds = (datetime.now(UTC) - when).total_seconds()
    if seconds < 45:
        return "just now"
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        n = int(seconds // size)
        if n:
            return f"{counted(n, f'{unit}s')} ago"
    return "a minute ago"


def shorten(field: str, longest: int) -> None:
    """Cut what was typed into a field and say so (in a callback): a limit of the field ignores a longer paste."""
    typed = str(st.session_state.get(field, ""))
    if len(typed) > longest:
        st.session_state[field] = typed[:longest].rstrip()
        st.toast(f"Only the first {count(longest, 'characters')} of {count(len(typed))} are kept.")


# -- states of a page -----------------------------------------------------------------------------------


def style() -> None:
    """What the theme cannot say."""
    st.html(STYLE)


def title(heading: str, lead: str) -> None:
    """Head of a page: what it is, and what one does here."""
    st.title(heading, anchor=False)
    st.caption(lead)


def empty(heading: str, body: str, *, icon: str = ":material/inbox:") -> None:
    """Nothing here yet, and how to change that."""
    with st.container(border=True, horizontal_alignment="center", gap="small"):
        st.markdown(f"#### {icon}&ensp;{heading}", text_alignment="center")
        st.markdown(body, text_alignment="center")


def problem(message: str, *, cause: str = "") -> None:
    """What went wrong and what to do next; never a traceback."""
    st.error(f"**{cause}**\n\n{message}" if cause else message, icon=":material/error:")


@contextmanager
def guard(known: type[Exception], doing: str = "show this page") -> Iterator[None]:
    """Errors inside become a message: known ones in their own words, others with the place of the log."""
    try:
        yield
    except known as error:
        problem(plain(visitors(str(error))))
    except Exception:  # the last line before the user; the log keeps the traceback
        log.exception("Could not %s", doing)
        problem(
            "The log of the app (the terminal it was started from) has the details. Reload the page to try again; "
            "nothing that was saved is lost.",
            cause=f"Something unexpected happened: could not {doing}.",
        )


def visitors(text: str) -> str:
    """What the engine says of user-states, in the dashboard's word for them: a visitor is a user at one time."""
    return text.replace("user-state", "visitor").replace("User-state", "Visitor")


def plain(text: str) -> str:
    """Text that Markdown must not interpret (ids and file names hold $, * and _)."""
    for character in "\\`*_$[]<>~":
        text = text.replace(character, f"\\{character}")
    # A backslash does not keep a colon from being part of an icon's name or of a link: something invisible behind it
    # does.
    return BARE_LINK.sub(WORD_JOINER, SHORTCODE.sub(f":{WORD_JOINER}", text))
