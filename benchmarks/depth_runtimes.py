"""tiny-dpt on the CPU by torch, ONNX Runtime and OpenVINO, alone and in the whole path of `pipeline run --workers 0`.

    python -m benchmarks.depth_runtimes --input DUTS

The runtimes are no dependencies: install `onnx`, `onnxruntime` and `openvino` first. Each of them runs the network that
torch runs, exported to ONNX, in float32 and in int8, which ONNX Runtime calibrates on photos of the input (one scale
for each channel of weights). Every photo is computed on one core, as `pipeline run` does, so that the bytes of a
dataset cannot depend on the number of workers. All contestants alternate. Processor time is compared, because it
suffers less from other work on the machine than the clock. The whole path is run with few and with many photos: the
difference gives the time of a photo, and the rest is that of the start.

The error is the mean absolute difference of the normalised map, in [0, 1], to that of torch in float32.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks.record import ROOT, write
from depth import DepthEstimator
from depth.preprocess import network_shape, prepare_on_host
from pipeline.photos.decoding import decode_pair
from pipeline.photos.listing import build_listing

CONTESTANTS = ("torch", "onnxruntime", "onnxruntime int8", "openvino", "openvino int8")
FEW_PHOTOS = 32
IN_FLOAT32 = ("torch", "onnxruntime", "openvino")
CALIBRATION = 24
Infer = Callable[[np.ndarray], np.ndarray]


def export(folder: Path, calibration: list[np.ndarray]) -> None:
    """Write `float32.onnx` and `int8.onnx` of tiny-dpt, for photos of any shape."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    network = DepthEstimator.load("tiny-dpt")._network
    axes = {"photo": {2: "h", 3: "w"}, "depth": {1: "h2", 2: "w2"}}
    example = torch.from_numpy(calibration[0]).contiguous(memory_format=torch.contiguous_format)
    plain = str(folder / "float32.onnx")
    torch.onnx.export(
        network, (example,), plain, input_names=["photo"], output_names=["depth"], dynamic_axes=axes, dynamo=False,
        opset_version=17,
    )  # fmt: skip

    class Reader(CalibrationDataReader):
        """Gives the photos to calibrate with."""

        def __init__(self) -> None:
            self.left = iter(calibration)

        def get_next(self) -> dict[str, np.ndarray] | None:
            one = next(self.left, None)
            return None if one is None else {"photo": one}

    quantize_static(
        plain, str(folder / "int8.onnx"), Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
    )  # fmt: skip


def load(name: str, folder: Path) -> Infer:
    """Return a function from a prepared photo (1, 3, h, w) to the network's output, which runs on the calling core."""
    if name == "torch":
        estimator = DepthEstimator.load("tiny-dpt")

        def by_torch(photo: np.ndarray) -> np.ndarray:
            with torch.inference_mode():
                return estimator._network(torch.from_numpy(photo).contiguous(memory_format=torch.channels_last)).numpy()

        return by_torch
    file = str(folder / ("int8.onnx" if name.endswith("int8") else "float32.onnx"))
    if name.startswith("onnxruntime"):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        return lambda photo: session.run(None, {"photo": np.ascontiguousarray(photo)})[0]
    import openvino

    core, local = openvino.Core(), threading.local()
    settings = {
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
        "INFERENCE_PRECISION_HINT": "f32",
    }

    def by_openvino(photo: np.ndarray) -> np.ndarray:
        if not hasattr(local, "request"):  # each thread has its own, as requests take turns
            local.request = core.compile_model(file, "CPU", settings).create_infer_request()
        return local.request.infer({"photo": np.ascontiguousarray(photo)})[0].copy()

    return by_openvino


def process_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def alone(folder: Path, prepared: list[np.ndarray], rounds: int) -> dict[str, dict[str, Any]]:
    """Measure the networks alone on one thread."""
    torch.set_num_threads(1)
    infer = {name: load(name, folder) for name in CONTESTANTS}
    expected = [normalised(infer["torch"](photo)) for photo in prepared]
    errors = {
        name: float(
            np.mean(
                [np.abs(normalised(run(photo)) - one).mean() for photo, one in zip(prepared, expected, strict=True)]
            )
        )
        for name, run in infer.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in infer}
    for _ in range(rounds):
        for name, run in infer.items():
            began = process_seconds()
            for photo in prepared:
                run(photo)
            seconds[name].append((process_seconds() - began) / len(prepared))
    return {
        name: {
            "processor_ms_per_photo": round(1000 * median(some), 2),
            "torch_over_this": round(median(a / b for a, b in zip(seconds["torch"], some, strict=True)), 3),
            "mean_absolute_error": float(f"{errors[name]:.2g}"),
        }
        for name, some in seconds.items()
    }


