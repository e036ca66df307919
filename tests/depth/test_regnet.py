"""The encoder of tiny-dpt against timm's network of the same weights."""

from __future__ import annotations

import subprocess
import sys

import timm
import torch
from safetensors.torch import load_file

from depth import regnet
from depth.model_files import EMBEDDED_FOLDER
from depth.networks import fold_batch_norms
from tests.conftest import ROOT


def test_features_have_the_bits_of_timm_before_and_after_norms_are_folded() -> None:
    stored = load_file(EMBEDDED_FOLDER / "model.safetensors")
    weights = {
        name.removeprefix("encoder."): one.float() if one.is_floating_point() else one
        for name, one in stored.items()
        if name.startswith("encoder.")
    }
    ours = regnet.RegNetY004().eval()
    theirs = timm.create_model(regnet.NAME, features_only=True, out_indices=(1, 2, 3, 4)).eval()
    for network in (ours, theirs):
        network.load_state_dict(weights)
    photo = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        for _ in range(2):
            found, expected = ours(photo), theirs(photo)
            assert [one.shape[1] for one in found] == list(regnet.CHANNELS)
            assert len(found) == len(expected)
            for one, other in zip(found, expected, strict=True):
                assert one.std() > 0
                assert torch.equal(one, other)
            fold_batch_norms(ours)
            fold_batch_norms(theirs)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in ours.modules())


def test_the_embedded_network_is_loaded_without_timm() -> None:
    code = (
        "import sys; from depth import DepthEstimator; DepthEstimator.load('tiny-dpt')\n"
        "print(sorted({'timm', 'torchvision', 'transformers'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
