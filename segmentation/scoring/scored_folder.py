"""Scores of a folder of predicted masks, and the files and pictures that `segmentation score` writes."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.command.progress import Progress
from segmentation.scoring.plots import plot_scores_over_time
from segmentation.scoring.printing import write_json
from segmentation.scoring.protocols import protocol_for
from segmentation.scoring.score import Scores, score_predictions
from segmentation.scoring.settings import ScoreSettings
from segmentation.scoring.worst_frames import draw_worst_frames
from segmentation.videos.datasets import OpenedDataset, Sequences, open_dataset


def score_folder(settings: ScoreSettings, progress: Progress | None = None) -> tuple[Scores, OpenedDataset]:
    """Score the predicted masks of a dataset by one of its protocols.

    Args:
        settings: settings of the command.
        progress: is told how many frames are scored; None = nobody is.

    Returns:
        The scores, and the sequences that were scored.

    Raises:
        SegmentationError: the dataset or the masks cannot be used.
    """
    rules = protocol_for(settings.dataset, settings.protocol)
    every, wanted = open_dataset(settings.dataset, settings.root, settings.split), Sequences.parse(settings.sequences)
    wanted.check(every.names, str(settings.root))
    opened = every.only(wanted)
    opened.require_videos()
    scores = score_predictions(
        opened,
        settings.predictions,
        rules,
        threshold=settings.threshold,
        with_saliency=settings.saliency,
        allow_missing=settings.allow_missing,
        progress=progress,
    )
    return scores, opened


def write_outcome(settings: ScoreSettings, scores: Scores, dataset: OpenedDataset) -> Iterator[str]:
    """Write the files that the settings name; yield the path of each as soon as it is written.

    Raises:
        SegmentationError: a file cannot be written.
    """
    if settings.json is not None:
        write_json(scores.as_json(), settings.json)
        yield str(settings.json.resolve())
    if settings.plot is not None:
        plot_scores_over_time(scores, settings.plot)
        yield str(settings.plot.resolve())
    if settings.worst is not None:
        draw_worst_frames(scores, dataset, settings.predictions, settings.threshold, settings.worst)
        yield str(settings.worst.resolve())
