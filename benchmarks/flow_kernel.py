"""Measure flowsim against named rivals in the same run; writes benchmarks/results/flow_kernel.json.

    python -m benchmarks.flow_kernel [--quick]

Where a GPU is at hand it alone is measured. Every ratio is the median over rounds of (rival's time / our time) of one
round, both taken one after the other.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.record import ROOT, environment, write
from flowsim import (
    Camera,
    FlowField,
    Motion,
    MotionPrior,
    find_visibility,
    flow_to_rgb,
    sample_motion,
    simulate_flow,
    synthesize_flow,
)
from flowsim.color_wheel import color_wheel
from flowsim.prior import PRESETS

# What the flow kernel moves per pixel: inverse depth in, flow and validity out.
BYTES_PER_PIXEL = 4 + 8 + 1


def milliseconds(work: Callable[[], Any]) -> float:
    """Time of one call; on a GPU until it has finished."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return 1e3 * (time.perf_counter() - start)


def compare(ours: Callable[[], Any], rivals: dict[str, Callable[[], Any]], rounds: int) -> dict[str, Any]:
    """Median times, and each rival's time over ours."""
    for work in (ours, *rivals.values()):
        work()
    times: dict[str, list[float]] = {"ours": [], **{name: [] for name in rivals}}
    for _ in range(rounds):
        times["ours"].append(milliseconds(ours))
        for name, work in rivals.items():
            times[name].append(milliseconds(work))
    ratios = {
        f"{name}_over_ours": statistics.median(r / o for r, o in zip(times[name], times["ours"], strict=True))
        for name in rivals
    }
    return {"ms": {name: statistics.median(taken) for name, taken in times.items()}, **ratios, "rounds": rounds}


def scene(batch: int, height: int, width: int, device: str = "cpu") -> tuple[torch.Tensor, Camera, Motion]:
    """Smooth depth with noise, and a small motion for each image."""
    generator = torch.Generator().manual_seed(0)
    slope = torch.linspace(0.05, 0.9, height)[None, :, None]
    depth = (slope + 0.1 * torch.rand(batch, height, width, generator=generator)).clamp(0, 1)
    rotation, translation = (0.03 * torch.randn(batch, 3, generator=generator) for _ in range(2))
    return depth.to(device), Camera(height, width, 60.0), Motion(rotation, translation)


def unproject_transform_project(depth: torch.Tensor, camera: Camera, motion: Motion) -> torch.Tensor:
    """The textbook way in torch: points in space, 4x4 matrices, back to pixels."""
    batch, height, width = depth.shape
    K = camera.intrinsics()[0].float()
    ys, xs = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    pixels = torch.stack([xs, ys, torch.ones_like(xs)]).reshape(3, -1)
    points = (torch.linalg.inv(K) @ pixels)[None] / depth.reshape(batch, 1, -1)
    points = torch.cat([points, torch.ones(batch, 1, points.shape[-1])], 1)
    x, y, z = motion.rotation.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(-1, 3, 3)
    transform = torch.eye(4).repeat(batch, 1, 1)
    transform[:, :3, :3] = torch.linalg.matrix_exp(cross)
    transform[:, :3, 3] = motion.translation
    moved = (transform @ points)[:, :3]
    projected = K @ moved
    targets = projected[:, :2] / projected[:, 2:].clamp(min=1e-6)
    return (targets - pixels[:2]).reshape(batch, 2, height, width).permute(0, 2, 3, 1).contiguous()


def numpy_colors(flow: np.ndarray) -> np.ndarray:
    """A plain NumPy rendering of the wheel, field by field, as the usual ports of the published program do it."""
    wheel = color_wheel().astype(np.float64) / 255
    fields = []
    for field in flow:
        u, v = field[..., 0], field[..., 1]
        longest = np.sqrt(u**2 + v**2).max()
        u, v = u / longest, v / longest
        radius = np.sqrt(u**2 + v**2)
        place = (np.arctan2(-v, -u) / np.pi + 1) / 2 * (len(wheel) - 1)
        low = np.floor(place).astype(np.int32)
        part = place - low
        rgb = np.zeros((*u.shape, 3), np.uint8)
        for channel in range(3):
            color = (1 - part) * wheel[low, channel] + part * wheel[(low + 1) % len(wheel), channel]
            inside = radius <= 1
            color[inside] = 1 - radius[inside] * (1 - color[inside])
            color[~inside] *= 0.75
            rgb[..., channel] = np.floor(255 * color)
        fields.append(rgb)
    return np.stack(fields)


