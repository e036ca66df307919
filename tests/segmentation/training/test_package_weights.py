"""ImageNet weights out of a Python package find their places in timm's network."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from benchmarks.package_weights import rename
from segmentation.network.encoders import make_encoder

ENCODER = "tf_efficientnet_lite0"


def test_weights_find_their_places(tmp_path: Path) -> None:
    network = timm.create_model(ENCODER).eval()
    expected = network.state_dict()
    others = {
        f"_layer{place}.{name.rpartition('.')[2]}": weights for place, (name, weights) in enumerate(expected.items())
    }
    renamed = rename(others, ENCODER)
    assert list(renamed) == list(expected)
    save_file(renamed, tmp_path / "lite0.safetensors")
    encoder = make_encoder(f"timm:{ENCODER}", str(tmp_path / "lite0.safetensors"), 64).eval()
    rgb = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        deepest = network.forward_intermediates((rgb - encoder.mean) / encoder.std, intermediates_only=True)[-1]
        torch.testing.assert_close(encoder(rgb)[-1], deepest)


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(ValueError, match=f"not the weights of {ENCODER}"):
        rename(timm.create_model("tf_efficientnet_lite1").state_dict(), ENCODER)
