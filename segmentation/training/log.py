"""The numbers of a training run: one JSON object a line in metrics.jsonl, and the same for TensorBoard."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from pipeline.command.progress import Progress
from pipeline.files.whole_files import write_whole
from segmentation.errors import writing

METRICS_FILE, TENSORBOARD_FOLDER = "metrics.jsonl", "tensorboard"


class TrainingLog:
    """Appends to a run's numbers; those after `step` are dropped, for a continued run makes them again.

    Args:
        output: folder of the run; None = keep nothing, for another process does.
        step: steps done so far.
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
            warnings.simplefilter("ignore")  # of tensorboard's own imports
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
        """Keep and return one record: `kind` is `train` or `validation`; plain numbers also go to TensorBoard."""
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
    """Return the records of a run so far, up to the first line that is none: one that was cut off."""
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
    """Tell `progress` what other processes add to the numbers of a run, each time the next item is asked for."""
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
    """Say in few words what a record of training says."""
    return f"epoch {record['epoch']} loss {record['loss']:.4f} IoU {record['iou']:.3f}"


def describe_validation(record: dict[str, Any]) -> str:
    """Say what a record of a validation says."""
    score = f"IoU {record['J']:.3f}"
    if "J&F" in record:
        score = f"J&F {record['J&F']:.3f} (J {record['J']:.3f}, F {record['F']:.3f})"
    best = ", the best so far" if record["is_best"] else ""
    return f"epoch {record['epoch']}: {score} on {record['samples']}{best}"
