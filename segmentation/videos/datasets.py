"""The videos of a dataset, as found in a folder; frames and masks are paired by name or number, never by position.

No image is opened until a mask is read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from shlex import quote

import numpy as np
from jaxtyping import Bool

from segmentation.errors import DatasetError, MaskError
from segmentation.videos import mask_files as masks
from segmentation.videos.sequence_names import other_dataset
from segmentation.videos.table import DATASETS, DatasetRow, check_split
from segmentation.videos.trees import Frame, Tree, VideoFolders, find_videos, list_frames, listed_videos, some


@dataclass(frozen=True)
class Sequences:
    """A choice of sequences by names, or patterns such as `car-*`.

    Attributes:
        patterns: names and patterns; empty = all sequences.
    """

    patterns: tuple[str, ...] = ()

    @staticmethod
    def parse(given: Sequence[str] | None) -> Sequences:
        """Parse lists of names with commas between them; the option may be given several times."""
        names = (name.strip() for text in given or () for name in text.split(","))
        return Sequences(tuple(name for name in names if name))

    def __contains__(self, name: str) -> bool:
        """Return whether a sequence is selected."""
        return not self.patterns or any(_matches(name, pattern) for pattern in self.patterns)

    def check(self, names: Collection[str], where: str) -> None:
        """Raise if a pattern selects no sequence.

        Args:
            names: names of all sequences.
            where: place of the sequences, for the message.

        Raises:
            DatasetError: a pattern selects no sequence.
        """
        for pattern in self.patterns:
            if not any(_matches(name, pattern) for name in names):
                raise DatasetError(
                    f"--sequences {pattern} chooses nothing in {where}; expected names or patterns of its sequences: "
                    f"{some(sorted(names))}"
                )


ALL = Sequences()


def _matches(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)


@dataclass(frozen=True)
class Video:
    """A video of a dataset.

    Attributes:
        name: name, unique in the dataset; it contains `/` if its tree has nested folders.
        group: class of the video in YouTube-Objects, else None.
        frames: frames of which an image or a mask exists, in the order of time.
    """

    name: str
    group: str | None
    frames: tuple[Frame, ...]

    @property
    def annotated(self) -> tuple[Frame, ...]:
        """Frames of the video that have a mask."""
        return tuple(frame for frame in self.frames if frame.masks)


@dataclass(frozen=True)
class OpenedDataset:
    """The videos of one split, as found in a folder.

    Attributes:
        row: row of the table that describes the dataset.
        root: folder of the dataset.
        split: name of the split; None if the dataset has none.
        videos: videos of the split.
        problems: a sentence on each video that has a problem, by name of the video, which may still be in `videos`.
        flow_pictures: possible folders of the flow pictures of a video, below the root of a tree of the published
            code; the first one belongs to the tree that was found.
        left_out: names of videos that are in the split but not chosen.
    """

    row: DatasetRow
    root: Path
    split: str | None
    videos: tuple[Video, ...]
    problems: Mapping[str, str]
    flow_pictures: tuple[str, ...]
    left_out: frozenset[str] = frozenset()

    @property
    def names(self) -> frozenset[str]:
        """Names of all videos, including those that are listed but absent."""
        return frozenset([*(video.name for video in self.videos), *self.problems])

    def only(self, sequences: Sequences) -> OpenedDataset:
        """Return the dataset restricted to some of its videos, possibly none."""
        return replace(
            self,
            videos=tuple(video for video in self.videos if video.name in sequences),
            problems={name: problem for name, problem in self.problems.items() if name in sequences},
            left_out=self.left_out | frozenset(name for name in self.names if name not in sequences),
        )

    def require_videos(self) -> None:
        """Raise if none of the requested videos is left."""
        if not self.videos:
            reasons = some([f"{name}: {problem}" for name, problem in self.problems.items()]) or "none was chosen"
            raise DatasetError(f"no sequence of {self.row.title} in {self.root} can be used: {reasons}")

    def read_mask(self, frame: Frame, *, allow_soft: bool = True) -> Bool[np.ndarray, "h w"]:
        """Read the mask of a frame.

        Args:
            frame: frame of the dataset.
            allow_soft: whether to threshold grey levels between 0 and 255 in a dataset whose masks hold only 0 and 255;
                JPEG files are always thresholded.

        Returns:
            (h, w) bool, True = object.

        Raises:
            MaskError: the frame has no mask, or a file is no mask of this dataset.
        """
        if not frame.masks:
            raise MaskError(f"frame {frame.name} has no mask; {self.row.title} annotates {self.row.annotated}")
        united: Bool[np.ndarray, "h w"] | None = None
        for path in frame.masks:
            levels = masks.read_levels(path)
            is_soft_by_nature = path.suffix.lower() in (".jpg", ".jpeg")
            if not allow_soft and not is_soft_by_nature and self.row.convention is masks.as_grey_or_labels:
                masks.refuse_soft(levels, path)
            mask = self.row.convention(levels, path)
            if united is not None and united.shape != mask.shape:
                raise MaskError(
                    f"the mask {path} is {_size(mask)}, another object's {_size(united)}; expected one size"
                )
            united = mask if united is None else united | mask
        assert united is not None
        return united


def open_dataset(name: str, root: Path, split: str | None = None) -> OpenedDataset:
    """List the videos of a dataset.

    Args:
        name: name of the dataset in `DATASETS`.
        root: folder of the dataset, in any of the known trees.
        split: split of the dataset; None = the one that is scored.

    Raises:
        DatasetError: there is no such dataset or split, or the folder is not that dataset; the message says which
            dataset it looks like.
    """
    row = check_split(name, split)
    split = split or row.default_split
    check_root(row, root)
    other = looks_like(root)
    trees = [(tree, folder) for tree in row.trees for folder in _folders_of(row, tree, split)]
    for needs_masks in (True, False):
        for tree, folder in trees if other in (None, row) else ():
            # Without masks, only a folder of this name tells frames from other pictures.
            if needs_masks or "JPEGImages" in tree.images:
                found = find_videos(root, tree, folder, needs_masks=needs_masks)
                if found:
                    return _select(row, root, split, tree, found, _flow_pictures(row, tree, folder, split))
    raise DatasetError(_not_recognised(row, root, split))


def _refuse_names_of_another(row: DatasetRow, root: Path, names: Collection[str]) -> None:
    if other := other_dataset(names, row.name):
        name, known = other
        raise DatasetError(
            f"{root} looks like {DATASETS[name].title} (--dataset {name}), not like {row.title}: it holds {some(known)}"
        )


def check_root(row: DatasetRow, root: Path) -> None:
    """Raise if the folder of a dataset does not exist; its content is not checked."""
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise DatasetError(f"{root} {what}; expected the folder of {row.title} ({row.source})")


def looks_like(root: Path) -> DatasetRow | None:
    """Identify the dataset in a folder by files that only this dataset has; return None if it is not unique."""
    found = [row for row in DATASETS.values() if any(any(root.glob(hallmark)) for hallmark in row.hallmarks)]
    return found[0] if len(found) == 1 else None


def _select(
    row: DatasetRow,
    root: Path,
    split: str | None,
    tree: Tree,
    found: dict[str, VideoFolders],
    flow_pictures: tuple[str, ...],
) -> OpenedDataset:
    """Keep the videos that the split lists, in its order, and list their frames."""
    listed = None if split is None else listed_videos(root, tree, split)
    if listed is None and tree.lists and "{split}" not in tree.masks:
        expected = " or ".join(pattern.replace("{split}", str(split)) for pattern in tree.lists)
        raise DatasetError(f"{root} holds {row.title} without its lists; expected {expected}")
    problems: dict[str, str] = {}
    videos = []
    for name in found if listed is None else listed:
        if name not in found:
            problems[name] = f"listed for {split}, but absent from {tree.images} and {tree.masks}"
            continue
        frames, problem = list_frames(found[name])
        if problem:
            problems[name] = problem
        videos.append(Video(name, found[name].group, frames))
    if not videos:
        if not problems:
            raise DatasetError(f"the list of split {split} of {row.title} in {root} is empty; expected names of videos")
        raise DatasetError(f"none of the videos that {row.title} lists for {split} is in {root}: {some(problems)}")
    _refuse_names_of_another(row, root, [video.name for video in videos])
    return OpenedDataset(row, root, split, tuple(videos), problems, flow_pictures)


def _folders_of(row: DatasetRow, tree: Tree, split: str | None) -> tuple[str, ...]:
    return row.splits.get(split or "", ()) if "{split}" in tree.masks else ("",)


def _flow_pictures(row: DatasetRow, tree: Tree, folder: str, split: str | None) -> tuple[str, ...]:
    """Return the folders where the published code may have flow pictures, first the one of the tree that was found."""
    published = row.splits.get(split or "", ())[-1:] or ("",)
    own = (folder,) if "JPEGImages" in tree.images else published
    places = [(tree, own)] + [(other, _folders_of(row, other, split) or published) for other in row.trees]
    return tuple(dict.fromkeys(each.flows.replace("{split}", name) for each, names in places for name in names))


def _not_recognised(row: DatasetRow, root: Path, split: str | None) -> str:
    expected = " or ".join(
        tree.masks.replace("{split}", folder) for tree in row.trees for folder in _folders_of(row, tree, split)[:1]
    )
    other = looks_like(root)
    if other is not None and other is not row:
        return f"{root} looks like {other.title} (--dataset {other.name}), not like {row.title}; expected {expected}"
    children = sorted(path for path in root.iterdir() if not path.name.startswith("."))
    for child in children:
        if child.is_dir() and looks_like(child) is row:
            return f"{root} is not {row.title} itself, but holds it; pass --root {quote(str(child))}"
    found = some([child.name for child in children]) or "nothing"
    return f"{root} is not {row.title}: found {found}; expected folders such as {expected}"


def _size(mask: Bool[np.ndarray, "h w"]) -> str:
    return f"{mask.shape[1]}x{mask.shape[0]}"
