"""The folder of a training run: its settings, and the checkpoint from which it continues bit for bit.

    settings.json     what the run is made with
    last/, best/      networks, as `load_network` reads them
    lock              held by the process that writes the folder
    last/training.pt  weights, moving average, optimiser and position: all that a continued run needs, in one file

No random state is kept: every draw is keyed by the seed and the number of the step.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from shlex import quote
from typing import Any

import torch
from timm.utils import ModelEmaV3
from torch import nn
from torch.optim import Optimizer

from pipeline.files.locks import lock_file
from pipeline.files.regular_files import read_text, refuse_irregular
from pipeline.files.storage import Storage
from pipeline.files.whole_files import save_whole, write_whole
from pipeline.making.config import differences
from segmentation.errors import TrainingError, writing
from segmentation.network.network_files import BEST, LAST

SETTINGS_FILE, STATE_FILE, LOCK_FILE = "settings.json", "training.pt", "lock"
STOP_FILE = "stop"
"""While it exists, workers on Ray stop."""


@dataclass
class Position:
    """How far a run is.

    Attributes:
        step: steps done.
        validated_step: step of the last validation, 0 = none yet.
        best_score: the best validation so far, None before the first.
        best_step: its step.
    """

    step: int = 0
    validated_step: int = 0
    best_score: float | None = None
    best_step: int = 0


@contextmanager
def held_folder(output: Path, content: Mapping[str, Any], *, resume: bool) -> Iterator[None]:
    """Make the folder of a new run, or see whether it holds the run that is to be continued; no other may write it.

    What a killed run left half-written is swept.

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
    """Write the checkpoint in one piece.

    Raises:
        SegmentationError: the folder cannot be written.
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
    """Fill network, average and optimiser from the last checkpoint.

    Returns:
        How far the run was; its beginning where there is no checkpoint yet.

    Raises:
        TrainingError: the checkpoint is truncated or another network's.
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


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        stored = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError) as error:
        raise TrainingError(f"{path} cannot be read ({error}); choose another --output") from error
    if not isinstance(stored, dict):
        raise TrainingError(f"{path} does not hold the settings of a run; choose another --output")
    return stored
