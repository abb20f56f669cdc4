"""Frames that charts draw, counted from an event log's frames; knows nothing of the engine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True, eq=False)
class Overview:
    """What a dataset looks like.

    Attributes
    ----------
    over_time : DataFrame
        start, events: per ``unit`` ("day" or "week").
    unit : str
    popularity : DataFrame
        rank, item, events: thinned to at most a few hundred ranks for the chart.
    items : DataFrame
        item_id, title, events, users, share: every item, most popular first.
    activity : DataFrame
        low, high, users: how many users have low..high events.
    repeat_rate : float
        Share of events whose user had already interacted with the item.
    median_events : float
        Events of the median user.
    """

    over_time: pd.DataFrame
    unit: str
    popularity: pd.DataFrame
    items: pd.DataFrame
    activity: pd.DataFrame
    repeat_rate: float
    median_events: float


def overview(user: np.ndarray, item: np.ndarray, time: np.ndarray, items: pd.DataFrame) -> Overview:
    """Count a log: codes of users and items and microseconds, each (E,); ``items`` indexed by id, with title."""
    counts = np.bincount(item, minlength=len(items))
    pair_count = len(np.unique(user.astype(np.int64) * max(1, len(items)) + item))
    users_of_item = _distinct_users(user, item, len(items))
    table = pd.DataFrame(
        {
            "item_id": items.index.astype(str),
            "title": items["title"].astype(str).to_numpy(),
            "events": counts,
            "users": users_of_item,
        }
    )
    table["share"] = table["events"] / max(1, len(item))
    table = table.sort_values(["events", "item_id"], ascending=[False, True], kind="stable").reset_index(drop=True)
    per_user = np.bincount(user)
    per_user = per_user[per_user > 0]
    over_time, unit = _over_time(time)
    return Overview(
        over_time=over_time,
        unit=unit,
        popularity=_popularity(table),
        items=table,
        activity=_activity(per_user),
        repeat_rate=1 - pair_count / max(1, len(item)),
        median_events=float(np.median(per_user)) if len(per_user) else 0.0,
    )


def _distinct_users(user: np.ndarray, item: np.ndarray, n: int) -> np.ndarray:
    pairs = np.unique(item.astype(np.int64) * (int(user.max(initial=0)) + 1) + user)
    return np.bincount(pairs // (int(user.max(initial=0)) + 1), minlength=n)


def _over_time(time: np.ndarray) -> tuple[pd.DataFrame, str]:
    """Events per hour, day, week or month, whichever gives a readable number of points."""
    stamps = pd.DatetimeIndex(time.view("datetime64[us]"))
    days = (stamps.max() - stamps.min()).days + 1
    unit, rule = next(
        (u, r)
        for limit, u, r in ((4, "hour", "h"), (800, "day", "D"), (9000, "week", "W-MON"), (1e9, "month", "MS"))
        if days <= limit
    )
    counted = pd.Series(1, index=stamps).resample(rule, label="left", closed="left").sum()
    return pd.DataFrame({"start": counted.index, "events": counted.to_numpy()}), unit


def _popularity(table: pd.DataFrame) -> pd.DataFrame:
    ranks = np.unique(np.geomspace(1, len(table), 400).round().astype(int))
    part = table.iloc[ranks - 1]
    part = part[part["events"] > 0]
    return pd.DataFrame({"rank": part.index + 1, "item": part["title"], "events": part["events"]})


def _activity(per_user: np.ndarray) -> pd.DataFrame:
    """Users by number of events, in classes that double."""
    edges = 2 ** np.arange(0, int(np.log2(per_user.max())) + 2) if len(per_user) else np.array([1, 2])
    users, _ = np.histogram(per_user, bins=edges)
    return pd.DataFrame({"low": edges[:-1], "high": edges[1:] - 1, "users": users})
