"""What goes wrong in this package in ways that its user can repair."""

from pipeline.errors import UserError


class SegmentationError(UserError):
    """Root of every error raised here on purpose; its text is one sentence for the user."""


class DatasetError(SegmentationError):
    """A video dataset's folder cannot be used as it is."""


class MaskError(SegmentationError):
    """A mask file cannot be read, or does not mean object and background."""


class PredictionError(SegmentationError):
    """The predictions do not fit the dataset."""


class FlowError(SegmentationError):
    """Optical flow cannot be estimated: weights, frames or a video are not as they have to be."""


class TrainingError(SegmentationError):
    """Training cannot start, continue or go on as it was asked for."""


class Stopped(KeyboardInterrupt):
    """The user stopped a training; what was learnt is saved."""
