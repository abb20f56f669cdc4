"""Promises of single items and groups as a table: pasted from a spreadsheet, read from and written to CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

import pandas as pd
import pyarrow as pa

from app.services.pasted import BadCell, Items, LeftOut, left_over, repeated, rows_of
from app.services.requests import Promise, members
from rim_core.audiences.formulas import neutralised

ITEM = "item"
"""In the column that says what a row is about: a single item."""
TOGETHER = " together"
"""After the feature of a group whose items are promised something together."""
FEW = 400
"""A feature with more values than this makes no groups."""

_WORDS = {
    "applies_to": {"applies_to", "applies to", "about", "group"},
    "target": {"target", "item", "item_id", "id", "which", "value"},
    "minimum": {"minimum", "minimum_percent", "min", "at least", "at_least", "at least (%)", "minimum (%)"},
    "maximum": {"maximum", "maximum_percent", "max", "at most", "at_most", "at most (%)", "maximum (%)"},
}
_ORDERS = {
    1: ("target",),
    2: ("target", "minimum"),
    3: ("target", "minimum", "maximum"),
    4: ("applies_to", "target", "minimum", "maximum"),
}


@dataclass(frozen=True)
class ReadPromises:
    """What a table says.

    Attributes
    ----------
    promises : tuple of Promise
    problems : tuple of LeftOut
        Rows that were left out, each with the reason.
    left : str
        Their lines of a text, to be corrected.
    """

    promises: tuple[Promise, ...]
    problems: tuple[LeftOut, ...]
    left: str = ""

    @property
    def taken(self) -> int:
        """Rows that were understood."""
        return len(self.promises)

    @property
    def twice(self) -> tuple[str, ...]:
        """What several rows are about: the last of them counts."""
        return repeated((about(p), p.target) for p in self.promises)


def about(promise: Promise) -> tuple[str, str, bool]:
    """Two promises of which this is equal cannot both be in force."""
    return promise.group, promise.target, promise.together


def group_columns(catalogue: pd.DataFrame) -> list[str]:
    """Features of the items that make groups: shared by several items, with few values."""
    found = []
    for name in catalogue.columns:
        if name == "title":
            continue
        different = catalogue[name].nunique()
        if 1 < different <= min(FEW, max(2, len(catalogue) // 2)):
            found.append(str(name))
    return found


def abouts(catalogue: pd.DataFrame) -> list[str]:
    """What a promise can be about: an item, every item of a group, or a group together."""
    groups = group_columns(catalogue)
    return [ITEM, *groups, *(f"{g}{TOGETHER}" for g in groups)]


def group_values(catalogue: pd.DataFrame, group: str) -> list[str]:
    """The values of a feature (with or without "together" after it), the most frequent first."""
    group = group.removesuffix(TOGETHER)
    return [str(v) for v in catalogue[group].dropna().astype(str).value_counts().index]


def table_of(promises: Iterable[Promise], catalogue: pd.DataFrame) -> pd.DataFrame:
    """Promises as they are edited: applies_to, target, minimum and maximum in percent, items (how many)."""
    rows = [
        {
            "applies_to": f"{p.group}{TOGETHER}" if p.together else p.group or ITEM,
            "target": p.target,
            "minimum": None if p.minimum is None else 100 * p.minimum,
            "maximum": None if p.maximum is None else 100 * p.maximum,
            "items": len(members(p, catalogue)),
        }
        for p in promises
    ]
    frame = pd.DataFrame(rows, columns=["applies_to", "target", "minimum", "maximum", "items"])
    return frame.astype({"applies_to": object, "target": object, "minimum": float, "maximum": float, "items": int})


def from_table(frame: pd.DataFrame, catalogue: pd.DataFrame, also: Collection[tuple[str, str]] = ()) -> ReadPromises:
    """Promises of an edited table; rows that say nothing yet are passed over.

    ``also`` are pairs of the first two columns that stay though this model knows no such items: planning passes them
    over.
    """
    rows = [
        (i + 1, {k: ("" if pd.isna(v) else str(v)) for k, v in row.items() if k in _WORDS})
        for i, row in enumerate(frame.to_dict("records"))
    ]
    return _read(rows, catalogue, also=also)


def from_text(text: str, catalogue: pd.DataFrame) -> ReadPromises:
    """Promises of pasted or uploaded rows: target, minimum % and maximum %, with or without a header.

    Cells are parted by tabs, semicolons or commas; a fourth column in front says what the target is ("item" or a
    feature of the items), and then an empty maximum at the end may be missing. Targets are ids or titles.
    """
    lines = rows_of(text)
    if not lines:
        return ReadPromises((), (LeftOut(1, "", "There is nothing to read.", "Paste rows or choose a file."),))
    order = _header(lines[0][1])
    rows, items = [], Items(catalogue)
    for number, cells in lines[1:] if order else lines:
        short = len(cells) == 3 and _of_a_group(cells, items, catalogue)
        names = order or _ORDERS.get(4 if short else min(len(cells), 4), ())
        rows.append((number, {n: v for n, v in zip(names, cells, strict=False) if n}))
    read = _read(rows, catalogue, finished=True)
    return replace(read, left=left_over(text, {p.row for p in read.problems}, bool(order)))


def _of_a_group(cells: list[str], items: Items, catalogue: pd.DataFrame) -> bool:
    """Whether a row begins with what it is about, so that the cell missing at its end is an empty maximum."""
    about = cells[0].strip()
    if about.lower() != ITEM and about.removesuffix(TOGETHER) not in catalogue:
        return False
    try:
        _share(cells[1])
    except BadCell:
        return True
    return items.id_of(about) not in items.ids  # an item may be called as a feature is


def to_csv(promises: Iterable[Promise], catalogue: pd.DataFrame) -> bytes:
    """The same table as a file; cells that a spreadsheet would run are made harmless, and read back as they were."""
    table = table_of(promises, catalogue)
    single = table["applies_to"] == ITEM
    titles = table["target"].map(catalogue["title"].astype(str)).where(single).fillna("")
    safe = [
        neutralised(pa.array(list(column), pa.string()))[0].to_pylist()
        for column in (table["applies_to"], table["target"], titles)
    ]
    numbers = [["" if pd.isna(v) else f"{v:.6g}" for v in table[c]] for c in ("minimum", "maximum")]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["applies_to", "target", "title", "minimum_percent", "maximum_percent"])
    writer.writerows(zip(*safe, *numbers, strict=True))
    return out.getvalue().encode()


def _header(row: list[str]) -> tuple[str, ...]:
    """The meaning of every column when the first row names them."""
    names = tuple(next((name for name, words in _WORDS.items() if cell.lower().strip() in words), "") for cell in row)
    return names if "target" in names and ("minimum" in names or "maximum" in names) else ()


def _read(
    rows: list[tuple[int, dict[str, str]]],
    catalogue: pd.DataFrame,
    *,
    finished: bool = False,
    also: Collection[tuple[str, str]] = (),
) -> ReadPromises:
    """``finished``: rows that say nothing are left out as well, not waited for."""
    found, problems = [], []
    items = Items(catalogue)
    for number, row in rows:
        try:
            promise = _promise(row, items, catalogue, finished, also)
        except BadCell as error:
            problems.append(LeftOut.of(number, error))
        else:
            if promise is not None:
                found.append(promise)
    return ReadPromises(tuple(found), tuple(problems))


def _promise(
    row: dict[str, str],
    items: Items,
    catalogue: pd.DataFrame,
    finished: bool,
    also: Collection[tuple[str, str]],
) -> Promise | None:
    """What a row promises, None for one that is not finished.

    Raises
    ------
    BadCell
        It means nothing.
    """
    target, group = row.get("target", "").strip(), row.get("applies_to", "").strip()
    rests = (group or ITEM, target) in also
    together = group.endswith(TOGETHER)
    group = "" if group.lower() in ("", ITEM) else group.removesuffix(TOGETHER)
    if not target:
        if finished:
            raise BadCell("", "No item is named.", "Write its id or title.")
        return None
    low, high = _share(row.get("minimum", "")), _share(row.get("maximum", ""))
    if not group:
        target = items.id_of(target)
    promise = Promise(target, group, low, high, together)
    if group and group not in catalogue and not rests:
        raise BadCell(group, "Items have no such feature.", f"Write one of {', '.join(abouts(catalogue))}.")
    if not rests and not len(members(promise, catalogue)):
        if not group:
            raise items.unknown(target)
        cause = f"There is no item with {group} {target} among the items of this model."
        raise BadCell(target, cause, "Check how it is written.")
    if low is not None and high is not None and low > high:
        cell = f"{100 * low:g} % and {100 * high:g} %"
        raise BadCell(cell, f"The minimum of {target} is above its maximum.", "Change one of them.")
    if low is None and high is None:
        if finished:
            raise BadCell(target, "Neither a minimum nor a maximum is given.", "Write a percentage beside it.")
        return None
    return promise


def _share(text: str) -> float | None:
    """A percentage as a share: "0.5", "0,5 %" or nothing."""
    given = text.strip()
    text = text.replace("%", "").replace("\N{NARROW NO-BREAK SPACE}", "").replace("\N{NO-BREAK SPACE}", "").strip()
    if not text or text.lower() in ("nan", "none", "–", "-"):
        return None
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        raise BadCell(given, "This is no percentage.", "Write a number such as 2.5.") from None
    if not 0 <= value <= 100:
        raise BadCell(given, "This is not between 0 and 100 %.", "Write a percentage.")
    return round(value / 100, 9)
