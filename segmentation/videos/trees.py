"""Folder trees of videos: the folders of the frames and masks of each video, and the mask of each frame."""

import itertools
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.files.regular_files import read_text
from segmentation.videos.mask_files import EXTENSIONS

_LISTED = 3  # names shown in a message before "and n more"


@dataclass(frozen=True, slots=True)
class Tree:
    """Location of videos below the root of a dataset, as patterns of folders.

    Attributes:
        images: folder of the frames of a video. `{video}`, `{class}` and `{shot}` match one folder name each and
            together make the name of the video; `{split}` stands for the folder of the split.
        masks: folder of the masks of a video, in the same notation.
        lists: text files that name the videos of a split, of which the first that exists counts; empty = all videos.
        has_objects: whether the folder of masks may hold one folder per object.
        flows: folder of the flow pictures of a video, in the same notation, as the published code expects it.
    """

    images: str
    masks: str
    lists: tuple[str, ...] = ()
    has_objects: bool = False
    flows: str = "JPEGFlows/{video}"


@dataclass(frozen=True, slots=True)
class VideoFolders:
    """Folders of one video; `group` is its class in trees that have classes."""

    group: str | None
    images: Path
    masks: Path


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a video, of which the image or the mask may be missing.

    Attributes:
        name: name of its files without extension.
        image: file of the image; None = missing.
        masks: mask files, whose objects are united; empty = the frame is not annotated.
    """

    name: str
    image: Path | None
    masks: tuple[Path, ...]


def find_videos(root: Path, tree: Tree, split_folder: str = "", *, needs_masks: bool = True) -> dict[str, VideoFolders]:
    """Find every video of which masks or images exist.

    Args:
        root: folder of the dataset.
        tree: tree to look for.
        split_folder: folder that `{split}` stands for.
        needs_masks: whether the folder has another tree if no video has masks.

    Returns:
        Folders of the videos, sorted by name; empty if the folder has another tree.
    """
    images, annotations = (pattern.replace("{split}", split_folder) for pattern in (tree.images, tree.masks))
    found = {
        fields
        for fields, folder in _matches(root, annotations.split("/"))
        if _files(folder) or (tree.has_objects and any(_folders(folder)))
    }
    if found or not needs_masks:
        found |= {fields for fields, folder in _matches(root, images.split("/")) if _files(folder)}
    keys = re.findall(r"{(\w+)}", annotations)
    videos = {}
    for fields in sorted(found):
        values = dict(zip(keys, fields, strict=True))
        is_only_shot = "shot" in values and sum(other[:-1] == fields[:-1] for other in found) == 1
        name = "/".join(fields[:-1] if is_only_shot else fields)
        folders = (root / pattern.format(**values) for pattern in (images, annotations))
        videos[name] = VideoFolders(values.get("class"), *folders)
    return videos


def listed_videos(root: Path, tree: Tree, split: str) -> list[str] | None:
    """Read the names of the videos of a split from the lists of the dataset; return None if there is no list."""
    for pattern in tree.lists:
        path = root / pattern.replace("{split}", split)
        if path.is_file():
            # A line is a video's name or, as in DAVIS-2016, the paths of one frame and its mask.
            lines = [line.split()[0] for line in read_text(path).splitlines() if line.strip()]
            return list(dict.fromkeys(line.split("/")[-2] if "/" in line else line for line in lines))
    return None


def list_frames(folders: VideoFolders) -> tuple[tuple[Frame, ...], str]:
    """Pair the images and masks of a video by name, or by number if they are named differently.

    Returns:
        The frames in the order of time, and a sentence on their problem, empty if there is none.
    """
    images = {path.stem: path for path in _files(folders.images)}
    by_number = {_number(stem): stem for stem in images}
    annotations: dict[str, tuple[Path, ...]] = {}
    orphans = []
    for stem, paths in _annotations(folders.masks).items():
        name = stem if stem in images or not images else by_number.get(_number(stem))
        if name is None:
            orphans.append(stem)
        annotations[name or stem] = paths
    names = sorted(images.keys() | annotations.keys(), key=lambda stem: (_number(stem), stem))
    frames = tuple(Frame(name, images.get(name), annotations.get(name, ())) for name in names)
    if orphans:
        return frames, f"masks without an image in {folders.images}: {some(orphans)}"
    if not images:
        return frames, f"masks, but no images in {folders.images}"
    gaps = _gaps(sorted(by_number))
    return frames, f"images missing between others in {folders.images}: number {some(gaps)}" if gaps else ""


def some(names: Collection[object]) -> str:
    """List the first few names and the number of the others."""
    more = len(names) - _LISTED
    return ", ".join(map(str, list(names)[:_LISTED])) + (f" and {more} more" if more > 0 else "")


def _matches(folder: Path, parts: list[str]) -> Iterator[tuple[tuple[str, ...], Path]]:
    """Yield each folder that matches a pattern, with the names that its variable parts match."""
    if not parts:
        yield (), folder
    elif not parts[0].startswith("{"):
        if (folder / parts[0]).is_dir():
            yield from _matches(folder / parts[0], parts[1:])
    else:
        for child in _folders(folder):
            for fields, end in _matches(child, parts[1:]):
                yield (child.name, *fields), end


def _annotations(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Collect the mask files of each frame by stem, from the folder itself or from one folder per object."""
    found: dict[str, tuple[Path, ...]] = {}
    for path in _files(folder):
        stem = path.stem.removesuffix("_gt")
        if "PROB" in stem:  # FBMS: probabilities, no masks
            continue
        # FBMS has some masks twice: in colour (PPM), and in grey (PGM) with some objects missing.
        if stem not in found or path.suffix.lower() == ".ppm":
            found[stem] = (path,)
    if not found:
        for child in _folders(folder):
            for path in _files(child):
                found[path.stem] = (*found.get(path.stem, ()), path)
    return found


def _gaps(numbers: list[int]) -> list[int]:
    """Return the numbers that are missing in a sequence of mostly equal steps; none if the steps differ."""
    steps = [after - before for before, after in itertools.pairwise(numbers)]
    step = max(set(steps), key=steps.count) if steps else 1
    if steps.count(step) < (0.5 if step == 1 else 0.9) * len(steps):
        return []
    return [before + step for (before, _), wide in zip(itertools.pairwise(numbers), steps, strict=True) if wide > step]


def _files(folder: Path) -> list[Path]:
    """Return the image files of a folder, sorted by name."""
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in EXTENSIONS and not p.name.startswith("."))


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _number(stem: str) -> int:
    digits = re.findall(r"\d+", stem)
    return int(digits[-1]) if digits else -1
