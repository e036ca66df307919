"""Masks for a user's own videos, folders of frames and photos."""

from __future__ import annotations

import json
import shutil
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from depth import DepthEstimator
from flowsim import MotionPrior, sample_motion, simulate_flow
from flowsim.prior import Shot
from pipeline.command.progress import Progress
from pipeline.dataset.schema import decode_flow
from pipeline.engine.placement import count_of, local_share
from pipeline.files.video_writer import VideoWriter
from pipeline.redaction import redacted
from segmentation.data.read_ahead import batches
from segmentation.errors import SegmentationError
from segmentation.flow.estimators import Estimator, load_estimator
from segmentation.flow.frame_steps import estimate_steps, pair_of
from segmentation.network.checkpoint import load_network
from segmentation.network.flow_colors import flow_colors
from segmentation.network.precision import usual_precision
from segmentation.network.segmenter import Segmenter
from segmentation.prediction.mask_folders import write_mask
from segmentation.prediction.settings import PredictionSettings
from segmentation.videos.footage import Footage, ImageFiles, open_footage
from segmentation.videos.mask_files import EXTENSIONS
from segmentation.videos.overlay import tinted

Image = UInt8[np.ndarray, "h w 3"]
Flow = Float32[np.ndarray, "h w 2"]

PHOTO_MOTION = MotionPrior(
    "photo", (Shot(model="parallax", magnitude=(0.03,), zero_plane=(0.0,), direction_deg=(0.0,)),)
)
"""Motion of photos: near parts move to the right by 3 % of the longer side, far parts stand still."""


@dataclass(frozen=True)
class Prediction:
    """The prediction for one input, which is also written as `about.json` beside the masks.

    Attributes:
        source: path of the input.
        folder: folder with masks `masks/<frame>.png` and the overlay `overlay.mp4` or `overlay.png`.
        frames: number of frames.
        flow: origin of the flow, in words.
        network: network that predicted, as it was named.
    """

    source: str
    folder: str
    frames: int
    flow: str
    network: str


class Predictor:
    """Predicts with one network; RAFT and the depth model are loaded when the first input needs them."""

    def __init__(self, settings: PredictionSettings) -> None:
        share = local_share(settings.device)
        share.set_up_torch()
        self._settings, self._device = settings, share.device
        network = load_network(settings.checkpoint, side_px=settings.side_px)
        self._segmenter = Segmenter(network, share.device, usual_precision(share.device))
        self._estimator: Estimator | None = None
        self._depth: DepthEstimator | None = None

    def predict(self, source: Path, folder: Path, progress: Progress) -> Prediction:
        """Write the masks and the overlay of one input into a new folder, which appears when it is complete.

        Raises:
            SegmentationError: the input cannot be used, or the folder exists already or cannot be written.
        """
        if folder.exists():
            raise SegmentationError(f"{folder} exists already; remove it, or choose another --output")
        footage = ImageFiles((source,)) if is_photo(source) else open_footage(source)
        unfinished = folder.with_name(f".{folder.name}.unfinished")
        try:
            shutil.rmtree(unfinished, ignore_errors=True)
            (unfinished / "masks").mkdir(parents=True)
            progress.announce(f"{source}: {count_of(len(footage.names), 'frame')}")
            if len(footage.names) == 1:
                flow = self._predict_photo(footage, unfinished)
            else:
                flow = self._predict_video(footage, unfinished, progress)
            prediction = Prediction(str(source), str(folder), len(footage.names), flow, str(self._settings.checkpoint))
            (unfinished / "about.json").write_text(json.dumps(redacted(asdict(prediction)), indent=1) + "\n")
            unfinished.replace(folder)
        except OSError as error:
            raise SegmentationError(f"{folder} cannot be written: {error.strerror or error}") from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        return prediction

    def _predict_photo(self, footage: Footage, folder: Path) -> str:
        model = self._settings.depth_model
        self._depth = self._depth or DepthEstimator.load(model, device=self._device)
        image = next(footage.read([0]))
        (inverse_depth,) = self._depth([image])
        if not np.isfinite(inverse_depth).all():
            raise SegmentationError(
                f"{footage.names[0]}: {model} gave depth that is not finite; try another --depth-model"
            )
        flow_px = simulate_flow(inverse_depth, None, sample_motion(PHOTO_MOTION, 0, "photo", 0)).flow
        (mask,) = self._segmenter([(image, flow_colors(flow_px))])
        write_mask(folder / "masks", footage.names[0], mask)
        _, content = cv2.imencode(".png", tinted(image, mask)[..., ::-1])
        (folder / "overlay.png").write_bytes(content.tobytes())
        return f"simulated from depth by {model}, not measured: a photo has no motion"

    def _predict_video(self, footage: Footage, folder: Path, progress: Progress) -> str:
        self._estimator = self._estimator or load_estimator(self._settings, self._device)
        names, done = footage.names, 0
        frames = frames_with_flow(footage.read(range(len(names))), len(names), self._estimator)
        with VideoWriter(folder / "overlay.mp4", footage.frames_per_second) as overlay:
            for batch in batches(frames, self._segmenter.batch):
                pairs = [(image, flow_colors(flow_px)) for image, flow_px in batch]
                for (image, _), mask in zip(pairs, self._segmenter(pairs), strict=True):
                    write_mask(folder / "masks", names[done], mask)
                    overlay.write(tinted(image, mask))
                    done += 1
                progress.update(len(names), done, 0)
        return f"estimated by {self._estimator.name}"


def is_photo(path: Path) -> bool:
    """Return whether a file is a photo, judged by its extension."""
    return path.is_file() and path.suffix.lower() in EXTENSIONS


def frames_with_flow(frames: Iterable[Image], count: int, estimator: Estimator) -> Iterator[tuple[Image, Flow]]:
    """Yield each frame of a video with its flow; no more frames are in memory than RAFT needs at a time.

    Args:
        frames: frames (h,w,3) uint8 RGB.
        count: number of frames.
        estimator: estimator of the flow.

    Yields:
        (h,w,3) uint8 RGB and (h,w,2) float32 px in steps of 1/64, NaN beyond 511 px: the flow to the next frame, or for
        the last frame the negative flow to the frame before it.

    Raises:
        FlowError: a frame cannot be read, or has another size.
    """
    waiting: deque[Image] = deque()

    def passing() -> Iterator[Image]:
        for image in frames:
            waiting.append(image)
            yield image

    for steps in estimate_steps(estimator, passing(), [pair_of(k, count) for k in range(count)]):
        yield waiting.popleft(), decode_flow(steps)
