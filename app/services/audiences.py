"""Audiences: what a saved plan gives to whom, and the files made from it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from app.services.data import cut, read_log
from app.services.owner import change, workspace
from rim_core.audiences import export_pairs
from rim_core.errors import RimError
from rim_core.planning import Constraints
from rim_core.storage import Scenario, Workspace


def audience_items(scenario: Scenario, part: str) -> pd.DataFrame:
    """Every item of a plan, most deliveries first.

    Returns
    -------
    DataFrame
        item_id, title, label (for a list), delivered (user-states), expected (interactions; NaN where the scores are no
        counts), minimum (user-states promised; <NA> where that can no longer be told).
    """
    return _items(workspace(), scenario.id, part).copy()


@lru_cache(maxsize=8)
def _items(opened: Workspace, scenario_id: str, part: str) -> pd.DataFrame:
    scenario = opened.scenario(scenario_id)
    items = opened.scenario_items(scenario_id)[["item_id"]]
    items["minimum"] = pd.array(_minimum(opened, scenario, part, len(items)), dtype="Int64")
    items = items.merge(opened.delivered_by_item(scenario_id, part), on="item_id", how="left")
    items["delivered"] = items["delivered"].fillna(0).astype(int)
    items["title"] = items["item_id"].map(_titles(opened, scenario)).fillna(items["item_id"])
    items["label"] = [
        title if title == identity else f"{title} · {identity}"
        for title, identity in zip(items["title"], items["item_id"], strict=True)
    ]
    return items.sort_values(["delivered", "item_id"], ascending=[False, True], ignore_index=True)


def _minimum(opened: Workspace, scenario: Scenario, part: str, n: int) -> Sequence[int | None]:
    """What every item is promised on a part's user-states; unknown once the dataset was removed."""
    try:
        config = json.dumps(scenario.split, sort_keys=True)
        states = getattr(cut(opened, scenario.dataset, scenario.dataset_version, config), part)
        promised: list[int] = Constraints(**scenario.constraints).bounds(len(states), n, crossing=True).minimum.tolist()
    except RimError:
        return [None] * n
    return promised


def _titles(opened: Workspace, scenario: Scenario) -> pd.Series:
    """Title of every item by id; empty once the dataset was removed."""
    try:
        titles = read_log(opened, scenario.dataset, scenario.dataset_version).items["title"]
    except RimError:
        return pd.Series(dtype=object)
    return titles.astype(str)


def audience(
    scenario: Scenario, part: str, *, items: Sequence[str] | None = None, user: str | None = None
) -> pd.DataFrame:
    """The pairs of some items (all by default) or of one user, best user-states of an item first.

    Returns
    -------
    DataFrame
        user_id, item_id, title, rank, score, expected and what else the workspace keeps of a pair.
    """
    pairs = _pairs(scenario, part, items, user)
    titles = audience_items(scenario, part).set_index("item_id")["title"]
    return pairs.assign(title=pairs["item_id"].map(titles))


def _pairs(scenario: Scenario, part: str, items: Sequence[str] | None, user: str | None = None) -> pd.DataFrame:
    opened = workspace()
    if items is None or user is not None:
        return opened.scenario_pairs(scenario.id, part, user=user)
    found = [opened.scenario_pairs(scenario.id, part, item=item) for item in items]
    return pd.concat(found, ignore_index=True) if found else opened.scenario_pairs(scenario.id, part, limit=0)


def export_csv(scenario: Scenario, part: str, items: Sequence[str] | None = None) -> bytes:
    """The audience file of some items (all by default): kept in the workspace, written down, and returned.

    Raises
    ------
    StorageError
        The workspace cannot be written.
    """
    with change() as opened:
        stamp = f"{datetime.now(UTC):%Y%m%d-%H%M%S-%f}"
        path = opened.exports_folder / f"{stamp}-{export_name(scenario, part, items)}"
        receipt = export_pairs(_pairs(scenario, part, items), to=path)
        item = ", ".join(items) if items is not None else None
        opened.record_export(receipt.path, rows=receipt.rows, format=receipt.format, scenario_id=scenario.id, item=item)
        return receipt.path.read_bytes()


def export_name(scenario: Scenario, part: str, items: Sequence[str] | None = None) -> str:
    """A file name that says what is inside, in letters that every system takes."""
    if items is None:
        what = "all items"
    else:
        what = items[0] if len(items) == 1 else f"{len(items)} items"
    words = [scenario.name, what, "delivered" if part == "test" else "planned"]
    return "_".join(re.sub(r"[^A-Za-z0-9.]+", "-", word).strip("-.")[:60] or "x" for word in words) + ".csv"


def exports() -> pd.DataFrame:
    """Files made so far, the latest first: created_at, who, file, rows, sha256."""
    rows = [
        {"created_at": e.created_at, "who": e.who, "file": Path(e.path).name, "rows": e.rows, "sha256": e.sha256}
        for e in workspace().exports()
    ]
    return pd.DataFrame(rows, columns=["created_at", "who", "file", "rows", "sha256"])


def reach(pairs: pd.DataFrame) -> tuple[int, float]:
    """Distinct users of some pairs, and the interactions expected of them (NaN where scores are no counts)."""
    expected = pairs["expected"].astype(float)
    return int(pairs["user_id"].nunique()), float(expected.sum()) if expected.notna().all() else np.nan
