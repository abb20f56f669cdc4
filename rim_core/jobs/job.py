"""What is known of a training job at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from datetime import datetime

    from rim_core.jobs.folder import JobProgress

UNFINISHED = ("interrupted", "failed", "cancelled")

WayOn = Literal["resume", "again", "change"]
"""What makes sense after a training that did not end well: go on from what is kept of it; begin anew, since nothing is;
or ask for something else, since it would fail the same way."""


@dataclass(frozen=True)
class Job:
    """A training job as it stands now.

    Attributes
    ----------
    id : str
    dataset : str
        Name and version.
    names : tuple of str
        Models it trains.
    split : dict
        As it was asked for.
    facts : dict
        What the cards say beside the figures.
    state : str
        queued, running, done, failed, cancelled or interrupted.
    message : str or None
        Why it did not end well, and what to do.
    progress : JobProgress or None
        Of its last worker.
    cancelling : bool
        It was asked to stop and has not stopped yet.
    models : tuple of str
        Ids of the models it made.
    kept : list of dict
        The history of one that is done.
    way_on : {"resume", "again", "change"} or None
        What to do about one that did not end well.
    created_at : datetime
    started_at, finished_at : datetime or None
    """

    id: str
    dataset: str
    names: tuple[str, ...]
    split: dict[str, Any]
    facts: dict[str, Any]
    state: str
    message: str | None
    progress: JobProgress | None
    cancelling: bool
    models: tuple[str, ...]
    kept: list[dict[str, Any]]
    way_on: WayOn | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def title(self) -> str:
        """What it trains, for a person to read."""
        return ", ".join(self.names)

    @property
    def active(self) -> bool:
        """Whether it is at work, or waits for its turn."""
        return self.state in ("queued", "running")

    @property
    def resumable(self) -> bool:
        """Whether :meth:`Jobs.resume` takes it up; ``way_on`` says whether that makes sense."""
        return self.state in UNFINISHED

    @property
    def share(self) -> float:
        """Work done, 0 to 1."""
        return 1.0 if self.state == "done" else self.progress.fraction if self.progress else 0.0

    @property
    def stage(self) -> str:
        """What is being done, for a person to read."""
        if self.state == "queued":
            return "waiting for its turn"
        return self.progress.stage if self.progress else "starting"

    @property
    def seconds(self) -> float:
        """Running time of its last worker."""
        if self.progress is not None:
            return self.progress.seconds
        if self.started_at is None or self.finished_at is None:
            return 0.0
        return (self.finished_at - self.started_at).total_seconds()

    @property
    def eta(self) -> float | None:
        """Seconds left at the present speed; None while unknown or not running."""
        return self.progress.eta if self.progress and self.state == "running" else None

    @property
    def history(self) -> list[dict[str, Any]]:
        """{"model", "step", figures}: the last figures of every model and epoch."""
        return self.progress.metrics if self.progress else self.kept
