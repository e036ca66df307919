"""Published figures to lay one's own beside: `published.json`, each with its source."""

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
        name: as its authors call it.
        source: where the figures were read; where there are none, the paper.
        figures: dataset -> measure (`J`, `F`, `J&F`) -> percent; what is not known is left out.
    """

    name: str
    source: str
    figures: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Published:
    """What is published.

    Attributes:
        methods: in the order of the file.
        sequences: by dataset, over how many sequences published means are taken.
    """

    methods: tuple[Method, ...]
    sequences: Mapping[str, int]


def load_published() -> Published:
    """Read the file that comes with the package."""
    content = json.loads(FILE.read_text(encoding="utf-8"))
    return Published(tuple(Method(**row) for row in content["methods"]), content["sequences"])
