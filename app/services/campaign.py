"""After the campaign: results that come back, against what was promised, planned and expected."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from app.services.audiences import FORMATS, audience_items, describe_rules
from app.services.data import Writing, cut, in_words
from app.services.owner import change, tasks, workspace
from app.tasks import Report
from rim_core.audiences import AudienceRecipe, audience_of
from rim_core.columns import DEFAULT_TYPE
from rim_core.datasets import load_dataset
from rim_core.datasets.answers import answer_of
from rim_core.datasets.log import EventLog
from rim_core.errors import DataError, EmptyLogError
from rim_core.evaluation import CampaignResult, arrivals, campaign_events, campaign_result, guess_roles
from rim_core.storage import CampaignRecord, DatasetInfo, ExportRecord, Scenario
from rim_core.storage.files import sha256_of

PLAIN = Writing()
HISTORY = "history"
"""In place of files: what happened in the test window, as a dry run without any campaign."""


@dataclass(frozen=True)
class ResultFile:
    """A file of results.

    Attributes
    ----------
    path : str
    name : str
        As it was uploaded.
    exposures, outcomes : tuple of str
        Event types of it that are one or the other.
    columns : tuple of (str, str)
        Role and column of the file; by default guessed from the names. With an "outcome", every row says what came of
        it.
    writing : Writing
        Its encoding and times.
    """

    path: str
    name: str
    exposures: tuple[str, ...]
    outcomes: tuple[str, ...]
    columns: tuple[tuple[str, str], ...] = ()
    writing: Writing = PLAIN


@dataclass(frozen=True)
class CampaignRequest:
    """What is to be measured.

    Attributes
    ----------
    recipe : AudienceRecipe
        The audience that was sent, with its hold-out group.
    files : tuple of ResultFile
        None: the dry run on history.
    """

    recipe: AudienceRecipe
    files: tuple[ResultFile, ...] = ()

    @property
    def key(self) -> str:
        """Equal requests have equal keys."""
        return json.dumps([self.recipe.to_dict(), [asdict(f) for f in self.files]], sort_keys=True)


@dataclass(frozen=True, eq=False)
class FileContents:
    """What a file of results holds.

    Attributes
    ----------
    rows : int
        Read, whether they can be used or not.
    reasons : str
        The import report in words.
    rejects : DataFrame
        line, reason, text: a row a rejected one.
    types : dict of str to int
        Rows of every event type.
    exposures, outcomes : list of str
        Event types that seem to be one or the other.
    answers : DataFrame or None
        word, rows, read: what the outcome column says and how that is read; None where there is no such column.
    """

    rows: int
    reasons: str
    rejects: pd.DataFrame
    types: dict[str, int]
    exposures: list[str]
    outcomes: list[str]
    answers: pd.DataFrame | None = None


def sent_audiences(scenario: Scenario) -> dict[str, tuple[str, AudienceRecipe]]:
    """Audiences that can be measured, by key: what was exported with its recipe, then the whole plan.

    Files of several layouts that hold the same deliveries are one audience, under the key of the latest.
    """
    sent: dict[AudienceRecipe, list[ExportRecord]] = {}
    for record in workspace().exports(scenario_id=scenario.id):
        if record.recipe is not None:
            recipe = replace(AudienceRecipe.from_dict(record.recipe), format="csv", country_code=None)
            sent.setdefault(recipe, []).append(record)
    found: dict[str, tuple[str, AudienceRecipe]] = {}
    for recipe, records in sent.items():
        latest = max(records, key=lambda r: r.created_at)
        number = 0 if recipe.items is None else len(recipe.items)
        what = ("one item" if number == 1 else f"{number:,} items") if number else "all items"
        layouts = ", ".join(dict.fromkeys(FORMATS.get(r.format, r.format) for r in records))
        label = f"{latest.created_at:%d %b %Y, %H:%M} · {what} · {describe_rules(recipe.rules)} · {layouts}"
        found[latest.id] = (label, recipe)
    found["plan"] = ("The whole plan, nobody held out", AudienceRecipe(scenario.id))
    return found


def template() -> bytes:
    """A file of results to fill in: one user who was written to, and one held out who responded all the same."""
    rows = [
        ("user_id", "item_id", "timestamp", "event_type"),
        ("1", "A", "2026-03-01T09:00:00Z", "exposure"),
        ("1", "A", "2026-03-02T18:30:00Z", "outcome"),
        ("2-held-out", "A", "2026-03-03T12:00:00Z", "outcome"),
    ]
    text = io.StringIO()
    text.writelines(",".join(row) + "\n" for row in rows)
    return text.getvalue().encode()


def contents(path: str, columns: tuple[tuple[str, str], ...] = (), writing: Writing = PLAIN) -> FileContents:
    """What a file of results holds, and which of its event types seem to be exposures and outcomes.

    With an outcome column, rows are exposures unless their event types say otherwise.

    Raises
    ------
    EmptyLogError
        No row of it can be used.
    DataError
        It is no table with users, items and times.
    """
    log = _read(path, columns, writing)
    counts = log.events["event_type"].astype(str).value_counts()
    exposures, outcomes = guess_roles(counts.index)
    answered = _answers(columns)
    report = log.report
    return FileContents(
        rows=len(log) if report is None else report.rows_read,
        reasons="" if report is None else in_words(report.summary(where=False)),
        rejects=rejected_rows(None if report is None else report.rejects_file),
        types={str(k): int(v) for k, v in counts.items()},
        exposures=(exposures or [str(k) for k in counts.index]) if answered else exposures,
        outcomes=[] if answered else outcomes,
        answers=_words(path, columns, writing) if answered else None,
    )


@lru_cache(maxsize=8)
def rejected_rows(file: Path | None) -> pd.DataFrame:
    """Rows that an import rejected: line, reason and text; empty where it rejected none."""
    if file is None or not file.exists():
        return pd.DataFrame(columns=["line", "reason", "text"])
    return pd.read_csv(file, dtype={"text": str}, keep_default_na=False)[["line", "reason", "text"]]


def _answers(columns: tuple[tuple[str, str], ...]) -> bool:
    """Whether a column says of every row what came of it."""
    return any(role == "outcome" for role, _ in columns)


def _words(path: str, columns: tuple[tuple[str, str], ...], writing: Writing) -> pd.DataFrame:
    """What the outcome column says, by how often, and how each word is read."""
    roles = dict(columns)
    roles["event_type"] = roles.pop("outcome")
    counts = _read(path, tuple(roles.items()), writing, default_type="").events["event_type"].value_counts()
    words = pd.Series(counts.index, dtype=object).astype(str)
    shown = words.where(words.str.strip() != "", "(nothing)")
    return pd.DataFrame({"word": shown, "rows": counts.to_numpy(), "read": words.map(read_as)})


def read_as(word: str) -> str:
    """How a cell of an outcome column is read, in a word."""
    times = answer_of(word)
    if times is None:
        return "rejected"
    return {0.0: "no", 1.0: "yes"}.get(times, f"{times:,.0f} times")


@lru_cache(maxsize=8)
def _read(
    path: str, columns: tuple[tuple[str, str], ...], writing: Writing, default_type: str = DEFAULT_TYPE
) -> EventLog:
    """Equal rows count: a user may be shown a thing twice in a second."""
    kind = "parquet" if Path(path).suffix.lower() == ".parquet" else "csv"
    options = {"columns": dict(columns) or None, "default_type": default_type, **writing.options(kind)}
    try:
        return load_dataset(kind, path, duplicates="keep", **options)
    except EmptyLogError as error:
        said = in_words(error.said)
        raise EmptyLogError(said, rejects_file=error.rejects_file) from error
    except DataError as error:
        raise DataError(in_words(str(error))) from error


def request_results(request: CampaignRequest, wish: str) -> str:
    """Measure a campaign; the key of the task, whose result is the engine's CampaignResult."""
    key = results_key(request)
    return tasks.request(key, lambda report: _measure(request, report), wish).key


