"""Batches of a run: the same whoever reads them, and readers that leave stopping to the process that trains."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training_runs import Watcher, settings_in

from segmentation.model import TwoStreamNetwork
from segmentation.step_batches import StepBatches, read_steps
from segmentation.trainer import Place, Trainer
from segmentation.training_data import open_data
from segmentation.training_state import start_folder
from segmentation.transforms import Augmentation
from tests.conftest import ROOT


def test_processes_read_what_the_training_process_would(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    read = []
    for readers in (0, 2):
        mixture, _ = open_data(settings)
        batches = StepBatches(mixture, 2, 3, Augmentation(smallest_crop=0.5, jitter=0.3), 32, seed=0)
        with closing(read_steps(batches, 1, readers, pin=False)) as steps:
            read.append([next(steps) for _ in range(5)])  # from within an epoch into the next one
    for alone, beside in zip(*read, strict=True):
        assert alone.ids == beside.ids
        assert all(torch.equal(one, other) for one, other in zip(alone[:-1], beside[:-1], strict=True))
    assert len({one.ids for one in read[0]}) > 1


PROGRAM = """
import sys
from pathlib import Path
sys.path.insert(0, "tests/segmentation")
from training_runs import Watcher, settings_in
from tests.segmentation.test_step_batches import train_with_readers
if __name__ == "__main__":
    train_with_readers(Path(sys.argv[1]), epochs=1000)
"""


def train_with_readers(folder: Path, epochs: int, *, resume: bool = False) -> None:
    """Train as beside a GPU: another process reads."""
    settings = replace(settings_in(folder), epochs=epochs, validate_every=epochs)
    start_folder(Path(settings.output), settings.content(), resume=resume)
    mixture, validation = open_data(settings)
    network = TwoStreamNetwork("mit-b0", initialization="random", side_px=32)
    Trainer(settings, Place("cpu", readers=1), mixture, validation, network, Watcher()).run()


@pytest.mark.slow
def test_ctrl_c_of_a_terminal_reaches_readers_and_all_is_saved(tmp_path: Path) -> None:
    settings_in(tmp_path)  # makes the photos
    script = tmp_path / "train.py"
    script.write_text(PROGRAM)
    with (tmp_path / "said").open("w") as said:
        process = subprocess.Popen(
            [sys.executable, str(script), str(tmp_path)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stderr=said,
            start_new_session=True,
        )
        metrics = tmp_path / "run/metrics.jsonl"
        deadline = time.monotonic() + 240
        while not (metrics.exists() and metrics.read_text()):
            assert process.poll() is None, (tmp_path / "said").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=120)
    assert (tmp_path / "said").read_text().strip().splitlines()[-1] == "segmentation.trainer.Stopped"
    assert (tmp_path / "run/last/training.pt").exists()