def normalised(output: np.ndarray) -> np.ndarray:
    return (output - output.min()) / (output.max() - output.min())


def run_pipeline(name: str, photos: int, folder: Path, given: argparse.Namespace) -> tuple[float, str]:
    """Make a dataset in a new process; return its processor seconds, and a hash of its depth."""
    output = folder / "out.zarr"
    shutil.rmtree(output, ignore_errors=True)
    command = [sys.executable, "-m", "benchmarks.depth_runtimes", "--as-pipeline", name, "--networks", str(folder)]
    command += ["--input", given.input, "--photos", str(photos), "--output", str(output)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    record = json.loads((output / ".fakeflow/commits/000000.json").read_text())
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, record["objects"]["inverse_depth/c/0/0/0"]


def whole_path(folder: Path, given: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Measure `pipeline run --workers 0` with each runtime in float32."""
    few, many = FEW_PHOTOS, given.photos
    per_photo: dict[str, list[float]] = {}
    start: dict[str, list[float]] = {}
    hashes: dict[str, set[str]] = {}
    for _ in range(given.rounds):
        for name in IN_FLOAT32:
            (small, _), (large, depth) = (run_pipeline(name, photos, folder, given) for photos in (few, many))
            per_photo.setdefault(name, []).append((large - small) / (many - few))
            start.setdefault(name, []).append(small - few * per_photo[name][-1])
            hashes.setdefault(name, set()).add(depth)
            print(name, per_photo[name][-1], start[name][-1], flush=True)
    return {
        name: {
            "processor_ms_per_photo": round(1000 * median(some), 1),
            "torch_over_this": round(median(per_photo["torch"]) / median(some), 3),
            "processor_seconds_of_the_start": round(median(start[name]), 2),
            "same_bytes_each_time": len(hashes[name]) == 1,
        }
        for name, some in per_photo.items()
    }


def as_pipeline(name: str, arguments: argparse.Namespace) -> None:
    """Run `pipeline run` with another runtime in place of torch's forward pass."""
    from pipeline import RunConfig, run

    if name != "torch":
        infer = load(name, arguments.networks)
        DepthEstimator._infer = lambda self, pixels: torch.from_numpy(infer(pixels.numpy()))  # type: ignore[method-assign]
    run(
        RunConfig(
            input=arguments.input, limit=arguments.photos, output=arguments.output, depth_model="tiny-dpt", workers=0
        )
    )


def main() -> None:
    """Measure and write benchmarks/results/depth_runtimes.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", required=True, help="photos, as for pipeline run")
    parser.add_argument("--photos", type=int, default=224, help="photos of the longer run (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="print the figures without writing them")
    parser.add_argument("--as-pipeline", choices=CONTESTANTS, help=argparse.SUPPRESS)
    parser.add_argument("--networks", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--output", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.as_pipeline:
        as_pipeline(given.as_pipeline, given)
        return
    given.input = str(Path(given.input).resolve())
    rows = build_listing(given.input).rows
    rule = DepthEstimator.load("tiny-dpt")._input

    def prepare(chosen: Any) -> list[np.ndarray]:
        photos = [decode_pair(Path(row.image).read_bytes(), None, 400)[0] for row in chosen]
        return [prepare_on_host(photo, network_shape(photo, rule), rule).contiguous().numpy() for photo in photos]

    step = max(1, len(rows) // (2 * CALIBRATION))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export(folder, prepare(rows[::step][:CALIBRATION]))
        networks = alone(folder, prepare(rows[1::step][:CALIBRATION]), given.rounds)
        print(json.dumps(networks, indent=1))
        whole = whole_path(folder, given)
    figures = {
        "load_average": os.getloadavg()[0],
        "runtimes": {
            "onnxruntime": __import__("onnxruntime").__version__,
            "openvino": __import__("openvino").__version__,
        },
        "photos": [FEW_PHOTOS, given.photos],
        "network_alone_on_one_thread": networks,
        "pipeline_run": whole,
    }
    print(json.dumps(figures, indent=1))
    if not given.quick:
        print(write("depth_runtimes", figures))


if __name__ == "__main__":
    main()