def scatter_visibility(flow: torch.Tensor, depth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A straightforward z-buffer in torch: one scatter of maxima, one gather."""
    batch, height, width = depth.shape
    ys, xs = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    column = torch.floor(xs + flow[..., 0] + 0.5).long()
    row = torch.floor(ys + flow[..., 1] + 0.5).long()
    stays = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    target = torch.where(stays, row * width + column, height * width).reshape(batch, -1)
    nearest = torch.full((batch, height * width + 1), -1.0)
    nearest.scatter_reduce_(1, target, depth.reshape(batch, -1), "amax")
    hidden = stays & (depth < nearest.gather(1, target).reshape(depth.shape))
    return ~stays, hidden, (nearest[:, :-1] < 0).reshape(depth.shape)


def flow_on_cpu(batch: int, rounds: int) -> dict[str, Any]:
    """Depth -> flow, against a copy that moves as many bytes, and against the textbook way."""
    depth, camera, motion = scene(batch, 400, 400)
    out = FlowField(torch.zeros(batch, 400, 400, 2), torch.zeros(batch, 400, 400, dtype=torch.bool))
    source = torch.zeros(depth.numel() * BYTES_PER_PIXEL // 2, dtype=torch.uint8)
    target = torch.zeros_like(source)
    found = compare(
        lambda: synthesize_flow(depth, camera, motion, out=out), {"copy": lambda: target.copy_(source)}, rounds
    )
    fresh = compare(lambda: synthesize_flow(depth, camera, motion), {"clone": source.clone}, rounds)
    still = torch.zeros(batch, 1, 3)
    with_object = Motion(motion.rotation, motion.translation, still, still + 0.02)
    masks = torch.zeros(batch, 400, 400, dtype=torch.bool)
    masks[:, 100:300, 120:280] = True
    moving = compare(
        lambda: synthesize_flow(depth, camera, with_object, masks, out=out),
        {"copy": lambda: target.copy_(source)},
        rounds,
    )
    textbook = {}
    for images in (batch, batch // 8):  # many: memory decides; few: what a training step asks for
        depths, small = depth[:images], Motion(motion.rotation[:images], motion.translation[:images])
        given = FlowField(out.flow[:images], out.valid[:images])
        rival = {"unproject_transform_project": lambda d=depths, m=small: unproject_transform_project(d, camera, m)}
        textbook[f"{images}_images"] = {
            "into_given_memory": compare(
                lambda d=depths, m=small, out=given: synthesize_flow(d, camera, m, out=out), rival, max(3, rounds // 3)
            ),
            "into_new_memory": compare(
                lambda d=depths, m=small: synthesize_flow(d, camera, m), rival, max(3, rounds // 3)
            ),
        }
    copy_ms = found["ms"]["copy"]
    return {
        "shape": [batch, 400, 400],
        "bytes_moved": depth.numel() * BYTES_PER_PIXEL,
        "copy_gb_per_s": depth.numel() * BYTES_PER_PIXEL / copy_ms / 1e6,
        "into_given_memory": {**found, "goal": "copy_over_ours >= 0.5"},
        "into_new_memory": fresh,
        "with_one_object": moving,
        "textbook": {**textbook, "goal": f"{batch} images: unproject_transform_project_over_ours >= 10"},
    }


def colors_on_cpu(batch: int, rounds: int) -> dict[str, Any]:
    """Flow -> RGB, against plain NumPy."""
    depth, camera, motion = scene(batch, 400, 400)
    flow = synthesize_flow(depth, camera, motion).flow
    found = compare(lambda: flow_to_rgb(flow), {"numpy": lambda: numpy_colors(flow.numpy())}, rounds)
    one_thread = compare(lambda: flow_to_rgb(flow.numpy()), {"numpy": lambda: numpy_colors(flow.numpy())}, rounds)
    return {"shape": [batch, 400, 400], **found, "one_thread": one_thread, "goal": "numpy_over_ours >= 10"}


def visibility_on_cpu(batch: int, rounds: int) -> dict[str, Any]:
    """Forward z-buffer, against torch's scatter."""
    depth, camera, motion = scene(batch, 400, 400)
    flow = synthesize_flow(depth, camera, motion).flow
    for ours, theirs in zip(find_visibility(flow, depth), scatter_visibility(flow, depth), strict=True):
        assert torch.equal(ours, theirs)
    found = compare(lambda: find_visibility(flow, depth), {"scatter": lambda: scatter_visibility(flow, depth)}, rounds)
    return {"shape": [batch, 400, 400], **found, "goal": "scatter_over_ours >= 5"}


def photos_on_cpu(rounds: int) -> dict[str, Any]:
    """One photo of 300 x 400, as the pipeline calls it: magnitude found in the photo, then known; one thread."""
    rows, columns = np.mgrid[:300, :400].astype(np.float32)
    mask = np.hypot(rows - 160, columns - 210) < 80
    depth = np.where(mask, 1.0, 0.8 * rows / 299).astype(np.float32)
    found: dict[str, Any] = {"shape": [300, 400]}
    for preset in PRESETS:
        prior = MotionPrior.preset(preset)
        drawn = [sample_motion(prior, 0, "photo", index) for index in range(20)]
        made = [simulate_flow(depth, mask, motion).motion for motion in drawn]
        found[preset] = {
            "draw_ms": statistics.median(
                milliseconds(lambda p=prior, i=i: sample_motion(p, 0, "photo", i)) for i in range(10 * rounds)
            ),
            "drawn_ms": statistics.median(
                milliseconds(lambda m=motion: simulate_flow(depth, mask, m)) for motion in drawn * rounds
            ),
            "made_ms": statistics.median(
                milliseconds(lambda m=motion: simulate_flow(depth, mask, m)) for motion in made * rounds
            ),
        }
    return found


def first_call() -> dict[str, float]:
    """Seconds of a new process from import to the first flow, with and without machine code from an earlier one."""
    program = (
        "import time; start = time.perf_counter()\n"
        "import numpy as np; from flowsim import MotionPrior, sample_motion, simulate_flow\n"
        "motion = sample_motion(MotionPrior.preset('camera'), 0, 'x', 0)\n"
        "simulate_flow(np.ones((300, 400), np.float32), None, motion); print(time.perf_counter() - start)"
    )
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("compiling_s", "from_cache_s"):
            answer = subprocess.run(
                [sys.executable, "-c", program],
                env={**os.environ, "NUMBA_CACHE_DIR": folder},
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=True,
            )
            found[name] = float(answer.stdout)
    return found


def on_gpu(batch: int, rounds: int) -> dict[str, Any]:
    """Depth -> flow and depth -> flow -> RGB in one pass, against device copies of as many bytes."""
    depth, camera, motion = scene(batch, 400, 400, "cuda")

    def picture(depth: torch.Tensor) -> torch.Tensor:
        flow = synthesize_flow(depth, camera, motion, validate=False).flow
        rgb: torch.Tensor = flow_to_rgb(flow, 40.0)
        return rgb

    one_pass = torch.compile(picture)
    expected = synthesize_flow(depth[:4].cpu(), camera, Motion(motion.rotation[:4], motion.translation[:4])).flow
    difference = synthesize_flow(depth, camera, motion).flow[:4].cpu() - expected
    found: dict[str, Any] = {
        "device": torch.cuda.get_device_name(),
        "largest_difference_px": float(difference.abs().max()),
    }
    for name, ours, bytes_per_pixel in (
        ("flow", lambda: synthesize_flow(depth, camera, motion, validate=False), BYTES_PER_PIXEL),
        ("flow_checked", lambda: synthesize_flow(depth, camera, motion), BYTES_PER_PIXEL),
        ("flow_and_rgb_in_one_pass", lambda: one_pass(depth), 4 + 3),
    ):
        source = torch.zeros(depth.numel() * bytes_per_pixel // 2, dtype=torch.uint8, device="cuda")
        target = torch.zeros_like(source)
        found[name] = compare(ours, {"copy": lambda t=target, s=source: t.copy_(s)}, rounds)
    found["goal"] = "flow: copy_over_ours >= 0.6; flow_and_rgb_in_one_pass: >= 0.4"
    return {"shape": [batch, 400, 400], **found}


def main() -> None:
    """Run everything and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds, for a look; prints, writes nothing")
    quick = parser.parse_args().quick
    rounds = 5 if quick else 31
    report: dict[str, Any] = {"load_average_before": os.getloadavg()[0]}
    if torch.cuda.is_available():
        report["gpu"] = on_gpu(512, rounds)
    else:
        report |= {
            "flow_cpu": flow_on_cpu(64, rounds),
            "flow_to_rgb_cpu": colors_on_cpu(8, max(3, rounds // 3)),
            "visibility_cpu": visibility_on_cpu(8, max(3, rounds // 3)),
            "photo_cpu": photos_on_cpu(2 if quick else 10),
            "first_call": first_call(),
        }
    rounded = json.loads(json.dumps(report), parse_float=lambda digits: float(f"{float(digits):.4g}"))
    print(json.dumps({"environment": environment(), **rounded}, indent=2))
    if not quick:
        write("flow_kernel", rounded)


if __name__ == "__main__":
    main()
