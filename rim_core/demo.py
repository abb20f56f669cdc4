"""What the demo is made of, for the command line and the dashboard alike: its events, windows, models and plan."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rim_core.jobs import Job, Jobs
    from rim_core.storage import DatasetInfo, ModelInfo, Workspace

DATASET = "complete-journey"
SPLIT = {"by": "time", "horizon": "14D", "calibration": 1}
MODELS = ("Popularity", "GRU", "GRU×Activity", "GRU×Hawkes", "GRU×HawkesPoisson")
BEST = "GRU×HawkesPoisson"
SETTINGS: dict[str, dict[str, Any]] = {"gru": {"dim": 64, "max_epochs": 2, "batch_tokens": 4096}}
FACTS = {
    "Kept brief": "trained in a minute or two for `rim demo`; `rim train complete-journey` trains in full",
}
CAPACITY, MIN_EXPOSURE = 10, 0.002
SHARES = (0.0005, 0.001, MIN_EXPOSURE, 0.003, 0.004)
"""Promised minimums of the sweep: around the plan's own, up to nine places in ten."""
PLAN = "Every product type reaches 0.2 % of the households"
KEEPS = "who loses, what to expect"
"""What is kept with the plan; another value has the demo looked at again."""


def recipe() -> str:
    """Changes when the demo makes something else."""
    parts = [DATASET, SPLIT, MODELS, SETTINGS, CAPACITY, MIN_EXPOSURE, SHARES, KEEPS, version("rim")]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def training(jobs: Jobs, dataset: DatasetInfo) -> Job:
    """The training of the demo: one that goes on, one that was cut off, or a new one."""
    for job in jobs.jobs():
        if job.dataset == dataset.label and job.facts == FACTS and (job.active or job.resumable):
            return job if job.active else jobs.resume(job.id)
    return jobs.submit(DATASET, version=dataset.version, split=SPLIT, models=MODELS, settings=SETTINGS, facts=FACTS)


def trained(workspace: Workspace, dataset: DatasetInfo) -> list[ModelInfo] | None:
    """The models of the demo in the order of :data:`MODELS`; None unless all are there."""
    there = {m.name: m for m in workspace.models(DATASET) if m.dataset_version == dataset.version and m.facts == FACTS}
    if not set(MODELS) <= set(there):
        return None
    return [there[name] for name in MODELS]
