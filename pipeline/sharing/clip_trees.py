"""Trees of pairs and clips in the layouts of FlyingChairs, Sintel, KITTI and DAVIS-2017.

Files are numbered, since readers sort them by name and ids may hold what their search patterns do not allow;
`samples.csv` says which photo and motion each number shows. All frames are cut to the window of their clip. Every
sample belongs to the training split.
"""

from __future__ import annotations

import csv
import io
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from flowsim import write_flo, write_kitti_flow
from pipeline.dataset.store import DatasetStore
from pipeline.dataset.stored_clips import ClipReader, StoredClip
from pipeline.files.ids import shown
from pipeline.files.pictures import JPEG_QUALITY, mask_png, photo_jpeg
from pipeline.files.whole_files import save_whole
from pipeline.sharing.export_tree import TreeOfSamples

File = tuple[str, Callable[[Path], object]]
"""Path of a file in a tree, and the function that writes it to a path that it is given."""
SAMPLES = "samples.csv"
HIGHEST = np.uint8(255)


class ClipTree(TreeOfSamples):
    """A tree of the clips of a dataset, or of the pairs that they consist of.

    Args:
        store: a complete dataset with frames.
        root: folder of the tree.

    Raises:
        PipelineError: the dataset holds single photos.
    """

    layout: str

    def __init__(self, store: DatasetStore, root: Path) -> None:
        self._reader = ClipReader(store)
        super().__init__(store, root)
        self.motions, self.steps = store.layout.motions, store.layout.frames - 1
        self._places = {row: place for place, row in enumerate(store.usable_rows().tolist())}
        self.clips = len(self._places) * self.motions

    @abstractmethod
    def clip_files(self, number: int, clip: Callable[[], StoredClip]) -> Iterator[File]:
        """Yield the files of one clip.

        Args:
            number: number of the clip in the tree, from 0 on.
            clip: returns the clip; called only when a file is written.
        """

    @abstractmethod
    def name(self, number: int, step: int) -> str:
        """Return the name in `samples.csv` of one step of a clip."""

    def description(self) -> dict[str, Any]:
        """Return the values on which the files depend."""
        return {"fingerprint": self.store.attributes["fingerprint"], "layout": self.layout, "clips": self.clips}

    def files(self, row: int) -> list[Path]:
        """Return the files of all motions of a row."""
        return [self.root / path for path, _ in self._row_files(row)]

    def writers(self, rows: Sequence[int]) -> Iterator[tuple[int, Callable[[], None]]]:
        """Yield each row with a function that reads it and writes its files."""
        for row in rows:
            yield row, partial(self._write, row)

    def lists(self) -> Mapping[str, str]:
        """Return the table that says which photo and motion each number shows."""
        table = io.StringIO()
        lines = csv.writer(table, lineterminator="\n")
        lines.writerow(["name", "id", "motion", "step"])
        for row, place in self._places.items():
            for motion in range(self.motions):
                for step in range(self.steps):
                    number = place * self.motions + motion
                    lines.writerow([self.name(number, step), shown(self.ids[row]), motion, step])
        return {SAMPLES: table.getvalue()}

    def _row_files(self, row: int) -> Iterator[File]:
        @cache
        def clips() -> list[StoredClip]:
            return self._reader.read_row(row, tuple(range(self.motions)))

        def clip(motion: int) -> StoredClip:
            return clips()[motion]

        for motion in range(self.motions):
            yield from self.clip_files(self._places[row] * self.motions + motion, partial(clip, motion))

    def _write(self, row: int) -> None:
        for path, save in self._row_files(row):
            (self.root / path).parent.mkdir(exist_ok=True)
            save_whole(self.root / path, save)


class FlyingChairsTree(ClipTree):
    """`FlyingChairs/data/00001_img1.ppm`, `_img2.ppm` and `_flow.flo`, one number for each pair."""

    layout = "flyingchairs"
    folders = ("FlyingChairs/data",)

    def clip_files(self, number: int, clip: Callable[[], StoredClip]) -> Iterator[File]:
        """Yield the files of each pair of a clip."""
        for step in range(self.steps):
            stem = f"FlyingChairs/data/{self.name(number, step)}"
            yield f"{stem}_img1.ppm", partial(_write_frame, ".ppm", clip, step)
            yield f"{stem}_img2.ppm", partial(_write_frame, ".ppm", clip, step + 1)
            yield f"{stem}_flow.flo", partial(_write_flo, clip, step)

    def name(self, number: int, step: int) -> str:
        """Return the number of a pair."""
        return _padded(number * self.steps + step + 1, 5, self.clips * self.steps)

    def lists(self) -> Mapping[str, str]:
        """Return the table of samples and the list of splits, in which 1 means training."""
        lines = max(self.clips * self.steps, 2)  # readers take a list of one line for a single number
        return {**super().lists(), "FlyingChairs/FlyingChairs_train_val.txt": "1\n" * lines}


class SintelTree(ClipTree):
    """`Sintel/training/clean/scene_00001/frame_0001.png` and the same in `flow`, `occlusions` and `invalid`.

    In `occlusions` 255 is a pixel that is not seen in the next frame, and in `invalid` one whose flow is unknown.
    """

    layout = "sintel"
    folders = tuple(f"Sintel/training/{part}" for part in ("clean", "flow", "occlusions", "invalid"))

    def clip_files(self, number: int, clip: Callable[[], StoredClip]) -> Iterator[File]:
        """Yield the files of one clip, which is a scene."""
        clean, flow, occlusions, invalid = (f"{folder}/{self._scene(number)}" for folder in self.folders)
        for step in range(self.steps + 1):
            frame = f"frame_{step + 1:04d}"
            yield f"{clean}/{frame}.png", partial(_write_frame, ".png", clip, step)
            if step < self.steps:
                yield f"{flow}/{frame}.flo", partial(_write_flo, clip, step)
                yield f"{occlusions}/{frame}.png", partial(_write_hidden, clip, step)
                yield f"{invalid}/{frame}.png", partial(_write_unknown, clip, step)

    def name(self, number: int, step: int) -> str:
        """Return the scene and the first frame of a step."""
        return f"{self._scene(number)}/frame_{step + 1:04d}"

    def _scene(self, number: int) -> str:
        return f"scene_{_padded(number + 1, 5, self.clips)}"


