"""Variants of depth networks on a GPU: part `depth` of `benchmarks.on_gpu`.

DPT-Large and DPT-Hybrid of true size with random weights run on dense batches of 384 x 384 pixels in different
arithmetic, with fused or plain attention, either layout in memory, CUDA graphs and torch.compile. Each variant's maps
are compared with those of float32, both scaled to [0, 1] per photo as in a dataset: the median relative difference, the
mean and the largest difference. Speeds are set beside the rate of a large matrix product in the same arithmetic.
Nothing is chosen here.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.depth import count_flops, measure_peak, save_random_network
from benchmarks.on_gpu_timing import Bench, summary
from depth.loading import load_depth_network
from depth.model_files import find_model

SIDE_PX, DRY_SIDE_PX = 384, 64
BATCH, DRY_BATCH = 32, 1


@dataclass(frozen=True)
class Variant:
    """One way to run a network.

    Attributes:
        dtype: type of the arithmetic.
        has_autocast: whether weights stay in float32 and torch chooses the type of each operation; otherwise weights
            and features have `dtype`, all but the last convolution.
        attention: `sdpa` (fused) or `eager`.
        is_channels_last: layout of images and kernels in memory.
        launch: `eager`, `graph` (one CUDA graph) or `compile` (torch.compile).
    """

    dtype: str
    has_autocast: bool = False
    attention: str = "sdpa"
    is_channels_last: bool = True
    launch: str = "eager"

    @property
    def name(self) -> str:
        """Words that tell this variant from others."""
        words = [self.dtype, "autocast" if self.has_autocast else "weights", self.attention]
        words += ["channels last" if self.is_channels_last else "channels first", self.launch]
        return ", ".join(words)


REFERENCE = Variant("float32")
HALF = Variant("float16")
VARIANTS = (
    REFERENCE,
    Variant("bfloat16", has_autocast=True),  # what `pipeline run` does
    Variant("float16", has_autocast=True),
    Variant("bfloat16"),
    HALF,
    replace(HALF, launch="graph"),
    replace(HALF, is_channels_last=False),
    replace(HALF, attention="eager"),
    Variant("bfloat16", launch="graph"),
    replace(HALF, launch="compile"),
    Variant("bfloat16", launch="compile"),
)


def measure_depth(bench: Bench) -> Iterator[tuple[str, Any]]:
    """Yield the figures of each variant of each network as soon as they are measured."""
    batch, side = bench.choose(BATCH, DRY_BATCH), bench.choose(SIDE_PX, DRY_SIDE_PX)
    photos = torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(0)).to(bench.device)
    peaks: dict[str, float] = {}
    for name in ("dpt-large", "dpt-hybrid") if not bench.is_dry else ("dpt-tiny",):
        plain = load_network(name)
        set_attention(plain, "eager")  # fused attention is not counted everywhere
        flops = count_flops(plain, photos[:1].cpu())
        yield f"{name}, GFLOP per photo", round(flops / 1e9, 1)
        reference: Tensor | None = None
        for variant in VARIANTS:
            reason = unfit(variant, bench)
            if reason is None:
                if variant.dtype not in peaks:
                    dtype, largest = getattr(torch, variant.dtype), bench.choose(8192, 64)
                    peaks[variant.dtype] = measure_peak(torch.device(bench.device), dtype, largest)
                    yield f"large product in {variant.dtype}, TFLOP/s", round(peaks[variant.dtype] / 1e12, 3)
                found, maps = measure_variant(plain, variant, photos, bench)
                if maps is not None:
                    reference = maps if variant is REFERENCE else reference
                    rate = found["photos_per_second"]["median"] * flops
                    found["share_of_product"] = round(rate / peaks[variant.dtype], 3)
                    found |= {} if reference is None else differences(maps, reference)
            else:
                found = {"skipped": reason}
            yield f"{name}: {variant.name}", found
        del plain


def unfit(variant: Variant, bench: Bench) -> str | None:
    """Return why a variant cannot be measured on this device, or None."""
    if variant.launch == "graph" and bench.device != "cuda":
        return "CUDA graphs need a GPU"
    if variant.launch == "compile" and bench.is_dry:
        return "a dry run compiles nothing"
    return None


def load_network(name: str) -> nn.Module:
    """Return a network of true size with random weights, or a tiny one, as `pipeline run` loads it."""
    with tempfile.TemporaryDirectory() as folder:
        return load_depth_network(find_model(str(save_random_network(name, Path(folder))))).eval()


def measure_variant(
    plain: nn.Module, variant: Variant, photos: Tensor, bench: Bench
) -> tuple[dict[str, Any], Tensor | None]:
    """Return the figures of a variant and its maps (b,h,w); of one that fails, the reason alone."""
    bench.free()
    try:
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=variant is not REFERENCE):
            run = prepare(plain, variant, photos, bench)
            maps = scaled(run().float())
            calls, rounds = bench.choose(4, 1), bench.choose(5, 1)
            seconds = bench.seconds(run, calls, rounds)
    except (RuntimeError, ValueError) as error:  # an operation that lacks the type, too little memory, no compiler
        bench.free()
        return {"failed": f"{type(error).__name__}: {str(error).strip().splitlines()[0][:300]}"}, None
    rates = [len(photos) / one for one in seconds]
    return {"photos_per_second": summary(rates, 1), "peak_memory_gb": bench.peak_memory_gb()}, maps


def prepare(plain: nn.Module, variant: Variant, photos: Tensor, bench: Bench) -> Callable[[], Tensor]:
    """Return a function that runs a variant on the photos, which lie on the device, and returns its output."""
    dtype = getattr(torch, variant.dtype)
    layout = torch.channels_last if variant.is_channels_last else torch.contiguous_format
    network = copy.deepcopy(plain).to(bench.device)
    if not variant.has_autocast:
        network = network.to(dtype)
        network.last.float()  # as in `AnyShapeDPT`: bfloat16 would leave only a few hundred steps of depth
        photos = photos.to(dtype)
    network = network.to(memory_format=layout)
    photos = photos.contiguous(memory_format=layout)
    set_attention(network, variant.attention)
    called: Any = torch.compile(network) if variant.launch == "compile" else network

    def run() -> Tensor:
        with autocast(variant, dtype, bench):
            output: Tensor = called(photos)
        return output

    return capture(run) if variant.launch == "graph" else run


def set_attention(network: nn.Module, name: str) -> None:
    """Let all attention of a network of transformers be fused (`sdpa`) or plain (`eager`)."""
    for module in network.modules():
        if hasattr(module, "config") and hasattr(module.config, "_attn_implementation"):
            module.config._attn_implementation = name


def autocast(variant: Variant, dtype: torch.dtype, bench: Bench) -> AbstractContextManager[object]:
    """Return the context of a variant's arithmetic."""
    return torch.autocast(bench.device, dtype) if variant.has_autocast else nullcontext()


def capture(run: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """Record the kernels of one call as a CUDA graph, and return a function that replays them.

    The output lies at the same place in memory after each call. torch asks for calls on another stream beforehand, in
    which libraries set up what must not be recorded.
    """
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = run()

    def replay() -> Tensor:
        graph.replay()
        return output

    return replay


def scaled(maps: Tensor) -> Tensor:
    """Scale each map (b,h,w) to [0, 1] on the CPU, as a dataset holds it."""
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return ((maps - low) / (high - low).clamp(min=1e-12)).cpu()


def differences(maps: Tensor, reference: Tensor) -> dict[str, float | None]:
    """Return how far scaled maps are from those of float32; None where a map is not finite."""
    distance = (maps - reference).abs()
    found = {
        "median_relative_difference": distance / reference.clamp(min=1e-3),
        "mean_difference": distance,
        "largest_difference": distance,
    }
    measures = (Tensor.median, Tensor.mean, Tensor.max)
    if not bool(torch.isfinite(maps).all()):
        return dict.fromkeys(found)
    return {name: float(measure(one)) for (name, one), measure in zip(found.items(), measures, strict=True)}
