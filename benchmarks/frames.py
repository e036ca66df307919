"""Measure the rendering of the next frame against splatting; writes benchmarks/results/frames.json.

    python -m benchmarks.frames [--quick]

Both rivals are what one writes with NumPy and OpenCV, and get the flow for nothing:

- splat: every pixel goes to the pixel nearest to its target, the nearest in depth wins, `cv2.inpaint` closes the holes.
- splat2: object and background are splatted one after the other in twice the resolution, bilinearly and with depth
  test; what the object hides is inpainted before, cracks afterwards. This is what comes near to the quality of ours.

`quality` holds what the tests ask of a frame: it is warped back by the flow and compared with the photo where
it stays visible (levels), and its mean gradient is compared with that of the photo (`sharpness`).
Times are processor times of one thread; each ratio is the median over rounds of both times of a round.

`run` compares whole runs of `pipeline run` with and without frames in this process, on copies of the example photos:
wall-clock, both taken one after the other in each round.
"""

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.pieces import EXAMPLES, write_copies
from benchmarks.record import add_options, publish
from benchmarks.rounds import Ratio, ratio_of, summary
from depth import DepthEstimator
from depth.weights import EMBEDDED_MODEL
from flowsim import Clip, MotionPrior, make_clip, sample_motion, separate_layers
from pipeline import RunConfig, run

INPAINT_RADIUS_PX = 3


def photos() -> list[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """Return id, photo, grey mask and normalised inverse depth of the example photos."""
    files = sorted((EXAMPLES / "DUTS-TR-Image").glob("*.jpg"))
    images = [cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB) for file in files]
    masks = [cv2.imread(str(EXAMPLES / "DUTS-TR-Mask" / f"{file.stem}.png"), 0) for file in files]
    maps = DepthEstimator.load(EMBEDDED_MODEL)(images)
    return list(zip([file.stem for file in files], images, masks, maps, strict=True))


