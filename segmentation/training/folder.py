"""The folder of a training run: its settings, its numbers, and the checkpoint from which it continues bit for bit.

    settings.json     settings of the run
    metrics.jsonl     losses and scores, one JSON object per line
    tensorboard/      the same numbers for TensorBoard
    last/, best/      networks, as `load_network` reads them
    last/training.pt  weights, moving average, optimiser and position: everything that a continued run needs
    lock              held by the process that writes the folder

No random state is stored: every draw is keyed by the seed and the number of the step.
"""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from shlex import quote
from types import TracebackType
from typing import Any, TextIO

import torch
from timm.utils import ModelEmaV3
from torch import nn
from torch.optim import Optimizer

from pipeline.command.progress import Progress
from pipeline.files.locks import lock_file
from pipeline.files.regular_files import read_text, refuse_irregular
from pipeline.files.storage import Storage
from pipeline.files.whole_files import save_whole, write_whole
from pipeline.making.config import differences
from segmentation.errors import TrainingError, writing
from segmentation.network.network_files import BEST, LAST

SETTINGS_FILE, STATE_FILE, LOCK_FILE = "settings.json", "training.pt", "lock"
METRICS_FILE, TENSORBOARD_FOLDER = "metrics.jsonl", "tensorboard"
STOP_FILE, STOPPED_FILE = "stop", "stopped"
"""Names of the file that asks workers on Ray to stop, and of the file that says that they have saved their state."""


@dataclass
class Position:
    """Position of a run in its course.

    Attributes:
        step: number of steps done.
        validated_step: step of the last validation; 0 = none yet.
        best_score: score of the best validation so far; None before the first.
        best_step: step of the best validation.
    """

    step: int = 0
    validated_step: int = 0
    best_score: float | None = None
    best_step: int = 0


@contextmanager
def held_folder(output: Path, content: Mapping[str, Any], *, resume: bool) -> Iterator[None]:
    """Make the folder of a new run, or check that it holds the run to continue; keep other runs out of it.

    Files that a killed run left half-written are removed.

    Args:
        output: folder of the run.
        content: everything that decides the weights, as plain values.
        resume: continue the run in the folder instead of starting a new one.

    Raises:
        TrainingError: a new run, but the folder is not empty; or the run in it was made with other settings.
        PipelineError: another run is writing the folder, or it cannot be written.
    """
    settings_file = output / SETTINGS_FILE
    if output.exists() and not output.is_dir():
        raise TrainingError(f"{output} is a file; expected a folder for the run as --output")
    is_begun = settings_file.exists()
    if is_begun:
        stored = _read_settings(settings_file)
        if not resume:
            raise TrainingError(f"{output} holds a run already; continue it with --resume, or choose another --output")
        wanted = json.loads(json.dumps(content))
        if different := differences(stored, wanted):
            raise TrainingError(
                f"{output} was trained with other settings ({'; '.join(different)}); "
                "resume with the same, or choose another --output"
            )
    elif output.exists() and (entries := sorted({entry.name for entry in output.iterdir()} - {LOCK_FILE})):
        raise TrainingError(f"{output} is not empty and holds no run (found {entries[0]}); choose another --output")
    with lock_file(Storage(str(output)), LOCK_FILE):
        if not is_begun:
            with writing(settings_file):
                write_whole(settings_file, (json.dumps(content, indent=2) + "\n").encode())
        yield


def save_state(
    output: Path, position: Position, network: nn.Module, average: ModelEmaV3 | None, optimizer: Optimizer
) -> None:
    """Write the checkpoint of a run, whole or not at all.

    Raises:
        SegmentationError: the checkpoint cannot be written.
    """
    state = {
        "position": asdict(position),
        "network": network.state_dict(),
        "average": None if average is None else average.module.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    path = output / LAST / STATE_FILE
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        save_whole(path, lambda partial: torch.save(state, partial))


def load_state(
    output: Path, network: nn.Module, average: ModelEmaV3 | None, optimizer: Optimizer, device: str
) -> Position:
    """Load network, moving average and optimiser from the last checkpoint.

    Returns:
        Position of the run at the checkpoint; its beginning if there is no checkpoint yet.

    Raises:
        TrainingError: the checkpoint is truncated or belongs to another network.
    """
    path = output / LAST / STATE_FILE
    if not path.exists():
        return Position()
    try:
        refuse_irregular(path)
        state = torch.load(path, map_location=device, weights_only=True)
        network.load_state_dict(state["network"])
        if average is not None:
            average.module.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        return Position(**state["position"])
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, EOFError, pickle.UnpicklingError) as error:
        raise TrainingError(
            f"the checkpoint {path} is truncated, damaged or another network's; start again in another --output, from "
            f"its best network with --initialization {quote(str(output / BEST))}"
        ) from error


