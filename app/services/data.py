"""Datasets: adding them, what they look like, how they are cut."""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from app import summaries
from app.services.owner import change, tasks, told, workspace
from app.tasks import Report
from rim_core.datasets.guessing import Preview, guess_columns
from rim_core.datasets.log import EventLog
from rim_core.datasets.split import Split
from rim_core.jobs.splits import make_split
from rim_core.storage import DatasetInfo, Workspace
from rim_core.wording import counted


@dataclass(frozen=True)
class ImportRequest:
    """A dataset to add.

    Attributes
    ----------
    name : str
    source : str
        Format, as ``rim_core.load_dataset`` calls it.
    path : str or None
    options : dict
        What else the reader wants to know.
    """

    name: str
    source: str
    path: str | None = None
    options: dict[str, Any] | None = None

    def named(self, name: str) -> ImportRequest:
        """The same under another name."""
        return replace(self, name=name)


@dataclass(frozen=True)
class Writing:
    """How a table writes text, times and numbers.

    Attributes
    ----------
    encoding, time_format, timezone, decimal : str
        As :class:`rim_core.datasets.tables.TableReader` takes them.
    """

    encoding: str = "utf-8"
    time_format: str = "auto"
    timezone: str = "UTC"
    decimal: str = "auto"

    def options(self, source: str) -> dict[str, Any]:
        """What the reader of a "csv" or "parquet" file is told."""
        told = asdict(self)
        return told if source == "csv" else {k: v for k, v in told.items() if k != "encoding"}


LABELS = {"encoding": "Encoding", "time_format": "Format of the times", "decimal": "Decimal sign"}
"""What the fields of a writing are called on the page."""


ISO_TIME = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)?")
SIGNS = {"','": "comma", "'.'": "point"}
"""Decimal signs, which look lost between quotes."""


def in_words(text: str) -> str:
    """What the engine says in its own terms (keyword arguments, ISO times) in those of the page."""
    text = ISO_TIME.sub(lambda found: f"{pd.Timestamp(found[0]):%d %b %Y, %H:%M}", text)
    given = rf"""\b({"|".join(LABELS)})=('[^']*')"""
    return re.sub(given, lambda found: f"“{LABELS[found[1]]}” {SIGNS.get(found[2], found[2])}", text)


def datasets() -> list[DatasetInfo]:
    """The latest version of every dataset."""
    return workspace().datasets()


def dataset_version(label: str) -> DatasetInfo | None:
    """One version of a dataset, by its label; None when it is there no more."""
    return next((d for d in workspace().datasets(all_versions=True) if d.label == label), None)


def add_dataset(request: ImportRequest) -> str:
    """Import in the background; the key of the task, whose result is a DatasetInfo."""

    def work(report: Report) -> DatasetInfo:
        with change() as opened:
            return opened.add_dataset(
                request.name, request.source, path=request.path, options=request.options, callback=told(report)
            )

    key = f"add {json.dumps(asdict(request), sort_keys=True)}"
    tasks.drop(key)
    return tasks.request(key, work).key


def remove_dataset(info: DatasetInfo) -> None:
    """Take one version of a dataset out of the workspace; models and plans made from it stay."""
    with change() as opened:
        opened.remove_dataset(info.name, info.version)


def preview(path: str, encoding: str = "utf-8") -> Preview:
    """Layout, first rows and guessed columns of a table."""
    return guess_columns(path, encoding=encoding)


UNREAD = "\N{REPLACEMENT CHARACTER}"
"""What stands for bytes that are no letter in the encoding."""


def undecoded(shown: Preview) -> bool:
    """Whether names or first cells of the columns hold bytes that are no letters in the encoding."""
    texts = [*map(str, shown.rows.columns), *shown.rows.astype(str).to_numpy().ravel()]
    return any(UNREAD in text for text in texts)


def guessed_types(shown: Preview) -> dict[str, str]:
    """What the cells of every column look like, by its name: "number", "time" or "text"."""
    return {str(c): _kind(shown.rows[c]) for c in shown.rows.columns}


_NUMBER = r"[+-]?(\d*,\d+|\d{1,3}(\.\d{3})+(,\d*)?|\d{1,3}(,\d{3})+(\.\d*)?|\d+)"
"""With a decimal comma, or thousands set apart."""


def _kind(column: pd.Series) -> str:
    cells = column.dropna().astype(str).str.strip()
    cells = cells[cells != ""]
    if cells.empty:
        return "empty"
    if pd.to_numeric(cells, errors="coerce").notna().all() or cells.str.fullmatch(_NUMBER).all():
        return "number"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if pd.to_datetime(cells, errors="coerce", utc=True, format="mixed").notna().all():
            return "time"
    return "text"


