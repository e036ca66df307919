"""Measure flowsim against named rivals in the same run; writes benchmarks/results/flow_kernel.json.

    python -m benchmarks.flow_kernel [--quick]

Commands call flowsim on the CPU alone. Every ratio is the median over rounds of (rival's time / our time) of one round,
both taken one after the other; the ratio of the least times of all rounds stands beside it, because it depends less on
other processes of a busy machine. Work on one core is timed by the thread's processor time.
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

from benchmarks.record import ROOT, add_options, publish
from benchmarks.rounds import ratio_of_times
from flowsim import (
    MotionPrior,
    MotionSample,
    flow_to_rgb,
    inverse_depth_in_range,
    sample_motion,
    simulate_flow,
)
from flowsim.camera import focal_length_px
from flowsim.color_wheel import color_wheel

HEIGHT = WIDTH = 400
MOTIONS = 20
"""Number of motions of a photo that each time is taken over."""
BYTES_PER_PIXEL = 4 + 8 + 1
"""Bytes that the flow kernel moves per pixel: inverse depth in, flow and validity out."""


Work = Callable[[], Any]


def milliseconds(work: Work, clock: Callable[[], float] = time.thread_time) -> float:
    """Return the time of one call; the usual clock counts the processor time of this thread alone."""
    start = clock()
    work()
    return 1e3 * (clock() - start)


def compare(
    ours: Work, rivals: dict[str, Work], rounds: int, clock: Callable[[], float] = time.thread_time
) -> dict[str, Any]:
    """Return median and least times, and each rival's time over ours by the median over rounds and by least times."""
    for work in (ours, *rivals.values()):
        work()
    times: dict[str, list[float]] = {"ours": [], **{name: [] for name in rivals}}
    for _ in range(rounds):
        times["ours"].append(milliseconds(ours, clock))
        for name, work in rivals.items():
            times[name].append(milliseconds(work, clock))
    ratios = {f"{name}_over_ours": ratio_of_times(times["ours"], times[name]) for name in rivals}
    least = {name: min(taken) for name, taken in times.items()}
    return {
        "ms": {name: statistics.median(taken) for name, taken in times.items()},
        "least_ms": least,
        **ratios,
        **{f"{name}_over_ours_by_least_times": least[name] / least["ours"] for name in rivals},
        "rounds": rounds,
    }


