"""Behaviour of DepthEstimator: maps, their order, and bits that depend on nothing else."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from depth import DepthError, DepthEstimator
from depth.estimator import EstimatorOptions
from depth.model_files import EMBEDDED_FOLDER, ModelFiles
from depth.networks import fold_batch_norms, to_inverse_depth
from depth.tiny import TinyDPT
from depth.weights import InputRule, Meaning


class RedIsNear(nn.Module):
    """Depth is the red channel at half the resolution; large batches fail, and black photos give NaN."""

    def __init__(self, largest_batch: int = 99) -> None:
        super().__init__()
        self.largest_batch = largest_batch

    def forward(self, photo: Tensor) -> Tensor:
        if len(photo) > self.largest_batch:
            raise torch.OutOfMemoryError("no memory for so many photos")
        red = photo[:, 0, ::2, ::2]
        is_dark = (photo.amax((1, 2, 3)) < 0.01)[:, None, None]
        return torch.where(is_dark, torch.nan, red)


def red_estimator(
    network: nn.Module | None = None, meaning: Meaning = "relative inverse depth", name: str = "red", **options: str
) -> DepthEstimator:
    rule = InputRule(64, 32, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    files = ModelFiles("tiny", EMBEDDED_FOLDER, (), name, None, rule, meaning, "none")
    return DepthEstimator(network or RedIsNear(), files, EstimatorOptions(**options))


def ramp(height: int, width: int) -> np.ndarray:
    """Return a photo whose red grows from left to right."""
    photo = np.full((height, width, 3), 7, np.uint8)
    photo[..., 0] = np.linspace(50, 250, width)
    return photo


@pytest.fixture
def restored_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("folder", ["tiny_folder", "dpt_folder"])
def test_maps_have_the_photos_sizes_and_span_0_to_1(
    folder: str, photos: list[np.ndarray], request: pytest.FixtureRequest
) -> None:
    maps = DepthEstimator.load(str(request.getfixturevalue(folder)))(photos)
    assert [m.shape for m in maps] == [p.shape[:2] for p in photos]
    for one in maps:
        assert one.dtype == np.float32
        assert (one.min(), one.max()) == (0, 1)
    assert not np.array_equal(maps[0], maps[2])


def test_one_is_nearest() -> None:
    (near_right,) = red_estimator()([ramp(40, 60)])
    assert near_right[:, -1].min() > 0.95
    assert near_right[:, 0].max() < 0.05
    (near_left,) = red_estimator(meaning="metric depth")([ramp(40, 60)])
    assert near_left[:, 0].min() > 0.95
    assert near_left[:, -1].max() < 0.05


def test_metres_become_their_inverse_from_a_centimetre_on() -> None:
    metres = torch.tensor([[[0.0, 0.005, 0.01, 0.02, 4.0]]])
    torch.testing.assert_close(to_inverse_depth(metres, "metric depth")[0, 0], torch.tensor([100, 100, 100, 50, 0.25]))
    assert torch.equal(to_inverse_depth(metres, "relative inverse depth"), metres)


def test_folded_batch_norms_change_no_number() -> None:
    torch.manual_seed(0)
    network = TinyDPT().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):  # as if it had been trained
            for values in (module.weight.data, module.running_var, module.bias.data, module.running_mean):
                values.uniform_(0.5, 1.5)
    photo = torch.rand(1, 3, 64, 96) * 2 - 1
    with torch.inference_mode():
        expected = network(photo)
        assert expected.shape == (1, 32, 48)
        fold_batch_norms(network)
        assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
        torch.testing.assert_close(network(photo), expected, rtol=1e-3, atol=1e-3 * float(expected.std()))


def test_float32_means_24_bits_on_gpus_too() -> None:
    seen = []

    class Watching(RedIsNear):
        def forward(self, photo: Tensor) -> Tensor:
            seen.append(torch.backends.cudnn.allow_tf32)
            return super().forward(photo)

    for precision in ("float32", "bfloat16"):
        red_estimator(Watching(), precision=precision)([ramp(40, 60)])
    assert seen == [False, True]


def test_bits_do_not_depend_on_company_or_threads(
    tiny_folder: Path, photos: list[np.ndarray], restored_threads: None
) -> None:
    estimator = DepthEstimator.load(str(tiny_folder))
    torch.set_num_threads(2)
    together = estimator(photos)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)
    alone = [estimator([photo])[0] for photo in photos]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one, other)


def test_no_photos_no_maps() -> None:
    assert red_estimator()([]) == []


def test_a_photo_that_breaks_the_network_breaks_no_other() -> None:
    photos = [ramp(40, 60), np.zeros((30, 50, 3), np.uint8), ramp(50, 40)]
    for maps in (red_estimator()(photos), red_estimator()._estimate_batches(photos)):
        assert np.isnan(maps[1]).all()
        assert np.isfinite(maps[0]).all()
        assert np.isfinite(maps[2]).all()


def test_one_colour_gives_zero_parallax(tiny_folder: Path) -> None:
    photo = np.full((48, 64, 3), 90, np.uint8)
    np.testing.assert_array_equal(red_estimator()([photo])[0], 0)
    assert np.isfinite(DepthEstimator.load(str(tiny_folder))([photo])[0]).all()


@pytest.mark.parametrize("folder", ["tiny_folder", "dpt_folder"])
def test_batches_of_a_device_agree_with_single_photos(
    folder: str, photos: list[np.ndarray], request: pytest.FixtureRequest
) -> None:
    # The code that a GPU runs is run here on the CPU.
    estimator = DepthEstimator.load(str(request.getfixturevalue(folder)))
    for batched, alone in zip(estimator._estimate_batches(photos), estimator(photos), strict=True):
        np.testing.assert_allclose(batched, alone, atol=2e-3)


def test_out_of_memory_halves_the_batch_once() -> None:
    photos = [ramp(40, 60)] * 7 + [ramp(60, 40)] * 5
    expected = red_estimator()(photos)
    estimator = red_estimator(RedIsNear(largest_batch=4))
    with pytest.warns(RuntimeWarning, match="ran out of memory with 7 photos at a time: continuing with 4"):
        maps = estimator._estimate_batches(photos)
    for one, other in zip(maps, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    estimator._estimate_batches(photos)  # the smaller batch stays, without another warning
    with (
        pytest.warns(RuntimeWarning, match="ran out of memory"),
        pytest.raises(DepthError, match="too little memory for red with 4 photos"),
    ):
        red_estimator(RedIsNear(largest_batch=1))._estimate_batches(photos)


def test_square_squashes(tiny_folder: Path, photos: list[np.ndarray]) -> None:
    aspect = DepthEstimator.load(str(tiny_folder))
    square = DepthEstimator.load(str(tiny_folder), resize="square")
    assert square.provenance()["input"]["fit"] == "square"
    assert square(photos[:1])[0].shape == photos[0].shape[:2]
    assert not np.array_equal(square(photos[:1])[0], aspect(photos[:1])[0])


def test_reduced_precision_keeps_the_map_smooth(dpt_folder: Path, photos: list[np.ndarray]) -> None:
    full = DepthEstimator.load(str(dpt_folder))
    reduced = DepthEstimator.load(str(dpt_folder), precision="bfloat16")
    assert reduced.provenance()["precision"] == "bfloat16"
    expected, found = full(photos[:1])[0], reduced(photos[:1])[0]
    assert 0 < np.median(np.abs(found - expected)) < 1e-2
    assert len(np.unique(found)) > 0.9 * len(np.unique(expected))  # bfloat16 itself has 256 steps to an octave


@pytest.mark.parametrize(
    ("has_matrix_units", "model", "asked", "expected"),
    [
        (True, "red", "auto", "bfloat16"),
        (False, "red", "auto", "float32"),
        (True, "tiny-dpt", "auto", "float32"),  # the conversions take longer than its convolutions gain
        (True, "red", "float32", "float32"),
        (False, "tiny-dpt", "bfloat16", "bfloat16"),
    ],
)
def test_matrix_units_of_a_cpu_are_used_but_for_the_embedded_model(
    has_matrix_units: bool, model: str, asked: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": has_matrix_units}, raising=False)
    assert red_estimator(name=model, precision=asked).provenance()["precision"] == expected


def test_provenance_is_json_and_names_the_weights(tiny_folder: Path) -> None:
    provenance = DepthEstimator.load(str(tiny_folder), normalization="percentile").provenance()
    assert json.loads(json.dumps(provenance)) == provenance
    assert provenance["sha256"] == hashlib.sha256((tiny_folder / "model.safetensors").read_bytes()).hexdigest()
    assert provenance["output"] == "relative inverse depth"
    assert provenance["input"]["side"] == 64
    assert provenance["precision"] == "float32"
    assert provenance["normalization"] == "percentile"


@pytest.mark.parametrize(
    ("photo", "found"),
    [
        (np.zeros((4, 4), np.uint8), r"uint8 \(4, 4\)"),
        (np.zeros((4, 4, 4), np.uint8), r"uint8 \(4, 4, 4\)"),
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (np.zeros((0, 4, 3), np.uint8), r"\(0, 4, 3\)"),
    ],
)
def test_what_is_no_photo_is_refused(photo: np.ndarray, found: str) -> None:
    with pytest.raises(DepthError, match=rf"Photo 1 is .*{found}.*expected \(h, w, 3\) uint8 RGB"):
        red_estimator()([ramp(4, 4), photo])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"resize": "crop"}, "resize is 'crop'; expected one of aspect, square"),
        ({"normalization": "none"}, "normalization is 'none'; expected one of minmax, percentile"),
        ({"precision": "int8"}, "precision is 'int8'; expected one of auto"),
        ({"device": "gpu"}, "Device 'gpu' is unknown"),
        ({"device": "meta"}, "Device 'meta' is not supported"),
    ],
)
def test_wrong_options_are_refused(option: dict[str, str], message: str) -> None:
    with pytest.raises(DepthError, match=message):
        DepthEstimator.load("tiny-dpt", **option)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_no_reason_to_use_the_cpu() -> None:
    with pytest.raises(DepthError, match=r"'cuda:1' was asked for, but torch sees 0 CUDA devices. Use device 'cpu'"):
        DepthEstimator.load("tiny-dpt", device="cuda:1")


def test_imports_are_light(tiny_folder: Path) -> None:
    code = (
        "import sys, depth\n"
        "assert 'torch' not in sys.modules\n"
        f"depth.DepthEstimator.load({str(tiny_folder)!r})\n"
        "assert 'transformers' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.skipif(not EMBEDDED_FOLDER.exists(), reason="depth/tiny_dpt is not in this tree")
def test_embedded_model_needs_nothing(photos: list[np.ndarray]) -> None:
    estimator = DepthEstimator.load("tiny-dpt")
    assert estimator.provenance()["model"] == "tiny-dpt"
    assert all(np.isfinite(one).all() for one in estimator(photos))


@pytest.mark.slow
def test_compiled_network_agrees(tiny_folder: Path, photos: list[np.ndarray]) -> None:
    (plain,) = DepthEstimator.load(str(tiny_folder))(photos[:1])
    (compiled,) = DepthEstimator.load(str(tiny_folder), compile=True)(photos[:1])
    np.testing.assert_allclose(compiled, plain, atol=1e-3)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("folder", ["tiny_folder", "dpt_folder"])
def test_gpu_agrees_with_the_cpu(
    folder: str, precision: str, photos: list[np.ndarray], request: pytest.FixtureRequest
) -> None:
    name = str(request.getfixturevalue(folder))
    expected = DepthEstimator.load(name)(photos)
    maps = DepthEstimator.load(name, device="cuda", precision=precision)(photos * 20)
    for place, one in enumerate(maps):
        difference = np.median(np.abs(one - expected[place % len(photos)]))
        assert difference < (1e-3 if precision == "float32" else 2e-2)


@pytest.mark.gpu
def test_gpu_auto_is_a_half_precision(tiny_folder: Path) -> None:
    precision = DepthEstimator.load(str(tiny_folder), device="cuda").provenance()["precision"]
    assert precision in ("bfloat16", "float16")
