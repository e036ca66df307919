"""Choice of some rows that stand for all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def spread(rows: Sequence[int] | NDArray[np.int64], count: int) -> list[int]:
    """Return up to `count` of the rows, evenly spread; if there are several, the first and the last are among them."""
    places = np.linspace(0, max(0, len(rows) - 1), min(count, len(rows))).round().astype(int)
    return [int(rows[place]) for place in places.tolist()]
