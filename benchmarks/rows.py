"""What the comparison benchmarks share: models by name, a row each, calibration, a table and JSON."""

from __future__ import annotations

import argparse
import inspect
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

import rim_core as rim
from rim_core.jobs.naming import model_config
from rim_core.models import Model

if TYPE_CHECKING:
    from collections.abc import Iterable

SHARED = Path(os.environ.get("RIM_SHARED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
AFFINITIES = [
    "Random", "Popularity", "Frequency", "ALS", "LogisticMF", "BPR", "LightFM-BPR-Item", "LightFM-BPR-User",
    "GraphConv", "GraphConv-Extra", "RFM-GBDT", "BoostedCounts", "HorizonCounts",
]  # fmt: skip
DRAWS = 1000


def parser_of(text: str | None, models: list[str]) -> argparse.ArgumentParser:
    """--models, --seeds, --json and --threads, as every comparison takes them."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=models, help='names such as ALS or "GRU×HawkesPoisson"')
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write all figures here")
    return parser


def made(name: str, seed: int) -> Model:
    """An unfitted model by name; what takes a seed gets it."""
    parts = [p.strip() for p in name.replace("*", "×").removesuffix("+NewItems").split("×")]
    settings = {}
    for part in parts:
        cls = Model.registry[model_config(part)["model"]]
        if "seed" in inspect.signature(cls.__init__).parameters:
            settings[cls.__name__.lower()] = {"seed": seed}
    return Model.from_config(model_config(name, settings))


def row(model: Model, states: rim.UserStates) -> dict[str, float]:
    """Both directions, and whether scores are counts: expected against what happened, in all and by decile."""
    scores = model.score(states)
    figures: dict[str, float] = rim.compare([model], states).iloc[0].to_dict()
    expected = scores.row_sums()
    allowed = states.targets if states.seen is None else states.targets - states.targets.multiply(states.seen > 0)
    happened = np.asarray(allowed.sum(axis=1), float).ravel()
    table = deciles(expected, happened)
    enough = table[table["happened"] >= 500]
    kept = ((enough["ratio"] - 1).abs() <= 0.1) | ((enough["low"] <= 1) & (enough["high"] >= 1))
    figures["total"] = expected.sum() / max(happened.sum(), 1.0)
    figures["deciles_kept"] = float(kept.mean()) if len(kept) else float("nan")
    return figures


def deciles(expected: np.ndarray, happened: np.ndarray, seed: int = 0) -> pd.DataFrame:
    """Tenths of the states by what is expected of them: ratio to what happened, with its 95 % bootstrap interval."""
    rng = np.random.default_rng(seed)
    rows = []
    for part in np.array_split(np.argsort(expected, kind="stable"), 10):
        e, h = expected[part], happened[part]
        drawn = rng.integers(len(part), size=(DRAWS, len(part)))
        with np.errstate(divide="ignore", invalid="ignore"):
            happens = h[drawn].sum(axis=1)
            ratios = e[drawn].sum(axis=1)[happens > 0] / happens[happens > 0]
            ratio = e.sum() / h.sum()
        low, high = np.quantile(ratios, [0.025, 0.975]) if len(ratios) else (np.nan, np.nan)
        rows.append({"expected": e.sum(), "happened": h.sum(), "ratio": ratio, "low": low, "high": high})
    return pd.DataFrame(rows)


def run(name: str, seed: int, split: rim.Split, states: rim.UserStates, *, refit: bool = False) -> dict[str, Any]:
    """Train one model and measure it."""
    model = made(name, seed)
    begun = time.process_time()
    model.fit(split, refit=refit)
    fitted = time.process_time() - begun
    begun = time.process_time()
    figures = row(model, states)
    figures.update(fit_cpu_seconds=fitted, measure_cpu_seconds=time.process_time() - begun)
    print(
        f"{model.name} (seed {seed}): ItemRec {figures['item_precision']:.5f}, "
        f"UserRec {figures['user_precision']:.5f}, expected/happened {figures['total']:.3f}, {fitted:.1f} CPU s",
        flush=True,
    )
    return {"model": model.name, "seed": seed, **figures, "training": model.fit_info.get("training", "")}


def table_of(runs: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Mean over the seeds, and their spread where there are several; a row each model."""
    frame = pd.DataFrame([{k: v for k, v in r.items() if k != "training"} for r in runs])
    wanted = {
        "item_precision": "ItemRec", "user_precision": "UserRec", "item_recall": "item recall",
        "user_recall": "user recall", "item_perplexity": "item ppl", "user_perplexity": "user ppl",
        "total": "exp/happened", "deciles_kept": "deciles kept", "fit_cpu_seconds": "CPU s",
    }  # fmt: skip
    by = frame.groupby("model", sort=False)
    table = by[[c for c in wanted if c in frame]].mean().rename(columns=wanted)
    if frame["seed"].nunique() > 1:
        spread = by[["item_precision", "user_precision"]].std()
        table.insert(1, "ItemRec sd", spread["item_precision"])
        table.insert(3, "UserRec sd", spread["user_precision"])
    return table


def shown(table: pd.DataFrame) -> str:
    """A table as text."""
    return table.to_string(float_format=lambda x: f"{x:.5f}" if abs(x) < 1 else f"{x:.2f}", na_rep="")


def written(path: Path | None, result: dict[str, Any]) -> None:
    """Write the figures as JSON where a path is given."""
    if path is not None:
        path.write_text(json.dumps(result, indent=1, ensure_ascii=False), encoding="utf-8")
