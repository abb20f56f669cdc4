"""Where everything is kept: one DuckDB file per workspace, artifacts and job folders beside it."""

from rim_core.storage.files import new_id, read_json, replacing, to_json, write_json
from rim_core.storage.records import (
    Activity,
    CampaignRecord,
    DatasetInfo,
    EvaluationRecord,
    ExportRecord,
    Finding,
    FrontierRecord,
    JobRecord,
    ModelInfo,
    Scenario,
    SuppressionList,
)
from rim_core.storage.store import acting_as, actor
from rim_core.storage.workspace import Workspace, default_root, workspace_exists

__all__ = [
    "Activity",
    "CampaignRecord",
    "DatasetInfo",
    "EvaluationRecord",
    "ExportRecord",
    "Finding",
    "FrontierRecord",
    "JobRecord",
    "ModelInfo",
    "Scenario",
    "SuppressionList",
    "Workspace",
    "acting_as",
    "actor",
    "default_root",
    "new_id",
    "read_json",
    "replacing",
    "to_json",
    "workspace_exists",
    "write_json",
]