def keep_upload(name: str, identity: str, content: BinaryIO) -> str:
    """Where an uploaded file was put, for the importer to stream it."""
    safe = re.sub(r"[^\w.-]+", "_", Path(name).name).strip("._") or "upload.csv"
    folder = workspace().root / "data" / "uploads" / re.sub(r"\W", "", identity)[:16]
    target = folder / safe
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        content.seek(0)
        with target.with_suffix(".part").open("wb") as out:
            while chunk := content.read(1 << 20):
                out.write(chunk)
        target.with_suffix(".part").replace(target)
    return str(target)


def events(info: DatasetInfo) -> EventLog:
    """The events of a dataset; the last few are kept."""
    return read_log(workspace(), info.name, info.version)


@lru_cache(maxsize=3)
def read_log(opened: Workspace, name: str, version: int) -> EventLog:
    return opened.log(name, version)


def overview(info: DatasetInfo) -> summaries.Overview:
    """What a dataset looks like."""
    return _overview(workspace(), info.name, info.version)


@lru_cache(maxsize=8)
def _overview(opened: Workspace, name: str, version: int) -> summaries.Overview:
    found = read_log(opened, name, version)
    a = found.arrays
    return summaries.overview(a.user, a.item, a.time, found.items)


@dataclass(frozen=True)
class SplitChoice:
    """How a log is cut.

    Attributes
    ----------
    by : {"time", "user"}
    horizon_days : int
    calibration : int
        Windows before the test window (by time only).
    exclude_seen : bool
    start : str or None
        ISO date on which the test window begins; by default the last window that fits.
    """

    by: str = "time"
    horizon_days: int = 14
    calibration: int = 1
    exclude_seen: bool = False
    start: str | None = None

    def config(self) -> dict[str, Any]:
        """What ``make_split`` wants to know."""
        if self.by == "user":
            return {"by": "user", "exclude_seen": self.exclude_seen}
        config: dict[str, Any] = {
            "by": "time",
            "horizon": f"{self.horizon_days}D",
            "calibration": self.calibration,
            "exclude_seen": self.exclude_seen,
        }
        return config if self.start is None else {**config, "start": self.start}

    def describe(self) -> str:
        """In words."""
        return describe_split(self.config())


def describe_split(config: dict[str, Any]) -> str:
    """A split configuration in words: "14 days, 1 calibration window"."""
    seen = ", without what was seen" if config.get("exclude_seen") else ""
    if config.get("by") == "user":
        return f"by user{seen}"
    horizon = pd.Timedelta(config.get("horizon", "14D"))
    length = counted(horizon.days, "days") if horizon.days else str(horizon)
    windows = int(config.get("calibration", 1))
    start = f", test from {pd.Timestamp(config['start']):%d %b %Y}" if config.get("start") else ""
    return f"{length} ahead, {counted(windows, 'calibration windows')}{seen}{start}"


def default_split(info: DatasetInfo) -> SplitChoice:
    """Two weeks where the log is long enough; seen items stay in play where people buy again."""
    span = max(1, (info.last - info.first).days)
    if span < 4:
        return SplitChoice(by="user", exclude_seen=overview(info).repeat_rate < 0.05)
    return SplitChoice(horizon_days=max(1, min(14, span // 6)), exclude_seen=overview(info).repeat_rate < 0.05)


PARTS = {"train": "training", "labelled": "windows to learn from", "calibration": "calibration", "test": "test"}
"""Parts of a split in the words of the page."""


@dataclass(frozen=True, eq=False)
class Windows:
    """A split as it is drawn.

    Attributes
    ----------
    windows : DataFrame or None
        part, start, stop; None for a split by user.
    table : DataFrame
        Table S1.
    """

    windows: pd.DataFrame | None
    table: pd.DataFrame


def windows(info: DatasetInfo, choice: SplitChoice) -> Windows:
    """The windows and counts of a split."""
    split = cut(workspace(), info.name, info.version, json.dumps(choice.config(), sort_keys=True))
    table = split.summary()
    table["part"] = table["part"].map(PARTS).fillna(table["part"])
    if choice.by == "user":
        return Windows(None, table)
    first = pd.Timestamp(info.first).tz_localize(None)
    test = pd.to_datetime(int(split.test.time.min()), unit="us")
    length = pd.Timedelta(split.test.horizon, "us")
    calibration = pd.to_datetime(int(split.calibration.time.min()), unit="us")
    parts = [("training", first, calibration)]
    starts = np.unique(split.calibration.time)
    parts += [
        ("calibration", pd.to_datetime(int(t), unit="us"), pd.to_datetime(int(t), unit="us") + length) for t in starts
    ]
    parts.append(("test", test, test + length))
    return Windows(pd.DataFrame(parts, columns=["part", "start", "stop"]), table)


@lru_cache(maxsize=6)
def cut(opened: Workspace, name: str, version: int, config: str) -> Split:
    return make_split(read_log(opened, name, version), json.loads(config))
