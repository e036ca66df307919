"""A motion model fitted to the flow and masks of real videos, as a TOML file for `pipeline run --motion`."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32

from pipeline.command.progress import Progress, Silent
from pipeline.dataset.schema import FLOW_STEPS_PER_PIXEL, decode_inverse_depth
from pipeline.dataset.store import DatasetStore
from pipeline.engine.placement import count_of
from pipeline.errors import PipelineError
from pipeline.files.regular_files import refuse_irregular
from pipeline.files.whole_files import write_whole
from segmentation.data.source_names import VideoSource
from segmentation.errors import FlowError, writing
from segmentation.training.motion_settings import MotionFitSettings

if TYPE_CHECKING:
    from flowsim import FlowStatistics
    from flowsim.inversion import Scene

# Flow, mask of the object, and the longer side of the picture in whose pixels the flow is given.
Field = tuple[Float32[np.ndarray, "h w 2"], Bool[np.ndarray, "h w"], float]
_MOST_FIELDS = 400
_MOST_SCENES = 400


class MeasuredField(NamedTuple):
    """What a fit needs of one real field.

    Attributes:
        statistics: statistics of the flow, at the scale of the fit.
        object_area: part of the picture that the object covers.
    """

    statistics: FlowStatistics
    object_area: float


def fields_of_folder(folder: Path, side_px: int | float | None = None) -> dict[str, list[Field]]:
    """Read real flow from .npz files, one for each video.

    Args:
        folder: folder of files with `flow` (n,h,w,2), float px or int16 in steps of 1/64 px, and `mask` (n,h,w), bool,
            or uint8 with the object from 128 on.
        side_px: longer side of the picture in whose pixels the flow is given, if the fields were made smaller; None =
            longer side of the fields.

    Returns:
        Fields of each video, by name of the video.

    Raises:
        FlowError: the folder holds no such file, or a file holds something else.
    """
    paths = sorted(folder.glob("*.npz"))
    if not paths:
        raise FlowError(
            f"{folder} holds no .npz file; expected one per video, with `flow` (n,h,w,2) and `mask` (n,h,w)"
        )
    return {path.stem: _fields_of_file(path, side_px) for path in paths}


def _fields_of_file(path: Path, side_px: int | float | None) -> list[Field]:
    try:
        refuse_irregular(path)
        with np.load(path, allow_pickle=False) as arrays:
            flow, mask = arrays["flow"], arrays["mask"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise FlowError(f"{path} cannot be used ({error}); expected arrays `flow` and `mask` in an .npz file") from None
    is_flow = flow.ndim == 4 and flow.shape[-1] == 2 and (flow.dtype.kind == "f" or flow.dtype == np.int16)
    if not is_flow or mask.shape != flow.shape[:3] or mask.dtype not in (np.bool_, np.uint8):
        raise FlowError(
            f"{path}: flow is {flow.dtype} {flow.shape}, mask {mask.dtype} {mask.shape}; expected float px or int16 "
            "1/64 px (n,h,w,2), and bool or uint8 (n,h,w)"
        )
    flow_px = flow.astype(np.float32) / (FLOW_STEPS_PER_PIXEL if flow.dtype == np.int16 else 1)
    is_object = mask if mask.dtype == np.bool_ else mask >= 128
    side = float(side_px or max(mask.shape[1:]))
    return [(field, where, side) for field, where in zip(flow_px, is_object, strict=True)]


def fields_of_videos(source: VideoSource) -> Iterator[tuple[str, Field]]:
    """Yield the name of the video and the field of every annotated frame of the training split of a dataset.

    Raises:
        FlowError: the flow is stored as pictures, which do not tell lengths.
        SegmentationError, PipelineError: the dataset or the flow cannot be read.
    """
    from segmentation.training.data_split import open_videos

    frames = open_videos(source)
    if not frames.is_flow_in_px:
        raise FlowError(f"{source.flows} holds pictures, which do not tell lengths; make flow by `segmentation flows`")
    if frames.note:
        raise FlowError(f"{frames.note.partition(';')[0]}; a motion model is fitted to flow of the frames' own size")
    for name in frames.sequences:
        for sample in frames.sequence(name):
            yield name, (sample.flow_px.numpy(), sample.mask.numpy() > 0, float(max(sample.mask.shape)))


def scenes_of(photos: str, longer_side: int | None, rows: slice = slice(None)) -> list[Scene]:
    """Read depths and masks of the photos of a dataset that show an object.

    Args:
        photos: dataset of `pipeline run`; folder or URL.
        longer_side: longer side, in pixels, to which photos are averaged down; None = as stored.
        rows: slice of the usable photos.

    Raises:
        PipelineError: there is no dataset, or none of its photos shows an object.
    """
    from flowsim.inversion import Scene

    store = DatasetStore.open(photos)
    size = store.read("size", slice(None))
    found = []
    for row in store.usable_rows()[rows][:_MOST_SCENES]:
        inside = tuple(slice(0, int(side)) for side in size[row])
        depth = decode_inverse_depth(store.read("inverse_depth", int(row))[inside])
        mask = store.read("mask", int(row))[inside] > 0
        if longer_side is not None:
            depth, mask = _smaller(depth, mask, longer_side)
        if mask.any() and not mask.all():
            found.append(Scene(np.ascontiguousarray(depth), np.ascontiguousarray(mask)))
    if not found:
        raise PipelineError(f"{photos} holds no photo with an object; make it by `pipeline run` on photos with masks")
    return found


def _smaller(depth: np.ndarray, mask: np.ndarray, longer_side: int) -> tuple[np.ndarray, np.ndarray]:
    import cv2

    scale = min(1.0, longer_side / max(mask.shape))
    size = max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale))
    share = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    small = cv2.resize(depth, size, interpolation=cv2.INTER_AREA)
    return np.clip(np.asarray(small), 0, 1), np.asarray(share) >= 0.5


def measure_fields(fields: Mapping[str, list[Field]] | Iterator[tuple[str, Field]]) -> dict[str, list[MeasuredField]]:
    """Measure fields at the scale of the fit; return one entry per field with an object, by name of the video."""
    from flowsim.comparison import statistics_at_scale
    from flowsim.inversion import FIT_GRID

    pairs = (
        ((name, field) for name, some in fields.items() for field in some) if isinstance(fields, Mapping) else fields
    )
    measured: dict[str, list[MeasuredField]] = {}
    for name, (flow_px, mask, side_px) in pairs:
        if mask.any() and not mask.all() and np.isfinite(flow_px).all(-1).any():
            statistics = statistics_at_scale(flow_px, mask, side_px, FIT_GRID)
            measured.setdefault(name, []).append(MeasuredField(statistics, float(mask.mean())))
    return measured


def fit_motion_model(settings: MotionFitSettings, progress: Progress | None = None) -> str:
    """Read real flow, fit a motion model to it, and write the model.

    Args:
        settings: the flow, the photos, and the file to write.
        progress: is told how far the fit is; None = nobody is.

    Returns:
        One line with the file and the number of types of shot.

    Raises:
        FlowError: too few fields or photos, or a file cannot be read or written.
        SegmentationError, PipelineError: the dataset, the flow or the photos cannot be read.
    """
    progress = progress or Silent()
    if settings.fields is not None:
        origin = settings.fields.resolve().name
        progress.announce(f"reading {settings.fields}")
        measured = measure_fields(fields_of_folder(settings.fields, settings.side_px))
    else:
        source = VideoSource.parse(settings.videos or "")
        origin = f"{source.dataset} train"
        progress.announce(f"reading {source.flows}")
        measured = measure_fields(fields_of_videos(source))
    return fit_motion(measured, settings.photos, settings.output, origin, progress, settings.seed)


def fit_motion(
    measured: Mapping[str, list[MeasuredField]],
    photos: str,
    output: Path,
    source: str,
    progress: Progress,
    seed: int = 0,
) -> str:
    """Fit a prior and write it.

    Args:
        measured: the fields of each video.
        photos: dataset on whose depths and masks flow is simulated; folder or URL.
        output: TOML file to write; its stem becomes the name of the prior.
        source: description of the videos, for the head of the file.
        progress: is told how far the fit is.
        seed: seed of the fit.

    Returns:
        One line with the file and the number of types of shot.

    Raises:
        FlowError: too few fields or photos.
        SegmentationError: the file cannot be written.
        PipelineError: the photos cannot be read.
    """
    from flowsim import FlowsimError
    from flowsim.fit import fit_prior, object_areas
    from flowsim.inversion import FIT_GRID
    from flowsim.prior_toml import to_toml

    fields = [field for some in measured.values() for field in some]
    # Chosen evenly over all videos, because neighbouring frames are alike.
    chosen = [fields[i] for i in np.linspace(0, len(fields) - 1, min(len(fields), _MOST_FIELDS)).astype(int)]
    scenes = scenes_of(photos, FIT_GRID)
    photos_known = f"{count_of(len(scenes), 'photo')} to simulate on"
    progress.announce(f"{count_of(len(measured), 'video')}, {count_of(len(chosen), 'field')}; {photos_known}")
    try:
        prior = fit_prior(
            output.stem,
            [field.statistics for field in chosen],
            scenes,
            seed=seed,
            progress=lambda to_do, done: progress.update(to_do, done, 0),
        )
    except FlowsimError as error:
        raise FlowError(str(error)) from None
    today = datetime.now(UTC).date()
    about = f"Fitted on {today} to {source}: {len(measured)} videos, {len(chosen)} flow fields, {len(scenes)} photos.\n"
    about += "Numbers are quantiles at equal steps of probability; their meaning: flowsim/prior.py.\n"
    about += "Without its '#', the next line has pairs and clips show objects as small as in these videos.\n"
    about += f"object_area = {list(object_areas([field.object_area for field in fields]))}"
    with writing(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        write_whole(output, to_toml(prior, about).encode())
    return f"{output}: {len(prior.shots)} types of shot"
