"""The network that is part of the package: its size, and what it finds in the example clip without any training."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from segmentation.flow.weight_downloads import sha256_of
from segmentation.network.checkpoint import load_network
from segmentation.network.network_files import EMBEDDED_NETWORK, WEIGHTS_FILE, find_network
from segmentation.videos.footage import open_footage
from tests.conftest import ROOT, write_png
from tests.segmentation.commands import Command
from tests.segmentation.drawn_videos import read_grey

LARGEST_FILE = 12e6
FRAMES = 12


def test_the_file_is_small_and_the_network_computes_in_float32() -> None:
    file = find_network(Path(EMBEDDED_NETWORK)) / WEIGHTS_FILE
    assert file.stat().st_size <= LARGEST_FILE
    assert {value.dtype for value in load_file(file).values() if value.is_floating_point()} == {torch.float16}
    network = load_network(EMBEDDED_NETWORK)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert (network.encoder_name, network.training) == ("lite0", False)


def test_the_card_stands_beside_the_weights() -> None:
    folder = find_network(Path(EMBEDDED_NETWORK))
    card = (folder / "README.md").read_text()
    assert all(word in card for word in ("Terms", "DUTS", "DAVIS", "research"))
    assert "/" not in "".join(json.loads((folder / "config.json").read_text())["about"]["settings"]["data"])


def test_the_scores_are_those_of_these_weights() -> None:
    scored = json.loads((ROOT / "benchmarks/results/tiny_vos.json").read_text())
    assert scored["weights_sha256"] == sha256_of(find_network(Path(EMBEDDED_NETWORK)) / WEIGHTS_FILE)


@torch.inference_mode()
def test_the_coarsest_stage_has_no_effect_as_the_card_says() -> None:
    card = (find_network(Path(EMBEDDED_NETWORK)) / "README.md").read_text()
    assert "The decoder's coarsest stage has no effect" in card
    network = load_network(EMBEDDED_NETWORK)
    shut = []
    network.decoder.stages[0].attention.register_forward_hook(lambda _, __, output: shut.append(output.abs().max()))
    footage = open_footage(ROOT / "examples/box.mp4")
    first, second = (torch.from_numpy(frame).permute(2, 0, 1)[None] / 255 for frame in footage.read([0, 1]))
    network(first, second)
    assert [float(one) for one in shut] == pytest.approx([0], abs=1e-4)


def test_the_box_of_the_example_clip_is_found_without_training(
    segmentation: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    footage = open_footage(ROOT / "examples/box.mp4")
    frames = list(footage.read(range(FRAMES)))
    for k, frame in enumerate(frames):
        write_png(tmp_path / f"box/{k:03d}.png", frame)
    code, printed = segmentation("predict", tmp_path / "box", "--flow", "dis", "--output", tmp_path / "out")
    assert code == 0, printed
    assert f"{FRAMES} frames, flow estimated by DIS, masks by tiny-vos" in printed
    found = []
    for frame, file in zip(frames, sorted((tmp_path / "out/box/masks").iterdir()), strict=True):
        mask = read_grey(file) > 0
        hue, saturation, value = np.moveaxis(cv2.cvtColor(frame, cv2.COLOR_RGB2HSV), -1, 0)
        is_yellow = (hue > 15) & (hue < 35) & (saturation > 170) & (value > 120)  # the box alone
        found.append(float(mask[is_yellow].mean()))
        assert mask.mean() < 0.4
    assert np.median(found) > 0.9
