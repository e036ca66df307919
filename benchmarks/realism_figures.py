"""Figures of `benchmarks.realism`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt

from flowsim import FlowStatistics, MotionPrior, flow_to_rgb, sample_motion, simulate_flow
from flowsim.inversion import Scene
from segmentation.training.motion_fit import Field

TITLES = {
    "magnitude_p10_px": "10 % quantile of |flow|, px of 854",
    "magnitude_p50_px": "median of |flow|, px of 854",
    "magnitude_p90_px": "90 % quantile of |flow|, px of 854",
    "relative_p10": "10 % quantile / maximum",
    "relative_p50": "median / maximum",
    "relative_p90": "90 % quantile / maximum",
    "axis_ratio": "mean |u| / mean |v|",
    "coherence": "|mean flow| / mean |flow|",
    "offset_px": "object - background, px of 854",
    "separation": "offset / spread",
    "object_share": "object's part of the motion",
    "edge_ratio": "difference across the mask's edge / elsewhere",
    "auc": "object against background, AUC",
    "angles": "direction, degrees",
}
LOGARITHMIC = (
    "magnitude_p10_px",
    "magnitude_p50_px",
    "magnitude_p90_px",
    "axis_ratio",
    "offset_px",
    "separation",
    "edge_ratio",
)
STYLES: dict[str, dict[str, Any]] = {
    "real": {"color": "black", "linewidth": 2.4},
    "davis": {"color": "#d62728", "linewidth": 2.0},
    "camera+object": {"color": "#1f77b4", "linewidth": 1.3},
    "camera": {"color": "#17becf", "linewidth": 1.3},
    "parallax": {"color": "#9467bd", "linewidth": 1.3},
    "depthstillation-style": {"color": "#ff9900", "linewidth": 1.3},
}


def plot_distributions(rows: dict[str, list[FlowStatistics]], results: dict[str, Any], path: Path) -> None:
    """Draw one panel per statistic, with cumulative distributions, or for directions the histogram."""
    figure, axes = plt.subplots(3, 5, figsize=(19, 10.5), layout="constrained")
    for panel, (name, title) in zip(axes.flat, TITLES.items(), strict=False):
        for row, style in STYLES.items():
            if name == "angles":
                mean = np.mean([f.angles for f in rows[row] if np.isfinite(f.angles).all()], 0)
                panel.plot(np.arange(-175, 185, 10), 100 * mean, **style)
                continue
            values = np.sort([getattr(f, name) for f in rows[row] if np.isfinite(getattr(f, name))])
            panel.plot(values, np.linspace(0, 100, len(values)), **style)
        if name in LOGARITHMIC:
            panel.set_xscale("log")
            low, high = np.nanquantile([getattr(f, name) for f in rows["real"]], (0.005, 0.995))
            panel.set_xlim(low / 3, high * 4)
        if name == "angles":
            panel.set_xticks(range(-180, 181, 90))
        ratio = results["davis"]["distance_over_floor"][name]
        panel.set_title(f"{title}\ndavis: {ratio:.2f} x floor", fontsize=10)
        panel.grid(alpha=0.25)
    for panel in axes[:, 0]:
        panel.set_ylabel("fields below, %")
    axes.flat[13].set_ylabel("motion, %")
    legend = axes.flat[14]
    legend.axis("off")
    for row, style in STYLES.items():
        mean = f": {results[row]['over_floor']:.2f} x floor" if row in results else " (RAFT, DAVIS train)"
        legend.plot([], [], label=row + mean, **style)
    legend.legend(loc="center", fontsize=12, frameon=False, title="mean distance to held-out videos", title_fontsize=12)
    figure.savefig(path, dpi=80)
    plt.close(figure)


def plot_samples(videos: dict[str, list[Field]], scenes: Sequence[Scene], prior: MotionPrior, path: Path) -> None:
    """Draw real flow on the left and simulated flow on the right, saturated at each field's 98 % quantile."""
    rows, columns = 7, 4
    random = np.random.default_rng(4)
    names = random.permutation(sorted(videos))[: rows * columns]
    real = [videos[str(name)][int(random.integers(len(videos[str(name)])))][:2] for name in names]
    chosen = random.permutation(len(scenes))[: rows * columns]
    made = []
    for k in chosen:
        scene = scenes[k]
        flow = simulate_flow(scene.inverse_depth, scene.mask, sample_motion(prior, 1, str(k), 0)).flow
        made.append((flow, scene.mask))
    figure = plt.figure(figsize=(19, 16.5), layout="constrained")
    for part, (title, fields) in zip(
        figure.subfigures(1, 2, wspace=0.03),
        (("real: RAFT on DAVIS", real), ("simulated: preset davis on DUTS", made)),
        strict=True,
    ):
        part.suptitle(title, fontsize=18)
        for panel, (flow, mask) in zip(part.subplots(rows, columns).flat, fields, strict=False):
            longest = float(np.quantile(np.hypot(flow[..., 0], flow[..., 1]), 0.98))
            panel.imshow(flow_to_rgb(flow, max(longest, 1e-3)))
            panel.contour(mask, [0.5], colors="black", linewidths=0.7)
            panel.axis("off")
    figure.savefig(path, dpi=64)
    plt.close(figure)


def plot_classifiers(figures: dict[str, Any], path: Path) -> None:
    """Draw the AUC of both classifiers as bars per preset and kind of flow, with the floor as a line."""
    kinds = {"photos": "flow of photos", "pairs": "flow of pairs, exact", "estimated": "flow of pairs, estimated"}
    colors = ("#9ecae1", "#4292c6", "#d62728")
    figure, axes = plt.subplots(1, 2, figsize=(13, 4.6), layout="constrained", sharey=True)
    presets = list({**figures["photos"], **figures["estimated"]})
    for panel, (judge, title) in zip(
        axes, (("forest", "random forest on statistics"), ("network", "network on colours")), strict=True
    ):
        for place, (kind, color) in enumerate(zip(kinds, colors, strict=True)):
            shown = [name for name in presets if name in figures[kind]]
            at = [presets.index(name) + 0.27 * (place - 1) for name in shown]
            values = [figures[kind][name][judge] for name in shown]
            bars = panel.bar(at, [value["auc"] for value in values], 0.25, color=color, label=kinds[kind])
            panel.bar_label(bars, fmt="%.2f", fontsize=9)
            for x, value in zip(at, values, strict=True):
                panel.vlines(x, min(value["of_each_seed"]), max(value["of_each_seed"]), color="black", linewidth=1)
        bottom = figures["floor"][judge]
        panel.axhline(bottom["auc"], color="black", linestyle="--", label="two halves of the real videos")
        panel.axhspan(min(bottom["of_each_seed"]), max(bottom["of_each_seed"]), color="black", alpha=0.08)
        panel.set_xticks(range(len(presets)), [name.replace(", ", ",\n") for name in presets])
        panel.set_title(title)
        panel.set_ylim(0.3, 1.06)
    axes[0].set_ylabel("AUC, simulated against real")
    axes[1].legend(loc="upper right", fontsize=9)
    figure.savefig(path, dpi=80)
    plt.close(figure)
