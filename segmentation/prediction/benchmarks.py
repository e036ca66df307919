"""Evaluates a network as `segmentation evaluate` does: masks, scores and pictures of whole benchmarks."""

from __future__ import annotations

from pipeline.command.progress import Progress, Silent
from segmentation.data.source_names import Benchmark
from segmentation.flow.estimate import FlowSettings
from segmentation.prediction.early_checks import check_evaluation
from segmentation.prediction.evaluate import Evaluation, predict_and_score
from segmentation.prediction.settings import EvaluationSettings
from segmentation.scoring.plots import plot_scores_over_time
from segmentation.scoring.reporting import write_json
from segmentation.scoring.worst_frames import draw_worst_frames
from segmentation.videos.datasets import Sequences

SCORES_FILE = "scores.json"


def evaluate(settings: EvaluationSettings, progress: Progress | None = None) -> Evaluation:
    """Predict the masks of whole benchmarks, score them, and write scores and pictures beside the masks.

    The same call again predicts only the videos that are missing.

    Args:
        settings: which network is evaluated on what.
        progress: is told how far the run is; None = nobody is.

    Raises:
        SegmentationError: a dataset, the checkpoint, flow or the output cannot be used.
        PipelineError: the machine has no such device, or the stored flow cannot be read or written.
    """
    benchmarks = [Benchmark.parse(text) for text in settings.dataset]
    check_evaluation(benchmarks, settings.checkpoint, settings.raft)
    evaluation = predict_and_score(
        benchmarks,
        settings.checkpoint,
        settings.output,
        FlowSettings(settings.raft, iterations=settings.raft_iterations, upscale=True),
        progress or Silent(),
        settings.placement,
        settings.side_px,
        Sequences.parse(settings.sequences),
    )
    for name, report in evaluation.reports.items():
        result = evaluation.results[name]
        plot_scores_over_time(report, settings.output / f"{name}-scores.png")
        draw_worst_frames(report, result.dataset, result.masks, 0.5, settings.output / f"{name}-worst.png")
    write_json(evaluation.as_json(settings.checkpoint), settings.output / SCORES_FILE)
    return evaluation
