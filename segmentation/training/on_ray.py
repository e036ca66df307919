"""Training by several workers on Ray Train, which share every step.

If a worker is lost, all workers continue from the last checkpoint. They write into the folder of the run, which all
nodes must see. Errors that the user can repair end the run at once, without another attempt.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pipeline.command.progress import Progress, Silent
from pipeline.command.stopping import take_all_time
from pipeline.engine.cluster import go_to, live_nodes, ray_session
from pipeline.engine.placement import Share, describe_crew, plan_workers
from pipeline.errors import PipelineError
from pipeline.files.whole_files import write_whole
from pipeline.redaction import hide, redact_output, remembered
from segmentation.errors import SegmentationError, Stopped, TrainingError
from segmentation.training.folder import STOP_FILE, STOPPED_FILE, follow_metrics
from segmentation.training.settings import TrainingSettings

FAILURE_FILE, RAY_FOLDER = "failure.json", "ray"
MOST_RESTARTS = 10
_POLL_S = 0.5
_PATIENCE_S = 30.0
"""Seconds that the other workers may take to end after one of them has reported an error."""


def train_on_ray(settings: TrainingSettings, progress: Progress) -> None:
    """Train in the folder that `held_folder` made, until the end or until the user stops.

    Raises:
        SegmentationError: a worker raised such an error.
        PipelineError: the cluster has too few processor cores or GPUs, or workers die again and again.
        Stopped: the user pressed Ctrl-C; what was learnt is saved.
        KeyboardInterrupt: the user pressed Ctrl-C again; the run ends at once.
    """
    output = Path(settings.output).resolve()
    _clear(output)
    progress.announce("starting Ray")
    os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
    os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"  # relative paths stay those of the command
    try:
        with ray_session():
            nodes = live_nodes()
            share, count = plan_workers(nodes, settings.placement)
            progress.announce(f"training on Ray: {describe_crew(nodes, share, count)}")
            errors, was_stopped = follow_to_end(_make_trainer(settings, output, share).fit, settings, progress)
        raise_outcome(output, errors, was_stopped)
    finally:
        _clear(output)


def follow_to_end(
    fit: Callable[[], object], settings: TrainingSettings, progress: Progress
) -> tuple[list[BaseException], bool]:
    """Run Ray's training in a thread and show the numbers that workers write; at Ctrl-C, ask workers to stop.

    Args:
        fit: runs the training; returns when all workers have ended.
        settings: settings of the run.
        progress: is told how far the run is.

    Returns:
        Errors of `fit`, and whether the user pressed Ctrl-C.

    Raises:
        KeyboardInterrupt: the user pressed Ctrl-C again.
    """
    output = Path(settings.output).resolve()
    errors: list[BaseException] = []
    # An event, because a Thread.join() that Ctrl-C interrupts takes a running thread for ended (Python before 3.13).
    ended = threading.Event()

    def run() -> None:
        try:
            fit()
        except BaseException as error:
            errors.append(error)
        finally:
            ended.set()

    # A thread of its own, because Ray handles Ctrl-C itself in the main thread.
    threading.Thread(target=run, daemon=True).start()
    was_stopped = False
    failed_at = math.inf
    follower = follow_metrics(output, settings.steps, settings.recipe.batch_size, progress)
    while not ended.is_set() and time.monotonic() - failed_at < _PATIENCE_S:
        try:
            ended.wait(_POLL_S)
            next(follower)
            if (output / FAILURE_FILE).exists():
                failed_at = min(failed_at, time.monotonic())
        except KeyboardInterrupt:
            if was_stopped:
                raise
            was_stopped = True
            take_all_time()
            progress.announce("stopping after this step")
            (output / STOP_FILE).touch()
            follower = follow_metrics(
                output, settings.steps, settings.recipe.batch_size, progress
            )  # the interrupt may have ended the previous one
    return errors, was_stopped


def raise_outcome(output: Path, errors: Sequence[BaseException], was_stopped: bool) -> None:
    """Raise what the end of a run on Ray means to the user; return if the run has reached its end.

    A run whose workers have saved their state after the user stopped it has ended as the user asked, whatever Ray says
    about how its own processes ended.

    Args:
        output: folder of the run, in which workers report.
        errors: errors of Ray.
        was_stopped: whether the user pressed Ctrl-C.

    Raises:
        TrainingError: a worker raised such an error.
        PipelineError: Ray failed, and workers had not saved what they learnt since the last checkpoint.
        Stopped: the user stopped the run; what was learnt is saved.
    """
    if was_stopped and (output / STOPPED_FILE).exists():
        raise Stopped
    if (output / FAILURE_FILE).exists():
        raise TrainingError(json.loads((output / FAILURE_FILE).read_text()))
    if errors:
        raise PipelineError(
            f"training on Ray failed: {_reason(errors[0])}. What was learnt up to the last checkpoint is in {output}; "
            "--resume continues, --workers 0 shows more."
        )
    if was_stopped:
        raise Stopped


def _make_trainer(settings: TrainingSettings, output: Path, share: Share) -> Any:
    import logging

    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    logging.getLogger("ray.train").setLevel(logging.ERROR)
    resources: dict[str, float] = {"CPU": share.cpus, **({"GPU": share.gpus} if share.gpus else {})}
    given = {"settings": settings, "output": str(output), "cpus": share.cpus}
    return TorchTrainer(
        _work,
        train_loop_config=given | {"folder": Path.cwd(), "secrets": remembered()},
        scaling_config=ScalingConfig(
            num_workers=settings.workers,
            use_gpu=share.device == "cuda",
            resources_per_worker=resources,
            placement_strategy="PACK",
        ),
        run_config=RunConfig(
            name=RAY_FOLDER, storage_path=str(output), failure_config=FailureConfig(max_failures=MOST_RESTARTS)
        ),
    )


def _work(config: dict[str, Any]) -> None:
    """Train as one rank, from the last checkpoint in the folder of the run."""
    import torch
    from ray.train import get_context
    from ray.train.torch import get_device

    from segmentation.training.batches import readers_for
    from segmentation.training.data_split import open_data
    from segmentation.training.initialization import make_network
    from segmentation.training.learner import Place
    from segmentation.training.loop import Trainer

    go_to(config["folder"])
    hide(config["secrets"])
    redact_output()
    settings, output = config["settings"], Path(config["output"])
    if (output / FAILURE_FILE).exists() or (output / STOPPED_FILE).exists():
        return  # Ray tries again, because ranks lost their partners
    context = get_context()
    rank, ranks = context.get_world_rank(), context.get_world_size()
    device = get_device()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    try:
        mixture, validation = open_data(settings, rank, ranks)
        place = Place(device.type, readers_for(device.type, config["cpus"]), rank, ranks)
        network = make_network(
            settings.network_size, settings.initialization, side_px=settings.side_px, seed=settings.seed
        )
        Trainer(settings, place, mixture, validation, network, Silent()).run()
    except Stopped:
        if rank == 0:
            (output / STOPPED_FILE).touch()  # its state is saved
    except SegmentationError as error:
        write_whole(output / FAILURE_FILE, json.dumps(str(error)).encode())


def _clear(output: Path) -> None:
    """Remove the files of Ray and its workers from the folder of the run."""
    for name in (FAILURE_FILE, STOP_FILE, STOPPED_FILE):
        (output / name).unlink(missing_ok=True)
    shutil.rmtree(output / RAY_FOLDER, ignore_errors=True)


def _reason(error: BaseException) -> str:
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
