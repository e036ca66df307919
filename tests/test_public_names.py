"""The public names of `pipeline`, `flowsim` and `depth`: these and no others, imported quickly and silently."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

import pipeline
from pipeline.dataset.store import DatasetStore
from tests.conftest import MakeDuts
from tests.pipeline.drawn_dataset import make_dataset

ROOT = Path(__file__).parents[1]
PUBLIC = {
    "depth": "DEFAULT_MODEL EMBEDDED_MODEL KNOWN_MODELS DepthError DepthEstimator",
    "flowsim": "Clip FlowField FlowStatistics FlowsimError LayeredPhoto MotionPrior MotionSample Shot SimulatedFlow "
    "distance flow_to_rgb inverse_depth_in_range make_clip measure_flow read_flo "
    "read_kitti_flow rgb_to_flow sample_motion sample_motions separate_layers simulate_flow "
    "write_flo write_kitti_flow",
    "pipeline": "ClipDataset Dataset PairDataset PipelineError Progress RunConfig RunSummary Sample open_dataset run",
}


@pytest.mark.parametrize("package", PUBLIC)
def test_a_package_offers_these_names(package: str) -> None:
    module = importlib.import_module(package)
    assert sorted(module.__all__) == sorted([*PUBLIC[package].split(), "__version__"])
    for name in module.__all__:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'absent'"):
        _ = module.absent


@pytest.mark.parametrize("package", ["depth", "flowsim", "pipeline", "segmentation"])
def test_a_package_tells_its_version_and_has_types(package: str) -> None:
    assert importlib.import_module(package).__version__ == version("fakeflow")
    assert (ROOT / package / "py.typed").exists()


def test_a_package_loads_nothing_heavy() -> None:
    code = "import sys, pipeline\nprint(sorted({'torch', 'ray', 'zarr', 'cv2', 'numpy', 'typer'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_no_function_hides_a_module() -> None:
    assert inspect.isfunction(pipeline.run)
    assert inspect.ismodule(importlib.import_module("pipeline.making.run"))
    assert inspect.isfunction(pipeline.run)
    for package, names in PUBLIC.items():
        modules = {path.stem for path in (ROOT / package).iterdir()}
        assert not modules & set(names.split())


def test_a_dataset_is_made_and_read_from_python_in_silence(
    make_duts: MakeDuts, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    url = str(tmp_path / "out.zarr")
    config = pipeline.RunConfig(
        input=str(make_duts(3)), output=url, workers=0, depth_model="tiny-dpt", max_side=96, motions=2
    )
    summary = pipeline.run(config)
    assert (summary.photos, summary.photos_made_now, summary.failures) == (3, 3, ())
    assert capfd.readouterr() == ("", "")
    dataset = pipeline.open_dataset(url)
    assert len(dataset) == 3
    height, width = dataset[0].mask.shape
    assert max(height, width) <= 96
    assert dataset[0].image.shape == (height, width, 3)
    assert dataset[0].flow_px.shape == (2, height, width, 2)
    assert len(dataset[0].motions) == 2


def test_samples_are_those_that_are_usable_decoded_and_without_padding(tmp_path: Path) -> None:
    store = make_dataset(str(tmp_path / "x.zarr"), failed_row=3, without_shard=2)
    dataset = pipeline.open_dataset(store.url)
    assert [sample.id for sample in dataset] == ["scene_000", "scene_001", "scene_002"]
    assert [sample.id for sample in dataset[1:]] == ["scene_001", "scene_002"]
    assert dataset[-1].id == "scene_002"
    with pytest.raises(IndexError):
        _ = dataset[3]
    stored, sample = DatasetStore.open(store.url), dataset[1]
    assert sample.mask.shape == (40, 30)
    assert sample.mask.dtype == bool
    np.testing.assert_array_equal(sample.image, stored.read("image", 1)[:, :30])
    np.testing.assert_array_equal(sample.mask, stored.read("mask", 1)[:, :30] > 0)
    np.testing.assert_allclose(sample.flow_px, stored.read("flow", 1)[:, :, :30] / 64)
    assert sample.inverse_depth is not None
    np.testing.assert_allclose(sample.inverse_depth, stored.read("inverse_depth", 1)[:, :30] / 4095, rtol=1e-6)
    np.testing.assert_array_equal(sample.motions[0].to_vector(), stored.read("motion", 1)[0])
