"""Folders of predicted masks, `<folder>/<video>/<frame>.png`, and the settings that they were predicted with."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from PIL import Image

from pipeline.files.regular_files import read_text
from pipeline.files.whole_files import write_whole
from pipeline.making.config import differences
from segmentation.errors import SegmentationError
from segmentation.scoring.predicted_masks import SETTINGS_FILE
from segmentation.videos.trees import some


def begin_or_continue(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write down the settings of the masks in a folder, or compare them with the settings that are there.

    Args:
        folder: folder of the masks of one dataset; it is made if it does not exist.
        settings: everything that decides the masks, as plain values.

    Raises:
        SegmentationError: the folder holds masks of other settings or other files, or it cannot be written.
    """
    path = folder / SETTINGS_FILE
    try:
        if path.exists():
            stored = json.loads(read_text(path))
        elif folder.exists() and any(folder.iterdir()):
            inside = some(sorted(child.name for child in folder.iterdir()))
            raise SegmentationError(f"{folder} holds other files ({inside}); choose another --output")
        else:
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(path, (json.dumps(settings, indent=1) + "\n").encode())
            return
    except OSError as error:
        raise SegmentationError(f"{folder} cannot be written: {error.strerror or error}; repair this") from error
    except (ValueError, RecursionError) as error:
        raise SegmentationError(f"{path} is damaged ({error}); remove {folder} to begin anew") from error
    if lines := differences(stored, settings):
        raise SegmentationError(
            f"{folder} was begun with other settings (there -> now: {'; '.join(lines)}); run with the same settings to "
            "continue it, or choose another --output"
        )


def unfinished_folder(output: Path) -> Path:
    """Return the folder in which masks lie until those of their video are complete."""
    return output / ".unfinished"


def has_masks(folder: Path, names: Collection[str]) -> bool:
    """Return whether the folder of a video holds the masks of all these frames."""
    return all(_mask_file(folder, name).is_file() for name in names)


def write_mask(folder: Path, name: str, mask: Bool[np.ndarray, "h w"]) -> None:
    """Write `<folder>/<name>.png`; the folder exists.

    The palette is black and white. Evaluation code of the field reads the indices 0 and 1 = object; programs that read
    grey levels or colours get 0 and 255.
    """
    image = Image.fromarray(mask.astype(np.uint8)).convert("P")
    image.putpalette([0, 0, 0, 255, 255, 255])
    image.save(_mask_file(folder, name))


def _mask_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.png"
