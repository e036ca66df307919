"""Errors that the user of this package can repair."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from pipeline.errors import UserError


class SegmentationError(UserError):
    """Root of every error raised here on purpose; its text is one sentence for the user."""


class DatasetError(SegmentationError):
    """A video dataset's folder cannot be used as it is."""


class MaskError(SegmentationError):
    """A mask file cannot be read, or does not mean object and background."""


class PredictionError(SegmentationError):
    """The predictions do not fit the dataset."""


class OtherDatasetError(PredictionError):
    """The predictions are those of another dataset."""


class FlowError(SegmentationError):
    """Optical flow cannot be estimated: weights, frames or a video are not as they have to be."""


class TrainingError(SegmentationError):
    """Training cannot start, continue or go on as it was asked for."""


class Stopped(KeyboardInterrupt):
    """The user stopped a training; what was learnt is saved."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise one sentence if a file cannot be written.

    Raises:
        SegmentationError: an error of the system, or of the libraries that write checkpoints.
    """
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        if isinstance(error, OSError):
            reason = error.strerror or str(error)
        else:
            reason = str(error) if isinstance(error, SafetensorError) else "no room is left, or the disk fails"
        raise SegmentationError(
            f"{path} cannot be written ({reason}); an earlier version of it is kept. Make room or repair the cause, "
            "then try again"
        ) from error
