"""Frames and masks of DAVIS, enlarged, so that flow is estimated on small copies as on the videos themselves.

    python -m benchmarks.enlarged_videos DAVIS-180p DAVIS-360p --width 640 --height 360

RAFT finds much less in frames of 320x180 px than in the same frames enlarged. Sequences that are as large already are
linked.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import cv2

KINDS = {"JPEGImages": cv2.INTER_CUBIC, "Annotations": cv2.INTER_NEAREST}


def enlarge(source: Path, target: Path, width: int, height: int) -> None:
    """Write a copy of a DAVIS folder whose frames have at least a size.

    Args:
        source: folder of DAVIS with `JPEGImages/480p`, `Annotations/480p` and `ImageSets`.
        target: folder to write.
        width: of the enlarged frames, in pixels.
        height: of the enlarged frames, in pixels.
    """
    shutil.copytree(source / "ImageSets", target / "ImageSets", dirs_exist_ok=True)
    for kind, interpolation in KINDS.items():
        for sequence in sorted((source / kind / "480p").iterdir()):
            written = target / kind / "480p" / sequence.name
            files = sorted(sequence.iterdir())
            if cv2.imread(str(files[0])).shape[1] >= width:
                written.parent.mkdir(parents=True, exist_ok=True)
                written.symlink_to(sequence.resolve())
                continue
            written.mkdir(parents=True, exist_ok=True)
            for file in files:
                small = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
                cv2.imwrite(str(written / file.name), cv2.resize(small, (width, height), interpolation=interpolation))


def main() -> None:
    """Write the copy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=360)
    arguments = parser.parse_args()
    if arguments.target.exists():
        parser.error(f"{arguments.target} exists; choose another folder, or remove it")
    enlarge(arguments.source, arguments.target, arguments.width, arguments.height)


if __name__ == "__main__":
    main()