def results_key(request: CampaignRequest) -> str:
    """Key of that task."""
    return f"campaign {request.key}"


def _measure(request: CampaignRequest, report: Report) -> CampaignResult:
    opened = workspace()
    scenario = opened.scenario(request.recipe.scenario_id)
    report("reading what happened", 0.1)
    events, seen = _events(request.files) if request.files else _history(scenario, request.recipe.part)
    report("finding the audience again", 0.4)
    audience = audience_of(opened, request.recipe)
    if not request.files:
        events = pd.concat([events, _as_exposures(audience.pairs, scenario, request.recipe.part)], ignore_index=True)
    items = audience_items(scenario, request.recipe.part).set_index("item_id")["minimum"]
    if request.recipe.items is not None:
        items = items[items.index.isin(request.recipe.items)]
    report("comparing", 0.8)
    return campaign_result(audience.pairs, audience.held_out, events, items, seen=seen)


def _events(files: Sequence[ResultFile]) -> tuple[pd.DataFrame, set[str]]:
    """Exposures and outcomes of files, and the users whom a file with outcomes names in any row."""
    parts, seen = [], set()
    for f in files:
        log, answers = _read(f.path, f.columns, f.writing), _answers(f.columns)
        parts.append(campaign_events(log, f.exposures, f.outcomes, answers=answers))
        if answers or f.outcomes:
            seen.update(log.events["user_id"].unique().astype(str))
    events = pd.concat(parts, ignore_index=True)
    if events.empty:
        raise DataError("No event type is an exposure or an outcome: say which is which.")
    return events, seen


