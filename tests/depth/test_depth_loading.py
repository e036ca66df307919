"""All ways to name a network, and their errors."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch

from depth import DEFAULT_MODEL, KNOWN_MODELS, DepthError, DepthEstimator
from depth.model_files import describe_by_commit, find_model, is_on_this_machine
from depth.networks import wrap_transformers_model
from tests.depth.random_networks import randomize


def copy(folder: Path, target: Path, **changes: object) -> Path:
    """Copy a model's folder with changes to its configuration."""
    shutil.copytree(folder, target)
    config = target / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | changes))
    return target


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@torch.inference_mode()
def test_any_shape_dpt_is_that_of_transformers_where_both_run(dpt_folder: Path) -> None:
    from transformers import DPTForDepthEstimation

    model = DPTForDepthEstimation.from_pretrained(dpt_folder)
    square = torch.rand(2, 3, 64, 64)
    expected = model(square).predicted_depth
    network = wrap_transformers_model(model)
    torch.testing.assert_close(network(square), expected)
    wide = network(torch.rand(1, 3, 64, 96))
    assert wide.shape == (1, 64, 96)


def test_every_row_of_the_table_is_pinned() -> None:
    for row in KNOWN_MODELS.values():
        assert (row.revision is not None and len(row.revision) == 40) == ("/" in row.id)
    assert DEFAULT_MODEL in KNOWN_MODELS


def test_metric_depth_is_inverted(dpt_folder: Path, tmp_path: Path, photos: list[np.ndarray]) -> None:
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation

    config = DepthAnythingConfig(
        backbone_config={
            "model_type": "dinov2",
            "hidden_size": 32,
            "num_hidden_layers": 4,
            "num_attention_heads": 2,
            "out_indices": [1, 2, 3, 4],
            "reshape_hidden_states": False,
            "apply_layernorm": True,
        },
        reassemble_hidden_size=32,
        neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8,
        depth_estimation_type="relative",
    )
    model = DepthAnythingForDepthEstimation(config)
    randomize(model)
    model.save_pretrained(tmp_path / "relative")
    relative = DepthEstimator.load(str(tmp_path / "relative"))
    metric = DepthEstimator.load(
        str(copy(tmp_path / "relative", tmp_path / "metric", depth_estimation_type="metric", max_depth=20))
    )
    assert relative.provenance()["output"] == "relative inverse depth"
    assert metric.provenance()["output"] == "metric depth"
    assert (
        relative.provenance()["input"] | {"side": 518, "multiple": 14, "fit": "shorter"}
        == relative.provenance()["input"]
    )
    near, far = relative(photos[:1])[0].ravel(), metric(photos[:1])[0].ravel()
    assert np.corrcoef(near, far)[0, 1] < -0.5


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(
        DepthError, match=r"'dpt-tiny' is neither a known name nor an existing file.*tiny-dpt, Intel/dpt"
    ):
        DepthEstimator.load("dpt-tiny")


def test_without_network_the_embedded_model_is_named_and_not_used(tmp_path: Path) -> None:
    code = (
        "from depth import DepthError, DepthEstimator\n"
        "try: DepthEstimator.load()\n"
        "except DepthError as error: print(error)\n"
    )
    environment = os.environ | {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert "'Intel/dpt-hybrid-midas' is not on this machine and the hub cannot be reached" in run.stdout
    assert "embedded model 'tiny-dpt'" in run.stdout
    assert "give the path of that folder" in run.stdout
    assert "Retrying" not in run.stderr  # the hub's client would go on for half a minute


def test_a_cached_model_needs_no_network(dpt_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    revision = KNOWN_MODELS[DEFAULT_MODEL].revision
    assert revision
    shutil.copytree(dpt_folder, tmp_path / "models--Intel--dpt-hybrid-midas" / "snapshots" / revision)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    provenance = DepthEstimator.load(DEFAULT_MODEL).provenance()
    assert provenance["revision"] == revision
    assert provenance["licence"] == "Apache-2.0"
    assert is_on_this_machine(DEFAULT_MODEL)
    assert not is_on_this_machine("Intel/dpt-large")
    with pytest.raises(DepthError, match="hub cannot be reached"):
        DepthEstimator.load("Intel/dpt-large")


def test_a_commit_of_the_hub_is_described_without_its_files(dpt_folder: Path) -> None:
    revision = KNOWN_MODELS[DEFAULT_MODEL].revision
    found = dataclasses.replace(find_model(str(dpt_folder)), id=DEFAULT_MODEL, revision=revision, licence="Apache-2.0")
    chosen = {"resize": "square", "normalization": "percentile"}
    stored = found.describe()
    assert describe_by_commit(DEFAULT_MODEL, stored, **chosen) == found.describe(**chosen)
    assert describe_by_commit(DEFAULT_MODEL, {**stored, "revision": "0" * 40}, **chosen) is None
    assert describe_by_commit("Intel/dpt-large", stored, **chosen) is None
    assert describe_by_commit("tiny-dpt", find_model("tiny-dpt").describe(), **chosen) is None


def test_a_folder_without_a_model_is_refused(tmp_path: Path, tiny_folder: Path) -> None:
    with pytest.raises(DepthError, match=r"is no model folder: it has no config.json. Expected"):
        DepthEstimator.load(str(tmp_path))
    for model_type in ("tiny-dpt", "dpt"):
        folder = copy(tiny_folder, tmp_path / model_type, model_type=model_type)
        (folder / "model.safetensors").unlink()
        with pytest.raises(DepthError, match=r"has a config.json but no .*model.safetensors"):
            DepthEstimator.load(str(folder))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(DepthError, match=r"config.json is not JSON"):
        DepthEstimator.load(str(tmp_path))


@pytest.mark.parametrize("folder", ["tiny_folder", "dpt_folder"])
def test_truncated_weights_are_refused(folder: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    broken = copy(request.getfixturevalue(folder), tmp_path / "broken")
    truncate(broken / "model.safetensors")
    with pytest.raises(DepthError, match=r"broken.* cannot be read .*truncated.*download"):
        DepthEstimator.load(str(broken))


def test_weights_of_another_network_are_refused(tiny_folder: Path, dpt_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DepthError, match=r"size mismatch for reassemble.*another network"):
        DepthEstimator.load(str(copy(tiny_folder, tmp_path / "wide", width=64)))
    with pytest.raises(DepthError, match=r"another network than its config.json describes: \d+ parameters .*dpt\."):
        DepthEstimator.load(str(copy(dpt_folder, tmp_path / "deep", num_hidden_layers=6)))
    with pytest.raises(DepthError, match=r"another network"):
        DepthEstimator.load(str(copy(dpt_folder, tmp_path / "fat", fusion_hidden_size=32)))


def test_a_network_that_predicts_no_depth_is_refused(dpt_folder: Path, tmp_path: Path) -> None:
    segmenter = copy(dpt_folder, tmp_path / "segmenter", architectures=["DPTForSemanticSegmentation"])
    with pytest.raises(DepthError, match=r"is not depth: its config.json says DPTForSemanticSegmentation"):
        DepthEstimator.load(str(segmenter))
    unknown = copy(dpt_folder, tmp_path / "unknown", architectures=None, model_type="bert")
    with pytest.raises(DepthError, match=r"The meaning of the output of .*bert.* is not known"):
        DepthEstimator.load(str(unknown))
