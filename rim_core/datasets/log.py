"""The event log: who interacted with what, and when."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rim_core.columns import DEFAULT_TYPE, EVENT_COLUMNS, ITEM, TIME, TITLE, TYPE, USER, VALUE
from rim_core.errors import DataError, EmptyLogError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rim_core.datasets.report import ImportReport

SECOND = 1_000_000
"""Microseconds in a second: times are int64 microseconds since 1970-01-01 UTC."""


@dataclass(frozen=True, eq=False)
class EventArrays:
    """A log as arrays, sorted by user, then time, then file order.

    Attributes
    ----------
    user, item : ndarray of int32, shape (E,)
        Positions in ``log.users.index`` and ``log.items.index``.
    time : ndarray of int64, shape (E,)
        Microseconds since 1970-01-01 UTC.
    value : ndarray of float32, shape (E,)
    type : ndarray of int16, shape (E,)
        Positions in ``log.event_types``.
    offsets : ndarray of int64, shape (U + 1,)
        Events of user u are ``offsets[u]:offsets[u + 1]``.
    """

    user: np.ndarray
    item: np.ndarray
    time: np.ndarray
    value: np.ndarray
    type: np.ndarray
    offsets: np.ndarray


@dataclass(frozen=True, eq=False)
class EventLog:
    """Canonical events with what is known of items and users.

    Build one with :meth:`from_frame` or :func:`rim_core.load_dataset`.

    Attributes
    ----------
    name : str
    events : DataFrame
        Columns user_id, item_id, event_type (categorical), timestamp (datetime64[us, UTC]), value
        (float64); sorted by user, time, file order.
    items, users : DataFrame
        Indexed by id (str); ``items`` has a ``title`` column, both may carry features.
    report : ImportReport or None
        What was rejected on the way in.
    """

    name: str
    events: pd.DataFrame
    items: pd.DataFrame
    users: pd.DataFrame
    report: ImportReport | None = field(default=None, compare=False)

    @classmethod
    def from_frame(
        cls,
        events: pd.DataFrame,
        *,
        items: pd.DataFrame | None = None,
        users: pd.DataFrame | None = None,
        name: str = "events",
        report: ImportReport | None = None,
    ) -> EventLog:
        """Canonicalise a frame with at least user_id, item_id and timestamp.

        Ids become strings, times UTC microseconds, missing value and event_type get defaults (1.0 and
        "interaction"). The caller has validated the rows: a null id or time is an error here.

        Raises
        ------
        DataError
            A required column is missing, or holds nulls.
        EmptyLogError
            There are no rows.
        """
        missing = [c for c in (USER, ITEM, TIME) if c not in events.columns]
        if missing:
            raise DataError(f"The events lack the column(s) {', '.join(missing)}: rename or map them first.")
        if len(events) == 0:
            raise EmptyLogError("The log holds no events: check the file and the import report.")
        time = pd.to_datetime(events[TIME], utc=True).astype("datetime64[us, UTC]")
        for column, values in ((USER, events[USER]), (ITEM, events[ITEM]), (TIME, time)):
            if values.isna().any():
                raise DataError(f"Column {column} holds nulls: drop those rows or import the file with `rim data add`.")
        user_codes, users = _vocabulary(events[USER], users, USER)
        item_codes, items = _vocabulary(events[ITEM], items, ITEM)
        if TITLE not in items.columns:
            items = items.assign(**{TITLE: items.index.astype(str)})
        items[TITLE] = items[TITLE].fillna(pd.Series(items.index.astype(str), index=items.index))
        kinds = events[TYPE] if TYPE in events.columns else pd.Series(DEFAULT_TYPE, index=events.index)
        value = events[VALUE] if VALUE in events.columns else pd.Series(1.0, index=events.index)
        order = np.lexsort((time.to_numpy("datetime64[us]").view("int64"), user_codes))
        frame = pd.DataFrame(
            {
                USER: pd.Categorical.from_codes(user_codes[order], categories=users.index),
                ITEM: pd.Categorical.from_codes(item_codes[order], categories=items.index),
                TIME: time.to_numpy("datetime64[us]")[order],
                VALUE: value.fillna(1.0).to_numpy(float)[order],
                TYPE: pd.Categorical(kinds.astype(str).to_numpy(object)[order]),
            }
        )
        frame[TIME] = frame[TIME].dt.tz_localize("UTC")
        return cls(name=name, events=frame[list(EVENT_COLUMNS)], items=items, users=users, report=report)

    def __len__(self) -> int:
        return len(self.events)

    @property
    def event_types(self) -> list[str]:
        """Names of the event types, in code order."""
        return [str(t) for t in self.events[TYPE].cat.categories]

    @cached_property
    def arrays(self) -> EventArrays:
        """The events as sorted arrays, computed once."""
        user = self.events[USER].cat.codes.to_numpy(np.int32)
        counts = np.bincount(user, minlength=len(self.users))
        return EventArrays(
            user=user,
            item=self.events[ITEM].cat.codes.to_numpy(np.int32),
            time=self.events[TIME].dt.tz_localize(None).to_numpy("datetime64[us]").view(np.int64),
            value=self.events[VALUE].to_numpy(np.float32),
            type=self.events[TYPE].cat.codes.to_numpy(np.int16),
            offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        )

    @cached_property
    def version(self) -> str:
        """Content hash of the events (12 hex digits): equal logs have equal versions."""
        digest = hashlib.sha256()
        for ids in (self.users.index, self.items.index, self.event_types):
            digest.update("\x1f".join(map(str, ids)).encode("utf-8", "surrogatepass"))
            digest.update(b"\x1e")
        a = self.arrays
        for array in (a.user, a.item, a.time, a.value, a.type):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:12]

    def filter(
        self,
        *,
        types: Sequence[str] | None = None,
        latter_half: bool = False,
        drop_repeats: bool = False,
        min_user_events: int = 1,
        min_item_events: int = 1,
    ) -> EventLog:
        """A log with fewer events, as the published protocols prepare theirs (Section 5).

        Parameters
        ----------
        types : sequence of str, optional
            Keep these event types only.
        latter_half : bool
            With r = 1..n ranking a user's events by time (ties in file order), keep r/n ≥ 0.5.
        drop_repeats : bool
            Keep the first event of every user and item.
        min_user_events, min_item_events : int
            Drop items and users with fewer events, again and again until every one left has enough: dropping an
            item can leave a user with too few, and the other way round. What is left does not depend on the order
            (the largest part in which both hold). With ``latter_half``, counts are those before halving.

        Raises
        ------
        EmptyLogError
            Nothing is left.
        """
        events = self.events
        if types is not None:
            events = events[events[TYPE].isin(list(types))]
        if drop_repeats:
            events = events[~events.duplicated([USER, ITEM])]
        if min_item_events > 1 or min_user_events > 1:
            events = events[_frequent(events, min_user_events, min_item_events)]
        if latter_half:
            by_user = events.groupby(USER, observed=True)
            rank = by_user.cumcount().to_numpy() + 1
            size = by_user[TIME].transform("size").to_numpy()
            events = events[2 * rank >= size]
        kept = np.zeros(len(self), bool)
        kept[events.index.to_numpy()] = True
        return self.select(kept)

    def of_users(self, chosen: np.ndarray) -> EventLog:
        """The log of the users chosen by a mask over ``users``."""
        return self.select(chosen[self.arrays.user])

    def select(self, kept: np.ndarray) -> EventLog:
        """The log of the events kept by a mask, with the users and items that have some; O(E), no sorting.

        Raises
        ------
        EmptyLogError
            Nothing is kept.
        """
        if not kept.any():
            raise EmptyLogError("No events are left after filtering: relax the filters or choose other event types.")
        events = self.events[kept].reset_index(drop=True)
        frames = {}
        for column, frame in ((USER, self.users), (ITEM, self.items)):
            codes = events[column].cat.codes.to_numpy()
            used = np.zeros(len(frame), bool)
            used[codes] = True
            frames[column] = frame[used]
            renumbered = (np.cumsum(used) - 1).astype(np.int32)[codes]
            events[column] = pd.Categorical.from_codes(renumbered, categories=frames[column].index)
        events[TYPE] = events[TYPE].cat.remove_unused_categories()
        return EventLog(self.name, events, frames[ITEM], frames[USER], self.report)


def _frequent(events: pd.DataFrame, by_user: int, by_item: int) -> np.ndarray:
    """Mask of the largest part of the events in which every user and item has so many; O(E) a round."""
    columns = [(events[c].cat.codes.to_numpy(), least) for c, least in ((ITEM, by_item), (USER, by_user))]
    left = np.arange(len(events))
    before = -1
    while len(left) != before:
        before = len(left)
        for codes, least in columns:
            here = codes[left]
            left = left[(np.bincount(here) >= least)[here]]
    kept = np.zeros(len(events), bool)
    kept[left] = True
    return kept


def _vocabulary(ids: pd.Series, known: pd.DataFrame | None, name: str) -> tuple[np.ndarray, pd.DataFrame]:
    """Codes of ``ids`` in a sorted vocabulary, and the frame of that vocabulary (known ids come along)."""
    raw, uniques = pd.factorize(ids)
    labels = pd.Index(uniques).astype(str)
    if known is None:
        known = pd.DataFrame(index=pd.Index([], dtype=labels.dtype))
    known = known.copy()
    known.index = pd.Index(known.index.astype(str), name=name)
    if known.index.has_duplicates:
        known = known[~known.index.duplicated()]
    index = pd.Index(labels.union(known.index, sort=False).sort_values(), name=name)
    codes = index.get_indexer(labels).astype(np.int32)[raw]
    return codes, known.reindex(index)
