"""Original checkpoints give the numbers of the original implementation.

`reference/dpt_hybrid_seed0.npz` holds what isl-org/DPT computed in float32 with the stand-in weights of
`stand_in_weights.py` (seed 0), every second row and column of it.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from depth import DepthError, DepthEstimator
from depth.networks import wrap_transformers_model
from depth.original import build_model
from depth.streams import map_on_cores
from tests.depth import stand_in_weights

REFERENCE = Path(__file__).parent / "reference"


def read_shapes(network: str) -> dict[str, tuple[int, ...]]:
    shapes = json.loads((REFERENCE / "dpt_state_dicts.json").read_text())[network]
    return {name: tuple(shape) for name, shape in shapes.items()}


def make_checkpoint(network: str) -> dict[str, Tensor]:
    """Return the stand-in weights under the original names; the output's bias keeps it positive."""
    checkpoint = {n: torch.from_numpy(v) for n, v in stand_in_weights.state_dict(read_shapes(network)).items()}
    checkpoint["scratch.output_conv.4.bias"].fill_(1)
    checkpoint["scratch.output_conv.4.weight"] *= 0.1
    return checkpoint


def make_input(height: int, width: int) -> Tensor:
    coarse = stand_in_weights.uniform("input.depth", (1, 3, height // 16, width // 16)).astype(np.float32)
    return F.interpolate(torch.from_numpy(coarse), scale_factor=16, mode="bilinear", align_corners=False)


def save_empty_checkpoint(path: Path, network: str = "dpt_hybrid", without: str = "-") -> Path:
    """Save a checkpoint with the right names and shapes whose values, all zero, share one byte of storage."""
    zero = torch.zeros(1)
    shapes = read_shapes(network).items()
    torch.save({name: zero.expand(shape) for name, shape in shapes if without not in name}, path)
    return path


def test_hybrid_reproduces_the_original() -> None:
    network = wrap_transformers_model(build_model(make_checkpoint("dpt_hybrid"), "stand-in"))

    @torch.inference_mode()
    def estimate(size: tuple[int, int]) -> np.ndarray:
        depth: np.ndarray = network(make_input(*size))[0, ::2, ::2].numpy()
        return depth

    sizes = ((384, 384), (384, 512))
    with np.load(REFERENCE / "dpt_hybrid_seed0.npz") as references:
        for (height, width), depth in zip(sizes, map_on_cores(estimate, sizes), strict=True):
            expected = references[f"depth_{height}x{width}"]
            assert np.abs(depth - expected).max() <= 1e-3 * expected.max()
            np.testing.assert_allclose(depth, expected, rtol=1e-3, atol=1e-4)


def large_by_the_paper(weights: dict[str, Tensor], photo: Tensor) -> Tensor:
    """Compute DPT-Large from timm's ViT and the equations of Ranftl et al. (ICCV 2021), section 3."""
    import timm

    vit = timm.create_model("vit_large_patch16_384", img_size=photo.shape[-2:])
    prefix = "pretrained.model."
    vit_weights = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
    grid = photo.shape[2] // 16, photo.shape[3] // 16
    position = vit_weights["pos_embed"]
    patches = position[:, 1:].reshape(1, 24, 24, -1).permute(0, 3, 1, 2)
    patches = F.interpolate(patches, grid, mode="bilinear", align_corners=False).flatten(2).transpose(1, 2)
    vit_weights["pos_embed"] = torch.cat([position[:, :1], patches], 1)
    vit.load_state_dict(vit_weights)
    vit.eval()
    tapped: dict[int, Tensor] = {}
    for index in (5, 11, 17, 23):
        vit.blocks[index].register_forward_hook(lambda _, __, tokens, index=index: tapped.update({index: tokens}))
    vit.forward_features(photo)

    def conv(x: Tensor, name: str, **options: int) -> Tensor:
        return F.conv2d(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"), **options)

    def double(x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)

    def residual_unit(x: Tensor, name: str) -> Tensor:
        return x + conv(F.relu(conv(F.relu(x), f"{name}.conv1", padding=1)), f"{name}.conv2", padding=1)

    levels = []
    for level, tokens in enumerate(tapped.values(), 1):
        name = f"pretrained.act_postprocess{level}"
        readout = tokens[:, :1].expand(-1, grid[0] * grid[1], -1)
        project = weights[f"{name}.0.project.0.weight"], weights[f"{name}.0.project.0.bias"]
        merged = F.gelu(F.linear(torch.cat([tokens[:, 1:], readout], -1), *project))
        x = conv(merged.transpose(1, 2).unflatten(2, grid), f"{name}.3")
        if level <= 2:
            stride = 8 // 2**level
            x = F.conv_transpose2d(x, weights[f"{name}.4.weight"], weights[f"{name}.4.bias"], stride=stride)
        elif level == 4:
            x = conv(x, f"{name}.4", stride=2, padding=1)
        levels.append(conv(x, f"scratch.layer{level}_rn", padding=1))
    fused = torch.zeros_like(levels[3])
    for level in (4, 3, 2, 1):
        name = f"scratch.refinenet{level}"
        fused = levels[3] if level == 4 else fused + residual_unit(levels[level - 1], f"{name}.resConfUnit1")
        fused = conv(double(residual_unit(fused, f"{name}.resConfUnit2")), f"{name}.out_conv")
    x = double(conv(fused, "scratch.output_conv.0", padding=1))
    x = F.relu(conv(x, "scratch.output_conv.2", padding=1))
    return F.relu(conv(x, "scratch.output_conv.4"))[:, 0]


@pytest.mark.slow
@torch.inference_mode()
def test_large_reproduces_the_paper() -> None:
    checkpoint = make_checkpoint("dpt_large")
    photo = make_input(256, 384)
    expected = large_by_the_paper(checkpoint, photo)
    depth = wrap_transformers_model(build_model(checkpoint, "stand-in"))(photo)
    assert expected.std() > 0.01
    torch.testing.assert_close(depth, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("network", ["dpt_hybrid", "dpt_large"])
def test_a_checkpoint_is_told_by_its_names(network: str, tmp_path: Path) -> None:
    path = save_empty_checkpoint(tmp_path / "weights.pt", network)
    provenance = DepthEstimator.load(str(path)).provenance()
    assert provenance["model"] == "weights.pt"
    assert provenance["output"] == "relative inverse depth"
    assert provenance["input"]["fit"] == "minimal"
    assert len(provenance["sha256"]) == 64


@pytest.mark.parametrize("network", ["dpt_hybrid", "dpt_large"])
def test_layer_norms_divide_as_those_of_the_original(network: str) -> None:
    # timm's ViT adds 1e-6 to the variance, transformers 1e-12: of values 0.001 and -0.001 that makes sqrt(1/2), not 1.
    zero = torch.zeros(1)
    model = build_model({name: zero.expand(shape) for name, shape in read_shapes(network).items()}, "zeros")
    norms = [module for module in model.modules() if isinstance(module, torch.nn.LayerNorm)]
    assert len(norms) >= 2 * len(model.dpt.encoder.layer)
    for norm in norms:
        norm.weight = torch.nn.Parameter(torch.ones(norm.normalized_shape))
        values = torch.tensor([0.001, -0.001]).repeat(norm.normalized_shape[0] // 2)
        torch.testing.assert_close(norm(values), values * 1000 * 0.5**0.5)


def test_a_checkpoint_that_lacks_names_is_refused(tmp_path: Path) -> None:
    path = save_empty_checkpoint(tmp_path / "half.pt", without="refinenet3.out_conv")
    with pytest.raises(
        DepthError, match=r"half.pt is the checkpoint of another network.*fusion_stage.layers.1.projection"
    ):
        DepthEstimator.load(str(path))


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "resnet.pt"
    torch.save({"layer1.0.conv1.weight": torch.zeros(4, 4, 1, 1)}, path)
    with pytest.raises(DepthError, match=r"another network.*Expected dpt_hybrid-midas-501f0c75.pt"):
        DepthEstimator.load(str(path))


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    whole = save_empty_checkpoint(tmp_path / "whole.pt").read_bytes()
    for name, content in (("cut.pt", whole[: len(whole) // 2]), ("empty.pt", b""), ("text.pt", b"not a checkpoint")):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(DepthError, match=rf"{name} cannot be read as a checkpoint.*download it again"):
            DepthEstimator.load(str(path))
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(DepthError, match=r"list.pt holds no state dict.*but a list"):
        DepthEstimator.load(str(tmp_path / "list.pt"))
