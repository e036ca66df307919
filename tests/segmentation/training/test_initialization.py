"""The first weights of a training: a decoder whose attention is open, whatever the size of the encoders' features."""

from __future__ import annotations

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from segmentation.network.encoder_names import LITE_VARIANTS
from segmentation.network.lite import calibrate_norms
from segmentation.network.model import TwoStreamNetwork
from segmentation.network.sizes import NetworkSize
from segmentation.training.initialization import make_network

SIDE_PX = 64
SMALL = NetworkSize("lite0", 32)


@pytest.fixture(scope="module")
def large_features(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Write weights of EfficientNet-Lite0 with features as large as those of ImageNet's weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = timm.create_model(LITE_VARIANTS["lite0"])
        calibrate_norms(backbone)
        for name, module in backbone.named_modules():
            if isinstance(module, nn.BatchNorm2d) and name.endswith("bn3"):
                nn.init.constant_(module.weight, 8.0)
    path = tmp_path_factory.mktemp("weights") / "lite0.safetensors"
    save_file(backbone.state_dict(), path)
    return str(path)


class Gates:
    """What the attention of every stage passes to its sigmoids, and what the projections pass to the decoder."""

    def __init__(self, network: TwoStreamNetwork) -> None:
        self.before_sigmoids: list[float] = []
        self.projected: list[float] = []
        for stage in network.decoder.stages:
            for gate in (stage.attention.channel, stage.attention.spatial):
                gate.register_forward_hook(lambda *call: self.before_sigmoids.append(float(call[-1].abs().max())))
            stage.project.register_forward_hook(lambda *call: self.projected.append(float(call[-1].std())))
        pictures = torch.rand(2, 2, 3, SIDE_PX, SIDE_PX, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            network.eval()(*pictures)
        assert len(self.projected) == 4


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_attention_begins_open_although_features_are_large(large_features: str, seed: int) -> None:
    options = {"initialization": large_features, "side_px": SIDE_PX, "seed": seed}
    plain = TwoStreamNetwork(SMALL.encoder, decoder_width=SMALL.decoder_width, **options)  # type: ignore[arg-type]
    network = make_network(SMALL, **options)  # type: ignore[arg-type]
    saturated, fitted = Gates(plain), Gates(network)
    assert max(saturated.before_sigmoids) > 20
    assert max(fitted.before_sigmoids) == 0
    assert min(saturated.projected) > 5
    assert all(0.5 < size < 4 for size in fitted.projected)
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, plain.state_dict()[name])}
    kinds = ("project", "attention.channel.2", "attention.spatial.2")
    assert changed == {f"decoder.stages.{place}.{kind}.weight" for place in range(4) for kind in kinds}


def test_attention_and_all_else_learn_from_their_first_weights(large_features: str) -> None:
    network = make_network(SMALL, large_features, side_px=SIDE_PX, seed=0)
    pictures = torch.rand(2, 2, 3, SIDE_PX, SIDE_PX, generator=torch.Generator().manual_seed(1))
    optimizer = torch.optim.SGD(network.parameters(), 1e-3)
    for _ in range(2):  # the first step opens the way to what lies before the attention's last weights
        optimizer.zero_grad()
        network(*pictures)[:, 1].square().mean().backward()
        optimizer.step()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_the_published_decoder_begins_as_published() -> None:
    network = make_network(NetworkSize("mit-b0", 32), "random", side_px=SIDE_PX, seed=3)
    plain = TwoStreamNetwork("mit-b0", initialization="random", side_px=SIDE_PX, decoder_width=32, seed=3)
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("encoder", ["lite0", "timm:test_resnet"])
def test_fitting_leaves_generator_and_encoders_alone(encoder: str) -> None:
    before = torch.get_rng_state()
    size = NetworkSize(encoder, 32)
    first, again = (make_network(size, "random", side_px=SIDE_PX, seed=1).state_dict() for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    plain = TwoStreamNetwork(encoder, initialization="random", side_px=SIDE_PX, decoder_width=32, seed=1).state_dict()
    assert all(torch.equal(value, plain[name]) for name, value in first.items() if "encoder" in name)
