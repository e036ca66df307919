"""Measure the memory and the processor time of listing photos in a bucket: `python -m benchmarks.listing`.

The bucket is made up: a file system that knows only names, and keeps what s3fs keeps of each object. Each number of
photos is listed in a process of its own. Requests take no time here.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import Any, ClassVar

import fsspec

from benchmarks.record import ROOT, write
from benchmarks.scaling import resident_mb
from pipeline.photos.listing import build_listing

PHOTOS = (100_000, 1_000_000)


class Names(fsspec.AbstractFileSystem):  # type: ignore[misc]
    """A bucket with the folders Image and Mask; its listing stays in memory, as with s3fs."""

    protocol = "names"
    photos: ClassVar[int] = 0

    def ls(self, path: str, detail: bool = True, **options: Any) -> Any:
        """List one of the folders."""
        path = self._strip_protocol(path)
        if path not in self.dircache:
            extension = "jpg" if path.endswith("Image") else "png"
            keys = (f"{path}/ILSVRC2012_test_{number:08d}.{extension}" for number in range(self.photos))
            self.dircache[path] = [
                {
                    "Key": key,
                    "LastModified": datetime(2026, 1, 1, tzinfo=UTC),
                    "ETag": f'"{number:032x}"',
                    "Size": 25_000 + number,
                    "StorageClass": "STANDARD",
                    "type": "file",
                    "size": 25_000 + number,
                    "name": key,
                }
                for number, key in enumerate(keys)
            ]
        return self.dircache[path] if detail else [entry["name"] for entry in self.dircache[path]]


def listed(photos: int) -> dict[str, float]:
    """List photos; return the memory at the highest point and what stays, and the processor time."""
    Names.photos = photos
    fsspec.register_implementation("names", Names)
    before, started = resident_mb(), time.process_time()
    listing = build_listing(images="names://bucket/Image", masks="names://bucket/Mask")
    seconds = time.process_time() - started
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    assert len(listing) == photos
    return {
        "photos": photos,
        "highest_mb": round(highest - before, 1),
        "stays_mb": round(resident_mb() - before, 1),
        "processor_seconds": round(seconds, 2),
    }


def main() -> None:
    """Measure and write benchmarks/results/listing.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="print the figures without writing them")
    parser.add_argument("--photos", type=int, help="list only this number of photos")
    given = parser.parse_args()
    if given.photos:
        print(json.dumps(listed(given.photos)))
        return
    results = []
    for photos in PHOTOS:
        command = [sys.executable, "-m", "benchmarks.listing", "--photos", str(photos)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        results.append(json.loads(done.stdout))
    print(json.dumps(results, indent=2))
    if not given.quick:
        print(write("listing", {"results": results}))


if __name__ == "__main__":
    main()
