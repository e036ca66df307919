"""The clips of a dataset: made from the values that a row stores, and put into the arrays of a shard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowsim import Clip, MotionSample, make_clip, separate_layers
from pipeline.dataset.schema import decode_inverse_depth, encode_flow, picture_part


def clip_of_row(
    image: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    opacity: NDArray[np.uint8],
    depth_steps: NDArray[np.uint16],
    motions: Sequence[Sequence[MotionSample]],
    frames: int,
    device: str = "cpu",
) -> list[Clip]:
    """Make the clips of one photo from exactly the values that its row stores, so that a reader can make them again.

    Args:
        image: (h, w, 3), the photo.
        labels: (h, w), 0 = background, i = object i.
        opacity: (h, w), 255 = object.
        depth_steps: (h, w), inverse depth as stored.
        motions: for each clip the motions of objects 1, 2, ...
        frames: frames of a clip, the photo included.
        device: where frames are rendered.

    Raises:
        FlowsimError: the photo has no background.
    """
    photo = separate_layers(image, decode_inverse_depth(depth_steps), labels, opacity)
    return [make_clip(image, photo, drawn, frames, device) for drawn in motions]


def put_clip(arrays: Mapping[str, NDArray[Any]], position: int, index: int, clip: Clip) -> None:
    """Fill in one motion of one row of a shard, and its parameters.

    Args:
        arrays: arrays of the shard, as `empty_shard` makes them.
        position: number of the row in the shard.
        index: number of the motion.
        clip: the frames with their flow, occlusion and labels.
    """
    height, width = clip.labels.shape[1:]
    for name, values in arrays_of_clip(clip).items():
        part = () if name == "window" else picture_part(name, height, width)[1:]
        arrays[name][position, index][part] = values
    vectors = np.stack([motion.to_vector() for motion in clip.motions])
    parameters = arrays["motion"][position, index]
    if parameters.ndim == 1:
        parameters[:] = vectors[0]
    else:
        parameters[: len(vectors)] = vectors


def motions_of_row(parameters: NDArray[np.float64], labels: NDArray[np.uint8]) -> tuple[MotionSample, ...]:
    """Return the motions that a row stores for one clip.

    Args:
        parameters: (parameters,), or (objects, parameters) in a dataset with several objects.
        labels: (h, w); the largest is the number of objects.
    """
    rows = parameters.reshape(-1, parameters.shape[-1])[: max(1, int(labels.max()))]
    return tuple(map(MotionSample.from_vector, rows))


def arrays_of_clip(clip: Clip) -> dict[str, NDArray[Any]]:
    """Return name -> values, as stored and without padding, of the arrays that a clip fills."""
    first, *later = (encode_flow(field.flow, field.valid) for field in clip.forward)
    rows, columns = clip.window
    arrays = {
        "flow": first,
        "next_image": clip.images,
        "next_labels": clip.labels,
        "occlusion": np.stack([field.fate for field in clip.forward]),
        "backward_flow": np.stack([encode_flow(field.flow, field.valid) for field in clip.backward]),
        "backward_occlusion": np.stack([field.fate for field in clip.backward]),
        "window": np.array([rows.start, rows.stop, columns.start, columns.stop], np.int32),
    }
    return arrays | ({"later_flow": np.stack(later)} if later else {})
