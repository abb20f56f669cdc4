"""The two layouts that campaign tools take most: Google Customer Match and Meta custom audience.

Both want one row a user and a header in English, and match on SHA-256 of normalised contacts. Google hashes a phone
number in E.164 (with the +), Meta its digits alone. Where a log carries no contacts the user id is given instead,
under the name that each tool has for the advertiser's own id.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from rim_core.audiences.contacts import country_digits, hashed_emails, hashed_phones

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Layout:
    """Names of a tool's columns, and whether it hashes the + of a phone number."""

    email: str
    phone: str
    user_id: str
    plus: bool


LAYOUTS = {
    "google": Layout("Email", "Phone", "User ID", plus=True),
    "meta": Layout("email", "phone", "extern_id", plus=False),
}


@dataclass(frozen=True, eq=False)
class LaidOut:
    """Users as a tool wants them.

    Attributes
    ----------
    table : Table
        One row a user, in the order given.
    hashed : bool
        Named by contacts; by user id otherwise.
    without, unusable : int
        Users who are left out because they have no contact at all, or only what is none: no address, no number, or a
        number that names no country.
    """

    table: pa.Table
    hashed: bool
    without: int = 0
    unusable: int = 0

    @property
    def left_out(self) -> int:
        """Users without a usable contact."""
        return self.without + self.unusable


def lay_out(
    users: pa.ChunkedArray, layout: str, contacts: pd.DataFrame | None, *, country_code: str | None = None
) -> LaidOut:
    """Distinct users in a tool's layout, in the order in which they first appear.

    Parameters
    ----------
    users : Array of string
        User ids, each any number of times.
    layout : {"google", "meta"}
    contacts : DataFrame or None
        ``email`` and/or ``phone`` by user id.

    Raises
    ------
    DataError
        The country code is none.
    """
    if country_code is not None:
        country_digits(country_code)  # also where no number needs it
    names = LAYOUTS[layout]
    distinct = pd.Index(pd.unique(users.to_pandas().astype(object)))
    if contacts is None or not len(contacts.columns):
        return LaidOut(pa.table({names.user_id: pa.array(distinct, pa.string())}), hashed=False)
    known = contacts.reindex(distinct)
    texts = {kind: _texts(known[kind].to_numpy(object)) for kind in ("email", "phone") if kind in known}
    columns: dict[str, pa.Array] = {}
    if "email" in texts:
        columns[names.email] = hashed_emails(texts["email"])
    if "phone" in texts:
        columns[names.phone] = hashed_phones(texts["phone"], plus=names.plus, country_code=country_code)
    table = pa.table(columns)
    usable = _any(pc.is_valid(column) for column in table.columns)
    said = _any(pc.fill_null(pc.match_substring_regex(text, r"\S"), False) for text in texts.values())
    without = len(table) - (pc.sum(said).as_py() or 0)
    kept = table.filter(usable)
    return LaidOut(kept, hashed=True, without=without, unusable=len(table) - len(kept) - without)


def _any(masks: Iterable[pa.Array]) -> pa.Array:
    return reduce(pc.or_, masks)


def _texts(values: np.ndarray) -> pa.Array:
    """Cells as text; missing ones null, whole numbers without the .0 that missing ones give them."""
    plain = pd.Series(values, dtype=object)
    whole = plain.map(lambda v: str(int(v)) if isinstance(v, float) and v.is_integer() else v)
    return pa.array(whole.where(whole.notna(), None).map(lambda v: None if v is None else str(v)), pa.string())
