"""EfficientNet-Lite as an encoder: timm's numbers, fixed statistics, and a small network that its file gives back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from segmentation.errors import SegmentationError
from segmentation.network.checkpoint import load_network, save_network
from segmentation.network.encoder_names import LITE_VARIANTS
from segmentation.network.encoders import make_encoder
from segmentation.network.model import TwoStreamNetwork
from segmentation.network.sizes import SIZES

MOST_BYTES = 12_000_000


@pytest.fixture(scope="module")
def rgb() -> Tensor:
    """Return two pictures whose sides are no multiples of the strides."""
    return torch.rand(2, 3, 72, 100, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", LITE_VARIANTS)
def test_levels_are_those_of_timm(name: str, rgb: Tensor, tmp_path: Path) -> None:
    """The norms of the file have statistics, scales and shifts of their own, so that each of them counts."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = timm.create_model(LITE_VARIANTS[name]).eval()
        for norm in (module for module in network.modules() if isinstance(module, nn.BatchNorm2d)):
            for values, low, high in ((norm.weight, 0.7, 1.3), (norm.bias, -0.2, 0.2), (norm.running_mean, -0.2, 0.2)):
                nn.init.uniform_(values, low, high)
            nn.init.uniform_(norm.running_var, 0.5, 2.0)
    save_file(network.state_dict(), tmp_path / "weights.safetensors")
    encoder = make_encoder(f"{name}", str(tmp_path / "weights.safetensors"), 64)
    with torch.no_grad():
        found = encoder.train()(rgb)
        options = {"indices": [1, 2, 3], "intermediates_only": True}
        expected = network.forward_intermediates((rgb - encoder.mean) / encoder.std, **options)
        expected.append(network.blocks[5](network.blocks[4](network.blocks[3](expected[1]))))
    for level, other, channels in zip(found, expected, encoder.channels, strict=True):
        assert level.shape[1] == channels
        scale = other.abs().max()
        torch.testing.assert_close(level / scale, other / scale, rtol=0, atol=1e-5)


def test_all_weights_learn_and_statistics_stay(rgb: Tensor) -> None:
    encoder = make_encoder("lite0", "random", 64).train()
    before = {name: value.clone() for name, value in encoder.named_buffers()}
    sum(level.square().mean() for level in encoder(rgb)).backward()  # type: ignore[union-attr]
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name
    assert all(torch.equal(value, before[name]) for name, value in encoder.named_buffers())


def test_random_weights_neither_vanish_nor_explode(rgb: Tensor) -> None:
    with torch.no_grad():
        for level in make_encoder("lite1", "random", 64)(rgb):
            assert 0.1 < float(level.std()) < 30


def test_the_small_network_takes_at_most_twelve_megabytes_in_half_precision() -> None:
    size = SIZES["small"]
    network = TwoStreamNetwork(size.encoder, initialization="random", decoder_width=size.decoder_width)
    assert sum(2 * value.numel() for value in network.state_dict().values()) <= MOST_BYTES


def test_the_width_of_the_decoder_is_kept_with_the_weights(rgb: Tensor, tmp_path: Path) -> None:
    network = TwoStreamNetwork("lite0", initialization="random", side_px=64, decoder_width=16).eval()
    save_network(network, tmp_path)
    again = load_network(tmp_path, expected_encoder="lite0", expected_width=16)
    assert again.decoder_width == 16
    with torch.no_grad():
        assert torch.equal(again(rgb, rgb), network(rgb, rgb))
    with pytest.raises(SegmentationError, match=r"a checkpoint with 16 channels in the decoder, expected 64"):
        load_network(tmp_path, expected_width=64)


def test_a_checkpoint_that_names_no_width_has_that_of_the_publication(tmp_path: Path) -> None:
    save_network(TwoStreamNetwork("mit-b0", initialization="random", side_px=64), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config.pop("decoder_width") == 256
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert load_network(tmp_path).decoder_width == 256