def splat(image: np.ndarray, depth: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Send every pixel to the nearest target and inpaint the holes."""
    height, width = depth.shape
    rows, columns = np.mgrid[:height, :width]
    x, y = np.rint(columns + flow[..., 0]).astype(int), np.rint(rows + flow[..., 1]).astype(int)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    order = np.argsort(depth[inside])  # the nearest is written last
    frame, known = np.zeros_like(image), np.zeros(depth.shape, bool)
    target = y[inside][order], x[inside][order]
    frame[target], known[target] = image[inside][order], True
    return cv2.inpaint(frame, (~known).astype(np.uint8), INPAINT_RADIUS_PX, cv2.INPAINT_TELEA)


def splat_layer(colors: np.ndarray, depth: np.ndarray, flow: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Splat one layer bilinearly in twice the resolution; return premultiplied colours and opacity (h,w,4)."""
    size = (2 * depth.shape[1], 2 * depth.shape[0])
    fine = [cv2.resize(part, size, interpolation=cv2.INTER_CUBIC) for part in (colors.astype(np.float32), flow)]
    fine_depth = cv2.resize(depth, size, interpolation=cv2.INTER_LINEAR)
    fine_alpha = cv2.resize(alpha, size, interpolation=cv2.INTER_LINEAR)
    rows, columns = np.mgrid[: size[1], : size[0]]
    x, y = columns + 2 * fine[1][..., 0], rows + 2 * fine[1][..., 1]
    x0, y0 = np.floor(x).astype(int), np.floor(y).astype(int)
    inside = (x0 >= 0) & (x0 < size[0] - 1) & (y0 >= 0) & (y0 < size[1] - 1) & (fine_alpha > 0)
    nearest = np.zeros(size[::-1], np.float32)
    for i, j in ((0, 0), (1, 0), (0, 1), (1, 1)):
        np.maximum.at(nearest, (y0[inside] + j, x0[inside] + i), fine_depth[inside])
    total, weights = np.zeros((*size[::-1], 4), np.float32), np.zeros(size[::-1], np.float32)
    values = np.concatenate([fine[0] * fine_alpha[..., None], fine_alpha[..., None]], -1)
    for i, j in ((0, 0), (1, 0), (0, 1), (1, 1)):
        row, column = y0[inside] + j, x0[inside] + i
        part = np.abs(1 - i - (x - x0)[inside]) * np.abs(1 - j - (y - y0)[inside])
        part = part * (fine_depth[inside] > nearest[row, column] - 0.02)
        np.add.at(total, (row, column), part[:, None] * values[inside])
        np.add.at(weights, (row, column), part)
    total /= np.maximum(weights, 1e-6)[..., None]
    return cv2.resize(total, depth.shape[::-1], interpolation=cv2.INTER_AREA)


def splat2(image: np.ndarray, depth: np.ndarray, mask: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Inpaint what the object hides, splat background and object, lay them over each other, inpaint the cracks."""
    alpha = mask.astype(np.float32) / 255
    hole = cv2.dilate((mask > 0).astype(np.uint8), np.ones((7, 7), np.uint8))
    behind = cv2.inpaint(image, hole, INPAINT_RADIUS_PX, cv2.INPAINT_TELEA)
    depth_behind = cv2.inpaint((255 * depth).astype(np.uint8), hole, INPAINT_RADIUS_PX, cv2.INPAINT_TELEA)
    flow_behind = np.stack(
        [
            cv2.inpaint((64 * (part + 512)).astype(np.uint16), hole, INPAINT_RADIUS_PX, cv2.INPAINT_TELEA) / 64 - 512
            for part in np.moveaxis(flow, -1, 0)
        ],
        -1,
    ).astype(np.float32)
    plate = splat_layer(behind, depth_behind.astype(np.float32) / 255, flow_behind, np.ones_like(alpha))
    front = splat_layer(image, depth, flow, alpha)
    frame = front[..., :3] + (1 - front[..., 3:]) * plate[..., :3]
    shown = np.clip(np.rint(frame), 0, 255).astype(np.uint8)
    is_crack = (np.maximum(front[..., 3], plate[..., 3]) < 0.5).astype(np.uint8)
    return cv2.inpaint(shown, is_crack, INPAINT_RADIUS_PX, cv2.INPAINT_TELEA)


def quality(image: np.ndarray, frame: np.ndarray, clip: Clip) -> dict[str, float]:
    """Warp a frame back by the exact flow and compare it with the photo; compare the sharpness of both."""
    field = clip.forward[0]
    height, width = image.shape[:2]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    warped = cv2.remap(frame, columns + field.flow[..., 0], rows + field.flow[..., 1], cv2.INTER_CUBIC)
    difference = np.abs(warped.astype(int) - image)[(field.fate == 0) & field.valid]
    gradient = [np.abs(np.diff(part.astype(float), axis=1))[clip.window].mean() for part in (frame, image)]
    return {
        "median_levels": float(np.median(difference)),
        "95th_levels": float(np.percentile(difference, 95)),
        "sharpness": gradient[0] / gradient[1],
    }


def whole_runs(rounds: int, copies: int = 12) -> dict[str, Any]:
    """Measure `pipeline run` with a second frame relative to the same run without."""
    found: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        tree = write_copies(Path(folder) / "DUTS", copies)
        for number in range(rounds + 1):  # the first warms up
            rates = {}
            for frames in (1, 2):
                output = Path(folder) / f"{frames}-{number}.zarr"
                settings = RunConfig(
                    input=str(tree), output=str(output), depth_model="tiny-dpt", frames=frames, workers=0
                )
                start = time.perf_counter()
                photos_made = run(settings).photos_made_now
                rates["photos" if frames == 1 else "pairs"] = photos_made / (time.perf_counter() - start)
                shutil.rmtree(output)
            found.append(rates)
    found = found[1:]
    return {
        "photos": copies * len(list((EXAMPLES / "DUTS-TR-Image").iterdir())),
        "photos_per_s": statistics.median(rates["photos"] for rates in found),
        "pairs_per_s": statistics.median(rates["pairs"] for rates in found),
        "pairs_over_photos": ratio_of([rates["pairs"] for rates in found], [rates["photos"] for rates in found]),
        "goal": "pairs_over_photos >= 0.6",
    }


def over_photos(ratios: list[Ratio]) -> Ratio:
    """Return the median over photos in each round, and over all rounds."""
    return summary([statistics.median(one) for one in zip(*(ratio["all"] for ratio in ratios), strict=True)])


def seconds(work: Callable[[], Any]) -> float:
    """Return the processor time of one call in this thread."""
    start = time.thread_time()
    work()
    return time.thread_time() - start


def main() -> None:
    """Measure every example photo under one motion of the preset `davis` and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--pictures", type=Path, help="folder for photo, frame and both rivals side by side")
    arguments = parser.parse_args()
    rounds = 3 if arguments.quick else 5
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    prior = MotionPrior.preset("davis")
    figures: list[dict[str, Any]] = []
    for name, image, grey, depth in photos():
        labels = (grey > 127).astype(np.uint8)
        photo = separate_layers(image, depth, labels, grey)
        clip = make_clip(image, photo, [sample_motion(prior, 0, name, 0)])
        flow, sharp_depth = clip.forward[0].flow, photo.inverse_depth

        def ours(image=image, depth=depth, labels=labels, grey=grey, clip=clip):
            return make_clip(image, separate_layers(image, depth, labels, grey), clip.motions).images[0]

        works = {
            "ours": ours,
            "splat": lambda image=image, depth=sharp_depth, flow=flow: splat(image, depth, flow),
            "splat2": lambda image=image, depth=sharp_depth, grey=grey, flow=flow: splat2(image, depth, grey, flow),
        }
        frames = {kind: work() for kind, work in works.items()}
        times = [{kind: seconds(work) for kind, work in works.items()} for _ in range(rounds)]
        figures.append(
            {
                "photo": name,
                "pixels": int(labels.size),
                "ms": {kind: 1e3 * statistics.median(found[kind] for found in times) for kind in works},
                "ratio": {
                    kind: ratio_of([found[kind] for found in times], [found["ours"] for found in times])
                    for kind in ("splat", "splat2")
                },
                "quality": {kind: quality(image, frame, clip) for kind, frame in frames.items()},
            }
        )
        if arguments.pictures:
            arguments.pictures.mkdir(parents=True, exist_ok=True)
            row = np.concatenate([image, *frames.values()], 1)
            cv2.imwrite(str(arguments.pictures / f"{name}.png"), cv2.cvtColor(row, cv2.COLOR_RGB2BGR))
    cv2.setNumThreads(threads)
    summary = {
        "load_average": os.getloadavg()[0],
        "median_ratio": {
            kind: over_photos([found["ratio"][kind] for found in figures]) for kind in ("splat", "splat2")
        },
        "photos": figures,
        "run": whole_runs(2 if arguments.quick else 5),
    }
    rounded = json.loads(json.dumps(summary), parse_float=lambda digits: float(f"{float(digits):.4g}"))
    publish("frames", rounded, arguments)


if __name__ == "__main__":
    main()
