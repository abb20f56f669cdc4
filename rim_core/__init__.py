"""RIM: who will be interested in what, and which promises can be kept.

The whole job, one function an arrow::

    import rim_core as rim

    log = rim.load_dataset("complete-journey")
    split = rim.split_by_time(log, horizon="14D", calibration=1)
    model = rim.RIM(rim.GRU(), rim.HawkesPoisson()).fit(split)
    promises = rim.Constraints(capacity=10, min_exposure=0.005)
    plan = rim.DualPlanner(promises).fit(model.score(split.calibration))
    delivered = plan.assign(model.score(split.test))
    rim.evaluate(delivered, split.test)
    rim.export_audience(delivered, item="...", to="audience.csv")

Names are imported when they are first used, so that ``import rim_core`` takes a few milliseconds.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rim_core.assignment import Assignment
    from rim_core.audiences import ExportReceipt, export_audience, plan_pairs
    from rim_core.datasets import (
        EventLog,
        Split,
        UserStates,
        load_dataset,
        split_by_time,
        split_by_user,
        split_from_config,
        split_preset,
    )
    from rim_core.errors import (
        ArtifactError,
        Cancelled,
        ConstraintError,
        DataError,
        EmptyLogError,
        FormatError,
        InfeasibleError,
        JobError,
        ModelError,
        NotFittedError,
        NotFoundError,
        RimError,
        ScoreError,
        SplitError,
        StorageError,
        WorkspaceBusyError,
    )
    from rim_core.evaluation import Evaluation, compare, evaluate, item_rec, perplexity, user_rec
    from rim_core.jobs import Jobs
    from rim_core.models import (
        ALS,
        BPR,
        EMA,
        GRU,
        RFMGBDT,
        RIM,
        Activity,
        BoostedCounts,
        BoostedHawkes,
        Frequency,
        GraphConv,
        GraphConvExtra,
        Hawkes,
        HawkesNegativeBinomial,
        HawkesPoisson,
        HorizonBlend,
        HorizonCounts,
        HorizonGRU,
        HorizonTransformer,
        Intensity,
        LightFMBPRItem,
        LightFMBPRUser,
        LogisticMF,
        Model,
        NeuralPointProcess,
        NewItems,
        Popularity,
        Preference,
        Random,
        Transformer,
        load_model,
        save_model,
    )
    from rim_core.planning import (
        Budget,
        Certificate,
        Constraints,
        DualPlanner,
        Group,
        LinearProgramSolution,
        Plan,
        frontier,
        greedy_match,
        linear_program,
    )
    from rim_core.progress import Progress
    from rim_core.scores import Scores
    from rim_core.storage import Workspace

    __version__: str

_HOMES = {
    "assignment": ("Assignment",),
    "audiences": ("ExportReceipt", "export_audience", "plan_pairs"),
    "datasets": (
        "EventLog",
        "Split",
        "UserStates",
        "load_dataset",
        "split_by_time",
        "split_by_user",
        "split_from_config",
        "split_preset",
    ),
    "errors": (
        "ArtifactError",
        "Cancelled",
        "ConstraintError",
        "DataError",
        "EmptyLogError",
        "FormatError",
        "InfeasibleError",
        "JobError",
        "ModelError",
        "NotFittedError",
        "NotFoundError",
        "RimError",
        "ScoreError",
        "SplitError",
        "StorageError",
        "WorkspaceBusyError",
    ),
    "evaluation": ("Evaluation", "compare", "evaluate", "item_rec", "perplexity", "user_rec"),
    "jobs": ("Jobs",),
    "models": (
        "ALS",
        "BPR",
        "EMA",
        "GRU",
        "RFMGBDT",
        "RIM",
        "Activity",
        "BoostedCounts",
        "BoostedHawkes",
        "Frequency",
        "GraphConv",
        "GraphConvExtra",
        "Hawkes",
        "HawkesNegativeBinomial",
        "HawkesPoisson",
        "HorizonBlend",
        "HorizonCounts",
        "HorizonGRU",
        "HorizonTransformer",
        "Intensity",
        "LightFMBPRItem",
        "LightFMBPRUser",
        "LogisticMF",
        "Model",
        "NeuralPointProcess",
        "NewItems",
        "Popularity",
        "Preference",
        "Random",
        "Transformer",
        "load_model",
        "save_model",
    ),
    "planning": (
        "Budget",
        "Certificate",
        "Constraints",
        "DualPlanner",
        "Group",
        "LinearProgramSolution",
        "Plan",
        "frontier",
        "greedy_match",
        "linear_program",
    ),
    "progress": ("Progress",),
    "scores": ("Scores",),
    "storage": ("Workspace",),
}
"""Room of every public name."""

_ROOM_OF = {name: room for room, names in _HOMES.items() for name in names}

__all__ = [
    "ALS",
    "BPR",
    "EMA",
    "GRU",
    "RFMGBDT",
    "RIM",
    "Activity",
    "ArtifactError",
    "Assignment",
    "BoostedCounts",
    "BoostedHawkes",
    "Budget",
    "Cancelled",
    "Certificate",
    "ConstraintError",
    "Constraints",
    "DataError",
    "DualPlanner",
    "EmptyLogError",
    "Evaluation",
    "EventLog",
    "ExportReceipt",
    "FormatError",
    "Frequency",
    "GraphConv",
    "GraphConvExtra",
    "Group",
    "Hawkes",
    "HawkesNegativeBinomial",
    "HawkesPoisson",
    "HorizonBlend",
    "HorizonCounts",
    "HorizonGRU",
    "HorizonTransformer",
    "InfeasibleError",
    "Intensity",
    "JobError",
    "Jobs",
    "LightFMBPRItem",
    "LightFMBPRUser",
    "LinearProgramSolution",
    "LogisticMF",
    "Model",
    "ModelError",
    "NeuralPointProcess",
    "NewItems",
    "NotFittedError",
    "NotFoundError",
    "Plan",
    "Popularity",
    "Preference",
    "Progress",
    "Random",
    "RimError",
    "ScoreError",
    "Scores",
    "Split",
    "SplitError",
    "StorageError",
    "Transformer",
    "UserStates",
    "Workspace",
    "WorkspaceBusyError",
    "__version__",
    "compare",
    "evaluate",
    "export_audience",
    "frontier",
    "greedy_match",
    "item_rec",
    "linear_program",
    "load_dataset",
    "load_model",
    "perplexity",
    "plan_pairs",
    "save_model",
    "split_by_time",
    "split_by_user",
    "split_from_config",
    "split_preset",
    "user_rec",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            value: Any = version("rim")
        except PackageNotFoundError:  # run from a checkout that was never installed
            value = "0"
    elif name in _ROOM_OF:
        value = getattr(import_module(f"rim_core.{_ROOM_OF[name]}"), name)
    else:
        raise AttributeError(f"module 'rim_core' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