def _history(scenario: Scenario, part: str) -> tuple[pd.DataFrame, set[str]]:
    """What the user-states of a part went on to do, as outcomes, and all of their users: it is known of everybody."""
    config = json.dumps(scenario.split, sort_keys=True)
    states = getattr(cut(workspace(), scenario.dataset, scenario.dataset_version, config), part)
    happened = states.targets.tocoo()
    events = pd.DataFrame(
        {
            "user_id": states.user_ids[happened.row].astype(str),
            "item_id": states.item_ids[happened.col].astype(str),
            "time": pd.to_datetime(arrivals(states).moment[happened.row], unit="us", utc=True),
            "kind": "outcome",
            "count": happened.data.astype(float),
        }
    )
    return events, set(np.unique(states.user_ids).astype(str))


def _as_exposures(pairs: pd.DataFrame, scenario: Scenario, part: str) -> pd.DataFrame:
    """Every delivery of the audience as made when its user-state came."""
    config = json.dumps(scenario.split, sort_keys=True)
    states = getattr(cut(workspace(), scenario.dataset, scenario.dataset_version, config), part)
    moments = arrivals(states).moment[pairs["state"].to_numpy(np.int64)]
    shown = pairs[["user_id", "item_id"]].assign(time=pd.to_datetime(moments, unit="us", utc=True))
    return shown.assign(kind="exposure", count=1.0)


# -- kept campaigns ------------------------------------------------------------------------------------------------


def keep_campaign(name: str, request: CampaignRequest, result: CampaignResult) -> CampaignRecord:
    """Keep the figures of a measured campaign."""
    with change() as opened:
        scenario = opened.scenario(request.recipe.scenario_id)
        files = [{**asdict(f), "sha256": sha256_of(Path(f.path))} for f in request.files]
        summary = {
            "lift": None if result.lift is None else result.lift.to_dict(),
            "no_lift": result.no_lift,
            **{k: getattr(result, k) for k in _SUMMARY},
        }
        return opened.save_campaign(
            name,
            scenario=scenario,
            part=request.recipe.part,
            recipe=request.recipe.to_dict(),
            source={"files": files} if files else {"files": [], "dry_run": HISTORY},
            summary=summary,
            items=result.items,
            days=result.over_time,
        )


_SUMMARY = ("exposures", "outcomes", "outside_exposures", "outside_outcomes", "contaminated")


def campaigns(info: DatasetInfo) -> list[CampaignRecord]:
    """Campaigns measured on plans of a dataset, the latest first."""
    return workspace().campaigns([s.id for s in workspace().scenarios(info.name, archived=True)])


def kept_result(record: CampaignRecord) -> CampaignResult:
    """A campaign as it was kept."""
    from rim_core.evaluation import Lift

    opened = workspace()
    lift = record.summary["lift"]
    return CampaignResult(
        items=opened.campaign_items(record.id),
        lift=None if lift is None else Lift(**lift),
        no_lift=record.summary["no_lift"],
        over_time=opened.campaign_days(record.id),
        **{k: int(record.summary[k]) for k in _SUMMARY},
    )


def forget_campaign(campaign_id: str) -> None:
    """Remove a campaign's figures."""
    with change() as opened:
        opened.remove_campaign(campaign_id)


def item_titles(scenario_id: str, part: str) -> dict[str, Any]:
    """Title of every item of a plan."""
    items = audience_items(workspace().scenario(scenario_id), part)
    return dict(zip(items["item_id"], items["title"], strict=True))
