"""SHA-256 of many texts at once: of contacts for campaign tools, and of user ids for the hold-out group."""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa

DIGITS = 13
"""Hexadecimal digits that decide about a hold-out: 52 bits, which a float64 holds exactly."""


def sha256_hex(texts: pa.Array) -> pa.Array:
    """SHA-256 of the UTF-8 bytes of every text, 64 hexadecimal digits in lower case; null stays null.

    Parameters
    ----------
    texts : Array of string, length N

    Returns
    -------
    Array of string
        O(N); some 2 s a million.
    """
    with duckdb.connect() as connection:
        connection.register("texts", pa.table({"place": pa.array(np.arange(len(texts))), "text": texts}))
        found = connection.execute("SELECT sha256(text) AS digest FROM texts ORDER BY place").to_arrow_table()
    return found["digest"].combine_chunks().cast(pa.string())


def held_out(users: pa.Array, share: float, seed: int = 0) -> np.ndarray:
    """Who is kept out of a campaign so that its effect can be measured: by a seeded hash of the user id alone.

    The same user and seed give the same answer in every file, on every machine and in any tool: user ``u`` is held out
    where the first 13 hexadecimal digits of SHA-256("<seed>:<u>"), as a number, are below ``share`` · 16¹³. A larger
    share holds out the same users and more.

    Parameters
    ----------
    users : Array of string, length N
        User ids.
    share : float
        Of the users, in [0, 1].
    seed : int

    Returns
    -------
    ndarray of bool, shape (N,)
    """
    if share <= 0 or len(users) == 0:
        return np.full(len(users), share >= 1)
    with duckdb.connect() as connection:
        connection.register("users", pa.table({"place": pa.array(np.arange(len(users))), "user_id": users}))
        number = f"('0x' || left(sha256(? || user_id), {DIGITS}))::UBIGINT"
        rows = connection.execute(f"SELECT {number} AS number FROM users ORDER BY place", [f"{seed}:"])
        numbers = rows.to_arrow_table()["number"].to_numpy()
    out: np.ndarray = numbers.astype(np.float64) < share * 16.0**DIGITS
    return out
