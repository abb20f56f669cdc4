"""The workspace: one DuckDB file with everything that was brought in, trained, planned and exported."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Self

from rim_core.errors import NotFoundError
from rim_core.storage.campaigns import CampaignStore
from rim_core.storage.database import open_database
from rim_core.storage.datasets import DatasetStore
from rim_core.storage.files import unwritable
from rim_core.storage.owner import Owner
from rim_core.storage.records import Finding
from rim_core.storage.registry import ModelStore
from rim_core.storage.scenarios import ScenarioStore
from rim_core.wording import counted

if TYPE_CHECKING:
    from types import TracebackType

ENVIRONMENT = "RIM_WORKSPACE"
LOW_DISK = 1 << 30
"""Bytes of free disk below which the health check warns."""


def default_root() -> Path:
    """The folder of the environment variable RIM_WORKSPACE, else the current one."""
    return Path(os.environ.get(ENVIRONMENT) or Path.cwd())


class Workspace(DatasetStore, ModelStore, ScenarioStore, CampaignStore):
    """A folder R: R/data/rim.duckdb with rejects/, jobs/ and exports/ beside it, and R/models/<id>/.

    One process owns it; any number of threads of that process may use one ``Workspace`` (each thread gets its own
    cursor, writers take turns). Opening it twice in one process gives the same database. Workers never open it.

    Parameters
    ----------
    root : Path, optional
        R; the environment variable RIM_WORKSPACE or the current folder by default.
    create : bool
        Make it when there is none.
    command, address : str, optional
        What this process is and where it serves, for whoever is refused.

    Attributes
    ----------
    root : Path
    recovered : tuple of str
        What happened when the last owner ended without closing, for a person to read; empty after a clean end.

    Raises
    ------
    WorkspaceBusyError
        Another process has it open.
    NotFoundError
        There is no workspace and ``create`` is off.
    StorageError
        It cannot be created, read or brought up to date (full disk, read-only folder, newer version).

    Examples
    --------
    ========== ====================================================================================
    datasets   ``add_dataset(name, source, path=None, options=None, callback=silent) -> DatasetInfo``,
               ``add_log(name, log)``, ``datasets()``, ``dataset(name, version=None)``,
               ``log(name, version=None) -> EventLog``, ``write_log``, ``remove_dataset``
    splits     ``save_split(info, config, summary) -> id``, ``splits(info)``, ``split_summary(id)``
    models     ``models(dataset=None, split_id=None)``, ``model_info(id)``, ``load_model(id)``, ``add_model``,
               ``remove_model``, ``check_models``, ``evaluations(model_id=None)``, ``save_evaluations``
    jobs       ``job_records()``; start them with :class:`rim_core.jobs.Jobs`
    plans      ``save_scenario(name, ...) -> Scenario``, ``scenarios()``, ``scenario(id)``, ``scenario_items(id)``,
               ``scenario_pairs(id, part, item=)``, ``delivered_by_item``, ``deliver``, ``update_scenario``
    frontiers  ``save_frontier(points, ...)``, ``frontiers()``, ``frontier_points(id)``
    exports    ``record_export(path, rows=..., recipe=...)``, ``exports()``, ``user_features(info, columns)``
    campaigns  ``add_suppression_list(name, users)``, ``suppression_lists()``, ``suppressed(id)``,
               ``save_campaign(name, ...)``, ``campaigns()``, ``campaign_items(id)``, ``campaign_days(id)``
    who, when  ``record(what, subject, **detail)``, ``activity()``, ``with acting_as("name"):``
    health     ``recovered``, ``health() -> list[Finding]``, ``announce(address)``
    below      ``cursor()`` (this thread's), ``transaction()`` (all or nothing), ``query(sql, parameters)``
    ========== ====================================================================================

    >>> with Workspace("shop", create=True) as workspace:            # doctest: +SKIP
    ...     workspace.add_dataset("groceries", "complete-journey")
    ...     log = workspace.log("groceries")
    """

    def __init__(
        self,
        root: Path | str | None = None,
        *,
        create: bool = False,
        command: str | None = None,
        address: str | None = None,
    ) -> None:
        self.root = Path(default_root() if root is None else root).expanduser().resolve()
        self._closed = True
        path = self.root / "data" / "rim.duckdb"
        if not create and not _exists(path):
            raise NotFoundError(
                f"{self.root} is no workspace yet: make one with `rim init`, or name another with --workspace "
                f"(or the environment variable {ENVIRONMENT})."
            )
        self.database = open_database(path, Owner.this(command, address))
        self._closed = False
        try:
            for folder in (self.jobs_folder, self.rejects_folder, self.exports_folder, self.models_folder):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self.close()
            raise unwritable(self.root, error) from error

    @property
    def recovered(self) -> tuple[str, ...]:
        """What happened when the last owner ended without closing; empty after a clean end."""
        return self.database.recovered

    @property
    def jobs_folder(self) -> Path:
        """Where training jobs live: data/jobs/<id>/."""
        return self.root / "data" / "jobs"

    @property
    def parts_folder(self) -> Path:
        """Fitted parts and checkpoints that trainings share: data/parts/."""
        return self.root / "data" / "parts"

    @property
    def rejects_folder(self) -> Path:
        """Where rejected rows are kept."""
        return self.root / "data" / "rejects"

    @property
    def exports_folder(self) -> Path:
        """Where audience files go by default."""
        return self.root / "data" / "exports"

    @property
    def owner(self) -> Owner:
        """The process we are, as others see it."""
        return self.database.owner

    def announce(self, address: str) -> None:
        """Name the address this process serves."""
        self.database.announce(address)

    def health(self) -> list[Finding]:
        """Layout, last end, disk and size of the workspace."""
        findings = [Finding("ok", "database", f"{self.database.path}, layout {self.database.schema}")]
        findings += [Finding("note", "last session", text) for text in self.recovered]
        free = shutil.disk_usage(self.root).free
        level = "problem" if free < LOW_DISK else "ok"
        remedy = "free some disk space before training or importing" if level == "problem" else ""
        findings.append(Finding(level, "disk", f"{free / (1 << 30):.1f} GiB free", remedy))
        for info in self.datasets(all_versions=True):
            (rows,) = self.query("SELECT count(*) FROM event_rows WHERE dataset = ?", [info.id])[0]
            if rows == info.events:
                findings.append(Finding("ok", info.label, counted(rows, "events")))
            else:
                remedy = f"rim data remove {info.name} and add it again"
                findings.append(
                    Finding("problem", info.label, f"{rows:,} of {counted(info.events, 'events are')} there", remedy)
                )
        return findings

    def close(self) -> None:
        """Give the database back (when nobody else in this process uses it). Closing twice is harmless."""
        if not self._closed:
            self._closed = True
            self.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Workspace({str(self.root)!r})"


def workspace_exists(root: Path | str | None = None) -> bool:
    """Whether a folder holds a workspace."""
    return _exists(Path(default_root() if root is None else root).expanduser() / "data" / "rim.duckdb")


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long, a folder that may not be looked into
        return False
