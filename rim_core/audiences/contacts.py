"""E-mail addresses and phone numbers as campaign tools match them: normalised, then SHA-256."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from rim_core.audiences.hashing import sha256_hex
from rim_core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

NAMES = {
    "email": (
        "email", "emailaddress", "mail", "mailaddress", "hashedemail", "emailsha256", "emailadresse", "mailadresse",
        "courriel", "adressemail", "adresseemail", "adressecourriel", "adresseelectronique", "correo",
        "correoelectronico", "indirizzoemail", "postaelettronica", "emailadres", "enderecodeemail", "epost",
        "epostadress", "adresemail", "adresaemail",
    ),
    "phone": (
        "phone", "phonenumber", "mobile", "mobilephone", "mobilenumber", "telephone", "telephonenumber", "tel",
        "cellphone", "msisdn", "hashedphone", "phonesha256", "telefon", "telefonnummer", "telefonnr", "telnr", "mobil",
        "mobilnummer", "mobiltelefon", "handy", "handynummer", "numerodetelephone", "telephoneportable",
        "telephonemobile", "telefono", "numerodetelefono", "numeroditelefono", "movil", "cellulare", "telefone",
        "telemovel", "celular", "telefoon", "telefoonnummer", "mobiel", "gsm", "numertelefonu", "komorka",
    ),
}  # fmt: skip
"""Names of user columns that hold contacts, best first: without accents and in small letters, nothing between them."""

_HASHED = "^[0-9a-fA-F]{64}$"
_ADDRESS = r"^[^@]+@[^@]+\.[^@]+$"
_INTERNATIONAL = r"^(\+|00)"
_SHORTEST, _LONGEST = 7, 15
"""Digits of an international number (E.164) with its country code."""


@dataclass(frozen=True)
class ContactColumns:
    """Which user columns hold contacts; None where there is none."""

    email: str | None = None
    phone: str | None = None

    @property
    def any(self) -> bool:
        """Whether the log carries contacts at all."""
        return self.email is not None or self.phone is not None


def contact_columns(names: Iterable[str]) -> ContactColumns:
    """The columns that are called like an e-mail address or a phone number, in one of Europe's larger languages."""
    plain = {_plain(name): name for name in names}
    return ContactColumns(*(next((plain[n] for n in NAMES[kind] if n in plain), None) for kind in ("email", "phone")))


def _plain(name: str) -> str:
    """Small letters and digits of a name: "E-Mail-Adresse" and "Téléphone" as "emailadresse" and "telephone"."""
    return re.sub("[^a-z0-9]", "", unicodedata.normalize("NFKD", name.lower()))


def hashed_emails(texts: pa.Array) -> pa.Array:
    """SHA-256 of e-mail addresses without spaces and in lower case; null where there is no address.

    What is 64 hexadecimal digits already is taken as such a hash.

    Parameters
    ----------
    texts : Array of string

    Returns
    -------
    Array of string
    """
    plain = pc.utf8_lower(pc.replace_substring_regex(texts.cast(pa.string()), r"\s+", ""))
    ready = pc.match_substring_regex(plain, _HASHED)
    address = pc.if_else(pc.match_substring_regex(plain, _ADDRESS), plain, pa.scalar(None, pa.string()))
    return pc.if_else(ready, plain, sha256_hex(address))


def country_digits(text: str) -> str:
    """The digits of a country code such as 1, 49 or +49.

    Raises
    ------
    DataError
        It is not one to three digits.
    """
    code = text.strip().removeprefix("+")
    if not (code.isascii() and code.isdigit() and len(code) <= 3 and code[0] != "0"):
        raise DataError(f"{text!r} is no country code: give one to three digits, such as 1 or 49.")
    return code


def hashed_phones(texts: pa.Array, *, plus: bool, country_code: str | None = None) -> pa.Array:
    """SHA-256 of phone numbers in international form; null where that form is not known.

    Parameters
    ----------
    texts : Array of string
        With + or 00 and the country code; other numbers are of ``country_code``, and lose the 0 they begin with.
    plus : bool
        Whether the + is hashed too (Google Customer Match: E.164), or the digits alone (Meta).
    country_code : str, optional
        Digits, for example "1" or "49". Without, numbers that name no country are left out.

    Returns
    -------
    Array of string

    Raises
    ------
    DataError
        The country code is not one to three digits.
    """
    code = "" if country_code is None else country_digits(country_code)
    texts = texts.cast(pa.string())
    plain = pc.utf8_lower(pc.utf8_trim_whitespace(texts))
    ready = pc.match_substring_regex(plain, _HASHED)
    trimmed = pc.replace_substring_regex(plain, "^[^0-9+]+", "")
    digits = pc.replace_substring_regex(trimmed, r"\(0\)|[^0-9]", "")
    abroad = pc.match_substring_regex(trimmed, _INTERNATIONAL)
    null = pa.scalar(None, pa.string())
    local = pc.binary_join_element_wise(code, pc.utf8_ltrim(digits, "0"), "") if code else null
    number = pc.if_else(abroad, pc.replace_substring_regex(digits, "^0+", ""), local)
    length = pc.utf8_length(number)
    fits = pc.and_(pc.greater_equal(length, _SHORTEST), pc.less_equal(length, _LONGEST))
    number = pc.if_else(fits, number, null)
    hashed = sha256_hex(pc.binary_join_element_wise("+", number, "") if plus else number)
    return pc.if_else(ready, plain, hashed)


def contacts_of(users: pd.DataFrame) -> pd.DataFrame | None:
    """Columns ``email`` and ``phone`` of the users of a log, indexed by user id; None where it carries neither."""
    found = contact_columns([str(c) for c in users.columns])
    known = {kind: users[name] for kind, name in (("email", found.email), ("phone", found.phone)) if name is not None}
    return pd.DataFrame(known, index=users.index) if known else None
