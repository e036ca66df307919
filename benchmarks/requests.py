"""Count the requests to an object store per shard and per photo: `python -m benchmarks.requests`.

`pipeline run` makes a dataset of small photos in a bucket of moto's S3 server on loopback, in one process. Each
request of the client is counted by its operation, without those of the lock, which is renewed from time to time. As
on workers on other machines, no listing is remembered. Two runs with different numbers of shards tell what each shard
and each photo adds and what a run costs once. The last figures are those of the command repeated on the finished
dataset.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec

from benchmarks.pieces import write_tree
from benchmarks.record import write
from pipeline import RunConfig, run
from pipeline.dataset.sharded_store import LOCK

PHOTOS_PER_SHARD = 2


@contextmanager
def counted_bucket() -> Iterator[Counter[str]]:
    """Serve an empty bucket, point the environment at it, and count what is asked of it, by operation."""
    import s3fs
    from aiobotocore.client import AioBaseClient
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    fsspec.config.conf["s3"] = {"use_listings_cache": False}  # a worker on another machine has listed nothing
    host, port = server.get_host_and_port()
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    asked: Counter[str] = Counter()
    call = AioBaseClient._make_api_call

    async def counted_call(self: Any, operation: str, parameters: Any) -> Any:
        if LOCK not in parameters.get("Key", ""):
            asked[operation] += 1
        return await call(self, operation, parameters)

    AioBaseClient._make_api_call = counted_call
    try:
        s3fs.S3FileSystem().mkdir("bucket")
        yield asked
    finally:
        AioBaseClient._make_api_call = call
        server.stop()


def requests_of(asked: Counter[str], photos: int, name: str) -> Counter[str]:
    """Make a dataset of some photos and return the requests."""
    import s3fs

    asked.clear()
    settings = RunConfig(
        input="s3://bucket/DUTS-TR",
        output=f"s3://bucket/{name}.zarr",
        depth_model="tiny-dpt",
        max_side=64,
        samples_per_shard=PHOTOS_PER_SHARD,
        limit=photos,
        workers=0,
        device="cpu",
    )
    s3fs.S3FileSystem.clear_instance_cache()
    summary = run(settings)
    assert not summary.failures, summary.failures
    return Counter(asked)


def per_unit(more: Counter[str], fewer: Counter[str], units: int) -> dict[str, float]:
    """Return the requests that each unit adds, by operation, and all of them."""
    each = {name: round((more[name] - fewer[name]) / units, 3) for name in sorted(more | fewer)}
    return {name: count for name, count in each.items() if count} | {"all": round(sum(each.values()), 3)}


def main() -> None:
    """Count and write benchmarks/results/requests.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="print the figures without writing them")
    arguments = parser.parse_args()
    few, many = 1, 4  # shards
    with tempfile.TemporaryDirectory() as folder, counted_bucket() as asked:
        upload(Path(folder), many * PHOTOS_PER_SHARD)
        made = {shards: requests_of(asked, shards * PHOTOS_PER_SHARD, f"{shards}") for shards in (few, many)}
        # A shard with one photo less tells photo from shard.
        short = requests_of(asked, many * PHOTOS_PER_SHARD - 1, "short")
        again = {shards: requests_of(asked, shards * PHOTOS_PER_SHARD, f"{shards}") for shards in (few, many)}
    of_photo = per_unit(made[many], short, 1)
    shard_and_photos = per_unit(made[many], made[few], many - few)
    of_shard = Counter(shard_and_photos)
    of_shard.subtract({name: PHOTOS_PER_SHARD * count for name, count in of_photo.items()})
    figures = {
        "photos_per_shard": PHOTOS_PER_SHARD,
        "per_photo": of_photo,
        "per_shard": {name: round(count, 3) for name, count in of_shard.items() if round(count, 3)},
        "per_shard_of_a_finished_dataset": per_unit(again[many], again[few], many - few),
        "once": round(made[few].total() - few * shard_and_photos["all"]),
    }
    print(json.dumps(figures, indent=2))
    if not arguments.quick:
        print(write("requests", figures))


def upload(folder: Path, photos: int) -> None:
    """Draw photos with masks and put them into the bucket."""
    import s3fs

    write_tree(folder, photos, side=64)
    s3fs.S3FileSystem().put(f"{folder}/DUTS-TR", "bucket", recursive=True)


if __name__ == "__main__":
    main()
