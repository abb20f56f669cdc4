"""What the columns of a table mean and how they are written: guessed, shown with its first rows, to be corrected."""

from __future__ import annotations

import streamlit as st

from app import services
from app.ui import messages, tables
from app.ui.tables import Column

ROLES = {
    "user_id": ("User", "Who: customer, visitor, household"),
    "item_id": ("Item", "What: product, film, page"),
    "timestamp": ("Time", "When it happened"),
    "value": ("Value", "Optional: amount or rating"),
    "event_type": ("Event type", "Optional: click, purchase …"),
    "title": ("Title", "Optional: what people call the item"),
    "outcome": (
        "Outcome (yes or no)",
        "Optional: a column that says of every row what came of it. Yes, true, 1, bought … count once; no, false, 0, - "
        "and nothing do not; a whole number counts as often as it says.",
    ),
}
EVENTS = ("user_id", "item_id", "timestamp", "value", "event_type", "title")
"""Roles of columns of an event log."""
NOT_THERE = "(not in the file)"
NEEDED = ("user_id", "item_id", "timestamp")


FEATURES = {
    "item_features": (
        "Known of items", "Brand, category, price: promises for groups and scores of new items go by them."
    ),
    "user_features": ("Known of users", "E-mail and phone, for example: audience files hold hashes of them."),
}  # fmt: skip
DECIMALS = {"auto": "As the column tells", ".": "Point: 1,234.5", ",": "Comma: 1.234,5"}


def writing(key: str, *, values: bool = True) -> services.Writing:
    """How the table is written; ``values``: whether any number of it is read."""
    cells = st.columns(4 if values else 3, vertical_alignment="bottom")
    encoding = cells[0].text_input(
        "Encoding", "utf-8", key=f"{key}-encoding", help="For example latin-1, cp1252 or utf-16."
    )
    time_format = cells[1].text_input(
        "Format of the times",
        "auto",
        key=f"{key}-time-format",
        help="auto, iso, s, ms, us, ns (Unix times), or a pattern such as %d/%m/%Y %H:%M.",
    )
    zone = cells[2].text_input(
        "Time zone of times without one", "UTC", key=f"{key}-zone", help="For example Europe/Berlin."
    )
    decimal = "auto"
    if values:
        decimal = cells[3].selectbox(
            "Decimal sign",
            list(DECIMALS),
            format_func=DECIMALS.__getitem__,
            key=f"{key}-decimal",
            help="Of values. By itself “1,234” may be either; other values of the column mostly tell.",
        )
    default = services.Writing()
    return services.Writing(
        encoding.strip() or default.encoding,
        time_format.strip() or default.time_format,
        zone.strip() or default.timezone,
        decimal,
    )


def encoding_of(key: str) -> str:
    """The encoding that :func:`writing` will say, before it is drawn."""
    return str(st.session_state.get(f"{key}-encoding", "")).strip() or services.Writing().encoding


def columns(
    preview: services.Preview, key: str, table: str, *, roles: tuple[str, ...] = EVENTS, across: int = len(EVENTS)
) -> dict[str, str] | None:
    """The first rows, and which column plays which role; None (and that on the page) while one that is needed is not.

    Parameters
    ----------
    key, table : str
        Of the form and of the table that it is about, to tell the controls apart.
    roles : tuple of str
        Those that matter here.
    across : int
        Controls in a row.
    """
    if preview.rows.empty:
        st.warning(
            "The file has a header and no rows: there is nothing to take in. Export it again with its rows, or choose "
            "another file.",
            icon=":material/table_rows_narrow:",
        )
        return None
    one = len(preview.rows) == 1
    said = "The first row, as it is" if one else f"The first {messages.count(len(preview.rows), 'rows')}, as they are"
    st.caption(f"{said} in the file:")
    if services.undecoded(preview):
        st.warning(
            f"Some letters cannot be read in this encoding (they are shown as {services.UNREAD}), and rows that hold "
            "them would be rejected. Set the encoding to that of the file: those from Excel are mostly cp1252.",
            icon=":material/abc:",
        )
    types = services.guessed_types(preview)
    shown = {c: Column(f"{c} ({types[str(c)]})", help="As its cells look") for c in preview.rows.columns}
    tables.show(preview.rows, shown, f"{key}-preview-{table}", rows=5)
    chosen = {}
    names = [str(c) for c in preview.rows.columns]
    for i, role in enumerate(roles):
        if i % across == 0:
            cells = st.columns(across)
        label, explanation = ROLES[role]
        options = [NOT_THERE, *names]
        guess = preview.outcome if role == "outcome" else preview.guess.get(role)
        index = options.index(guess) if guess in options else 0
        column = cells[i % across].selectbox(label, options, index, key=f"{key}-{role}-{table}", help=explanation)
        if column != NOT_THERE:
            chosen[role] = column
    missing = [ROLES[r][0] for r in NEEDED if r not in chosen]
    if missing:
        st.info(f"Choose the column of: {', '.join(missing)}.", icon=":material/arrow_upward:")
        return None
    return chosen


def features(preview: services.Preview, key: str, table: str, chosen: dict[str, str]) -> dict[str, list[str]]:
    """Further columns that describe items and users; those that play a role are not offered again."""
    left = [str(c) for c in preview.rows.columns if c not in chosen.values()]
    if not left:
        return {}
    found = {}
    for cell, (role, (label, explanation)) in zip(st.columns(2), FEATURES.items(), strict=True):
        picked = cell.multiselect(
            label, left, key=f"{key}-{role}-{table}", placeholder="(nothing more)",
            help=f"{explanation} The first value found of each is kept.",
        )  # fmt: skip
        if picked:
            found[role] = picked
    return found
