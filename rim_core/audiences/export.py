"""Audience files: one row a pair, written whole or not at all."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from rim_core.audiences.contacts import contacts_of
from rim_core.audiences.formulas import neutralised
from rim_core.audiences.layouts import LAYOUTS, lay_out
from rim_core.audiences.pairs import plan_pairs
from rim_core.errors import DataError, NotFoundError
from rim_core.storage.files import replacing, sha256_of

if TYPE_CHECKING:
    import pandas as pd

    from rim_core.assignment import Assignment

FORMATS = ("csv", "parquet", *LAYOUTS)
COLUMNS = ("user_id", "item_id", "rank", "score", "expected_interactions")
"""Columns of an audience file; ``state_time`` comes last where a user has several states."""


@dataclass(frozen=True)
class ExportReceipt:
    """What was written.

    Attributes
    ----------
    path : Path
    format : {"csv", "parquet", "google", "meta"}
    rows : int
    columns : tuple of str
    sha256 : str
        Of the file: the same plan gives the same bytes.
    neutralised : int
        Cells that a spreadsheet would have run as a formula, and that got a ' in front (CSV only).
    hashed : bool
        Whether users are named by hashes of their contacts (the layouts of campaign tools).
    left_out : int
        Users without a contact that can be used, who are not in the file.
    """

    path: Path
    format: str
    rows: int
    columns: tuple[str, ...]
    sha256: str
    neutralised: int
    hashed: bool = False
    left_out: int = 0


def export_audience(
    assignment: Assignment,
    *,
    to: Path | str,
    item: str | None = None,
    counts: bool = True,
    format: str | None = None,
    country_code: str | None = None,
) -> ExportReceipt:
    """Write who gets an item, or the whole assignment, best user-states first.

    Parameters
    ----------
    to : path
        Ends in .csv or .parquet; an older file of that name is replaced in one step.
    item : str, optional
        One item's audience; all items by default.
    counts : bool
        Whether scores are expected interactions (see :func:`rim_core.audiences.plan_pairs`).
    format, country_code : str, optional
        As :func:`export_pairs`; contacts are those that the log carries of its users.

    Returns
    -------
    ExportReceipt

    Raises
    ------
    NotFoundError
        The assignment is not about that item.
    DataError
        The file name says neither CSV nor Parquet.
    StorageError
        The file cannot be written; an older one is as it was.

    Examples
    --------
    >>> export_audience(plan.assign(scores), item="COFFEE", to="coffee.csv").rows       # doctest: +SKIP
    """
    if item is not None and item not in assignment.items:
        near = difflib.get_close_matches(str(item), list(assignment.items), n=3)
        hint = f"did you mean {', '.join(near)}?" if near else "the plan's items are in assignment.items."
        raise NotFoundError(f"There is no item {item!r} in this assignment: {hint}")
    contacts = None
    if format in LAYOUTS and assignment.states is not None:
        contacts = contacts_of(assignment.states.log.users)
    pairs = plan_pairs(assignment, counts=counts)
    return export_pairs(pairs, to=to, item=item, format=format, contacts=contacts, country_code=country_code)


def export_pairs(
    pairs: pa.Table | pd.DataFrame,
    *,
    to: Path | str,
    item: str | None = None,
    format: str | None = None,
    contacts: pd.DataFrame | None = None,
    country_code: str | None = None,
) -> ExportReceipt:
    """Write pairs as :func:`rim_core.audiences.plan_pairs` makes them and a workspace keeps them.

    Parameters
    ----------
    pairs : Table or DataFrame
        Columns user_id, item_id, state_time, rank, score, expected.
    item : str, optional
        One item's pairs only; an item that nobody gets makes a file without rows.
    format : {"csv", "parquet", "google", "meta"}, optional
        What the file's name says by default. "google" is Customer Match's layout and "meta" that of a custom audience,
        both CSV: one row a user, named by SHA-256 of e-mail and phone where ``contacts`` knows them and by the user id
        otherwise.
    contacts : DataFrame, optional
        ``email`` and ``phone`` of users, indexed by user id (see :func:`rim_core.audiences.contacts_of`).
    country_code : str, optional
        Of phone numbers that name no country.

    Raises
    ------
    DataError, StorageError
        As :func:`export_audience`.
    """
    path = Path(to).expanduser()
    kind = _kind(path, format)
    table = pairs if isinstance(pairs, pa.Table) else pa.Table.from_pandas(pairs, preserve_index=False)
    hashed, left_out, changed = False, 0, 0
    if kind in LAYOUTS:
        if item is not None:
            table = table.filter(pc.equal(table["item_id"], item))
        laid = lay_out(table["user_id"], kind, contacts, country_code=country_code)
        audience, hashed, left_out = laid.table, laid.hashed, laid.left_out
    else:
        audience = _audience(table, item)
    if kind != "parquet":  # Parquet is read by programs: ids stay as they are
        audience, changed = _harmless(audience)
    with replacing(path) as temporary:
        _write(audience, temporary, kind, bare=hashed)
    return ExportReceipt(
        path, kind, len(audience), tuple(audience.column_names), sha256_of(path), changed, hashed, left_out
    )


def _kind(path: Path, format: str | None) -> str:
    """The format of a file, where it is said and where its name says it."""
    suffix = path.suffix.lower().removeprefix(".")
    if format is None:
        if suffix not in ("csv", "parquet"):
            raise DataError(f"{path.name} says neither CSV nor Parquet: choose a name that ends in .csv or .parquet.")
        return suffix
    if format not in FORMATS:
        raise DataError(f"There is no format {format!r}: choose among {', '.join(FORMATS)}.")
    wanted = "parquet" if format == "parquet" else "csv"
    if suffix != wanted:
        raise DataError(f"A file of the format {format} ends in .{wanted}: {path.name} does not.")
    return format


def _audience(pairs: pa.Table, item: str | None) -> pa.Table:
    """The columns of an audience file."""
    several = _several_states(pairs)
    if item is not None:
        pairs = pairs.filter(pc.equal(pairs["item_id"], item))
    columns = {name: pairs["expected" if name == "expected_interactions" else name] for name in COLUMNS}
    if several:
        columns["state_time"] = pairs["state_time"]
    return pa.table(columns)


def _several_states(pairs: pa.Table) -> bool:
    """Whether the plan knows users at several times: their rows are told apart by the time."""
    if pairs["state_time"].null_count == len(pairs):
        return False
    return bool(pc.count_distinct(pairs["state"]).as_py() > pc.count_distinct(pairs["user_id"]).as_py())


def _harmless(audience: pa.Table) -> tuple[pa.Table, int]:
    changed = 0
    for name in audience.column_names:
        if not pa.types.is_string(audience[name].type) and not pa.types.is_large_string(audience[name].type):
            continue
        texts, count = neutralised(audience[name].cast(pa.string()))
        audience = audience.set_column(audience.schema.get_field_index(name), name, texts)
        changed += count
    return audience, changed


def _write(audience: pa.Table, path: Path, kind: str, *, bare: bool) -> None:
    """Hashes are written without quotes, as the tools' own examples are."""
    if kind == "parquet":
        pq.write_table(audience, path, compression="zstd")
        return
    with path.open("wb") as file:
        file.write((",".join(audience.column_names) + "\n").encode())
        pa_csv.write_csv(
            audience, file, pa_csv.WriteOptions(include_header=False, quoting_style="none" if bare else "needed")
        )
