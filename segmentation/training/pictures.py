"""Pictures of a training run: what the network predicts, and how loss and scores went."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure

from pipeline.files.whole_files import write_whole
from segmentation.data.photo_samples import Triplet
from segmentation.errors import writing
from segmentation.network.model import TwoStreamNetwork
from segmentation.network.segmenter import Mask, Segmenter
from segmentation.scoring.metrics import region_similarity
from segmentation.training.data_split import ValidationData
from segmentation.training.log import read_metrics
from segmentation.training.validation import as_pixels

PREDICTIONS_FILE, CURVES_FILE = "predictions.png", "curves.png"
ROWS, PANEL_PX, GAP_PX = 6, 240, 6
_OBJECT_COLOR = np.array([235, 60, 60], np.float32)
_HEADINGS = ("image", "flow", "truth", "prediction")


def draw_predictions(
    network: TwoStreamNetwork, validation: ValidationData, path: Path, *, device: str, precision: str
) -> None:
    """Draw image, flow, truth and prediction of samples spread evenly over the validation.

    Args:
        network: in evaluation mode, on `device`.
        validation: samples that it did not learn from.
        path: PNG to write.
        device: `cpu` or `cuda`.
        precision: on a GPU.
    """
    step = max(1, validation.samples // ROWS)
    samples = [sample for _, sample in validation.read(step // 2, step)][:ROWS]
    masks = Segmenter(network, device, precision)([as_pixels(sample) for sample in samples])
    rows = [_row(sample, found) for sample, found in zip(samples, masks, strict=True)]
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, GAP_PX), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    sheet = np.concatenate([_heading(width), *padded])
    with writing(path):
        write_whole(path, cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1].tobytes())


def draw_curves(output: Path, path: Path) -> None:
    """Draw loss and IoU of training, and the scores of the validations, over the steps of a run.

    Args:
        output: folder of the run.
        path: PNG to write.
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


def _row(sample: Triplet, found: Mask) -> UInt8[np.ndarray, "h2 w2 3"]:
    image, mask = sample.image.numpy(), sample.mask.numpy()
    flow = sample.colors().numpy()
    flow = cv2.resize(flow, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_AREA)
    iou = float(region_similarity(found[None], mask[None] > 0)[0])
    panels = [_panel(picture) for picture in (image, flow, _overlay(image, mask), _overlay(image, found))]
    _label(panels[0], sample.id)
    _label(panels[-1], f"IoU {iou:.2f}")
    return _beside(panels)


def _panel(picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "rows columns 3"]:
    """Resize a picture so that it fits a square, and centre it between white margins left and right."""
    height, width = picture.shape[:2]
    scale = PANEL_PX / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    left = (PANEL_PX - size[0]) // 2
    return np.pad(small, ((0, 0), (left, PANEL_PX - size[0] - left), (0, 0)), constant_values=255)


def _overlay(image: UInt8[np.ndarray, "h w 3"], mask: UInt8[np.ndarray, "h w"] | Mask) -> UInt8[np.ndarray, "h w 3"]:
    """Show the photo in grey with the object in colour."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None].repeat(3, 2).astype(np.float32) * 0.6 + 60
    shown = np.where(mask[..., None] > 0, 0.45 * grey + 0.55 * _OBJECT_COLOR, grey)
    overlay: UInt8[np.ndarray, "h w 3"] = shown.clip(0, 255).astype(np.uint8)
    return overlay


def _heading(width: int) -> UInt8[np.ndarray, "h w 3"]:
    strip = np.full((24, width, 3), 255, np.uint8)
    for column, text in enumerate(_HEADINGS):
        place = (column * (PANEL_PX + GAP_PX) + 4, 17)
        cv2.putText(strip, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return strip


def _label(panel: UInt8[np.ndarray, "rows columns 3"], text: str) -> None:
    """Write at the panel's lower edge, in white on a dark strip."""
    panel[-18:] = (panel[-18:] * 0.35).astype(np.uint8)
    place = (4, len(panel) - 5)
    cv2.putText(panel, text[-34:], place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255), 1, cv2.LINE_AA)


def _beside(panels: Sequence[UInt8[np.ndarray, "rows columns 3"]]) -> UInt8[np.ndarray, "h w 3"]:
    gap = np.full((len(panels[0]), GAP_PX, 3), 255, np.uint8)
    joined = [piece for panel in panels for piece in (panel, gap)][:-1]
    return np.concatenate(joined, axis=1)
