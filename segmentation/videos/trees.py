"""Folder trees of videos: which folders hold a video's frames and masks, and which mask belongs to which frame."""

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
    """Location of videos below the root of a dataset.

    Attributes:
        images: folder of a video's frames; `{video}`, `{class}` and `{shot}` match one folder name each and together
            make the video's name, `{split}` stands for the folder of the split.
        masks: folder of its masks, likewise.
        lists: text files that name the videos of a split; the first that exists counts, none = all that are found.
        has_objects: the folder of masks may hold one folder per object.
        flows: folder of a video's flow pictures, as the published code has it beside such a tree.
    """

    images: str
    masks: str
    lists: tuple[str, ...] = ()
    has_objects: bool = False
    flows: str = "JPEGFlows/{video}"


@dataclass(frozen=True, slots=True)
class VideoFolders:
    """Location of one video; `group` is its class in trees that have classes."""

    group: str | None
    images: Path
    masks: Path


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a video: its name (stem), its image and its mask, either of which may be missing.

    Attributes:
        masks: files whose objects are united; empty = not annotated.
    """

    name: str
    image: Path | None
    masks: tuple[Path, ...]


def find_videos(root: Path, tree: Tree, split_folder: str = "", *, needs_masks: bool = True) -> dict[str, VideoFolders]:
    """Find every video of which masks or images are there.

    Args:
        root: the dataset's folder.
        tree: what to look for.
        split_folder: what `{split}` stands for.
        needs_masks: one video at least must have masks, else the folder has another tree.

    Returns:
        By name, sorted; empty where the folder has another tree.
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
    """Read which videos a split has from the dataset's own lists; None where there is no list."""
    for pattern in tree.lists:
        path = root / pattern.replace("{split}", split)
        if path.is_file():
            # A line is a video's name or, as in DAVIS-2016, the paths of one frame and its mask.
            lines = [line.split()[0] for line in read_text(path).splitlines() if line.strip()]
            return list(dict.fromkeys(line.split("/")[-2] if "/" in line else line for line in lines))
    return None


def list_frames(folders: VideoFolders) -> tuple[tuple[Frame, ...], str]:
    """Pair a video's images and masks by name, or by number where they are named differently.

    Returns:
        The frames in the order of time, and a sentence on what is wrong with them, empty if nothing is.
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
    """Yield each folder that matches a pattern, with the text that its variable parts stand for."""
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
    """Collect the mask files of each frame by stem: right in the folder, or in one folder per object."""
    found: dict[str, tuple[Path, ...]] = {}
    for path in _files(folder):
        stem = path.stem.removesuffix("_gt")
        if "PROB" in stem:  # FBMS: how sure the annotators were
            continue
        # FBMS has some masks twice: in colour (PPM) and, with objects lost, in grey (PGM).
        if stem not in found or path.suffix.lower() == ".ppm":
            found[stem] = (path,)
    if not found:
        for child in _folders(folder):
            for path in _files(child):
                found[path.stem] = (*found.get(path.stem, ()), path)
    return found


def _gaps(numbers: list[int]) -> list[int]:
    """Return the numbers that are missing in a sequence of equal steps; nothing if it has no such step."""
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