class KittiTree(ClipTree):
    """`KittiFlow/training/image_2/000000_10.png`, `000000_11.png`, `flow_occ/000000_10.png` and the same in `flow_noc`.

    All pixels with known flow are valid in `flow_occ`; in `flow_noc` only those that are seen in the second image.
    """

    layout = "kitti"
    folders = tuple(f"KittiFlow/training/{part}" for part in ("image_2", "flow_occ", "flow_noc"))

    def clip_files(self, number: int, clip: Callable[[], StoredClip]) -> Iterator[File]:
        """Yield the files of each pair of a clip."""
        for step in range(self.steps):
            images, all_pixels, seen = (f"{folder}/{self.name(number, step)}" for folder in self.folders)
            yield f"{images}_10.png", partial(_write_frame, ".png", clip, step)
            yield f"{images}_11.png", partial(_write_frame, ".png", clip, step + 1)
            yield f"{all_pixels}_10.png", partial(_write_kitti, clip, step, False)
            yield f"{seen}_10.png", partial(_write_kitti, clip, step, True)

    def name(self, number: int, step: int) -> str:
        """Return the number of a pair."""
        return _padded(number * self.steps + step, 6, self.clips * self.steps)


class DavisTree(ClipTree):
    """`JPEGImages/480p/00001/00000.jpg`, `Annotations/480p/00001/00000.png` and `ImageSets/2017/train.txt`.

    Annotations have the palette of DAVIS and hold object numbers; 255 = void: nothing of the photo is seen there.
    """

    layout = "davis17"
    folders = ("JPEGImages/480p", "Annotations/480p", "ImageSets/2017")

    def clip_files(self, number: int, clip: Callable[[], StoredClip]) -> Iterator[File]:
        """Yield the files of one clip, which is a sequence."""
        for frame in range(self.steps + 1):
            place = f"{self._sequence(number)}/{frame:05d}"
            yield f"JPEGImages/480p/{place}.jpg", partial(_write_jpeg, clip, frame)
            yield f"Annotations/480p/{place}.png", partial(_write_labels, clip, frame)

    def name(self, number: int, step: int) -> str:
        """Return the sequence and the first frame of a step."""
        return f"{self._sequence(number)}/{step:05d}"

    def description(self) -> dict[str, Any]:
        """Return the values on which the files depend."""
        return {**super().description(), "jpeg_quality": JPEG_QUALITY}

    def lists(self) -> Mapping[str, str]:
        """Return the table of samples and the sequences of each split."""
        sequences = "".join(f"{self._sequence(number)}\n" for number in range(self.clips))
        return {**super().lists(), "ImageSets/2017/train.txt": sequences, "ImageSets/2017/val.txt": ""}

    def _sequence(self, number: int) -> str:
        return _padded(number + 1, 5, self.clips)


CLIP_TREES: Mapping[str, type[ClipTree]] = {
    tree.layout: tree for tree in (FlyingChairsTree, SintelTree, KittiTree, DavisTree)
}
"""The layouts that need a dataset with frames, by the name that the command takes."""


def _padded(number: int, digits: int, highest: int) -> str:
    """Return a number with leading zeros, so that the order of names is that of numbers."""
    return f"{number:0{max(digits, len(str(highest)))}d}"


def _write_frame(ending: str, clip: Callable[[], StoredClip], frame: int, path: Path) -> None:
    path.write_bytes(cv2.imencode(ending, clip().images[frame][..., ::-1])[1].tobytes())


def _write_jpeg(clip: Callable[[], StoredClip], frame: int, path: Path) -> None:
    path.write_bytes(photo_jpeg(clip().images[frame]))


def _write_flo(clip: Callable[[], StoredClip], step: int, path: Path) -> None:
    write_flo(path, clip().flow_px[step])


def _write_kitti(clip: Callable[[], StoredClip], step: int, only_visible: bool, path: Path) -> None:
    write_kitti_flow(path, clip().flow_px[step], clip().is_visible[step] if only_visible else None)


def _write_hidden(clip: Callable[[], StoredClip], step: int, path: Path) -> None:
    path.write_bytes(mask_png(np.where(clip().is_visible[step], np.uint8(0), HIGHEST)))


def _write_unknown(clip: Callable[[], StoredClip], step: int, path: Path) -> None:
    path.write_bytes(mask_png(np.where(clip().has_flow[step], np.uint8(0), HIGHEST)))


def _write_labels(clip: Callable[[], StoredClip], frame: int, path: Path) -> None:
    picture = Image.fromarray(clip().labels[frame])
    picture.putpalette(_davis_palette())
    picture.save(path, format="PNG")


@cache
def _davis_palette() -> bytes:
    """Return the colours of PASCAL VOC and DAVIS: bit j of each channel comes from bit 3 j + channel of the number."""
    number = np.arange(256)[:, None]
    channel = np.arange(3)
    colors = sum(((number >> (3 * bit + channel)) & 1) << (7 - bit) for bit in range(8))
    return np.asarray(colors, np.uint8).tobytes()
