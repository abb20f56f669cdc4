"""What columns hold, by their names."""

from __future__ import annotations

import pytest

from rim_core.columns import ITEM, TIME, USER, VALUE
from rim_core.datasets.names import guess_names


@pytest.mark.parametrize(
    "names",
    [
        ("user_id", "item_id", "timestamp", "value"),
        ("Customer ID", "StockCode", "InvoiceDate", "Price"),
        ("Kd.-Nr.", "Artikel", "Datum", "Umsatz €"),
        ("Kunde", "Artikelnummer", "Zeitpunkt", "Betrag"),
        ("Client", "Produit", "Horodatage", "Montant (€)"),
        ("Cliente", "Artículo", "Fecha", "Precio"),
    ],
)
def test_columns_are_known_by_their_names(names: tuple[str, ...]) -> None:
    assert guess_names([*names, "zzz", "€"]) == dict(zip((USER, ITEM, TIME, VALUE), names, strict=True))


def test_the_first_of_two_columns_of_one_name_is_taken_and_what_says_nothing_is_left() -> None:
    assert guess_names(["Kunde", "kunde", "Kd.Nr.", "a", "Ã", "名"]) == {USER: "Kunde"}
