"""What the workspace answers with: one frozen record per kind of thing it keeps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from rim_core.datasets.report import ImportReport


@dataclass(frozen=True)
class DatasetInfo:
    """One version of a dataset.

    Attributes
    ----------
    id : int
        Number inside the workspace.
    name : str
    version : int
        1, 2, ... under that name.
    content : str
        Content hash, equal to ``EventLog.version``.
    source : str
        Format it was read from.
    options : dict
        Path, column mapping and so on: what recreates it.
    events, users, items : int
    first, last : datetime
        Time of the first and the last event, UTC.
    event_types : tuple of str
    user_columns, item_columns : dict of str to str
        Features known of users and items, and their SQL types.
    report : ImportReport or None
        What was rejected on the way in.
    added_at : datetime
    is_new : bool
        False when :meth:`Workspace.add_dataset` found the same content already there.
    """

    id: int
    name: str
    version: int
    content: str
    source: str
    options: dict[str, Any]
    events: int
    users: int
    items: int
    first: datetime
    last: datetime
    event_types: tuple[str, ...]
    user_columns: dict[str, str]
    item_columns: dict[str, str]
    report: ImportReport | None
    added_at: datetime
    is_new: bool = field(default=False, compare=False)

    @property
    def label(self) -> str:
        """Name and version ("ml1m v2")."""
        return f"{self.name} v{self.version}"


@dataclass(frozen=True)
class ModelInfo:
    """A trained model in the registry.

    Attributes
    ----------
    id : str
        Artifact id: hash of configuration, data and package version.
    name : str
        Row name in comparisons ("GRU×HawkesPoisson").
    config : dict
    dataset : str
    dataset_version : int
    split_id : str
    split : dict
        ``Split.config``.
    seconds : float or None
        Training time.
    facts : dict
        What the card says beside the figures (for example that training was kept brief).
    folder : Path
        models/<id>/.
    created_at : datetime
    """

    id: str
    name: str
    config: dict[str, Any]
    dataset: str
    dataset_version: int
    split_id: str
    split: dict[str, Any]
    seconds: float | None
    facts: dict[str, Any]
    folder: Path
    created_at: datetime


@dataclass(frozen=True)
class EvaluationRecord:
    """Figures of one model on one part of its split.

    Attributes
    ----------
    model_id : str
    part : {"calibration", "test"}
    task : {"item", "user"}
        ItemRec or UserRec.
    size : int
        k items per user-state, or c user-states per item.
    metrics : dict of str to float
        Fields of :class:`rim_core.evaluation.Evaluation`.
    """

    model_id: str
    part: str
    task: str
    size: int
    metrics: dict[str, Any]


@dataclass(frozen=True)
class JobRecord:
    """A training job as the database knows it; the live state is in its folder (see :mod:`rim_core.jobs`).

    Attributes
    ----------
    id : str
    dataset : str
    dataset_version : int
    split : dict
    spec : dict
        Model configurations and options.
    state : str
        queued, running, done, failed, cancelled or interrupted.
    message : str or None
        Why it failed and what to do.
    models : tuple of str
        Ids of the models it made.
    history : list of dict
        {"model", "step", figures} of one that is done: the last figures of every model and epoch.
    """

    id: str
    dataset: str
    dataset_version: int
    split: dict[str, Any]
    spec: dict[str, Any]
    state: str
    message: str | None
    models: tuple[str, ...]
    history: list[dict[str, Any]]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True)
class Scenario:
    """A stored plan: all that is needed to open it again, and to compute it again.

    Attributes
    ----------
    id, name : str
    dataset : str
    dataset_version : int
    split : dict
        ``Split.config``.
    model_id : str
    method : str
        "dual" or "greedy".
    constraints : dict
        Arguments of :class:`rim_core.planning.Constraints`.
    seed : int
    note : str
    certificate : dict
        objective, upper_bound, gap, max_shortfall, max_excess, feasible.
    metrics : dict
        {"offline": {...}, "online": {...}}: evaluations on calibration and test states.
    package : str
        Version of the package that computed it.
    archived : bool
    """

    id: str
    name: str
    dataset: str
    dataset_version: int
    split: dict[str, Any]
    model_id: str
    method: str
    constraints: dict[str, Any]
    seed: int
    note: str
    certificate: dict[str, Any]
    metrics: dict[str, Any]
    package: str
    archived: bool
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class FrontierRecord:
    """A stored sweep over promises.

    Attributes
    ----------
    id : str
    dataset : str
    dataset_version : int
    split : dict
    model_ids : tuple of str
    settings : dict
        capacity, shares, modes, seed.
    """

    id: str
    dataset: str
    dataset_version: int
    split: dict[str, Any]
    model_ids: tuple[str, ...]
    settings: dict[str, Any]
    created_at: datetime


@dataclass(frozen=True)
class ExportRecord:
    """A file that left the workspace.

    ``recipe`` is what it was made from (part, items, rules, suppression list, layout); None where that was not kept.
    """

    id: str
    scenario_id: str | None
    item: str | None
    path: str
    format: str
    rows: int
    sha256: str
    who: str
    created_at: datetime
    recipe: dict[str, Any] | None = None


@dataclass(frozen=True)
class SuppressionList:
    """Users who are never written to, as they were uploaded.

    Attributes
    ----------
    id, name : str
        Another upload of a name is another list; the latest is the one in force.
    users : int
    who : str
    """

    id: str
    name: str
    users: int
    who: str
    created_at: datetime


@dataclass(frozen=True)
class CampaignRecord:
    """What happened when a plan was carried out.

    Attributes
    ----------
    id, name : str
    scenario_id : str
    part : {"test", "calibration"}
        Whose deliveries were sent.
    recipe : dict
        Of the audience that was sent (:class:`rim_core.audiences.AudienceRecipe`).
    source : dict
        Files, their SHA-256 and which event types are exposures and outcomes.
    summary : dict
        Figures beside those of the items: the lift, exposures, outcomes, what lies outside the audience.
    """

    id: str
    name: str
    scenario_id: str
    part: str
    recipe: dict[str, Any]
    source: dict[str, Any]
    summary: dict[str, Any]
    who: str
    created_at: datetime


@dataclass(frozen=True)
class Activity:
    """Who did what, when.

    Attributes
    ----------
    at : datetime
        UTC.
    who : str
    what : str
        "dataset added", "job started", "audience exported" ...
    subject : str
        Name or id of the thing.
    detail : dict
    """

    at: datetime
    who: str
    what: str
    subject: str
    detail: dict[str, Any]


@dataclass(frozen=True)
class Finding:
    """Something a health check noticed.

    Attributes
    ----------
    level : {"ok", "note", "problem"}
    subject : str
    text : str
    remedy : str
        What to do; empty when nothing is.
    """

    level: str
    subject: str
    text: str
    remedy: str = ""
