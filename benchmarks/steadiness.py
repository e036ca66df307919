"""Measure how steadily cameras and objects of real videos move; writes benchmarks/results/steadiness.json.

    python -m benchmarks.steadiness --videos davis16=DAVIS:davis-flows.zarr

The flow is that of consecutive frames (`segmentation flows`), and the training split is used. The medians are the
constants of `flowsim.paths`, which lead a clip from the drawn motion of its first step to its later frames.
"""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks.record import write
from segmentation.data.source_names import VideoSource
from segmentation.training.motion_fit import fields_of_videos
from segmentation.training.velocity_fit import fit_steadiness


def measure(source: VideoSource) -> dict[str, Any]:
    """Return the steadiness of every video and the medians."""
    found = fit_steadiness(fields_of_videos(source))
    plain = {
        name: {part: {key: round(value, 4) for key, value in one._asdict().items()} for part, one in parts.items()}
        for name, parts in found.items()
    }
    return {
        "dataset": f"{source.dataset} train",
        "videos": len(plain) - 1,
        "median": plain.pop("median"),
        "of_each_video": plain,
    }


def main() -> None:
    """Measure, print the medians, and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", required=True, help="as `segmentation fit-motion` takes them: NAME=ROOT:FLOWS")
    figures = measure(VideoSource.parse(parser.parse_args().videos))
    print(figures["videos"], "videos, medians", figures["median"])
    print(write("steadiness", figures))


if __name__ == "__main__":
    main()
