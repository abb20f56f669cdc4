"""The model comparison as rows and as text, from stored figures."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from rim_core.cli.output import table
from rim_core.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rim_core.storage import ModelInfo, Workspace

FIGURES = ("precision", "recall", "perplexity")


def comparison(
    workspace: Workspace, models: Iterable[ModelInfo], sizes: Mapping[str, int] | None = None
) -> list[dict[str, Any]]:
    """A row a model: ItemRec and UserRec on the test window, best UserRec last.

    Parameters
    ----------
    sizes : mapping, optional
        {"item": k, "user": c}; 1 % of the items and of the user-states by default.
    """
    rows = []
    for info in models:
        wanted = {**one_percent(workspace, info), **(sizes or {})}
        row: dict[str, Any] = {"model": info.name, "id": info.id, "seconds": info.seconds, "facts": info.facts}
        for record in workspace.evaluations(info.id):
            if record.part != "test" or record.size != wanted[record.task]:
                continue
            row[f"{record.task}_size"] = record.size
            for figure in FIGURES:
                key = f"{record.task}_perplexity" if figure == "perplexity" else figure
                row[f"{record.task}_{figure}"] = record.metrics[key]
        rows.append(row)
    return sorted(rows, key=lambda row: (row.get("user_precision") or 0.0, row["model"]))


def one_percent(workspace: Workspace, info: ModelInfo) -> dict[str, int]:
    """k and c where nothing else is asked for: 1 % of the items and of the test states, rounded up."""
    test = next(row for row in workspace.split_summary(info.split_id) if row["part"] == "test")
    return {"item": max(1, math.ceil(test["items"] / 100)), "user": max(1, math.ceil(test["states"] / 100))}


def comparison_text(rows: list[dict[str, Any]]) -> str:
    """The comparison as a table."""
    first = rows[0] if rows else {}
    titles = {
        "model": "Model",
        "item_precision": f"ItemRec@{first.get('item_size', '?')}",
        "item_recall": "recall",
        "item_perplexity": "items reached",
        "user_precision": f"UserRec@{first.get('user_size', '?')}",
        "user_recall": "recall",
        "user_perplexity": "users reached",
        "seconds": "training (s)",
        "id": "id",
    }
    decimals = {key: ".5f" for key in titles if key.endswith(("precision", "recall"))}
    return table(rows, titles, {**decimals, "item_perplexity": ".1f", "user_perplexity": ".1f", "seconds": ".1f"})


def split_words(config: Mapping[str, Any]) -> str:
    """A split in words."""
    seen = ", without items already seen" if config.get("exclude_seen") else ""
    if config.get("preset"):
        return f"the {config['preset']} protocol"
    if config.get("by") == "user":
        return f"split by user{seen}"
    windows = int(config.get("calibration", 1))
    start = pd.Timestamp(config["start"]).date() if config.get("start") else "the last that fit"
    length = pd.Timedelta(config.get("horizon", "14D"))
    whole = counted(length.days, "days") if length == pd.Timedelta(length.days, "D") else str(length)
    return f"{whole} from {start}, {counted(windows, 'calibration windows')} before{seen}"
