"""Training in a worker process: start, progress, cancel, recover."""

from rim_core.jobs.folder import JobFolder, JobProgress
from rim_core.jobs.job import Job
from rim_core.jobs.jobs import Jobs
from rim_core.jobs.naming import Settings, available, model_config, parse_settings
from rim_core.jobs.spec import TrainingSpec
from rim_core.jobs.splits import PRESETS, make_split

__all__ = [
    "PRESETS",
    "Job",
    "JobFolder",
    "JobProgress",
    "Jobs",
    "Settings",
    "TrainingSpec",
    "available",
    "make_split",
    "model_config",
    "parse_settings",
]
