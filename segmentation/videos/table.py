"""The table of video datasets: folders of their frames, masks and flow pictures, and the meaning of mask values.

Each row lists the folder trees in which a dataset is found: the official one as downloaded, and that of the published
FakeFlow/DepthFlow/TMO code (JPEGImages, JPEGFlows, Annotations).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from segmentation.errors import DatasetError
from segmentation.videos import mask_files as masks
from segmentation.videos.trees import Tree


@dataclass(frozen=True)
class DatasetRow:
    """One video dataset: a row of the table.

    Attributes:
        name: name of the dataset on the command line.
        title: name of the dataset in the literature.
        trees: folder trees to look for, the most specific first.
        splits: names of the splits, each with the folders that may hold it.
        default_split: split that is scored; None = the dataset has no splits.
        annotated: frames that have masks, in words.
        labels: meaning of the mask values, in words.
        convention: function that reads the mask values accordingly.
        licence: terms of use, as far as they are stated.
        source: web page of the dataset.
        hallmarks: paths that no other dataset has.
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
    return masks.as_grey_or_labels(levels, path)


_CLASSES = ("aeroplane", "bird", "boat", "car", "cat", "cow", "dog", "horse", "motorbike", "train")
_FLAT = Tree("JPEGImages/{video}", "Annotations/{video}")

DATASETS: Mapping[str, DatasetRow] = {
    row.name: row
    for row in (
        DatasetRow(
            name="davis16",
            title="DAVIS-2016",
            trees=(
                Tree(
                    "JPEGImages/480p/{video}",
                    "Annotations/480p/{video}",
                    ("ImageSets/2016/{split}.txt", "ImageSets/480p/{split}.txt"),
                    flows="JPEGFlows/480p/{video}",
                ),
            ),
            splits={"train": (), "val": (), "trainval": ()},
            default_split="val",
            annotated="every frame",
            labels="0 and 255; or object numbers, as in DAVIS-2017, whose objects are united",
            convention=masks.as_binary_or_labels,
            licence="CC BY-NC 4.0",
            source="https://davischallenge.org/davis2016/code.html",
            hallmarks=("Annotations/480p", "JPEGImages/480p"),
        ),
        DatasetRow(
            name="fbms",
            title="FBMS-59",
            trees=(
                Tree("{split}/JPEGImages/{video}", "{split}/Annotations/{video}", flows="{split}/JPEGFlows/{video}"),
                Tree("{split}/{video}", "{split}/{video}/GroundTruth", flows="{split}/JPEGFlows/{video}"),
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
        ),
        DatasetRow(
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
            convention=masks.as_grey_or_labels,
            licence="not stated",
            source="https://data.vision.ee.ethz.ch/cvl/youtube-objects",
            hallmarks=tuple(f"{prefix}{name}" for name in _CLASSES[:2] for prefix in ("JPEGImages/", "")),
        ),
        DatasetRow(
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
        DatasetRow(
            name="ytvos18",
            title="YouTube-VOS 2018",
            trees=(
                Tree(
                    "{split}/JPEGImages/{video}",
                    "{split}/Annotations/{video}",
                    ("ImageSets/{split}.txt",),
                    flows="{split}/JPEGFlows/{video}",
                ),
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
        ),
        DatasetRow(
            name="segtrackv2",
            title="SegTrack-v2",
            trees=(Tree("JPEGImages/{video}", "GroundTruth/{video}", has_objects=True), _FLAT),
            splits={},
            default_split=None,
            annotated="every frame",
            labels="0 and 255, one folder per object where there are several; all are united",
            convention=masks.as_grey_or_labels,
            licence="not stated",
            source="https://web.engr.oregonstate.edu/~lif/SegTrack2/dataset.html",
            hallmarks=("GroundTruth/*", "JPEGImages/bird_of_paradise", "JPEGImages/birdfall"),
        ),
    )
}


def check_split(name: str, split: str | None) -> DatasetRow:
    """Return the row of a dataset.

    Raises:
        DatasetError: there is no such dataset, or it has no such split.
    """
    if name not in DATASETS:
        raise DatasetError(f"unknown dataset {name!r}; expected one of {', '.join(DATASETS)}")
    row = DATASETS[name]
    if split is not None and split not in row.splits:
        known = f"expected {' or '.join(row.splits)}" if row.splits else "it has none; leave it out"
        raise DatasetError(f"{row.title} has no split {split!r}; {known}")
    return row
