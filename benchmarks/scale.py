"""Compute what large datasets cost from what was measured: `python -m benchmarks.scale`.

Nothing is measured here. Inputs are files in benchmarks/results/: the depth network on a GPU (depth_gpu), the whole
path on two cores (pipeline), the size of a sample (storage), requests to the store (requests), the engine on Ray
(scaling) and in simulation (simulation), and the listing of photos (listing). `ASSUMED` holds what was never
measured.
"""

from __future__ import annotations

import json
import math
from typing import Any

from benchmarks.record import RESULTS, write
from flowsim import MotionSample
from pipeline.dataset import schema
from pipeline.dataset.schema import Layout
from pipeline.engine.placement import Share

PHOTOS = (15_572, 1_000_000, 100_000_000)
GPUS = (1, 8, 64)
LARGEST_FOLDER = 10_000
"""Entries of one folder that the Hugging Face Hub advises to stay below."""
SMALLEST_SHARD = 64
ASSUMED = {
    "cores_per_gpu": 16,
    "reads_per_second_of_one_folder": 5_500,
    "keys_per_listing_request": 1_000,
    "ms_per_listing_request": 100,
}
"""Cores of the machine of the measured GPU; the documented limit of S3 for a prefix; listing requests."""


def measured(name: str) -> dict[str, Any]:
    """Return the figures of a file of results."""
    figures: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return figures


def parts() -> dict[str, float]:
    """Return what one photo, one shard and one row cost."""
    made, depth = measured("pipeline"), measured("depth_gpu")["results"][0]
    cores = 2
    whole, network = made["whole_path"]["long"]["photos_per_second"], made["network_alone_photos_per_second"]["median"]
    requests, engine = measured("requests"), measured("scaling")["overhead_ms_per_shard"]["2 Ray workers"]["median"]
    last = measured("listing")["results"][-1]
    simulated = measured("simulation")
    calm = simulated["courses"][0]
    layout = Layout(SMALLEST_SHARD, 1, 400, MotionSample.names, SMALLEST_SHARD)
    unpacked = sum(array.nbytes for array in schema.empty_shard(layout, SMALLEST_SHARD).values()) / SMALLEST_SHARD
    return {
        "photos_per_second_of_the_network": depth["photos_per_second"],
        "core_ms_per_photo": 1000 * cores * (1 / whole - 1 / network),
        "mb_per_photo": measured("storage")["mb_per_photo"],
        "unpacked_mb_per_photo": unpacked / 1e6,
        "requests_per_photo": requests["per_photo"]["all"],
        "requests_per_shard": requests["per_shard"]["all"],
        "objects_per_shard": requests["per_shard"]["PutObject"],
        "driver_ms_per_shard": engine,
        "driver_ms_per_shard_in_simulation": calm["driver_ms_per_shard"],
        "driver_kb_per_photo_at_most": 1000 * last["highest_mb"] / last["photos"],
        "driver_kb_per_photo_of_the_plan": 1000
        * (simulated["plan_mb"] + calm["running_adds_mb"])
        / simulated["photos"],
        "listing_us_per_photo": 1e6 * last["processor_seconds"] / last["photos"],
    }


def samples_per_shard(photos: int) -> int:
    """Return the smallest power of two, at least the default, with which no folder gets too many entries."""
    return max(SMALLEST_SHARD, 2 ** math.ceil(math.log2(photos / LARGEST_FOLDER)))


def size(photos: int, part: dict[str, float]) -> dict[str, float]:
    """Return what a dataset of some photos needs, whatever makes it."""
    in_shard = samples_per_shard(photos)
    shards = math.ceil(photos / in_shard)
    in_flight = Share("cuda", ASSUMED["cores_per_gpu"], 1).tasks_in_flight
    requests = photos * part["requests_per_photo"] + shards * part["requests_per_shard"]
    return {
        "photos": photos,
        "samples_per_shard": in_shard,
        "shards": shards,
        "objects": round(shards * part["objects_per_shard"]),
        "terabytes": photos * part["mb_per_photo"] / 1e6,
        "requests_millions": requests / 1e6,
        "driver_gb": photos * part["driver_kb_per_photo_at_most"] / 1e6,
        "worker_gb": in_flight * in_shard * part["unpacked_mb_per_photo"] / 1e3,
        "listing_minutes": 2 * photos / ASSUMED["keys_per_listing_request"] * ASSUMED["ms_per_listing_request"] / 6e4,
    }


def course(photos: int, gpus: int, part: dict[str, float]) -> dict[str, float]:
    """Return how long some GPUs take for a dataset, and what they ask of the store and the driver meanwhile."""
    by_cores = 1000 * ASSUMED["cores_per_gpu"] / part["core_ms_per_photo"]
    by_driver = 1000 / part["driver_ms_per_shard"] * samples_per_shard(photos)
    rate = min(gpus * min(part["photos_per_second_of_the_network"], by_cores), by_driver)
    one_folder = min(rate, ASSUMED["reads_per_second_of_one_folder"] / (part["requests_per_photo"] / 2))
    return {
        "photos": photos,
        "gpus": gpus,
        "photos_per_second": rate,
        "minutes": photos / rate / 60,
        "minutes_from_one_folder": photos / one_folder / 60,
        "gigabytes_per_second_written": rate * part["mb_per_photo"] / 1000,
        "driver_busy_percent": 100 * rate / by_driver,
    }


def rounded(figures: dict[str, float]) -> dict[str, float]:
    """Return figures with four digits that count."""
    return {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in figures.items()}


def main() -> None:
    """Compute and write benchmarks/results/scale.json."""
    part = parts()
    figures = {
        "measured": rounded(part),
        "assumed": ASSUMED,
        "largest_folder": LARGEST_FOLDER,
        "sizes": [rounded(size(photos, part)) for photos in PHOTOS],
        "courses": [rounded(course(photos, gpus, part)) for photos in PHOTOS for gpus in GPUS],
    }
    print(json.dumps(figures, indent=2))
    print(write("scale", figures))


if __name__ == "__main__":
    main()
