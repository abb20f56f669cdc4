"""After the campaign: what was promised, planned and expected against what was delivered and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rim_core.errors import DataError
from rim_core.evaluation.lift import Lift, measure_lift
from rim_core.wording import counted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from rim_core.datasets.log import EventLog

EXPOSURE_WORDS = (
    "exposure", "exposed", "impression", "sent", "send", "delivered", "delivery", "shown", "served", "treat",
)  # fmt: skip
OUTCOME_WORDS = (
    "outcome", "conversion", "purchase", "transaction", "order", "buy", "click", "redeem", "response", "interaction",
    "visit", "rating",
)  # fmt: skip
PAIR = ["user_id", "item_id"]


def guess_roles(kinds: Iterable[str]) -> tuple[list[str], list[str]]:
    """Which event types of a file are exposures and which are outcomes, as far as their names say."""
    kinds = list(kinds)
    shown = [k for k in kinds if any(word in k.lower() for word in EXPOSURE_WORDS)]
    came = [k for k in kinds if k not in shown and any(word in k.lower() for word in OUTCOME_WORDS)]
    return shown, came


def campaign_events(
    log: EventLog, exposures: Sequence[str], outcomes: Sequence[str], *, answers: bool = False
) -> pd.DataFrame:
    """Exposures and outcomes of a log that a campaign tool made.

    Parameters
    ----------
    exposures, outcomes : sequence of str
        Event types that are one or the other; the rest is left out.
    answers : bool
        Whether every row, whatever its type, also says by its value what came of it: 0 for nothing, 1 for an outcome.

    Returns
    -------
    DataFrame
        user_id, item_id, time (UTC), kind ("exposure" or "outcome"), count (1.0 an event, or the answer).
    """
    kind = log.events["event_type"].astype(str)
    roles = {**dict.fromkeys(outcomes, "outcome"), **dict.fromkeys(exposures, "exposure")}
    found = pd.DataFrame(
        {
            "user_id": log.events["user_id"].astype(str),
            "item_id": log.events["item_id"].astype(str),
            "time": log.events["timestamp"],
            "kind": kind.map(roles),
            "count": 1.0,
        }
    )
    if answers:
        came = found.assign(kind="outcome", count=log.events["value"].astype(float))
        found = pd.concat([found, came[came["count"] > 0]])
    return found[found["kind"].notna()].reset_index(drop=True)


@dataclass(frozen=True, eq=False)
class CampaignResult:
    """What became of a campaign.

    Attributes
    ----------
    items : DataFrame
        A row an item: item_id, promised (user-states; <NA> where not known), planned (deliveries of the audience),
        withheld (deliveries that the hold-out group did not get), delivered (planned deliveries that were made),
        expected (interactions, of those delivered; NaN where the scores are no counts), outcomes (interactions that
        happened, of those delivered) and verdict ("kept", "short", "unknown").
    lift : Lift or None
    no_lift : str
        Why there is none; empty where there is.
    exposures, outcomes : int
        Events of the file.
    outside_exposures, outside_outcomes : int
        Those of pairs that neither the audience nor the hold-out group knows.
    contaminated : int
        Held-out users who were shown something planned for them all the same; they still count as held out.
    over_time : DataFrame
        day, exposures, outcomes: per day of the file.
    """

    items: pd.DataFrame
    lift: Lift | None
    no_lift: str
    exposures: int
    outcomes: int
    outside_exposures: int
    outside_outcomes: int
    contaminated: int
    over_time: pd.DataFrame


def campaign_result(
    planned: pd.DataFrame,
    withheld: pd.DataFrame,
    events: pd.DataFrame,
    promised: pd.Series | None = None,
    *,
    seen: Collection[str] | None = None,
    confidence: float = 0.95,
) -> CampaignResult:
    """Compare a campaign's audience with what happened.

    Parameters
    ----------
    planned, withheld : DataFrame
        user_id, item_id, expected: deliveries to the audience, and those its hold-out group did not get.
    events : DataFrame
        As :func:`campaign_events` makes them.
    promised : Series, optional
        Minimum user-states by item id.
    seen : collection of str, optional
        Users whom the source of the outcomes names at all, also in rows that are no event; by default those of
        ``events``.

    Raises
    ------
    DataError
        No event is about the audience: ids differ, or it is another campaign's file.

    Notes
    -----
    Lift compares outcomes per user, counted on the pairs planned for her, between all users of the audience and all
    who were held out, reached or not: both groups are as chance made them. Who has no outcome counts as zero, which is
    only right where outcomes of held-out users were gathered too: of a source that names none of them there is no lift.
    O(pairs + events).
    """
    audience = _by_pair(planned)
    control = _by_pair(withheld)
    shown = _counts(events, "exposure")
    came = _counts(events, "outcome")
    known = audience.index.union(control.index)
    outside = [int(c[~c.index.isin(known)].sum()) for c in (shown, came)]
    if len(events) and outside[0] + outside[1] == shown.sum() + came.sum():
        raise DataError(
            "No row of this file is about a user and an item of the audience: check that it belongs to this plan and "
            "that its ids are written as those of the dataset."
        )
    lift, no_lift = None, "No outcomes were imported, so nothing can be compared."
    withheld_from = control.index.unique("user_id")
    named = withheld_from.isin(events["user_id"].unique() if seen is None else list(seen))
    if came.sum() > 0 and len(named) and not named.any():
        no_lift = _unseen(len(named))
    elif came.sum() > 0:
        groups = (_per_user(audience, came), _per_user(control, came))
        try:
            lift, no_lift = measure_lift(*groups, confidence=confidence), ""
        except DataError as error:
            no_lift = str(error)
    exposed = control.index.isin(shown.index)
    return CampaignResult(
        items=_items(audience, control, shown, came, promised),
        lift=lift,
        no_lift=no_lift,
        exposures=int(shown.sum()),
        outcomes=int(came.sum()),
        outside_exposures=outside[0],
        outside_outcomes=outside[1],
        contaminated=int(control[exposed].index.get_level_values("user_id").nunique()),
        over_time=_over_time(events),
    )


def _unseen(users: int) -> str:
    """Why nothing can be said of held-out users whom no row names."""
    return (
        f"What is imported holds no outcome of the {counted(users, 'held-out users')}, nor names any of them: whether "
        "they responded without being written to is not known, so what the campaign added cannot be told. Import every "
        "outcome of held-out users too: a row each with the user, the item, the time and the outcome, and no exposure."
    )


def _by_pair(pairs: pd.DataFrame) -> pd.DataFrame:
    """Deliveries and expected interactions of every user and item (a user may have several states)."""
    grouped = pairs.astype({"user_id": str, "item_id": str}).groupby(PAIR, sort=False)["expected"]
    return pd.DataFrame({"deliveries": grouped.size(), "expected": grouped.sum(min_count=1)})


def _counts(events: pd.DataFrame, kind: str) -> pd.Series:
    of_kind = events[events["kind"] == kind]
    return of_kind.groupby(PAIR, sort=False)["count"].sum()


def _per_user(pairs: pd.DataFrame, outcomes: pd.Series) -> np.ndarray:
    """Outcomes of every user of a group on what was planned for her, zeros included."""
    happened = outcomes.reindex(pairs.index).fillna(0.0)
    out: np.ndarray = happened.groupby(level="user_id", sort=False).sum().to_numpy(float)
    return out


def _items(
    audience: pd.DataFrame, control: pd.DataFrame, shown: pd.Series, came: pd.Series, promised: pd.Series | None
) -> pd.DataFrame:
    exposures = shown.reindex(audience.index).fillna(0.0).to_numpy(float)
    made = np.minimum(exposures, audience["deliveries"].to_numpy(float))
    table = pd.DataFrame(
        {
            "planned": audience["deliveries"],
            "delivered": made,
            "expected": audience["expected"] * made / audience["deliveries"],
            "outcomes": came.reindex(audience.index).fillna(0.0).to_numpy(float) * (made > 0),
        }
    )
    items = table.groupby(level="item_id").sum(min_count=1)
    items["withheld"] = control.groupby(level="item_id")["deliveries"].sum()
    if promised is not None:
        items = items.reindex(items.index.union(promised.index[promised.fillna(0) > 0]))
    items["promised"] = pd.array([pd.NA] * len(items), "Int64") if promised is None else promised.reindex(items.index)
    whole = ["planned", "delivered", "withheld", "outcomes"]
    items[whole] = items[whole].fillna(0).astype(np.int64)
    if audience["expected"].notna().any():  # nothing is expected of what was not delivered
        items["expected"] = items["expected"].fillna(0.0)
    known = items["promised"].notna().to_numpy()
    kept = items["delivered"].to_numpy() >= items["promised"].fillna(0).to_numpy(float)
    items["verdict"] = np.select([~known, kept], ["unknown", "kept"], "short")
    columns = ["promised", "planned", "withheld", "delivered", "expected", "outcomes", "verdict"]
    return items[columns].rename_axis("item_id").reset_index()


def _over_time(events: pd.DataFrame) -> pd.DataFrame:
    days = events["time"].dt.tz_localize(None).dt.floor("D")
    table = events["count"].groupby([days, events["kind"]]).sum().unstack(fill_value=0.0)
    table = table.reindex(columns=["exposure", "outcome"], fill_value=0.0)
    table.columns = ["exposures", "outcomes"]
    return table.astype(np.int64).rename_axis("day").reset_index()
