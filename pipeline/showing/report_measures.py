"""Measurements for a report: statistics of flow fields and motion parameters, over a part of the dataset."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flowsim import FlowsimError, FlowStatistics, MotionSample, measure_flow
from flowsim.prior import MODELS
from pipeline.command.progress import Progress
from pipeline.dataset import schema
from pipeline.dataset.spread import spread
from pipeline.dataset.store import DatasetStore

FIELDS_MEASURED = 240
SHARDS_OF_MOTIONS = 64


@dataclass(frozen=True, eq=False)
class MeasuredField:
    """Statistics of one flow field, with its row and the number of its motion."""

    row: int
    motion: int
    statistics: FlowStatistics


@dataclass(frozen=True, eq=False)
class Quantity:
    """A distribution that a report shows.

    Attributes:
        name: short name of the quantity.
        unit: unit of the values; empty for ratios.
        meaning: one sentence that explains the quantity.
        values: (n,) float64; NaN where the quantity is not defined.
        is_log: True if the axis is logarithmic.
        is_direction: True if the values are angles in degrees, 0 = right, 90 = down.
    """

    name: str
    unit: str
    meaning: str
    values: NDArray[np.float64]
    is_log: bool = False
    is_direction: bool = False


def measure_fields(store: DatasetStore, usable: NDArray[np.int64], progress: Progress) -> list[MeasuredField]:
    """Measure up to `FIELDS_MEASURED` flow fields of evenly spread rows, each within the size of its sample.

    Fields without a known vector are left out.
    """
    motions = store.layout.motions
    rows = spread(usable, max(1, FIELDS_MEASURED // motions))

    def measure(row: int) -> list[MeasuredField]:
        height, width = (int(side) for side in store.read("size", row))
        mask = store.read("mask", row)[:height, :width] > 0
        flows = schema.decode_flow(store.read("flow", row)[:, :height, :width])
        return list(_measured(row, flows, mask))

    found: list[MeasuredField] = []
    pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="measure")
    try:
        for done, fields in enumerate(pool.map(measure, rows), start=1):
            found += fields
            progress.update(len(rows), done, 0)
    finally:
        pool.shutdown(cancel_futures=True)
    return found


def _measured(row: int, flows: NDArray[np.float32], mask: NDArray[np.bool_]) -> Iterator[MeasuredField]:
    for motion, flow in enumerate(flows):
        try:
            yield MeasuredField(row, motion, measure_flow(flow, mask, np.isfinite(flow).all(-1)))
        except FlowsimError:  # no known vector
            continue


def flow_quantities(fields: list[MeasuredField]) -> list[Quantity]:
    """Return the distributions of flow statistics that a report shows."""

    def values(name: str) -> NDArray[np.float64]:
        return np.array([getattr(field.statistics, name) for field in fields], np.float64)

    return [
        Quantity(
            "Median length", "px", "Half of the pixels move further than this.", values("magnitude_p50_px"), is_log=True
        ),
        Quantity("90 % length", "px", "Nine of ten pixels move no further.", values("magnitude_p90_px"), is_log=True),
        Quantity("Relative median", "", "Median length divided by the longest one.", values("relative_p50")),
        Quantity("Coherence", "", "1 = all pixels move alike, 0 = in all directions.", values("coherence")),
        Quantity("Sideways over upright", "", "Mean |u| divided by mean |v|.", values("axis_ratio"), is_log=True),
        Quantity("Object's share", "", "Above 0.5 the object moves more than the ground.", values("object_share")),
        Quantity(
            "Offset", "px", "Distance between the mean motions of object and ground.", values("offset_px"), is_log=True
        ),
        Quantity("Separation", "", "Offset divided by the spread within both.", values("separation"), is_log=True),
        Quantity(
            "Edge ratio",
            "",
            "Step of flow at the mask's edge relative to elsewhere.",
            values("edge_ratio"),
            is_log=True,
        ),
        Quantity("Contrast (AUC)", "", "Probability that relative length tells object from ground.", values("auc")),
    ]


def mean_directions(fields: list[MeasuredField]) -> NDArray[np.float64]:
    """Return the mean histogram of directions, (bins,) from -180 degrees; see `FlowStatistics.angles`."""
    moving = [field.statistics.angles for field in fields if np.isfinite(field.statistics.angles).all()]
    return np.mean(moving, axis=0) if moving else np.empty(0)


def read_motions(store: DatasetStore) -> NDArray[np.float64]:
    """Return motions, (n, parameters), of the usable rows of up to `SHARDS_OF_MOTIONS` shards, evenly spread."""
    usable = store.usable_rows()
    parts = []
    for shard in spread(np.array(sorted(store.committed()), np.int64), SHARDS_OF_MOTIONS):
        rows = store.layout.rows(shard)
        inside = usable[(usable >= rows.start) & (usable < rows.stop)] - rows.start
        parts.append(store.read("motion", slice(rows.start, rows.stop))[inside])
    motions: NDArray[np.float64] = np.concatenate(parts).reshape(-1, len(store.layout.motion_parameters))
    return motions


def motion_quantities(motions: NDArray[np.float64]) -> list[Quantity]:
    """Return the distributions of motion parameters that vary.

    Args:
        motions: (n, parameters), columns as in `MotionSample.names`.
    """
    column = {name: motions[:, place] for place, name in enumerate(MotionSample.names)}
    is_parallax = column["model"] == MODELS.index("parallax")

    def triple(name: str) -> NDArray[np.float64]:
        return np.stack([column[f"{name}_{axis}"] for axis in "xyz"], 1)

    rigid = {
        name: np.where(is_parallax[:, None], np.nan, triple(name))
        for name in ("rotation", "translation", "object_rotation", "object_translation")
    }
    turn_deg, shift = np.degrees(rigid["rotation"]), rigid["translation"]
    direction = np.degrees(np.arctan2(column["translation_y"], column["translation_x"]))
    wanted = "Target length of the flow, relative to the longer side."
    found = [
        Quantity("Size", "%", wanted, 100 * column["magnitude"], is_log=True),
        Quantity(
            "Direction", "°", "Direction in which near points move.", _only(direction, is_parallax), is_direction=True
        ),
        Quantity(
            "Zero plane", "", "Inverse depth of the points that do not move.", _only(column["zero_plane"], is_parallax)
        ),
        Quantity("Field of view", "°", "Horizontal.", _only(column["fov_deg"], ~is_parallax)),
        Quantity(
            "Farthest depth", "", "Depth in units of the nearest depth.", _only(column["far"], ~is_parallax), True
        ),
        Quantity("Tilt", "°", "Camera's rotation about x.", turn_deg[:, 0]),
        Quantity("Pan", "°", "Camera's rotation about y.", turn_deg[:, 1]),
        Quantity("Roll", "°", "Camera's rotation about z.", turn_deg[:, 2]),
        Quantity("Sideways", "", "Camera's translation along x, in units of the nearest depth.", shift[:, 0]),
        Quantity("Up and down", "", "Camera's translation along y, in units of the nearest depth.", shift[:, 1]),
        Quantity("Forward", "", "Camera's translation along z, in units of the nearest depth.", shift[:, 2]),
        Quantity(
            "Object turns",
            "°",
            "Angle of the object's own rotation.",
            np.degrees(_length(rigid["object_rotation"])),
            True,
        ),
        Quantity(
            "Object moves",
            "",
            "Length of the object's own translation, in nearest depths.",
            _length(rigid["object_translation"]),
            True,
        ),
    ]
    return [quantity for quantity in found if _varies(quantity.values)]


def _only(values: NDArray[np.float64], where: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.where(where, values, np.nan)


def _length(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths: NDArray[np.float64] = np.linalg.norm(vectors, axis=1)
    return lengths


def _varies(values: NDArray[np.float64]) -> bool:
    known = values[np.isfinite(values)]
    return bool(known.size and np.ptp(known) > 0)
