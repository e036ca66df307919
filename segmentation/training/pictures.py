"""Pictures of a training run: predictions of the network, and curves of loss and scores."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure

from pipeline.files.whole_files import write_whole
from pipeline.showing.sheets import Line, draw_sheet, scaled_to
from segmentation.data.photo_samples import Triplet
from segmentation.errors import writing
from segmentation.network.model import TwoStreamNetwork
from segmentation.network.segmenter import Mask, Segmenter
from segmentation.scoring.metrics import region_similarity
from segmentation.training.data_split import ValidationData
from segmentation.training.folder import read_metrics
from segmentation.training.validation import as_pixels

PREDICTIONS_FILE, CURVES_FILE = "predictions.png", "curves.png"
ROWS, TILE_PX = 6, 240
_OBJECT_COLOR = np.array([235, 60, 60], np.float32)
_HEADINGS = ("image", "flow", "truth", "prediction")


def draw_predictions(
    network: TwoStreamNetwork, validation: ValidationData, path: Path, *, device: str, precision: str
) -> None:
    """Draw image, flow, truth and prediction of samples spread evenly over those of the validation.

    Args:
        network: network in evaluation mode, on `device`.
        validation: samples that the network did not learn from.
        path: PNG file to write.
        device: `cpu` or `cuda`.
        precision: arithmetic of the network on a GPU.
    """
    step = max(1, validation.samples // ROWS)
    samples = [sample for _, sample in validation.read(step // 2, step)][:ROWS]
    masks = Segmenter(network, device, precision)([as_pixels(sample) for sample in samples])
    lines = [_line(sample, found) for sample, found in zip(samples, masks, strict=True)]
    content = io.BytesIO()
    draw_sheet("Predictions on samples of the validation", _HEADINGS, lines, tile_px=TILE_PX).save(content, "PNG")
    with writing(path):
        write_whole(path, content.getvalue())


def draw_curves(output: Path, path: Path) -> None:
    """Draw loss and IoU of training, and the scores of the validations, over the steps of a run.

    Args:
        output: folder of the run.
        path: PNG file to write.
    """
    records = read_metrics(output)
    learnt = [record for record in records if record["kind"] == "train"]
    judged = [record for record in records if record["kind"] == "validation"]
    measure = "J&F" if judged and "J&F" in judged[0] else "IoU"
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([r["step"] for r in learnt], [r["loss"] for r in learnt], color="#1f5fa8", linewidth=1)
    left.set(title="loss on training samples", xlabel="step", ylim=(0, None))
    right.plot(
        [r["step"] for r in learnt], [r["iou"] for r in learnt], color="#bbbbbb", linewidth=1, label="IoU, training"
    )
    for name, color in ((measure, "#c0392b"), *((("J", "#e08a1e"), ("F", "#2e8b57")) if measure == "J&F" else ())):
        values = [r[name] for r in judged]
        right.plot([r["step"] for r in judged], values, "o-", markersize=3, color=color, label=f"{name}, validation")
    right.set(title="scores", xlabel="step", ylim=(0, 1))
    right.legend(fontsize=8)
    for panel in (left, right):
        panel.grid(alpha=0.25)
    content = io.BytesIO()
    figure.savefig(content, dpi=110, format="png")
    with writing(path):
        write_whole(path, content.getvalue())


def _line(sample: Triplet, found: Mask) -> Line:
    image, mask = sample.image.numpy(), sample.mask.numpy()
    flow = sample.colors().numpy()
    flow = cv2.resize(flow, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_AREA)
    iou = float(region_similarity(found[None], mask[None] > 0)[0])
    pictures = (image, flow, _overlay(image, mask), _overlay(image, found))
    return [scaled_to(picture, TILE_PX) for picture in pictures], f"{sample.id}   IoU {iou:.2f}"


def _overlay(image: UInt8[np.ndarray, "h w 3"], mask: UInt8[np.ndarray, "h w"] | Mask) -> UInt8[np.ndarray, "h w 3"]:
    """Return the photo in grey with the object in colour."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None].repeat(3, 2).astype(np.float32) * 0.6 + 60
    shown = np.where(mask[..., None] > 0, 0.45 * grey + 0.55 * _OBJECT_COLOR, grey)
    overlay: UInt8[np.ndarray, "h w 3"] = shown.clip(0, 255).astype(np.uint8)
    return overlay