class TrainingLog:
    """Writes the numbers of a run. Records after `step` are dropped, because a continued run computes them again.

    Args:
        output: folder of the run; None = write nothing, because another process does.
        step: number of steps done so far.
    """

    def __init__(self, output: Path | None, step: int) -> None:
        self.file: TextIO | None = None
        self.writer: Any = None
        if output is None:
            return
        kept = [record for record in read_metrics(output) if record["step"] <= step]
        path = output / METRICS_FILE
        with writing(path):
            write_whole(path, "".join(json.dumps(record) + "\n" for record in kept).encode())
        self.file = path.open("a")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # raised by imports of tensorboard itself
            from torch.utils.tensorboard import SummaryWriter
        self.writer = SummaryWriter(str(output / TENSORBOARD_FOLDER), purge_step=step + 1 if step else None)

    def __enter__(self) -> TrainingLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.file is not None:
            self.file.close()
            self.writer.close()

    def write(self, kind: str, step: int, epoch: int, **values: Any) -> dict[str, Any]:
        """Write and return one record of kind `train` or `validation`; its numbers also go to TensorBoard."""
        record = {"kind": kind, "step": step, "epoch": epoch, **values}
        if self.file is None:
            return record
        with writing(Path(self.file.name)):
            self.file.write(json.dumps(record) + "\n")
            self.file.flush()
            for name, value in values.items():
                if isinstance(value, float | int):
                    self.writer.add_scalar(f"{kind}/{name}", value, step)
            self.writer.flush()
        return record


def read_metrics(output: Path) -> list[dict[str, Any]]:
    """Return the records of a run so far, up to the first line that is no record, such as one that was cut off."""
    path = output / METRICS_FILE
    if not path.exists():
        return []
    records = []
    for line in path.read_text(errors="replace").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            break
        if not isinstance(record, dict) or not {"kind", "step", "epoch"} <= record.keys():
            break
        records.append(record)
    return records


def follow_metrics(output: Path, steps: int, batch_size: int, progress: Progress) -> Iterator[None]:
    """Show the numbers that other processes write, each time that the next item of this iterator is requested."""
    earlier = read_metrics(output)
    seen = len(earlier)
    progress.update(steps * batch_size, max((record["step"] for record in earlier), default=0) * batch_size, 0)
    while True:
        records = read_metrics(output)
        for record in records[seen:]:
            if record["kind"] == "validation":
                progress.announce(describe_validation(record))
            else:
                progress.update(steps * batch_size, record["step"] * batch_size, 0, describe_step(record))
        seen = len(records)
        yield


def describe_step(record: dict[str, Any]) -> str:
    """Return a few words on a record of training."""
    return f"epoch {record['epoch']} loss {record['loss']:.4f} IoU {record['iou']:.3f}"


def describe_validation(record: dict[str, Any]) -> str:
    """Return a sentence on a record of a validation."""
    score = f"IoU {record['J']:.3f}"
    if "J&F" in record:
        score = f"J&F {record['J&F']:.3f} (J {record['J']:.3f}, F {record['F']:.3f})"
    best = ", the best so far" if record["is_best"] else ""
    return f"epoch {record['epoch']}: {score} on {record['samples']}{best}"


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        stored = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError) as error:
        raise TrainingError(f"{path} cannot be read ({error}); choose another --output") from error
    if not isinstance(stored, dict):
        raise TrainingError(f"{path} does not hold the settings of a run; choose another --output")
    return stored
