"""How much response an audience of every size can expect: where to stop."""

from __future__ import annotations

import numpy as np
import pandas as pd

POINTS = 160


def response_curve(expected: np.ndarray, happened: np.ndarray | None = None, *, points: int = POINTS) -> pd.DataFrame:
    """Cumulative expected response of the best 1, 2, ... N, best first.

    Parameters
    ----------
    expected : ndarray (N,)
        Expected interactions of each delivery; −inf and NaN (forbidden pairs) are left out.
    happened : ndarray (N,), optional
        Interactions that happened, where the window is over.
    points : int
        Sizes kept at most, denser where the audience is small; the largest is always among them.

    Returns
    -------
    DataFrame
        size, expected (cumulative), next (expected of the last one taken), share (of all that could be expected) and,
        with ``happened``, happened (cumulative). O(N log N).
    """
    expected = np.asarray(expected, float)
    usable = np.isfinite(expected)
    order = np.flatnonzero(usable)[np.argsort(-expected[usable], kind="stable")]
    values = expected[order]
    total = np.cumsum(values)
    if len(values) == 0:
        sizes = np.empty(0, np.int64)
    else:
        spaced = np.concatenate([np.geomspace(1, len(values), points // 2), np.linspace(1, len(values), points // 2)])
        sizes = np.unique(spaced.round().astype(np.int64))
    frame = pd.DataFrame({"size": sizes, "expected": total[sizes - 1], "next": values[sizes - 1]})
    whole = total[-1] if len(total) else 0.0
    frame["share"] = frame["expected"] / whole if whole > 0 else 0.0
    if happened is not None:
        frame["happened"] = np.cumsum(np.asarray(happened, float)[order])[sizes - 1]
    return frame
