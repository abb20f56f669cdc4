"""Audiences: who gets what, ranked, as files that campaign tools take."""

from rim_core.audiences.export import COLUMNS, FORMATS, ExportReceipt, export_audience, export_pairs
from rim_core.audiences.formulas import neutralised
from rim_core.audiences.pairs import plan_pairs

__all__ = [
    "COLUMNS",
    "FORMATS",
    "ExportReceipt",
    "export_audience",
    "export_pairs",
    "neutralised",
    "plan_pairs",
]
