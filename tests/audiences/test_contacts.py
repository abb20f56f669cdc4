"""Contacts in campaign tools' layouts: normalised as the tools say, hashed as anyone can check."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import rim_core as rim
from rim_core.audiences import contact_columns, export_pairs, hashed_emails, hashed_phones

KNOWN = "973dfe463ec85785f5f95af5ba3906eedb2d931c24e69824a89ea65dba4e813b"
"""SHA-256 of test@example.com, as published by many."""


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def emails(*texts: str | None) -> list[str | None]:
    return hashed_emails(pa.array(texts, pa.string())).to_pylist()


def phones(*texts: str | None, plus: bool = True, code: str | None = None) -> list[str | None]:
    return hashed_phones(pa.array(texts, pa.string()), plus=plus, country_code=code).to_pylist()


def pairs_of(users: list[str], item: str = "tea") -> pd.DataFrame:
    return pd.DataFrame(
        {
            "state": range(len(users)), "user_id": users, "item_id": item, "state_time": pd.NaT,
            "rank": range(1, len(users) + 1), "score": np.linspace(0.9, 0.1, len(users)), "expected": 0.5,
        }
    )  # fmt: skip


def read(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_an_address_has_one_hash_however_it_was_typed() -> None:
    assert emails("test@example.com", " Test@Example.COM\t", "te st@example.com ") == [KNOWN] * 3
    assert emails("JOSÉ@exämple.de") == [digest("josé@exämple.de")]


def test_what_is_no_address_is_left_out_and_a_hash_stays_as_it_is() -> None:
    assert emails(None, "", "n/a", "a@b", "@example.com", "a@b@example.com") == [None] * 6
    assert emails(KNOWN.upper()) == [KNOWN]


def test_a_number_has_one_hash_however_it_was_typed() -> None:
    typed = ["+1 (212) 565-0000", "001 212 565 0000", "tel: +1.212.565.0000"]
    assert phones(*typed) == [digest("+12125650000")] * 3
    assert phones(*typed, plus=False) == [digest("12125650000")] * 3
    assert phones("+44 (0)20 7946 0958") == [digest("+442079460958")]


def test_a_number_that_names_no_country_needs_one() -> None:
    assert phones("030 1234567", "(212) 565-0000", None, "12") == [None] * 4
    assert phones("030 1234567", code="49") == [digest("+49301234567")]
    assert phones("(212) 565-0000", "+33 1 23 45 67 89", code="+1") == [digest("+12125650000"), digest("+33123456789")]
    assert phones("12", "1234567890123456", code="1") == [None, None]
    for wrong in ("0", "four", "1234", ""):
        with pytest.raises(rim.DataError, match="country code"):
            phones("1", code=wrong)


def test_contacts_are_found_by_the_names_of_their_columns() -> None:
    assert contact_columns(["age", "E-Mail", "Phone Number"]).email == "E-Mail"
    assert contact_columns(["age", "E-Mail", "Phone Number"]).phone == "Phone Number"
    assert not contact_columns(["age", "mailbox"]).any


def test_customer_match_and_custom_audience_hold_one_row_a_user_with_hashed_contacts(tmp_path: Path) -> None:
    contacts = pd.DataFrame(
        {"email": ["test@example.com", None, "x", None], "phone": ["+12125650000", "+12125650001", None, None]},
        index=["ann", "bob", "cyd", "dan"],
    )
    pairs = pd.concat([pairs_of(["ann", "bob", "cyd", "dan", "eve"]), pairs_of(["bob", "ann"], "milk")])
    google = export_pairs(pairs, to=tmp_path / "g.csv", format="google", contacts=contacts)
    assert read(google.path) == [
        ["Email", "Phone"],
        [KNOWN, digest("+12125650000")],
        ["", digest("+12125650001")],
    ]
    assert (google.rows, google.left_out, google.hashed) == (2, 3, True)
    meta = export_pairs(pairs, to=tmp_path / "m.csv", format="meta", contacts=contacts, item="milk")
    assert read(meta.path) == [
        ["email", "phone"],
        ["", digest("12125650001")],
        [KNOWN, digest("12125650000")],
    ]
    text = google.path.read_text() + meta.path.read_text()
    assert "@" not in text
    assert "212565" not in text


def test_without_contacts_the_layouts_name_users_by_id_harmlessly(tmp_path: Path) -> None:
    pairs = pairs_of(["ann", "=1+1", "ann"])
    for layout, header in (("google", "User ID"), ("meta", "extern_id")):
        receipt = export_pairs(pairs, to=tmp_path / "x.csv", format=layout)
        assert read(receipt.path) == [[header], ["ann"], ["'=1+1"]]
        assert (receipt.hashed, receipt.left_out, receipt.neutralised) == (False, 0, 1)


def test_the_contacts_of_an_assignment_are_those_of_its_log(tmp_path: Path) -> None:
    events = pd.DataFrame(
        {
            "user_id": ["ann", "bob"],
            "item_id": "tea",
            "timestamp": pd.to_datetime(["2024-01-01", "2024-01-02"], utc=True),
        }
    )
    users = pd.DataFrame({"email": ["test@example.com", None]}, index=pd.Index(["ann", "bob"], name="user_id"))
    log = rim.EventLog.from_frame(events, users=users)
    states = rim.UserStates(log, np.array([0, 1], np.int32), np.array([2**60, 2**60]), 10, np.array([0], np.int32))
    assignment = rim.item_rec(rim.Scores.from_dense(np.ones((2, 1)), states=states), k=1)
    receipt = rim.export_audience(assignment, to=tmp_path / "a.csv", format="google")
    assert read(receipt.path) == [["Email"], [KNOWN]]
    assert receipt.left_out == 1


def test_a_format_and_a_file_name_that_do_not_fit_say_so(tmp_path: Path) -> None:
    with pytest.raises(rim.DataError, match=r"ends in \.csv"):
        export_pairs(pairs_of(["a"]), to=tmp_path / "a.parquet", format="meta")
    with pytest.raises(rim.DataError, match="choose among csv, parquet, google, meta"):
        export_pairs(pairs_of(["a"]), to=tmp_path / "a.csv", format="excel")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Telefon", "phone"), ("téléphone", "phone"), ("Telefono", "phone"), ("teléfono", "phone"), ("Tel.", "phone"),
        ("Mobil", "phone"), ("Handy", "phone"), ("handyman", None), ("Mobile Number", "phone"), ("Móvil", "phone"),
        ("E-Mail-Adresse", "email"), ("Courriel", "email"), ("Correo electrónico", "email"), ("correo", "email"),
        ("e_mail", "email"), ("hashed_email", "email"), ("Indirizzo e-mail", "email"), ("mailbox", None),
        ("mobility", None),
    ],
)  # fmt: skip
def test_names_of_other_languages_are_known(name: str, kind: str | None) -> None:
    found = contact_columns(["age", name])
    assert (found.email, found.phone) == (name if kind == "email" else None, name if kind == "phone" else None)
