"""Networks of both packages on a stand-in of the hub: pushed by the real client, loaded again, and used from there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from depth.distill.hub import HubTinyDPT
from depth.errors import DepthError
from segmentation import HubNetwork, SegmentationError, load_network, save_network
from segmentation.network.model import TwoStreamNetwork
from tests.conftest import ROOT
from tests.pipeline.hub_standin import Hub, hub_standin

SMALL = "lite0"


def run_with_hub(endpoint: str, cache: Path, code: str) -> str:
    """Run code in a process of its own, whose hub is the stand-in."""
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_TOKEN": "hf_nobodystoken", "HF_HUB_DISABLE_XET": "1"}
    environment |= {"HF_HOME": str(cache), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def files_of(hub: Hub) -> set[str]:
    assert not hub.unknown
    return hub.files.keys() - {".gitattributes"}


def test_a_two_stream_network_goes_to_the_hub_and_comes_back(tmp_path: Path) -> None:
    network = TwoStreamNetwork(SMALL, initialization="random", side_px=64, decoder_width=16, seed=3)
    save_network(network, tmp_path / "run/best", {"step": 7, "data": ["s3://me:hunter2hunter2@bucket/x.zarr", "```"]})
    code = f"""
from segmentation import HubNetwork, save_network
network = HubNetwork.from_pretrained({str(tmp_path / "run")!r})
network.push_to_hub("someone/net")
loaded = HubNetwork.from_pretrained("someone/net")
assert loaded.about["step"] == 7, loaded.about
assert (loaded.side_px, HubNetwork.from_pretrained("someone/net", side_px=96).side_px) == (64, 96)
assert not loaded.training
save_network(loaded, {str(tmp_path / "again")!r}, loaded.about)
"""
    with hub_standin("models/someone/net") as (hub, endpoint):
        run_with_hub(endpoint, tmp_path / "cache", code)
        assert files_of(hub) == {"README.md", "config.json", "model.safetensors"}
        assert len(hub.commits) == 1
        for name in ("config.json", "model.safetensors"):
            for folder in ("run/best", "again"):
                assert hub.files[name] == (tmp_path / folder / name).read_bytes(), (name, folder)
        card = hub.files["README.md"].decode()
    front, _, text = card.partition("---\n\n#")
    for line in ("library_name: fakeflow", "pipeline_tag: image-segmentation", "- video-object-segmentation"):
        assert line in front
    assert 'HubNetwork.from_pretrained("someone/net")' in text
    assert f"{SMALL}, one for the frame" in text
    assert "64x64 px" in text
    assert "(https://arxiv.org/abs/2407.11714)" in text
    assert "hunter2" not in text
    assert text.count("```") == 4
    again = load_network(tmp_path / "again").state_dict()
    assert all(torch.equal(value, again[name]) for name, value in network.state_dict().items())


def test_a_distilled_network_goes_to_the_hub_and_estimates_depth_from_there(tmp_path: Path) -> None:
    code = f"""
import numpy as np
from depth import DepthEstimator
from depth.distill.hub import HubTinyDPT
HubTinyDPT.from_pretrained("depth/tiny_dpt").push_to_hub("someone/depth")
loaded = HubTinyDPT.from_pretrained("someone/depth")
loaded.save_pretrained({str(tmp_path / "again")!r})
photo = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
(ours,), (theirs,) = DepthEstimator.load("tiny-dpt")([photo]), DepthEstimator.load("someone/depth")([photo])
assert (ours == theirs).all()
"""
    with hub_standin("models/someone/depth") as (hub, endpoint):
        run_with_hub(endpoint, tmp_path / "cache", code)
        assert files_of(hub) == {"README.md", "config.json", "model.safetensors"}
        for name in ("config.json", "model.safetensors"):
            embedded = (ROOT / "depth/tiny_dpt" / name).read_bytes()
            assert hub.files[name] == (tmp_path / "again" / name).read_bytes() == embedded, name
        card = hub.files["README.md"].decode()
    assert "pipeline_tag: depth-estimation" in card
    assert "--depth-model someone/depth" in card
    assert "shorter side 256 px" in card


def test_folders_of_other_networks_are_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "dpt"}))
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(SegmentationError, match="does not describe a fakeflow two-stream network"):
        HubNetwork.from_pretrained(tmp_path)
    with pytest.raises(DepthError, match=r"is no network of `python -m depth\.distill`"):
        HubTinyDPT.from_pretrained(tmp_path)
