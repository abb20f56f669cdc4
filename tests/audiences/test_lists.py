"""Lists of users as people upload them."""

from __future__ import annotations

import pytest

from rim_core.audiences import id_columns, read_ids
from rim_core.errors import DataError


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("1379\n934\n", ["1379", "934"]),
        ("Email;Vorgang\n1379;1\n934;2", ["1379", "934"]),
        ("Email;Kunde\n1379;1\n934;2", ["1", "2"]),
        ("segment\tcustomer_id\ngold\tanna\ngold\tbert", ["anna", "bert"]),
        ("Email\n1379\n934", ["1379", "934"]),
        ("anna\nbert", ["anna", "bert"]),  # no heading: words among words
        ("u1\n22\n33", ["u1", "22", "33"]),
        ("1|a\n2|b\n\n2|c", ["1", "2"]),
        ('"Doe, J.";7\n"Roe, R.";8', ["Doe, J.", "Roe, R."]),
        ("", []),
    ],
)
def test_the_likeliest_column_holds_the_ids_and_a_heading_is_none(text: str, ids: list[str]) -> None:
    assert read_ids(text.encode()) == ids


def test_every_column_can_be_chosen() -> None:
    found = id_columns(b"note,Kunde,Kunde\nx,1,7\n,2,8\n")
    assert found == {"note": ["x"], "Kunde": ["1", "2"], "Kunde #3": ["7", "8"]}


def test_what_is_no_text_is_said() -> None:
    with pytest.raises(DataError, match="UTF-8"):
        read_ids(b"\xff\xfe\x00")


def test_text_as_spreadsheets_save_it_for_unicode_is_read() -> None:
    assert read_ids("user_id\tname\nä1\tA\nb2\tB\n".encode("utf-16")) == ["ä1", "b2"]
    with pytest.raises(DataError, match="CSV \\(UTF-8\\)"):
        read_ids("user_id\nä1\n".encode("utf-16")[:-1])
