"""Parts of `benchmarks.on_gpu` besides depth: flow, frames, the whole pipeline, RAFT, training, prediction and tests.

Each part yields names and figures as they come. Sizes of a dry run are tiny.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks.on_gpu_timing import Bench, summary
from benchmarks.pieces import EXAMPLES, write_copies
from benchmarks.record import ROOT
from benchmarks.rounds import ratio_of_times

BYTES_PER_PIXEL = 4 + 8 + 1
"""Bytes that the flow kernel moves per pixel: inverse depth in, flow and validity out."""
Found = Iterator[tuple[str, Any]]


def measure_flow(bench: Bench) -> Found:
    """Measure the flow of a batch of photos by tensor operations, eager and compiled, against a copy of as many bytes.

    The colours of flow and the flow in `pipeline run` are computed on the CPU, which is measured beside it.
    """
    from benchmarks.flow_kernel import colors_on_cpu, flow_on_cpu
    from flowsim.camera import pixel_axes
    from flowsim.kernels.flow import SMALLEST_DEPTH_RATIO, plane_and_parallax

    batch, side = bench.choose(256, 2), bench.choose(512, 32)
    depth = torch.rand(batch, side, side, device=bench.device)
    matrix = (0.01 * torch.randn(12, batch, 1, 1, device=bench.device)).unbind()
    xs, ys = (torch.from_numpy(np.asarray(axis, np.float32)).to(bench.device) for axis in pixel_axes(side, side))

    def flow(depth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        u, v, change = plane_and_parallax(matrix, xs, ys[:, None], depth)
        is_in_front = 1 + change > SMALLEST_DEPTH_RATIO
        scale = torch.where(is_in_front, 1 / (1 + change), 0.0)
        return torch.stack([u * scale, v * scale], -1), is_in_front

    source = torch.zeros(depth.numel() * BYTES_PER_PIXEL // 2, dtype=torch.uint8, device=bench.device)
    target = torch.empty_like(source)
    calls = bench.choose(20, 1)
    copied = bench.seconds(lambda: target.copy_(source), calls)
    yield "copy, GB/s", summary([2 * source.numel() / one / 1e9 for one in copied], 1)

    def speed(work: Callable[[torch.Tensor], object]) -> dict[str, Any]:
        seconds = bench.seconds(lambda: work(depth), calls)
        fields = [batch / one for one in seconds]
        return {"fields_per_second": summary(fields, 1), "share_of_copy": ratio_of_times(seconds, copied)}

    yield "flow, eager", speed(flow)
    rounds = bench.choose(5, 1)
    yield "flow on the CPU, one core", flow_on_cpu(rounds)
    yield "colours on the CPU, one core", colors_on_cpu(bench.choose(8, 1), rounds)
    if not bench.is_dry:  # last, since it fails where there is no compiler
        yield "flow, compiled", speed(torch.compile(flow))


def measure_frames(bench: Bench) -> Found:
    """Measure the rendering of pairs from the example photos on the device, against one core of the CPU."""
    from PIL import Image

    from depth import DepthEstimator
    from depth.weights import EMBEDDED_MODEL
    from flowsim import MotionPrior, make_clip, sample_motion, separate_layers

    prior = MotionPrior.preset("davis")
    files = sorted((EXAMPLES / "DUTS-TR-Image").iterdir())[: bench.choose(7, 1)]
    images = [np.asarray(Image.open(file).convert("RGB")) for file in files]
    masks = [np.asarray(Image.open(EXAMPLES / "DUTS-TR-Mask" / f"{file.stem}.png").convert("L")) for file in files]
    layered = [
        (image, separate_layers(image, depth, (grey > 127).astype(np.uint8), grey), sample_motion(prior, 0, name, 0))
        for name, image, grey, depth in zip(
            [file.stem for file in files], images, masks, DepthEstimator.load(EMBEDDED_MODEL)(images), strict=True
        )
    ]

    def render(device: str) -> None:
        for image, photo, motion in layered:
            make_clip(image, photo, [motion], device=device)

    calls, rounds = bench.choose(3, 1), bench.choose(5, 1)
    ours = bench.seconds(lambda: render(bench.device), calls, rounds)
    yield "pairs_per_second", summary([len(layered) / one for one in ours])
    one_core = bench.seconds(lambda: render("cpu"), 1, rounds)
    yield "pairs_per_second_of_one_core", summary([len(layered) / one for one in one_core])
    yield "device_over_one_core", ratio_of_times(ours, one_core)


def measure_pipeline(bench: Bench, network: str) -> Found:
    """Measure `pipeline run` with a depth network of true size against the network alone, up to all of DUTS."""
    from benchmarks.depth import save_random_network
    from benchmarks.pipeline import DUTS_PHOTOS, network_alone, whole_path
    from depth import DepthEstimator
    from pipeline.photos.decoding import decode_pair

    files = sorted((EXAMPLES / "DUTS-TR-Image").iterdir())
    copies = bench.choose(300, 1)
    with tempfile.TemporaryDirectory() as folder:
        tree = write_copies(Path(folder) / "DUTS", copies)
        model = str(save_random_network("dpt-tiny" if bench.is_dry else network, Path(folder) / "network"))
        estimator = DepthEstimator.load(model, device=bench.device)
        yield "precision", estimator.provenance()["precision"]
        photos = [decode_pair(path.read_bytes(), None, 400)[0] for path in files] * bench.choose(32, 1)
        alone = network_alone(estimator, photos, bench.choose(3, 1))
        yield "network_alone_photos_per_second", summary(alone, 2)
        del estimator
        bench.free()
        given = argparse.Namespace(input=str(tree), depth_model=model, motion="davis")
        whole = whole_path(given, Path(folder) / "made.zarr", copies * len(files))
        yield "whole_path", whole
        yield "whole_path_over_network_alone", round(whole["photos_per_second"] / median(alone), 3)
        yield "seconds_for_all_of_duts", round(DUTS_PHOTOS / whole["photos_per_second"], 1)


def measure_raft(bench: Bench) -> Found:
    """Measure RAFT-small on a drawn 480p video against torchvision's forward, pair by pair in float32."""
    from torchvision.models.optical_flow import raft_small

    from benchmarks.raft import published_procedure
    from segmentation.flow.raft import load_raft

    shape = (bench.choose(480, 128), bench.choose(854, 160))
    count, iterations = bench.choose(33, 3), bench.choose(20, 1)
    texture = np.random.default_rng(0).integers(0, 256, (shape[0], shape[1] + count, 3)).astype(np.uint8)
    frames = np.stack([texture[:, number : number + shape[1]] for number in range(count)])
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "raft-small.pth"
        torch.manual_seed(0)
        torch.save(raft_small(weights=None).state_dict(), weights)
        ours = load_raft(str(weights), bench.device, iterations=iterations)
        rival = published_procedure(str(weights), bench.device, iterations)
    yield "precision", {"ours": ours.precision, "rival": "float32"}
    rounds = bench.choose(3, 1)
    seconds = {
        name: bench.seconds(lambda work=work: work(frames), 1, rounds)  # type: ignore[misc]
        for name, work in (("ours", ours), ("rival", rival))
    }
    for name, some in seconds.items():
        yield f"pairs_per_second, {name}", summary([(count - 1) / one for one in some], 2)
    yield "ratio", ratio_of_times(seconds["ours"], seconds["rival"])


