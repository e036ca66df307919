"""Published figures: each with its source, laid beside one's own."""

from __future__ import annotations

import re

from segmentation.scoring.protocols import PROTOCOLS
from segmentation.scoring.published import load_published


def test_every_figure_is_a_percentage_with_a_source() -> None:
    methods = load_published().methods
    assert len({method.name for method in methods}) == len(methods)
    for method in methods:
        assert re.match(r"https://\S+/\S+$", method.source), method.name
        for dataset, figures in method.figures.items():
            measures = {"J", "F", "J&F"} if PROTOCOLS[dataset].with_boundaries else {"J"}
            assert figures.keys() <= measures, method.name
            assert all(50 < value < 100 for value in figures.values()), method.name
            if figures.keys() == {"J", "F", "J&F"}:
                assert abs(figures["J&F"] - (figures["J"] + figures["F"]) / 2) < 0.11, method.name
