"""Tables: every column says what it is and in which unit; long ones are paged and searched on the server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
import streamlit as st

if TYPE_CHECKING:
    from streamlit.elements.lib.column_types import ColumnConfig

from app.ui import messages

Kind = Literal["text", "count", "tenths", "share", "decimal", "time", "yes"]
PAGE = 200
ROW, TALL = 34, 68
"""Pixels of a row; only in rows beyond 64 does text wrap."""


@dataclass(frozen=True)
class Column:
    """How one column is shown.

    Attributes
    ----------
    label : str
    kind : {"text", "count", "tenths", "share", "decimal", "time", "yes"}
        ``tenths`` shows one place; ``share`` shows 0.0123 as 1.23 %, all of a column with as many places; ``decimal``
        shows four places; ``yes`` a tick or none.
    help : str
        What the figure means, on hover.
    width : int or None
        In pixels, where what is in it may be long.
    """

    label: str
    kind: Kind = "text"
    help: str = ""
    width: int | None = None

    def config(self, values: pd.Series[Any]) -> ColumnConfig:
        """What ``st.dataframe`` wants to know to show these values; shares in percent."""
        label, explanation = self.label, self.help or None
        if self.kind == "time":
            form = "D MMM YYYY, HH:mm"
            return st.column_config.DatetimeColumn(label, help=explanation, format=form, timezone="UTC")
        if self.kind == "yes":
            return st.column_config.CheckboxColumn(label, help=explanation)
        if self.kind == "text":
            return st.column_config.TextColumn(label, help=explanation, width=self.width)
        places = 1 if self.kind == "share" and values.abs().median() >= 10 else 2
        share = f"%.{places}f\N{NARROW NO-BREAK SPACE}%%"
        formats = {"count": "localized", "tenths": "%.1f", "share": share, "decimal": "%.4f"}
        return st.column_config.NumberColumn(label, help=explanation, format=formats[self.kind])


def show(frame: pd.DataFrame, columns: dict[str, Column], key: str, *, rows: int = 10, tall: bool = False) -> None:
    """A table of the named columns, in that order, about ``rows`` rows high; in ``tall`` rows, sentences wrap."""
    height = TALL if tall else ROW
    if {"title", "item_id"} <= set(columns) and (frame["title"] == frame["item_id"]).all():
        columns = {name: column for name, column in columns.items() if name != "item_id"}
    numbers = {c: frame[c].astype(float) for c, column in columns.items() if column.kind in ("count", "share")}
    frame = frame.assign(**{c: 100 * v if columns[c].kind == "share" else v.round() for c, v in numbers.items()})
    configs: dict[str, ColumnConfig | str | None] = {c: column.config(frame[c]) for c, column in columns.items()}
    st.dataframe(
        frame,
        column_order=list(columns),
        column_config=configs,
        hide_index=True,
        width="stretch",
        row_height=height,
        height=height * max(1, min(rows, len(frame))) + ROW + 3,
        placeholder=messages.NONE,
        key=key,
    )


def sentences(frame: pd.DataFrame, columns: dict[str, Column]) -> None:
    """A short table of the named columns in which sentences wrap, however narrow it is."""
    said = frame[list(columns)].astype(str).map(messages.plain)
    first, *_ = labels = [column.label for column in columns.values()]
    st.table(said.set_axis(labels, axis=1).set_index(first))


def paged(frame: pd.DataFrame, columns: dict[str, Column], key: str, *, search: tuple[str, ...] = ()) -> None:
    """A long table, a page at a time: only what is shown travels to the browser.

    ``search`` names the text columns that the search box looks in.
    """
    box, pager = st.columns([3, 1], vertical_alignment="bottom")
    if search:
        labels = " or ".join(columns[c].label.lower() for c in search)
        wanted = box.text_input("Search", key=f"{key}-search", placeholder=f"part of {labels}")
        if wanted:
            hit = pd.Series(False, index=frame.index)
            for column in search:
                hit |= frame[column].astype(str).str.contains(wanted, case=False, regex=False)
            frame = frame[hit]
    pages = max(1, -(-len(frame) // PAGE))
    page = 1
    if pages > 1:
        page = int(pager.number_input(f"Page (of {pages:,})", 1, pages, key=f"{key}-page"))
    show(frame.iloc[(page - 1) * PAGE : page * PAGE], columns, f"{key}-table")
    if pages > 1:
        first = (page - 1) * PAGE + 1
        st.caption(f"Rows {first:,} to {min(page * PAGE, len(frame)):,} of {messages.count(len(frame))}")


def beside(frame: pd.DataFrame, columns: dict[str, Column], key: str, label: str = "Show as a table") -> None:
    """The figures of a chart as a table, folded away under it."""
    with st.expander(label, icon=":material/table:"):
        show(frame, columns, key)
