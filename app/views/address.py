"""The page's address: what it asks to be opened, and what the session itself has written there.

While a slider is moved quickly the browser still asks with the address of a step before. Following that would take
the move back, so what a session wrote itself is nothing to open, until it comes from another page.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote, urlencode, urlsplit

import streamlit as st

STEPS = """<script>
if (!window.rimSteps) {
  window.rimSteps = true;
  const push = history.pushState.bind(history);
  history.pushState = (state, title, url) =>
    new URL(url, location.href).pathname === location.pathname
      ? history.replaceState(state, title, url)
      : push(state, title, url);
}
</script>"""
"""What is written into the address of a page takes the place of what was there: one press of Back leaves the page.
Streamlit makes a step of the browser's history of every word that the server writes, so of every move of a slider."""
MISSED = "address-missed"
LISTED = 5
"""Things that are here named beside one that is not."""
SCENARIO, PLAN, PLANS, RULES = "scenario", "plan", "plans", "rules"
"""Words in an address that name a saved plan, describe one, name plans to compare, or say the rules of an audience."""


def entered(page: str) -> None:
    """The page that is shown: on another one than before, links are followed anew."""
    if st.session_state.get("address-page") != page:
        st.session_state["address-page"] = page
        st.session_state["address-known"] = set()
        st.session_state.pop(MISSED, None)


def steps() -> None:
    """Pages are the steps of the browser's history, not what was set on them."""
    st.html(STEPS, unsafe_allow_javascript=True)


def not_here(what: str, wanted: Sequence[str], here: Sequence[str]) -> None:
    """The address asks for something that is not in this workspace: that is said, with what is; with nothing, nothing.

    Names are written as Markdown.
    """
    if not wanted:
        return
    if here:
        more = f" and {len(here) - LISTED:,} more" if len(here) > LISTED else ""
        rest = f"Here {'is' if len(here) == 1 else 'are'}: {', '.join(here[:LISTED])}{more}."
    else:
        rest = "There is none yet."
    named = ", ".join(wanted)
    what = what if len(wanted) == 1 else f"{what}s"
    verb = "is" if len(wanted) == 1 else "are"
    say(
        f"The address asks for the {what} {named}, which {verb} not in this workspace (or the link was cut off). {rest}"
    )


def say(text: str) -> None:
    """What the address asked for in vain, on top of the page until it is read; the page is drawn without it."""
    st.session_state[MISSED] = text
    st.rerun()


def missed() -> str:
    """What the address asked for that is not here, in words; empty when nothing was, or when it was read."""
    return str(st.session_state.get(MISSED, ""))


def read() -> None:
    """Somebody has read it."""
    st.session_state.pop(MISSED, None)


def asked(word: str, by: str) -> str | None:
    """What the address asks ``by`` to open with ``word``: once, and not what the session wrote itself."""
    value = st.query_params.get(word)
    if value is None or (word, value) in _known() or (word, value, by) in _known():
        return None
    _known().add((word, value, by))
    return value


def disregard(word: str, value: str) -> None:
    """What may still stand in the address is out of date: nobody asks for it."""
    _known().add((word, value))


def write(word: str, value: str | None) -> None:
    """Put a word into the address, or take it out."""
    if value:
        _known().add((word, value))
        st.query_params[word] = value
    else:
        st.query_params.pop(word, None)


def _known() -> set[tuple[str, ...]]:
    known: set[tuple[str, ...]] = st.session_state.setdefault("address-known", set())
    return known


def link(path: str, **query: str) -> str:
    """The whole address of a page of this dashboard, as it is reached from here."""
    here = urlsplit(st.context.url or "http://localhost:8501")
    root = f"{here.scheme}://{here.netloc}"
    return f"{root}/{quote(path)}?{urlencode(query)}" if query else f"{root}/{quote(path)}"
