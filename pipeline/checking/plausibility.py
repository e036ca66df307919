"""Plausibility of the values of a dataset of photos; flow is made again from depth, mask and motion, and compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowsim import MotionSample
from pipeline.checking.remaking import compare_flows
from pipeline.dataset import schema
from pipeline.dataset.spread import spread
from pipeline.dataset.store import DatasetStore
from pipeline.files.ids import is_plain
from pipeline.photos.image_files import MIN_SIDE

SPREAD_ROWS = 256

Problem = tuple[tuple[str, ...], str]
"""Ids of the samples concerned, and a description of the defect."""


class DatasetChecker:
    """Checks the values of shards, one after the other in rising order.

    Args:
        store: the dataset.
        all_rows: compare the pictures of every sample, not only of some that are evenly spread.
        among: rows among which the compared samples are chosen; None = all.

    Attributes:
        rows_to_compare: number of samples whose pictures are compared.
        rows_compared: number of samples whose pictures have been compared so far.
        notes: sentences about values that could not be checked.
    """

    def __init__(self, store: DatasetStore, all_rows: bool, among: Sequence[int] | None = None) -> None:
        self.store = store
        self.layout = store.layout
        rows = range(self.layout.samples) if among is None else among
        committed, chosen = store.committed(), spread(rows, len(rows) if all_rows else SPREAD_ROWS)
        self._chosen = {row for row in chosen if row // self.layout.samples_per_shard in committed}
        self.rows_to_compare = len(self._chosen)
        self.rows_compared = 0
        self.notes: list[str] = []
        self._last_id = ""
        self._has_motion = tuple(self.layout.motion_parameters) == tuple(MotionSample.names)
        if self.layout.is_simulated and not self._has_motion:
            self.notes.append("the dataset keeps no motion of this version, so flow was not made again")
        if self.layout.left_out:
            self.notes.append(f"made again when read, so not compared: {', '.join(self.layout.left_out)}")

    def problems(self, shard: int) -> Iterator[Problem]:
        """Yield the defects of a shard."""
        rows = self.layout.rows(shard)
        here = slice(rows.start, rows.stop)
        ids, status, sizes = (self.store.read(name, here) for name in ("id", "status", "size"))
        motion = self.store.read("motion", here) if self.layout.is_simulated else np.zeros((len(rows), 0))
        yield from self._check_ids(ids)
        yield from self._check_failures(shard, rows, ids, status)
        for place, row in enumerate(rows):
            is_chosen = row in self._chosen
            self.rows_compared += is_chosen
            if status[place] != schema.USABLE:
                continue
            problem = self._check_size(sizes[place]) or self._check_motion(motion[place])
            if not problem and is_chosen:
                problem = self._check_pictures(row, sizes[place], motion[place])
            if problem:
                yield (str(ids[place]),), problem

    def _check_ids(self, ids: NDArray[Any]) -> Iterator[Problem]:
        for sample_id in ids:
            if not is_plain(str(sample_id)):
                yield (str(sample_id),), "the id is empty or has control characters; expected one that can be printed"
            if str(sample_id) <= self._last_id:
                yield (str(sample_id),), f"the id follows {self._last_id!r}; expected rising, unique ids"
            self._last_id = str(sample_id)

    def _check_failures(
        self, shard: int, rows: range, ids: NDArray[Any], status: NDArray[np.uint8]
    ) -> Iterator[Problem]:
        recorded = {(failure["row"], failure["id"]) for failure in self.store.commits.read(shard)["failures"]}
        stored = {(rows[place], str(ids[place])) for place in np.flatnonzero(status == schema.FAILED)}
        if recorded != stored:
            names = sorted({sample_id for _, sample_id in recorded ^ stored})
            yield tuple(names), "`status` and the commit record name other samples as failed"
        for sample_id in ids[(status != schema.USABLE) & (status != schema.FAILED)]:
            yield (str(sample_id),), "`status` is neither usable nor failed in a committed shard"

    def _check_size(self, size: NDArray[np.int32]) -> str:
        if not (size >= MIN_SIDE).all() or not (size <= self.layout.side).all():
            return f"size {tuple(size.tolist())}; expected {MIN_SIDE} to {self.layout.side} px"
        return ""

    def _check_motion(self, motion: NDArray[np.float64]) -> str:
        return "" if np.isfinite(motion).all() else "motion parameters are not finite"

    def _check_pictures(self, row: int, size: NDArray[np.int32], motion: NDArray[np.float64]) -> str:
        """Check the pictures of one sample; return a description of the first defect, or an empty text."""
        height, width = (int(side) for side in size)
        specs = self.store.specs(self.layout)
        names = [name for name, spec in specs.items() if spec.has_sample_chunks or name == "window"]
        pictures = {name: self.store.read(name, row) for name in names}
        for name, values in pictures.items():
            if name != "window":
                padding = values.copy()
                padding[schema.picture_part(name, height, width)] = 0
                if padding.any():
                    return f"{name} is not zero outside the picture of {width} x {height} px"
        mask = pictures["mask"][:height, :width]
        if not ((mask == 0) | (mask == 255)).all():
            return "mask has values other than 0 and 255"
        settings = self.store.attributes["settings"]
        is_object = mask > 0
        if is_object.all() or not (is_object.any() or settings.get("allow_missing_masks")):
            return f"mask is all {'object' if is_object.all() else 'background'}"
        flows = self.store.read("flow", row)[:, :height, :width]
        if (flows == schema.UNKNOWN_FLOW).all():
            return "flow is unknown everywhere"
        if not self.layout.is_simulated:
            return ""
        steps = pictures["inverse_depth"][:height, :width]
        if steps.max() > schema.INVERSE_DEPTH_STEPS:
            return f"inverse_depth goes up to {steps.max()}; expected at most {schema.INVERSE_DEPTH_STEPS}"
        if not self._has_motion or self.layout.left_out:
            return ""
        return compare_flows(pictures, motion, (height, width), self.layout.frames)
