"""Audiences: who gets what and why, ranked, capped and held out, as files that campaign tools take."""

from rim_core.audiences.contacts import (
    ContactColumns,
    contact_columns,
    contacts_of,
    country_digits,
    hashed_emails,
    hashed_phones,
)
from rim_core.audiences.curve import response_curve
from rim_core.audiences.export import COLUMNS, FORMATS, ExportReceipt, export_audience, export_pairs
from rim_core.audiences.formulas import neutralised
from rim_core.audiences.hashing import held_out
from rim_core.audiences.layouts import LAYOUTS, LaidOut
from rim_core.audiences.lists import id_columns, read_ids
from rim_core.audiences.pairs import plan_pairs
from rim_core.audiences.recipes import (
    AudienceRecipe,
    audience_of,
    laid_out,
    reproduces,
    stored_contacts,
    write_audience,
)
from rim_core.audiences.selection import Audience, AudienceRules, Removal, select_audience
from rim_core.audiences.why import Reasons, explain

__all__ = [
    "COLUMNS",
    "FORMATS",
    "LAYOUTS",
    "Audience",
    "AudienceRecipe",
    "AudienceRules",
    "ContactColumns",
    "ExportReceipt",
    "LaidOut",
    "Reasons",
    "Removal",
    "audience_of",
    "contact_columns",
    "contacts_of",
    "country_digits",
    "explain",
    "export_audience",
    "export_pairs",
    "hashed_emails",
    "hashed_phones",
    "held_out",
    "id_columns",
    "laid_out",
    "neutralised",
    "plan_pairs",
    "read_ids",
    "reproduces",
    "response_curve",
    "select_audience",
    "stored_contacts",
    "write_audience",
]
