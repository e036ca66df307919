"""The numbers of a training run: one JSON object a line in metrics.jsonl, and the same for TensorBoard."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from types import TracebackType
from typing import Any

METRICS_FILE, TENSORBOARD_FOLDER = "metrics.jsonl", "tensorboard"


class TrainingLog:
    """Appends to a run's numbers; those after `step` are dropped, for a continued run makes them again.

    Args:
        output: folder of the run.
        step: steps done so far.
    """

    def __init__(self, output: Path, step: int) -> None:
        kept = [record for record in read_metrics(output) if record["step"] <= step]
        self.path = output / METRICS_FILE
        partial = self.path.with_name(f".{METRICS_FILE}.partial")
        partial.write_text("".join(json.dumps(record) + "\n" for record in kept))
        partial.replace(self.path)
        self.file = self.path.open("a")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tensorboard's own imports
            from torch.utils.tensorboard import SummaryWriter
        self.writer: Any = SummaryWriter(str(output / TENSORBOARD_FOLDER), purge_step=step + 1 if step else None)

    def __enter__(self) -> TrainingLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.file.close()
        self.writer.close()

    def write(self, kind: str, step: int, epoch: int, **values: Any) -> None:
        """Keep one record: `kind` is `train` or `validation`; plain numbers also go to TensorBoard."""
        self.file.write(json.dumps({"kind": kind, "step": step, "epoch": epoch, **values}) + "\n")
        self.file.flush()
        for name, value in values.items():
            if isinstance(value, float | int):
                self.writer.add_scalar(f"{kind}/{name}", value, step)
        self.writer.flush()


def read_metrics(output: Path) -> list[dict[str, Any]]:
    """Return the records of a run so far; a last line that was cut off is left out."""
    path = output / METRICS_FILE
    if not path.exists():
        return []
    records = []
    for line in path.read_text().splitlines():
        try:
            records.append(json.loads(line))
        except ValueError:
            break
    return records
