"""The two-stream network: the original's numbers, any size, any batch, and what it refuses."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from segmentation.errors import SegmentationError
from segmentation.network.checkpoint import load_network
from segmentation.network.model import ConvolutionalAttention, TwoStreamNetwork
from segmentation.network.precision import usual_precision
from segmentation.network.segmenter import Segmenter
from tests.segmentation.released_checkpoints import REFERENCE, save_stand_in


@pytest.fixture(scope="module")
def small_network() -> TwoStreamNetwork:
    """Return a network with random weights that works at a side of 64."""
    return TwoStreamNetwork("mit-b0", initialization="random", side_px=64).eval()


def make_inputs(batch: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    image, flow_rgb = torch.rand(2, batch, 3, height, width, generator=generator)
    return image, flow_rgb


def test_the_network_reproduces_the_original(tmp_path: Path) -> None:
    network = load_network(save_stand_in(tmp_path / "FakeFlow_mitb0.pth", "fakeflow_mitb0"))
    with np.load(REFERENCE / "fakeflow_mitb0_seed0.npz") as reference:
        image, flow_rgb = torch.from_numpy(reference["image"]), torch.from_numpy(reference["flow"])
        scores, mask = reference["scores"], reference["mask"]
    with torch.inference_mode():
        logits = network(image, flow_rgb)
    assert np.abs(logits.numpy() - scores).max() < 1e-5
    is_clear = np.abs(scores[0, 1] - scores[0, 0]) > 1e-5
    predicted = network.predict(image[:1], flow_rgb[:1])
    assert predicted.dtype == torch.uint8
    assert predicted.shape == (1, 96, 128)  # a batch of one gives what any batch gives
    np.testing.assert_array_equal(predicted[0].numpy()[is_clear], mask[is_clear])


@pytest.mark.parametrize("size", [(64, 64), (33, 57), (1, 1), (90, 20)])
def test_logits_have_the_size_of_the_input(small_network: TwoStreamNetwork, size: tuple[int, int]) -> None:
    image, flow_rgb = make_inputs(1, *size)
    assert small_network(image, flow_rgb).shape == (1, 2, *size)
    assert small_network.predict(image, flow_rgb).shape == (1, *size)


def test_a_sample_does_not_depend_on_the_batch_around_it(small_network: TwoStreamNetwork) -> None:
    image, flow_rgb = make_inputs(3, 40, 50)
    with torch.no_grad():
        together = small_network(image, flow_rgb)
        for i in range(3):
            alone = small_network(image[i : i + 1], flow_rgb[i : i + 1])
            torch.testing.assert_close(alone[0], together[i], rtol=1e-4, atol=1e-5)


def test_predict_is_the_larger_logit_and_leaves_the_mode(small_network: TwoStreamNetwork) -> None:
    image, flow_rgb = make_inputs(2, 40, 50)
    with torch.no_grad(), torch.random.fork_rng():
        expected = small_network(image, flow_rgb).argmax(1).to(torch.uint8)
        assert 0.02 < expected.float().mean() < 0.98
        small_network.train()
        try:
            torch.manual_seed(0)
            assert not torch.equal(small_network(image, flow_rgb).argmax(1), expected)  # stochastic depth counts
            torch.manual_seed(0)
            masks = small_network.predict(image, flow_rgb)
            assert all(module.training for module in small_network.modules())
        finally:
            small_network.eval()
    assert torch.equal(masks, expected)
    assert not small_network.predict(image, flow_rgb).requires_grad


def test_both_streams_count_and_differ(small_network: TwoStreamNetwork) -> None:
    image, flow_rgb = make_inputs(1, 64, 64)
    with torch.no_grad():
        assert not torch.allclose(small_network(image, flow_rgb), small_network(flow_rgb, image), atol=1e-4)


def test_every_parameter_learns(small_network: TwoStreamNetwork) -> None:
    logits = small_network(*make_inputs(2, 64, 64))
    logits.square().mean().backward()
    silent = [
        name
        for name, p in small_network.named_parameters()
        if p.grad is None or not p.grad.isfinite().all() or not p.grad.abs().max() > 0
    ]
    small_network.zero_grad()
    assert not silent


def test_random_weights_depend_on_the_seed_alone() -> None:
    before = torch.get_rng_state()
    first, again, other = (TwoStreamNetwork(initialization="random", seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    name = "decoder.stages.0.blend.weight"
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True))
    assert not torch.equal(first.state_dict()[name], other.state_dict()[name])


def attention_by_the_paper(module: ConvolutionalAttention, x: np.ndarray) -> np.ndarray:
    """Compute CBAM of one sample (c, h, w) pixel by pixel; the spatial convolution by its definition."""

    def conv1x1(layer: nn.Module, vector: np.ndarray) -> np.ndarray:
        weight, bias = (p.detach().double().numpy() for p in layer.parameters())
        result: np.ndarray = weight[:, :, 0, 0] @ vector + bias
        return result

    def conv3x3(layer: nn.Module, maps: np.ndarray) -> np.ndarray:
        weight, bias = (p.detach().double().numpy() for p in layer.parameters())
        height, width = maps.shape[1:]
        padded = np.pad(maps, ((0, 0), (1, 1), (1, 1)))
        out = np.empty((len(weight), height, width))
        for row in range(height):
            for column in range(width):
                window = padded[:, row : row + 3, column : column + 3]
                out[:, row, column] = (weight * window).sum((1, 2, 3)) + bias
        return out

    def sigmoid(value: np.ndarray) -> np.ndarray:
        result: np.ndarray = 1 / (1 + np.exp(-value))
        return result

    def mlp(vector: np.ndarray) -> np.ndarray:
        return conv1x1(module.channel[2], np.maximum(conv1x1(module.channel[0], vector), 0))

    x = conv3x3(module.conv, x)
    x = x * sigmoid(mlp(x.mean((1, 2))) + mlp(x.max((1, 2))))[:, None, None]
    pooled = np.stack([x.mean(0), x.max(0)])
    result: np.ndarray = x * sigmoid(conv3x3(module.spatial[2], np.maximum(conv3x3(module.spatial[0], pooled), 0)))
    return result


def test_attention_is_cbam() -> None:
    torch.manual_seed(0)
    module = ConvolutionalAttention(6).double()
    x = torch.randn(1, 6, 5, 7, dtype=torch.float64)
    np.testing.assert_allclose(module(x)[0].detach().numpy(), attention_by_the_paper(module, x[0].numpy()), rtol=1e-10)


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "pvt_v2_b0"])
def test_backbones_of_timm(name: str) -> None:
    network = TwoStreamNetwork(f"timm:{name}", initialization="random", side_px=64).eval()
    assert network(*make_inputs(2, 30, 40)).shape == (2, 2, 30, 40)


def test_timm_normalises_as_the_backbone_was_trained() -> None:
    network = TwoStreamNetwork("timm:test_resnet", initialization="random", side_px=64)
    assert network.image_encoder.mean.flatten().tolist() == [0.5, 0.5, 0.5]


def test_initialisation_from_a_folder(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = TwoStreamNetwork("mit-b0", initialization="random", seed=7).image_encoder.backbone
    source.save_pretrained(tmp_path)  # type: ignore[operator]
    weights = load_file(tmp_path / "model.safetensors")
    save_file(weights | {"classifier.weight": torch.ones(1000, 256)}, tmp_path / "model.safetensors", {"format": "pt"})
    capfd.readouterr()
    network = TwoStreamNetwork("mit-b0", initialization=str(tmp_path))
    assert not "".join(capfd.readouterr())
    for encoder in (network.image_encoder, network.flow_encoder):
        weights = encoder.backbone.state_dict()
        assert all(torch.equal(weights[name], value) for name, value in source.state_dict().items())
    with pytest.raises(SegmentationError, match=r"holds another encoder.*mit-b1 has \[2, 2, 2, 2\]"):
        TwoStreamNetwork("mit-b1", initialization=str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(SegmentationError, match=r"cannot be read as the encoder mit-b0"):
        TwoStreamNetwork("mit-b0", initialization=str(tmp_path))


def test_imagenet_without_a_network_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(SegmentationError, match=r"nvidia/mit-b1 are not on this machine.*hf download nvidia/mit-b1"):
        TwoStreamNetwork("mit-b1", initialization="imagenet")


@pytest.mark.parametrize(
    ("encoder", "initialization", "message"),
    [
        (
            "mit-b9",
            "random",
            "Encoder 'mit-b9' is unknown; expected mit-b0, mit-b1, mit-b2, lite0, lite1, lite2 or timm:NAME",
        ),
        ("timm:nonsense", "random", "timm has no backbone 'nonsense'"),
        ("timm:vit_tiny_patch16_224", "random", r"features at strides \[16, 16, 16\], expected \[4, 8, 16, 32\]"),
        ("mit-b0", "weights-that-are-not", "neither 'imagenet' nor 'random', and no such file or folder exists"),
    ],
)
def test_encoders_that_cannot_be_made(encoder: str, initialization: str, message: str) -> None:
    with pytest.raises(SegmentationError, match=message):
        TwoStreamNetwork(encoder, initialization=initialization)


def test_inputs_that_do_not_fit(small_network: TwoStreamNetwork) -> None:
    image, flow_rgb = make_inputs(2, 8, 8)
    with pytest.raises(SegmentationError, match=re.escape("flow_rgb (1, 3, 8, 8); expected both (b,3,h,w)")):
        small_network(image, flow_rgb[:1])
    with pytest.raises(SegmentationError, match=r"image is torch.uint8.*divide uint8 by 255"):
        small_network((image * 255).to(torch.uint8), flow_rgb)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_gpu_agrees_with_the_cpu(tmp_path: Path, precision: str) -> None:
    network = load_network(save_stand_in(tmp_path / "FakeFlow_mitb0.pth", "fakeflow_mitb0"))
    rng = np.random.default_rng(0)
    pairs = [(rng.integers(0, 256, (2, 96, 128, 3), np.uint8)) for _ in range(3)]
    expected = Segmenter(network, "cpu")([(image, colors) for image, colors in pairs])
    found = Segmenter(network, "cuda", precision)([(image, colors) for image, colors in pairs])
    agreeing = [float((one == other).mean()) for one, other in zip(found, expected, strict=True)]
    assert min(agreeing) > (0.99 if precision == "float32" else 0.9)
    assert 0 < float(np.mean(expected)) < 1


def test_masks_are_predicted_in_float32_on_a_cpu() -> None:
    assert usual_precision("cpu") == "float32"


@pytest.mark.gpu
def test_masks_are_predicted_in_bfloat16_on_a_gpu() -> None:
    assert usual_precision("cuda") == ("bfloat16" if torch.cuda.get_device_capability() >= (8, 0) else "float32")


@pytest.mark.gpu
def test_gpu_computes_the_gradients_of_the_cpu(small_network: TwoStreamNetwork) -> None:
    inputs = make_inputs(2, 64, 64)
    gradients = []
    for device in ("cpu", "cuda"):
        network = copy.deepcopy(small_network).to(device)
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            network(*(one.to(device) for one in inputs)).square().mean().backward()
        gradients.append([parameter.grad.cpu() for parameter in network.parameters() if parameter.grad is not None])
    for on_cpu, on_gpu in zip(*gradients, strict=True):
        assert (on_cpu - on_gpu).norm() <= 0.01 * on_cpu.norm() + 1e-6


def test_random_mix_transformers_begin_as_their_authors_do() -> None:
    """Xie et al.'s code: kernels with deviation sqrt(2 / fan-out), matrices with 0.02."""
    network = TwoStreamNetwork("mit-b0", initialization="random", side_px=64)
    kernels = [module for module in network.image_encoder.modules() if isinstance(module, nn.Conv2d)]
    assert any(kernel.groups > 1 for kernel in kernels)
    for kernel in kernels:
        outputs = kernel.out_channels // kernel.groups
        fan_out = outputs * kernel.kernel_size[0] * kernel.kernel_size[1]
        assert kernel.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.1)
    for matrix in (module for module in network.image_encoder.modules() if isinstance(module, nn.Linear)):
        assert matrix.weight.std().item() == pytest.approx(0.02, rel=0.1)
