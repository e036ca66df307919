"""One row of a shard: motion, flow and, in a dataset of clips, frames from a photo, its mask and its depth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowsim import MotionPrior, sample_motion, sample_motions, simulate_flow
from flowsim.smaller_objects import AnnotatedPhoto, draw_object_area, with_smaller_objects
from pipeline.dataset import schema
from pipeline.dataset.clips import clip_of_row, put_clip
from pipeline.making.config import RunConfig
from pipeline.photos.masks import OBJECT_LEVEL
from pipeline.photos.objects import number_objects


def fill_row(
    arrays: Mapping[str, NDArray[Any]],
    position: int,
    config: RunConfig,
    prior: MotionPrior,
    photo: NDArray[np.uint8],
    annotation: NDArray[np.uint8],
    inverse_depth: NDArray[np.float32],
    device: str,
) -> None:
    """Fill in one row of a shard, whose `id` is filled in already.

    Flow and frames are made from the values that the row stores, so that a reader can make them again.

    Args:
        arrays: arrays of the shard, as `empty_shard` makes them.
        position: number of the row in the shard.
        config: settings of the run.
        prior: motion model.
        photo: (h, w, 3).
        annotation: (h, w); levels from `OBJECT_LEVEL` on are the object. Object numbers with `--objects labels`.
        inverse_depth: (h, w) in [0, 1].
        device: where frames are rendered.
    """
    sample_id = str(arrays["id"][position])
    height, width = annotation.shape
    has_numbers = config.objects == "labels"
    grey_mask = np.where(annotation > 0, np.uint8(255), np.uint8(0)) if has_numbers else annotation
    mask = np.where(grey_mask >= OBJECT_LEVEL, np.uint8(255), np.uint8(0))
    steps = schema.encode_inverse_depth(inverse_depth)
    if config.frames == 1:
        for index in range(config.motions):
            drawn = sample_motion(prior, config.seed, sample_id, index)
            simulated = simulate_flow(schema.decode_inverse_depth(steps), mask > 0, drawn)
            arrays["flow"][position, index, :height, :width] = schema.encode_flow(simulated.flow, simulated.valid)
            arrays["motion"][position, index] = simulated.motion.to_vector()
    else:
        labels = annotation if has_numbers else number_objects(mask, config.objects == "components")
        area = draw_object_area(prior, config.seed, sample_id)
        original = AnnotatedPhoto(photo, schema.decode_inverse_depth(steps), labels, grey_mask)
        photo, inverse_depth, labels, grey_mask = with_smaller_objects(original, area)
        mask, steps = np.where(labels > 0, np.uint8(255), np.uint8(0)), schema.encode_inverse_depth(inverse_depth)
        count = int(labels.max())
        motions = [sample_motions(prior, config.seed, sample_id, index, count) for index in range(config.motions)]
        for index, clip in enumerate(clip_of_row(photo, labels, grey_mask, steps, motions, config.frames, device)):
            put_clip(arrays, position, index, clip)
        arrays["opacity"][position, :height, :width] = grey_mask
        if config.objects != "mask":
            arrays["labels"][position, :height, :width] = labels
    pictures = {"image": photo, "mask": mask, "inverse_depth": steps}
    for name, values in pictures.items():
        arrays[name][position, :height, :width] = values
    arrays["size"][position] = height, width
    arrays["status"][position] = schema.USABLE
