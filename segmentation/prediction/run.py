"""Evaluation and prediction as a whole: mistakes are found first, before anything heavy is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from depth import DepthError
from pipeline.command.progress import Progress, Silent
from pipeline.errors import PipelineError
from segmentation.errors import SegmentationError
from segmentation.prediction.early_checks import check_evaluation, check_prediction
from segmentation.prediction.settings import EvaluationSettings, PredictionSettings

if TYPE_CHECKING:
    from segmentation.prediction.evaluation import Evaluation
    from segmentation.prediction.own_videos import Prediction

SCORES_FILE = "scores.json"


def evaluate(settings: EvaluationSettings, progress: Progress | None = None) -> Evaluation:
    """Predict the masks of whole benchmarks, score them, and write scores and pictures beside the masks.

    The same call again predicts only the videos that are missing.

    Args:
        settings: the network, the benchmarks and the output.
        progress: is told how far the run is; None = nobody is.

    Raises:
        SegmentationError: a dataset, the checkpoint, flow or the output cannot be used.
        PipelineError: the machine has no such device, or the stored flow cannot be read or written.
    """
    check_evaluation(settings)
    from segmentation.prediction.evaluation import predict_and_score
    from segmentation.scoring.plots import plot_scores_over_time
    from segmentation.scoring.printing import write_json
    from segmentation.scoring.worst_frames import draw_worst_frames

    evaluation = predict_and_score(settings, progress or Silent())
    for name, scores in evaluation.scores.items():
        result = evaluation.results[name]
        plot_scores_over_time(scores, settings.output / f"{name}-scores.png")
        draw_worst_frames(scores, result.dataset, result.masks, 0.5, settings.output / f"{name}-worst.png")
    write_json(evaluation.as_json(settings.checkpoint), settings.output / SCORES_FILE)
    return evaluation


def predict(settings: PredictionSettings, progress: Progress | None = None) -> tuple[list[Prediction], dict[str, str]]:
    """Predict each input into `<output>/<name>`; one that cannot be used does not stop the others.

    Args:
        settings: the inputs, the network, and the output.
        progress: is told how far the run is; None = nobody is.

    Returns:
        The predictions, and the problem of each input that could not be predicted.

    Raises:
        SegmentationError: an input does not exist, two inputs have one name, or the network cannot be loaded.
    """
    check_prediction(settings)
    folders = {
        source: settings.output / (source.resolve().stem if source.is_file() else source.resolve().name)
        for source in settings.inputs
    }
    for source, folder in folders.items():
        other = next((other for other, taken in folders.items() if taken == folder and other != source), None)
        if other is not None:
            raise SegmentationError(f"{source} and {other} would both be written to {folder}; rename one, or run twice")
    from segmentation.prediction.own_videos import Predictor

    predictor = Predictor(settings)
    made, problems = [], {}
    for source, folder in folders.items():
        try:
            made.append(predictor.predict(source, folder, progress or Silent()))
        except (SegmentationError, PipelineError, DepthError) as problem:
            problems[str(source)] = str(problem)
    return made, problems
