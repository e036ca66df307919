"""Published figures for comparison, from `published.json`, each with its source."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("published.json")


@dataclass(frozen=True)
class Method:
    """One published method.

    Attributes:
        name: name that its authors gave it.
        source: source of the figures; the paper if there are none.
        figures: percent by dataset and measure (`J`, `F`, `J&F`); unknown figures are left out.
    """

    name: str
    source: str
    figures: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Published:
    """Published figures.

    Attributes:
        methods: methods in the order of the file.
        sequences: number of sequences over which published means are taken, by dataset.
    """

    methods: tuple[Method, ...]
    sequences: Mapping[str, int]


def load_published() -> Published:
    """Read the published figures, which are part of the package."""
    content = json.loads(FILE.read_text(encoding="utf-8"))
    return Published(tuple(Method(**row) for row in content["methods"]), content["sequences"])
