"""Figures of a report in SVG, with colours and font of the surrounding page."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.showing.report_measures import Quantity

# Placeholder colours in matplotlib's output, replaced by colours of the page, so that a figure fits light and dark.
_COLORS = {"#010101": "var(--ink-soft)", "#020202": "var(--accent)", "#030303": "var(--ink)", "#040404": "var(--line)"}
_TEXT, _BARS, _MEDIAN, _AXIS = _COLORS
_MOST_BINS = 28
_SIZE_INCHES = (2.9, 1.7)


def histogram(quantity: Quantity) -> str:
    """Draw a distribution with its median; return an empty text if no value is known."""
    values = _known(quantity)
    if quantity.is_direction:
        counts, _ = np.histogram(values, 36, (-180, 180))
        return rose(counts / max(1, counts.sum()))
    if not values.size:
        return ""
    low, high = float(values.min()), float(values.max())
    bins = int(np.clip(2 * np.sqrt(values.size), 8, _MOST_BINS))
    if quantity.is_log:
        low, high = (low / 1.5, high * 1.5) if low == high else (low, high)
        edges = np.geomspace(low, high, bins + 1)
    else:
        edges = np.histogram_bin_edges(values, bins)

    def draw(figure: Any) -> None:
        axes = figure.add_axes((0.03, 0.2, 0.94, 0.76))
        axes.hist(values, edges, color=_BARS, rwidth=0.86)
        axes.axvline(float(np.median(values)), color=_MEDIAN, linewidth=1.2)
        if quantity.is_log:
            _log_axis(axes, low, high)
        axes.set_yticks([])
        for side in ("left", "right", "top"):
            axes.spines[side].set_visible(False)
        axes.spines["bottom"].set_color(_AXIS)
        axes.tick_params(axis="x", which="both", color=_AXIS, labelcolor=_TEXT, labelsize=8, length=3)
        axes.patch.set_visible(False)

    return _svg(_SIZE_INCHES, quantity.name, draw)


def rose(shares: NDArray[np.float64]) -> str:
    """Draw a histogram of directions as on a screen: 0 degrees to the right, 90 degrees downwards.

    Args:
        shares: (bins,) shares that add up to 1, from -180 degrees on.
    """
    width = 2 * np.pi / len(shares)
    centres = -np.pi + width * (np.arange(len(shares)) + 0.5)

    def draw(figure: Any) -> None:
        axes = figure.add_axes((0.28, 0.13, 0.44, 0.74), projection="polar")
        axes.set_theta_direction(-1)
        axes.bar(centres, np.sqrt(shares), width=0.86 * width, color=_BARS)  # area, not radius, shows the share
        axes.set_yticks([])
        axes.set_xticks(np.radians([0, 90, 180, 270]), ["right", "down", "left", "up"])
        axes.tick_params(axis="x", labelcolor=_TEXT, labelsize=8, pad=-1)
        axes.grid(color=_AXIS, linewidth=0.6)
        axes.spines["polar"].set_color(_AXIS)
        axes.patch.set_visible(False)

    return _svg(_SIZE_INCHES, "directions", draw)


def in_words(quantity: Quantity) -> str:
    """Return the median with its unit, or the range of the middle 80 % for values of both signs."""
    values = _known(quantity)
    if not values.size or quantity.is_direction:
        return ""
    unit = quantity.unit if quantity.unit in ("", "°") else f" {quantity.unit}"
    if values.min() < 0 < values.max():
        low, high = np.quantile(values, (0.1, 0.9))
        return f"{low:.2g} to {high:.2g}{unit}"
    return f"{float(np.median(values)):.3g}{unit}"


def _known(quantity: Quantity) -> NDArray[np.float64]:
    values = quantity.values[np.isfinite(quantity.values)]
    return values[values > 0] if quantity.is_log else values


def _log_axis(axes: Any, low: float, high: float) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    decades = np.log10(high / low)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if decades > 2 else (1.0, 2.0, 5.0), numticks=12))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _svg(size_inches: tuple[float, float], name: str, draw: Callable[[Any], None]) -> str:
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": name, "axes.linewidth": 0.8}
    with matplotlib.rc_context(settings):
        figure = Figure(figsize=size_inches)
        figure.patch.set_visible(False)
        draw(figure)
        content = io.StringIO()
        FigureCanvasSVG(figure).print_svg(content, metadata={"Date": None, "Creator": None, "Format": None})  # type: ignore[no-untyped-call]
    svg = content.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    for written, shown in _COLORS.items():
        svg = svg.replace(written, shown)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{name}" ', 1)
