"""What an import kept, what it left out, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from rim_core.wording import counted


class Reason(StrEnum):
    """Why a row was rejected: the word counted in the report and written in the rejects file."""

    USER = "missing user"
    ITEM = "missing item"
    TIME = "missing time"
    BAD_TIME = "unreadable time"
    FUTURE = "time in the future"
    BAD_VALUE = "unreadable value"
    NEGATIVE = "negative value"
    ANSWER = "neither yes nor no"
    ENCODING = "not in the stated encoding"
    COLUMNS = "wrong number of columns"
    LENGTH = "line too long"
    QUOTE = "unbalanced quote"
    NUL = "NUL byte"
    LONG_ID = "id too long"
    DUPLICATE = "duplicate row"
    OTHER = "unreadable row"

    @property
    def advice(self) -> str:
        """What to do about it, in one sentence."""
        return _ADVICE[self]


_ADVICE = {
    Reason.USER: "Rows without a user cannot be used; check which column holds the user.",
    Reason.ITEM: "Rows without an item cannot be used; check which column holds the item.",
    Reason.TIME: "Rows without a time cannot be used; check which column holds the time.",
    Reason.BAD_TIME: "State the format of the times, for example time_format='%d/%m/%Y %H:%M' or 's' for Unix seconds.",
    Reason.FUTURE: "Check the unit and the time zone of the times.",
    Reason.BAD_VALUE: "Write numbers alike, such as 1234.5 or, with decimal=',', 1.234,5; or leave the value column "
    "out to keep these rows.",
    Reason.NEGATIVE: "Returns and corrections are no interactions; leave the value column out to keep these rows.",
    Reason.ANSWER: "Write yes or no, true or false, 1 or 0, or how often it happened; nothing and - count as no.",
    Reason.ENCODING: "State the encoding of the file, for example encoding='latin-1'.",
    Reason.COLUMNS: "These lines have more or fewer cells than the others; quote cells that hold the delimiter.",
    Reason.LENGTH: "A line may hold 2 MB; look for a quote that is never closed.",
    Reason.QUOTE: "Close the quote, or double quotes inside a quoted cell.",
    Reason.NUL: "The file holds NUL bytes there; export it again.",
    Reason.LONG_ID: "An id may have 1 000 characters; check which columns hold the ids.",
    Reason.DUPLICATE: "Every row after the first of identical rows; import with duplicates='keep' if each one counts.",
    Reason.OTHER: "See the rejects file.",
}


@dataclass(frozen=True)
class ImportReport:
    """One import: ``rows_read == rows_kept + rows_rejected``, always.

    Attributes
    ----------
    source : str
        What was read: file names, or the name of a package.
    rows_read : int
        Records found (headers and blank lines are none).
    rows_kept : int
        Events that came out. A reader that sums rows (baskets) counts the summed ones here and in ``rows_read``.
    rejected : mapping of str to int
        Rows left out, by :class:`Reason`.
    rejects_file : Path or None
        Where they are kept with file, line, reason and text; None when nothing was rejected.
    defaults : mapping of str to int
        Cells that were empty and got a default, by column ("value", "event_type").
    users, items : int
        Distinct users and items with events.
    first, last : str
        ISO times (UTC) of the first and the last event.
    event_types : tuple of str
    notes : tuple of str
        What else a person should know, each a sentence.
    seconds : float
        Wall time of the import.
    """

    source: str
    rows_read: int
    rows_kept: int
    rejected: Mapping[str, int] = field(default_factory=dict)
    rejects_file: Path | None = None
    defaults: Mapping[str, int] = field(default_factory=dict)
    users: int = 0
    items: int = 0
    first: str = ""
    last: str = ""
    event_types: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def rows_rejected(self) -> int:
        """Rows left out, for whatever reason."""
        return sum(self.rejected.values())

    @property
    def duplicates(self) -> int:
        """Rows left out because an identical one came before."""
        return self.rejected.get(Reason.DUPLICATE.value, 0)

    def summary(self, *, where: bool = True) -> str:
        """The report as text for a person, one fact a line; ``where`` also says where the rejects file lies."""
        found = "."
        if self.rows_kept:
            users, items = counted(self.users, "users"), counted(self.items, "items")
            found = f"; {users}, {items}, {self.first} to {self.last}."
        lines = [f"{self.source}: {self.rows_kept:,} of {counted(self.rows_read, 'rows')} kept{found}"]
        for reason, count in sorted(self.rejected.items(), key=lambda pair: -pair[1]):
            lines.append(f"{count:,} rejected: {reason}. {Reason(reason).advice}")
        if where and self.rejects_file is not None:
            lines.append(f"Rejected rows are in {self.rejects_file}.")
        lines += [
            f"{counted(count, 'empty cells')} of {column} got the default." for column, count in self.defaults.items()
        ]
        return "\n".join([*lines, *self.notes])

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; :meth:`from_dict` reads it back."""
        return {
            **asdict(self),
            "rejected": dict(self.rejected),
            "defaults": dict(self.defaults),
            "rejects_file": None if self.rejects_file is None else str(self.rejects_file),
            "event_types": list(self.event_types),
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> ImportReport:
        """The report that :meth:`to_dict` wrote."""
        file = stored["rejects_file"]
        return cls(
            **{
                **stored,
                "rejects_file": None if file is None else Path(file),
                "event_types": tuple(stored["event_types"]),
                "notes": tuple(stored["notes"]),
            }
        )