def measure_training_step(bench: Bench) -> Found:
    """Measure the training step against the published one, as `benchmarks.training step` does."""
    from benchmarks.network_speed import measure_step

    for side in [64] if bench.is_dry else [512, 256]:
        given = argparse.Namespace(
            encoder="mit-b0", batch=bench.choose(16, 2), step_sides_px=[side], rounds=bench.choose(8, 1)
        )
        found = measure_step(given)
        of_side = found.pop("sides_px")[str(side)]
        yield f"{side} px", {**found, **of_side}


def measure_loading(bench: Bench) -> Found:
    """Measure the loader of training samples on one core, as `benchmarks.training loader` does."""
    from benchmarks.training import measure_loader

    given = argparse.Namespace(input=str(ROOT / "examples/DUTS"), samples=7, rounds=bench.choose(5, 1))
    yield "one core", measure_loader(given)


def measure_prediction(bench: Bench) -> Found:
    """Measure `segmentation predict` on a clip from the start of the process to the last mask, with flow by RAFT-small.

    The second of two runs counts; `frames_per_second_without_start` leaves out the time of a run on two frames.
    """
    import cv2
    from torchvision.models.optical_flow import raft_small

    from benchmarks.commands import seconds

    frames = bench.choose(60, 3)
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "raft-small.pth"
        torch.manual_seed(0)
        torch.save(raft_small(weights=None).state_dict(), weights)
        taken = {}
        for count in (2, frames):
            clip = Path(folder) / f"clip{count}"
            clip.mkdir()
            texture = (
                np.random.default_rng(0).integers(0, 256, (bench.choose(480, 128), 854 + count, 3)).astype(np.uint8)
            )
            for number in range(count):
                picture = texture[:, number : number + bench.choose(854, 160)]
                cv2.imwrite(str(clip / f"{number:05d}.jpg"), picture)
            command = ["segmentation.cli", "predict", str(clip), "--raft", str(weights)]
            command += ["--raft-iterations", str(bench.choose(20, 1)), "--device", bench.device]
            taken[count] = [seconds(command, Path(folder) / "masks")[0] for _ in range(bench.choose(2, 1))][-1]
    yield "frames", frames
    yield "frames_per_second", round(frames / taken[frames], 2)
    yield "frames_per_second_without_start", round((frames - 2) / max(taken[frames] - taken[2], 1e-3), 2)


def run_gpu_tests(bench: Bench) -> Found:
    """Run the tests that need a GPU; a dry run only collects them."""
    files = sorted(
        str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py") if "mark.gpu" in path.read_text()
    )
    yield "files", files
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", *files]
    command += ["--collect-only"] if bench.is_dry else []
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    yield "exit_code", done.returncode
    yield "last_lines", (done.stdout + done.stderr).strip().splitlines()[-15:]
