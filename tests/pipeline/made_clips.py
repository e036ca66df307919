"""Clips of drawn photos, made by `pipeline run` once for the tests of a module."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline import RunConfig, run
from pipeline.dataset.schema import UNKNOWN_FLOW
from pipeline.dataset.store import DatasetStore
from tests.conftest import draw_duts


def make_clips(folder: Path, **settings: Any) -> Path:
    """Make three frames of two motions of three photos, of which the second is damaged; return the dataset.

    One vector of the first pair is unknown.
    """
    root, output = draw_duts(folder / "DUTS", 3), folder / "clips.zarr"
    (root / "DUTS-TR/DUTS-TR-Image/scene_001.png").write_bytes(b"no photo")
    sizes = {"max_side": 96, "motions": 2, "frames": 3}
    places = {"input": str(root), "output": str(output), "depth_model": "tiny-dpt", "workers": 0}
    run(RunConfig(motion="camera+object", **sizes, **places, **settings))  # type: ignore[arg-type]
    store = DatasetStore.open(str(output))
    top, _, left, _ = store.read("window", 0)[0]
    flow = store.read("flow", slice(None)).copy()
    flow[0, 0, top + 2, left + 3] = UNKNOWN_FLOW
    store.group["flow"][:] = flow
    return output
