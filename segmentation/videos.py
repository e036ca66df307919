"""The video datasets: where their frames and masks lie, and what their mask values mean.

One table row per dataset (`DATASETS`), each with the trees in which it is met: the official one as downloaded, and that
of the published FakeFlow/DepthFlow/TMO code (JPEGImages, JPEGFlows, Annotations). Frames and masks are paired by
name or number, never by position. No image is opened until a mask is read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from segmentation import masks
from segmentation.errors import DatasetError, MaskError
from segmentation.trees import Frame, Tree, VideoFolders, find_videos, list_frames, listed_videos, some


@dataclass(frozen=True)
class VideoDataset:
    """One row of the table.

    Attributes:
        name: as given to `--dataset`.
        title: as the literature calls it.
        trees: where to look, the most specific first.
        splits: names of splits, and the folders that hold them where the tree has such.
        default_split: what is scored; None = there is but one.
        annotated: which frames have masks.
        labels: what the values of a mask mean.
        convention: the same as a function.
        licence: terms of use, as far as they are stated.
        source: where to get it.
        hallmarks: paths that only this dataset has, to tell it from others.
        flows: folder of a video's flow pictures in the trees of the published code.
    """

    name: str
    title: str
    trees: tuple[Tree, ...]
    splits: Mapping[str, tuple[str, ...]]
    default_split: str | None
    annotated: str
    labels: str
    convention: masks.Convention
    licence: str
    source: str
    hallmarks: tuple[str, ...]
    flows: str = "JPEGFlows/{video}"


@dataclass(frozen=True)
class Video:
    """A video in the order of time.

    Attributes:
        name: unique in the dataset; may contain `/`, as in its tree.
        group: class of the video in YouTube-Objects, else None.
        frames: all frames of which an image or a mask exists.
    """

    name: str
    group: str | None
    frames: tuple[Frame, ...]

    @property
    def annotated(self) -> tuple[Frame, ...]:
        """Frames that have a mask."""
        return tuple(frame for frame in self.frames if frame.masks)


@dataclass(frozen=True)
class OpenedDataset:
    """The videos of one split, as found in a folder.

    Attributes:
        problems: by name of a video, a sentence on what is wrong with it; such a video may still be among `videos`.
    """

    row: VideoDataset
    root: Path
    split: str | None
    videos: tuple[Video, ...]
    problems: Mapping[str, str]

    def read_mask(self, frame: Frame, *, allow_soft: bool = True) -> Bool[np.ndarray, "h w"]:
        """Read a frame's mask.

        Args:
            frame: one of the dataset's.
            allow_soft: take grey levels between 0 and 255 by their threshold where the dataset knows but these two;
                JPEG files always have some.

        Returns:
            (h, w) bool, True = object.

        Raises:
            MaskError: there is none, or a file is not what the dataset's masks are.
        """
        if not frame.masks:
            raise MaskError(f"frame {frame.name} has no mask; {self.row.title} annotates {self.row.annotated}")
        united: Bool[np.ndarray, "h w"] | None = None
        for path in frame.masks:
            levels = masks.read_levels(path)
            if not allow_soft and self.row.convention is masks.as_grey and path.suffix.lower() not in (".jpg", ".jpeg"):
                masks.refuse_soft(levels, path)
            mask = self.row.convention(levels, path)
            if united is not None and united.shape != mask.shape:
                raise MaskError(
                    f"the mask {path} is {_size(mask)}, another object's {_size(united)}; expected one size"
                )
            united = mask if united is None else united | mask
        assert united is not None
        return united


def _fbms_convention(levels: masks.Levels, path: Path) -> Bool[np.ndarray, "h w"]:
    # Regions of motion. Coloured ground truth has white background; in grey ground truth background is the darkest
    # region: 0 or nearly so, except in two sequences. Thresholds as used by those who publish figures on FBMS-59.
    if path.suffix.lower() == ".ppm":
        colors = np.repeat(np.arange(256)[:, None], 3, axis=1) if levels.colors is None else levels.colors
        is_background = (colors == masks.WHITE).all(axis=1) | (colors == 0).all(axis=1)
        is_object: Bool[np.ndarray, "h w"] = ~is_background[levels.values]
        return is_object
    if path.suffix.lower() == ".pgm":
        video = path.parent.parent.name
        return levels.values > {"marple7": 12, "marple2": 102}.get(video, 25)
    return masks.as_grey(levels, path)


_CLASSES = ("aeroplane", "bird", "boat", "car", "cat", "cow", "dog", "horse", "motorbike", "train")
_FLAT = Tree("JPEGImages/{video}", "Annotations/{video}")

DATASETS: Mapping[str, VideoDataset] = {
    row.name: row
    for row in (
        VideoDataset(
            name="davis16",
            title="DAVIS-2016",
            trees=(
                Tree(
                    "JPEGImages/480p/{video}",
                    "Annotations/480p/{video}",
                    ("ImageSets/2016/{split}.txt", "ImageSets/480p/{split}.txt"),
                ),
            ),
            splits={"train": (), "val": (), "trainval": ()},
            default_split="val",
            annotated="every frame",
            labels="one object: 0 and 255",
            convention=masks.as_grey,
            licence="CC BY-NC 4.0",
            source="https://davischallenge.org/davis2016/code.html",
            hallmarks=("Annotations/480p", "JPEGImages/480p"),
            flows="JPEGFlows/480p/{video}",
        ),
        VideoDataset(
            name="fbms",
            title="FBMS-59",
            trees=(
                Tree("{split}/JPEGImages/{video}", "{split}/Annotations/{video}"),
                Tree("{split}/{video}", "{split}/{video}/GroundTruth"),
                _FLAT,
                Tree("{video}", "{video}/GroundTruth"),
            ),
            splits={
                "train": ("Trainingset", "TrainingSet", "TrainSet"),
                "test": ("Testset", "TestSet"),
            },
            default_split="test",
            annotated="some frames",
            labels="regions of motion: colours on white (PPM), grey levels on 0 (PGM), or 0 and 255 (PNG)",
            convention=_fbms_convention,
            licence="research use",
            source="https://lmb.informatik.uni-freiburg.de/resources/datasets/",
            hallmarks=("Testset", "TestSet", "Trainingset", "TrainingSet", "marple*", "JPEGImages/marple*"),
            flows="{split}/JPEGFlows/{video}",
        ),
        VideoDataset(
            name="ytobj",
            title="YouTube-Objects",
            trees=(
                Tree("JPEGImages/{class}/{video}", "Annotations/{class}/{video}"),
                Tree("{class}/data/{video}/shots/{shot}/images", "{class}/data/{video}/shots/{shot}/labels"),
            ),
            splits={},
            default_split=None,
            annotated="every tenth frame",
            labels="one object: 0 and 255, in the official tree as JPEG",
            convention=masks.as_grey,
            licence="not stated",
            source="https://data.vision.ee.ethz.ch/cvl/youtube-objects",
            hallmarks=tuple(f"{prefix}{name}" for name in _CLASSES[:2] for prefix in ("JPEGImages/", "")),
        ),
        VideoDataset(
            name="lvid",
            title="Long-Videos",
            trees=(_FLAT,),
            splits={},
            default_split=None,
            annotated="about twenty frames of each video, evenly spread",
            labels="palette: 0 is background, everything else object",
            convention=masks.as_labels,
            licence="not stated",
            source="https://www.kaggle.com/datasets/gvclsu/long-videos",
            hallmarks=("JPEGImages/blueboy", "JPEGImages/dressage", "JPEGImages/rat"),
        ),
        VideoDataset(
            name="ytvos18",
            title="YouTube-VOS 2018",
            trees=(
                Tree("{split}/JPEGImages/{video}", "{split}/Annotations/{video}", ("ImageSets/{split}.txt",)),
                _FLAT,
            ),
            splits={"train": ("train",), "valid": ("valid",), "test": ("test",)},
            default_split="train",
            annotated="every frame in train, the first frame of each object elsewhere",
            labels="palette: 0 is background, everything else object",
            convention=masks.as_labels,
            licence="research use",
            source="https://youtube-vos.org/dataset/vos/",
            hallmarks=("train/JPEGImages", "valid/JPEGImages", "meta.json"),
            flows="{split}/JPEGFlows/{video}",
        ),
        VideoDataset(
            name="segtrackv2",
            title="SegTrack-v2",
            trees=(Tree("JPEGImages/{video}", "GroundTruth/{video}", has_objects=True), _FLAT),
            splits={},
            default_split=None,
            annotated="every frame",
            labels="0 and 255, one folder per object where there are several; all are united",
            convention=masks.as_grey,
            licence="not stated",
            source="https://web.engr.oregonstate.edu/~lif/SegTrack2/dataset.html",
            hallmarks=("GroundTruth/*", "JPEGImages/bird_of_paradise", "JPEGImages/birdfall"),
        ),
    )
}


def open_dataset(name: str, root: Path, split: str | None = None) -> OpenedDataset:
    """List a dataset's videos.

    Args:
        name: one of `DATASETS`.
        root: its folder, in any of the known trees.
        split: one of its splits; None = the one that is scored.

    Raises:
        DatasetError: no such dataset or split, or the folder is not that dataset; then which one it looks like.
    """
    if name not in DATASETS:
        raise DatasetError(f"unknown dataset {name!r}; expected one of {', '.join(DATASETS)}")
    row = DATASETS[name]
    split = split or row.default_split
    if split is not None and split not in row.splits:
        known = f"expected {' or '.join(row.splits)}" if row.splits else "it has none; leave it out"
        raise DatasetError(f"{row.title} has no split {split!r}; {known}")
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise DatasetError(f"{root} {what}; expected the folder of {row.title} ({row.source})")
    other = looks_like(root)
    trees = [(tree, folder) for tree in row.trees for folder in _folders_of(row, tree, split)]
    for needs_masks in (True, False):
        for tree, folder in trees if other in (None, row) else ():
            # Only a folder of this name tells frames from other pictures where there are no masks.
            if needs_masks or "JPEGImages" in tree.images:
                found = find_videos(root, tree, folder, needs_masks=needs_masks)
                if found:
                    return _select(row, root, split, tree, found)
    raise DatasetError(_not_recognised(row, root, split))


def looks_like(root: Path) -> VideoDataset | None:
    """Tell which dataset a folder is by what only that one has; None if none or several come into question."""
    found = [row for row in DATASETS.values() if any(any(root.glob(hallmark)) for hallmark in row.hallmarks)]
    return found[0] if len(found) == 1 else None


def _select(
    row: VideoDataset, root: Path, split: str | None, tree: Tree, found: dict[str, VideoFolders]
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
    return OpenedDataset(row, root, split, tuple(videos), problems)


def _folders_of(row: VideoDataset, tree: Tree, split: str | None) -> tuple[str, ...]:
    return row.splits.get(split or "", ()) if "{split}" in tree.masks else ("",)


def _not_recognised(row: VideoDataset, root: Path, split: str | None) -> str:
    expected = " or ".join(
        tree.masks.replace("{split}", folder) for tree in row.trees for folder in _folders_of(row, tree, split)[:1]
    )
    other = looks_like(root)
    if other is not None and other is not row:
        return f"{root} looks like {other.title} (--dataset {other.name}), not like {row.title}; expected {expected}"
    children = sorted(path for path in root.iterdir() if not path.name.startswith("."))
    for child in children:
        if child.is_dir() and looks_like(child) is row:
            return f"{root} is not {row.title} itself, but holds it; pass --root {child}"
    found = some([child.name for child in children]) or "nothing"
    return f"{root} is not {row.title}: found {found}; expected folders such as {expected}"


def _size(mask: Bool[np.ndarray, "h w"]) -> str:
    return f"{mask.shape[1]}x{mask.shape[0]}"
