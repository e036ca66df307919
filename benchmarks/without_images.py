"""Measure recipes and datasets without images: their size, and what reading costs; writes without_images.json.

    python -m benchmarks.without_images [--photos DUTS] [--dataset dutsv2.zarr] [--limit 32] [--quick]

Photos and pairs of the preset `davis` are made of the photos (`tiny-dpt`) and published without images. Then samples of
both are read in turn, in one thread: photos by the reader of a training (image, flow and mask), pairs by `PairDataset`.
Times are processor times, so that other programs on the machine disturb them little.
`--dataset` is a dataset of photos whose size is stated with and without images, and with its recipe alone.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.record import ROOT, environment, write
from pipeline import PairDataset, RunConfig, run
from pipeline.command.progress import Silent
from pipeline.dataset.commits import commit_key
from pipeline.dataset.store import DatasetStore
from pipeline.recipe.writing import recipe_of
from pipeline.sharing import without_images
from pipeline.sharing.publish import publish
from segmentation.data.photo_samples import ShardDataset

ROUNDS = 5


def make(photos: str, folder: Path, frames: int, limit: int) -> tuple[str, str]:
    """Make a dataset and publish it without images; return both places."""
    whole, slim = (str(folder / f"{name}{frames}") for name in ("whole", "slim"))
    run(RunConfig(input=photos, output=whole, depth_model="tiny-dpt", frames=frames, limit=limit, workers=0))
    publish(whole, slim, Silent(), with_images=False)
    return whole, slim


def ms_per_sample(read: Callable[[int], object], rows: list[int]) -> float:
    """Return the mean processor time of reading samples, in ms."""
    began = time.process_time()
    for row in rows:
        read(row)
    return 1000 * (time.process_time() - began) / len(rows)


def compare(whole: Callable[[int], object], slim: Callable[[int], object], rows: list[int]) -> dict[str, float]:
    """Read the same samples from both in turn; return medians over the rounds in ms, and the median ratio."""
    for read in (whole, slim):
        read(rows[0])  # opens files and compiles
    rounds = [(ms_per_sample(whole, rows), ms_per_sample(slim, rows)) for _ in range(ROUNDS)]
    return {
        "with_images_ms": round(statistics.median(one for one, _ in rounds), 2),
        "without_images_ms": round(statistics.median(other for _, other in rounds), 2),
        "ratio": round(statistics.median(other / one for one, other in rounds), 2),
    }


def reading(photos: str, limit: int) -> dict[str, Any]:
    """Return what reading costs in training and of pairs."""
    with tempfile.TemporaryDirectory() as folder:
        whole, slim = make(photos, Path(folder), 1, limit)
        stored, again = ShardDataset(whole), ShardDataset(slim, photos=photos)
        rows = np.random.default_rng(0).permutation(stored.order(0)).tolist()
        training = compare(lambda row: stored.read([row], 0), lambda row: again.read([row], 0), rows)
        whole, slim = make(photos, Path(folder), 2, limit)
        pairs, pairs_again = PairDataset(whole), PairDataset(slim, photos=photos)
        numbers = list(range(0, len(pairs), max(1, len(pairs) // 24)))
        of_pairs = compare(pairs.__getitem__, pairs_again.__getitem__, numbers)
    return {"training": {"samples": len(rows), **training}, "pairs": {"samples": len(numbers), **of_pairs}}


def sizes(url: str) -> dict[str, Any]:
    """Return the size of a dataset with images, without them, and of its recipe, in bytes."""
    store = DatasetStore.open(url)
    metadata = store.metadata_with(store.layout_without_images)
    files = {key: size for key, size in store.storage.sizes().items() if "/c/" in key or "/commits/" in key}
    kept = {key: size for key, size in files.items() if without_images.is_kept(key, metadata)}
    for shard in range(store.layout.shard_count):
        kept[commit_key(shard)] = len(without_images.record_without_images(store, shard, metadata))
    whole, slim = sum(files.values()), sum(kept.values()) + sum(map(len, metadata.values()))
    recipe, photos = len(recipe_of(store, Silent()).to_json()), store.layout.samples
    return {
        "photos": photos,
        "side": store.layout.side,
        "with_images_bytes": whole,
        "without_images_bytes": slim,
        "recipe_bytes": recipe,
        "with_images_gb": round(whole / 1e9, 2),
        "without_images_gb": round(slim / 1e9, 2),
        "recipe_mb": round(recipe / 1e6, 2),
        "without_over_with": round(slim / whole, 3),
        "recipe_bytes_per_photo": round(recipe / photos, 1),
    }


def main() -> None:
    """Measure and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", default=str(ROOT / "examples/DUTS"), help="photos with masks [examples/DUTS]")
    parser.add_argument("--dataset", help="dataset of photos whose sizes are stated")
    parser.add_argument("--limit", type=int, default=32, help="photos whose reading is measured [32]")
    parser.add_argument("--quick", action="store_true", help="print the figures without writing them")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    figures = {"reading": reading(arguments.photos, arguments.limit)}
    if arguments.dataset:
        figures["sizes"] = sizes(arguments.dataset)
    print(json.dumps({"environment": environment(), **figures}, indent=2))
    if not arguments.quick:
        write("without_images", figures)


if __name__ == "__main__":
    main()
