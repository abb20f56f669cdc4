"""What columns of a file hold, as far as their names say: in English, or in a larger language of Europe."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from rim_core.columns import ITEM, TIME, TITLE, TYPE, USER, VALUE

ALIASES: dict[str, tuple[str, ...]] = {
    USER: ("user_id", "userid", "user", "customer_id", "customerid", "customer", "household_id", "household",
           "visitor_id", "visitorid", "visitor", "member_id", "client_id", "session_id", "sessionid", "session",
           "account_id", "uid", "kunde", "kunden_id", "kundennummer", "kunden_nr", "kundennr", "kd_nr", "client",
           "id_client", "cliente", "id_cliente", "klant", "klant_id"),
    ITEM: ("item_id", "itemid", "item", "product_id", "productid", "product", "sku", "article_id", "article",
           "movie_id", "movieid", "movie", "content_id", "stockcode", "asin", "iid", "artikel", "artikel_id",
           "artikelnummer", "artikel_nr", "artikelnr", "produkt", "produit", "produit_id", "producto",
           "articulo", "prodotto", "articolo"),
    TIME: ("timestamp", "time", "datetime", "event_time", "eventtime", "date", "ts", "created_at", "occurred_at",
           "transaction_timestamp", "invoicedate", "order_date", "purchase_date", "when", "moment", "day", "zeit",
           "zeitpunkt", "datum", "kaufdatum", "bestelldatum", "horodatage", "fecha"),
    VALUE: ("value", "rating", "price", "amount", "revenue", "sales_value", "quantity", "score", "weight",
            "umsatz", "betrag", "preis", "menge", "montant", "prix", "importe", "precio", "importo", "prezzo"),
    TYPE: ("event_type", "eventtype", "event", "type", "action", "behavior", "behaviour"),
    TITLE: ("title", "item_title", "product_name", "item_name", "name", "description"),
}  # fmt: skip
"""Column names that say what they hold, best first: without accents, what is no letter or digit is _."""


def guess_names(names: Sequence[str]) -> dict[str, object]:
    """Canonical column to file column, as far as the names say."""
    plain = {_plain(name): name for name in reversed(names)}
    found: dict[str, object] = {}
    for column, aliases in ALIASES.items():
        match = next((plain[a] for a in aliases if a in plain and plain[a] not in found.values()), None)
        if match is not None:
            found[column] = match
    return found


def _plain(name: str) -> str:
    """Small letters and digits without accents, all else as one _: "Kd.-Nr." as "kd_nr", "Artículo" as "articulo"."""
    letters = "".join(c for c in unicodedata.normalize("NFKD", name.lower()) if not unicodedata.combining(c))
    return re.sub("[^a-z0-9]+", "_", letters).strip("_")
