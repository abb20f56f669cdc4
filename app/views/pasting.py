"""Rows pasted from a spreadsheet or uploaded: taken in with one press, what was left out said at that very place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import pandas as pd
import streamlit as st

from app import services
from app.ui import messages, tables
from app.ui.tables import Column

LONGEST = 20_000
"""Characters of left-out rows that are put back into the field, to be corrected there."""
READ = 12
"""Left-out rows up to which each is said in full, however narrow the window; of more there is a table to scroll."""
MOST = 6
"""Rows of an edited table that are complained of one by one."""


class Read(Protocol):
    """What a text says, and what of it was left out."""

    @property
    def taken(self) -> int: ...
    @property
    def twice(self) -> tuple[str, ...]: ...
    @property
    def problems(self) -> tuple[services.LeftOut, ...]: ...
    @property
    def left(self) -> str: ...


Take = Callable[[str, bool], tuple[Read, int]]
"""Puts what a text says into the table, in place of all that is there if the second is True; what it read, and how many
rows of the table were about the same as one of its rows, which has taken their place."""
NAMED = 3
"""Rows about the same that are named."""


def popover(key: str, caption: str, example: str, take: Take, *, before: Callable[[], None] | None = None) -> None:
    """Where rows are pasted or a file is chosen; it closes once they are taken in. ``before`` draws on top."""
    with st.popover("Paste or upload", icon=":material/content_paste:", key=f"{key}-paste", on_change="rerun"):
        if before is not None:
            before()
        st.caption(caption)
        chosen = st.session_state.get(_uploader(key)) is not None
        st.text_area("Rows", key=_field(key), height=140, placeholder=example, disabled=chosen)
        st.file_uploader("or a CSV file", ["csv", "tsv", "txt"], key=_uploader(key), max_upload_size=16)
        if chosen and str(st.session_state[_field(key)]).strip():
            st.caption(
                ":material/info: This takes in the file. The rows above wait here until you take them in after it."
            )
        st.toggle("Replace what is in the table", key=f"{key}-replace")
        # never disabled: what was typed is only known once the field is left, as by pressing this button
        st.button("Take in", type="primary", key=f"{key}-take", on_click=_take_in, args=(key, take))


def _uploader(key: str) -> str:
    """Another one after every take-in: an uploader cannot be emptied."""
    return f"{key}-file-{st.session_state.get(f'{key}-files', 0)}"


def _field(key: str) -> str:
    """Another one after every take-in: a closed popover keeps the text that the browser has."""
    return f"{key}-text-{st.session_state.get(f'{key}-files', 0)}"


def _take_in(key: str, take: Take) -> None:
    """Before the page is drawn, so that the table, its header and its buttons are all of what is now in force."""
    state = st.session_state
    file = state.get(_uploader(key))
    typed = str(state.get(_field(key), ""))
    text = typed if file is None else services.text_of(file.getvalue())
    read, replaced = take(text, state[f"{key}-replace"])
    free = file is None or not typed.strip()  # rows that wait for their turn stay where they are
    back = free and len(read.left) <= LONGEST
    state[f"{key}-left"] = (read.taken, read.problems, read.left, back)
    state[f"{key}-files"] = state.get(f"{key}-files", 0) + 1
    state[_field(key)] = typed if not free else read.left if back else ""
    state[f"{key}-paste"] = False
    if read.taken:
        said = _replaced(read.twice, replaced)
        st.toast(
            f"{messages.count(read.taken, 'rows')} taken in.{said}",
            icon=":material/info:" if said else ":material/check:",
            duration="long" if said else "short",
        )


def _replaced(twice: tuple[str, ...], replaced: int) -> str:
    """Which rows are in force where several are about the same."""
    said = ""
    if twice:
        more = f" and {messages.count(len(twice) - NAMED)} more" if len(twice) > NAMED else ""
        said = f" Of several rows about {messages.plain(', '.join(twice[:NAMED]))}{more} the last counts."
    if replaced:
        said += f" {messages.count(replaced, 'rows')} of the table made way for new ones about the same."
    return said


def left_out(key: str) -> None:
    """The rows that were left out last: which, why and what to do; until it is dismissed."""
    taken, problems, left, back = st.session_state.get(f"{key}-left", (0, (), "", False))
    if not problems:
        return
    with st.container(border=True, key=f"{key}-left-out"):
        they = "It stands" if len(problems) == 1 else "They stand"
        said = "Nothing was taken in" if not taken else f"{messages.count(taken, 'rows')} taken in"
        where = (
            f" {they} under **Paste or upload** again, to be corrected."
            if back
            else " Download what was left out below, correct it and upload it."
        )
        with st.container(horizontal=True, vertical_alignment="center"):
            number = messages.count(len(problems), "rows")
            st.warning(f"**{said}; {number} left out.**{where}", icon=":material/warning:")
            st.button("Dismiss", key=f"{key}-dismiss", on_click=_dismiss, args=(key,))
        frame = pd.DataFrame(
            [(p.row, p.cell, p.cause, p.advice) for p in problems], columns=["row", "cell", "why", "do"]
        )
        columns = {
            "row": Column("Row", "count", "Of what was pasted or of the file; the first is 1"),
            "cell": Column("Cell", width=130),
            "why": Column("Why it was left out", width=300),
            "do": Column("What to do"),
        }
        if len(frame) <= READ:
            tables.sentences(frame, columns)
        else:
            tables.show(frame, columns, f"{key}-left-table", rows=6, tall=True)
        st.download_button(
            "Download the rows left out", left.encode(), f"{key}-left-out.csv", "text/csv", on_click="ignore",
            icon=":material/download:", key=f"{key}-left-download",
        )  # fmt: skip


def _dismiss(key: str) -> None:
    st.session_state.pop(f"{key}-left", None)


def complaints(problems: tuple[services.LeftOut, ...]) -> None:
    """What is wrong with rows of a table that is edited in place, under it."""
    for problem in problems[:MOST]:
        st.warning(messages.plain(str(problem)), icon=":material/warning:")
    if len(problems) > MOST:
        st.warning(f"… and {messages.count(len(problems) - MOST, 'more rows')}.", icon=":material/warning:")
