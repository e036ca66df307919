"""A contact sheet of the frames with the lowest J, which shows how a method fails."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8

from pipeline.errors import UnusablePhoto
from pipeline.files.regular_files import read_file
from pipeline.photos.decoding import decode_photo
from pipeline.showing.sheets import Line, draw_sheet, scaled_to
from segmentation.errors import SegmentationError
from segmentation.scoring.predicted_masks import PredictionReader, match_predictions
from segmentation.scoring.score import Scores
from segmentation.videos.datasets import OpenedDataset
from segmentation.videos.overlay import outlined
from segmentation.videos.trees import Frame

FRAMES = 12
OF_ONE_SEQUENCE = 3
APART = 10  # smallest distance of two frames of a sequence, so that the sheet shows different moments
TRUTH_COLOR, PREDICTION_COLOR = (60, 230, 90), (255, 60, 200)
_LINES_ABREAST, _TILE_PX = 2, 320


class BadFrame(NamedTuple):
    """A frame by its sequence, its name, its place among the frames that count, and J."""

    sequence: str
    frame: str
    place: int
    J: float


def choose_worst(scores: Scores) -> list[BadFrame]:
    """Return the frames of lowest J, the worst first: up to 12, of each sequence up to 3, not close to each other."""
    every = [
        BadFrame(sequence.name, name, place, float(value))
        for sequence in scores.sequences
        for place, (name, value) in enumerate(zip(sequence.frames, sequence.J, strict=True))
    ]
    chosen: list[BadFrame] = []
    taken: Counter[str] = Counter()
    for bad in sorted(every, key=lambda frame: frame.J):
        is_close = any(other.sequence == bad.sequence and abs(other.place - bad.place) < APART for other in chosen)
        if not is_close and taken[bad.sequence] < OF_ONE_SEQUENCE:
            taken[bad.sequence] += 1
            chosen.append(bad)
    return chosen[:FRAMES]


def draw_worst_frames(scores: Scores, dataset: OpenedDataset, predictions: Path, threshold: float, path: Path) -> None:
    """Draw the worst frames, each beside the outlines of its truth and its prediction.

    Args:
        scores: scores of the predictions.
        dataset: dataset of the scores.
        predictions: folder of predicted masks.
        threshold: threshold of the scores.
        path: image file to write, in the format of its extension.

    Raises:
        SegmentationError: the picture cannot be written.
    """
    videos = {video.name: video for video in dataset.videos}
    counted = {name: scores.protocol.counted(video.annotated) for name, video in videos.items()}
    matches = match_predictions(dataset, counted, predictions)
    files = {(name, m.frame.name): m for name, matched in matches.frames.items() for m in matched}
    reader = PredictionReader((matched.prediction for matched in files.values()), threshold)
    lines: list[Line] = []
    for bad in choose_worst(scores):
        matched = files[bad.sequence, bad.frame]
        truth = dataset.read_mask(matched.frame)
        found = reader.threshold(reader.read(matched.prediction))
        image = _image(matched.frame, truth)
        outlines = outlined(outlined(image, truth, TRUTH_COLOR), found, PREDICTION_COLOR)
        tiles = [scaled_to(pixels, _TILE_PX) for pixels in (image, outlines)]
        lines.append((tiles, f"{bad.sequence} / {bad.frame}   J {bad.J:.3f}"))
    title = f"{scores.protocol.name}: the frames of lowest J, up to {OF_ONE_SEQUENCE} of a sequence"
    headings = ("frame", "outlines: green = truth, pink = prediction")
    sheet = draw_sheet(title, headings, lines, tile_px=_TILE_PX, lines_abreast=_LINES_ABREAST)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(path)
    except (OSError, ValueError) as error:
        raise SegmentationError(
            f"the sheet {path} cannot be written: {error}; expected a name such as worst.png"
        ) from error


def _image(frame: Frame, truth: Bool[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Read the image of a frame; return a grey one if there is none of the size of the mask."""
    grey = np.full((*truth.shape, 3), 96, np.uint8)
    if frame.image is None:
        return grey
    try:
        image = decode_photo(read_file(frame.image))
    except (UnusablePhoto, OSError):
        return grey
    return np.array(image) if image.shape[:2] == truth.shape else grey
