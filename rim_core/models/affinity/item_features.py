"""What items look like: hashed words of their titles and features, and who resembles whom."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from rim_core.columns import TITLE

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH = 2**18
"""Columns that words are hashed to; a catalogue of 70 000 products has some 30 000 words."""
NUMBER_CLASSES = 5
NUMBER_WEIGHT = 0.25
COMMON = 0.05


def words_of(items: pd.DataFrame) -> sparse.csr_matrix:
    """One row an item: 1 where it has a word ("title:coffee", "brand=Private", a fifth of a numeric feature).

    Parameters
    ----------
    items : DataFrame
        As in ``EventLog.items``: a title and any features; missing values have no word.

    Returns
    -------
    csr_matrix of float64 (n, 2**18)
        1 for a word, ``NUMBER_WEIGHT`` for the class of a number: a like price is a weaker tie than a like kind.
    """
    rows, columns, weights = [], [], []
    for position, words, weight in _words(items):
        rows.append(position)
        weights.append(np.full(len(words), weight))
        columns.append((pd.util.hash_array(words.astype(object), categorize=False) % np.uint64(WIDTH)).astype(np.int64))
    row = np.concatenate([*rows, np.empty(0, np.int64)])
    column = np.concatenate([*columns, np.empty(0, np.int64)])
    values = np.concatenate([*weights, np.empty(0)])
    return sparse.coo_matrix((values, (row, column)), shape=(len(items), WIDTH)).tocsr()


def _words(items: pd.DataFrame) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
    """(positions of items, their words, weight), a column at a time."""
    for name in items.columns:
        values = items[name]
        known = np.flatnonzero(values.notna().to_numpy())
        if name == TITLE:
            split = values.iloc[known].astype(str).str.lower().map(lambda text: sorted(set(re.findall(r"\w+", text))))
            lengths = split.map(len).to_numpy()
            texts = np.array([f"title:{word}" for words in split for word in words], dtype=object)
            yield np.repeat(known, lengths), texts, 1.0
        elif pd.api.types.is_numeric_dtype(values) and values.nunique() > NUMBER_CLASSES:
            numbers = values.iloc[known].to_numpy(float)
            borders = np.quantile(numbers, np.linspace(0, 1, NUMBER_CLASSES + 1)[1:-1])
            yield (
                known,
                np.array([f"{name}~{c}" for c in np.searchsorted(borders, numbers)], dtype=object),
                NUMBER_WEIGHT,
            )
        else:
            yield known, np.array([f"{name}={value}" for value in values.iloc[known]], dtype=object), 1.0


def rarity(words: sparse.csr_matrix) -> np.ndarray:
    """log((1 + n) / (1 + items with the word)): a word that few share says more; float64 (2**18,).

    A word of more than a twentieth of a large catalogue counts nothing: it would make every item resemble every other.
    """
    having = np.bincount(words.indices, minlength=words.shape[1])
    rare: np.ndarray = np.log((1.0 + words.shape[0]) / (1.0 + having))
    rare[having > max(COMMON * words.shape[0], 50)] = 0.0
    return rare


def directions(words: sparse.csr_matrix, rare: np.ndarray) -> sparse.csr_matrix:
    """Rows of unit length, words weighted by their rarity; products of two rows are cosines."""
    weighted = sparse.csr_matrix(words @ sparse.diags(rare))
    weighted.eliminate_zeros()
    norm = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
    return sparse.csr_matrix(sparse.diags(1.0 / np.maximum(norm, 1e-12)) @ weighted)


def nearest(of: sparse.csr_matrix, among: sparse.csr_matrix, k: int, sharpness: float = 4.0) -> sparse.csr_matrix:
    """Weights over the k rows of ``among`` that resemble each row of ``of`` most; CSR (a, b), rows sum to 1 or to 0.

    Weights are cosines to the power ``sharpness``. O(words shared), in blocks of rows.
    """
    parts = []
    for start in range(0, of.shape[0], 256):
        alike = (of[start : start + 256] @ among.T).tocsr()
        alike.data **= sharpness
        parts.append(_largest(alike, k))
    found = sparse.vstack(parts).tocsr() if parts else sparse.csr_matrix((0, among.shape[0]))
    total = np.asarray(found.sum(axis=1)).ravel()
    return sparse.csr_matrix(sparse.diags(1.0 / np.maximum(total, 1e-300)) @ found)


def _largest(matrix: sparse.csr_matrix, k: int) -> sparse.csr_matrix:
    """The k largest entries of every row; equal ones in the order of their columns."""
    matrix.sum_duplicates()
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((matrix.indices, -matrix.data, rows))
    rank = np.arange(len(order)) - np.repeat(matrix.indptr[:-1], np.diff(matrix.indptr))
    kept = order[rank < k]
    return sparse.csr_matrix((matrix.data[kept], (rows[kept], matrix.indices[kept])), shape=matrix.shape)
