"""Folders of photos to a Zarr dataset of image-flow-mask triplets.

`run(RunConfig(input="DUTS", output="dutsv2.zarr"))` makes a dataset or continues one, and `open_dataset("dutsv2.zarr")`
reads it; `PairDataset` and `ClipDataset` read pairs and clips for PyTorch. Nothing is printed; pass a `Progress` to
`run` to be told how far it is. Names are loaded at their first use: importing this package loads nothing heavy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.command.progress import Progress
    from pipeline.dataset.pairs import ClipDataset, PairDataset
    from pipeline.dataset.samples import Dataset, Sample, open_dataset
    from pipeline.errors import PipelineError
    from pipeline.making.config import RunConfig
    from pipeline.making.run import RunSummary, run

    __version__: str

__all__ = [
    "ClipDataset",
    "Dataset",
    "PairDataset",
    "PipelineError",
    "Progress",
    "RunConfig",
    "RunSummary",
    "Sample",
    "__version__",
    "open_dataset",
    "run",
]

_MODULES = {
    "ClipDataset": "dataset.pairs",
    "Dataset": "dataset.samples",
    "PairDataset": "dataset.pairs",
    "PipelineError": "errors",
    "Progress": "command.progress",
    "RunConfig": "making.config",
    "RunSummary": "making.run",
    "Sample": "dataset.samples",
    "open_dataset": "dataset.samples",
    "run": "making.run",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("fakeflow")
    if name not in _MODULES:
        raise AttributeError(f"module 'pipeline' has no attribute {name!r}")
    return getattr(importlib.import_module(f"pipeline.{_MODULES[name]}"), name)