def photo(height: int = HEIGHT, width: int = WIDTH) -> tuple[np.ndarray, np.ndarray]:
    """Return the normalised inverse depth and the mask of a round object on a floor that comes nearer."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    mask = np.hypot(rows - 0.53 * height, columns - 0.52 * width) < 0.27 * height
    return np.where(mask, 1.0, 0.8 * rows / (height - 1)).astype(np.float32), mask


def resolved_motions(preset: str, depth: np.ndarray, mask: np.ndarray) -> list[MotionSample]:
    """Draw motions of a photo and find their sizes."""
    prior = MotionPrior.preset(preset)
    return [simulate_flow(depth, mask, sample_motion(prior, 0, "photo", i)).motion for i in range(MOTIONS)]


def unproject_transform_project(normalized: torch.Tensor, motion: MotionSample) -> torch.Tensor:
    """Make flow the textbook way in torch: points in space, a 4x4 matrix, back to pixels."""
    height, width = normalized.shape
    depth = inverse_depth_in_range(normalized, motion.far)
    focal = focal_length_px(width, motion.fov_deg)
    K = torch.tensor([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
    ys, xs = torch.meshgrid(torch.arange(height).float(), torch.arange(width).float(), indexing="ij")
    pixels = torch.stack([xs, ys, torch.ones_like(xs)]).reshape(3, -1)
    points = (torch.linalg.inv(K) @ pixels) / depth.reshape(1, -1)
    points = torch.cat([points, torch.ones(1, points.shape[-1])])
    x, y, z = motion.rotation
    transform = torch.eye(4)
    transform[:3, :3] = torch.linalg.matrix_exp(torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]]))
    transform[:3, 3] = torch.tensor(motion.translation)
    projected = K @ (transform @ points)[:3]
    targets = projected[:2] / projected[2:].clamp(min=1e-6)
    return (targets - pixels[:2]).reshape(2, height, width).permute(1, 2, 0).contiguous()


def numpy_colors(flow: np.ndarray) -> np.ndarray:
    """Render the wheel in plain NumPy, field by field, as the usual ports of the published program do."""
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


def flow_on_cpu(rounds: int) -> dict[str, Any]:
    """Measure `simulate_flow` as the pipeline calls it, against a copy that moves as many bytes and the textbook way.

    Everything runs on one core, and each result is dropped before the next, as a worker drops flow that it has written.
    """
    depth, mask = photo()
    camera, moving = (resolved_motions(preset, depth, mask) for preset in ("camera", "camera+object"))
    tensor = torch.from_numpy(depth)
    for motion in camera:
        theirs = unproject_transform_project(tensor, motion).numpy()
        np.testing.assert_allclose(simulate_flow(depth, None, motion).flow, theirs, atol=0.02)
    source = np.zeros(depth.size * BYTES_PER_PIXEL // 2, np.uint8)

    def ours(motions: list[MotionSample], mask: np.ndarray | None) -> None:
        for motion in motions:
            simulate_flow(depth, mask, motion)

    def copies() -> None:
        for _ in range(MOTIONS):
            source.copy()

    def textbook() -> None:
        for motion in camera:
            unproject_transform_project(tensor, motion)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rivals = {"copy": copies, "unproject_transform_project": textbook}
    found = {
        "shape": [HEIGHT, WIDTH],
        "flow_fields_per_time": MOTIONS,
        "camera": {
            **compare(lambda: ours(camera, None), rivals, rounds),
            "goal": "unproject_transform_project_over_ours >= 10",
        },
        "camera+object": compare(lambda: ours(moving, mask), {"copy": copies}, rounds),
    }
    torch.set_num_threads(threads)
    return found


def flows_of_photo(fields: int) -> tuple[np.ndarray, np.ndarray]:
    """Return flow (fields,h,w,2) of a photo under motions of `camera+object`, and its inverse depth, repeated."""
    depth, mask = photo()
    motions = resolved_motions("camera+object", depth, mask)[:fields]
    return np.stack([simulate_flow(depth, mask, motion).flow for motion in motions]), np.stack([depth] * fields)


def colors_on_cpu(fields: int, rounds: int) -> dict[str, Any]:
    """Measure flow -> RGB against plain NumPy, both on one core."""
    flow, _ = flows_of_photo(fields)
    found = compare(lambda: flow_to_rgb(flow), {"numpy": lambda: numpy_colors(flow)}, rounds)
    return {"shape": [fields, HEIGHT, WIDTH], **found, "goal": "numpy_over_ours >= 10"}


def photos_on_cpu(rounds: int) -> dict[str, Any]:
    """Measure one photo of 300 x 400 per preset: draw, flow of an unresolved motion, flow of a resolved one."""
    depth, mask = photo(300, 400)
    found: dict[str, Any] = {"shape": [300, 400]}
    for preset in ("parallax", "camera", "camera+object", "davis"):
        prior = MotionPrior.preset(preset)
        unresolved = [sample_motion(prior, 0, "photo", index) for index in range(MOTIONS)]
        found[preset] = {
            "draw_ms": statistics.median(
                milliseconds(lambda p=prior, i=i: sample_motion(p, 0, "photo", i)) for i in range(10 * rounds)
            )
        }
        for name, motions in (("unresolved", unresolved), ("resolved", resolved_motions(preset, depth, mask))):
            found[preset][f"{name}_ms"] = statistics.median(
                milliseconds(lambda m=motion: simulate_flow(depth, mask, m)) for motion in motions * rounds
            )
    return found


def first_call() -> dict[str, float]:
    """Measure a new process from import to the first flow, with and without machine code from an earlier process."""
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


def main() -> None:
    """Run everything and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    given = parser.parse_args()
    quick = given.quick
    rounds = 5 if quick else 31
    report = {
        "load_average_before": os.getloadavg()[0],
        "flow_cpu": flow_on_cpu(rounds),
        "flow_to_rgb_cpu": colors_on_cpu(8, max(3, rounds // 3)),
        "photo_cpu": photos_on_cpu(2 if quick else 10),
        "first_call": first_call(),
    }
    rounded = json.loads(json.dumps(report), parse_float=lambda digits: float(f"{float(digits):.4g}"))
    publish("flow_kernel", rounded, given)


if __name__ == "__main__":
    main()
