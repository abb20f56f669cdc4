"""Names of the columns of the canonical event table, in one place."""

from __future__ import annotations

USER = "user_id"
ITEM = "item_id"
TIME = "timestamp"
VALUE = "value"
TYPE = "event_type"
TITLE = "title"

EVENT_COLUMNS = (USER, ITEM, TIME, VALUE, TYPE)
DEFAULT_TYPE = "interaction"
