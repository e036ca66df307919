"""Every dataset in every tree that it is met in; what is wrong with a tree is said."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segmentation.errors import DatasetError, MaskError
from segmentation.flow.frame_flows import open_flows
from segmentation.videos.datasets import looks_like, open_dataset
from segmentation.videos.table import DATASETS
from tests.segmentation import trees


@pytest.mark.parametrize("tree", trees.TREES)
def test_every_tree_is_read_and_recognised(tree: str, tmp_path: Path) -> None:
    name, make, annotated = trees.TREES[tree]
    make(tmp_path)
    dataset = open_dataset(name, tmp_path)
    assert {video.name: len(video.annotated) for video in dataset.videos} == annotated
    assert not dataset.problems
    for video in dataset.videos:
        numbers = [frame.name for frame in video.frames]
        assert numbers == sorted(numbers)
        assert all(frame.image is not None for frame in video.frames)
        for frame in video.annotated:
            number = int("".join(filter(str.isdigit, frame.masks[0].stem.removesuffix("_gt").split("_")[-1])))
            step = {"davis16": number + 2, "lvid": number // 10, "ytobj": number % 7, "ytvos18": number % 7}
            assert (dataset.read_mask(frame) == trees.square(step.get(name, number))).all(), (tree, frame)


@pytest.mark.parametrize("tree", trees.TREES)
def test_another_dataset_is_refused_and_named(tree: str, tmp_path: Path) -> None:
    name, make, _ = trees.TREES[tree]
    make(tmp_path)
    recognised = looks_like(tmp_path)
    assert recognised in (None, DATASETS[name])
    for other in DATASETS.values():
        if other.name != name and recognised is not None:
            with pytest.raises(DatasetError, match=f"looks like {recognised.title}.*not like {other.title}"):
                open_dataset(other.name, tmp_path)


def test_splits(tmp_path: Path) -> None:
    trees.davis16(tmp_path / "davis")
    trees.ytvos18(tmp_path / "ytvos")
    trees.fbms(tmp_path / "fbms")
    assert [video.name for video in open_dataset("davis16", tmp_path / "davis", "train").videos] == ["bear"]
    valid = open_dataset("ytvos18", tmp_path / "ytvos", "valid").videos
    assert [(video.name, len(video.frames), len(video.annotated)) for video in valid] == [("0062f687f1", 4, 1)]
    assert [video.name for video in open_dataset("fbms", tmp_path / "fbms", "train").videos] == ["bear01"]
    with pytest.raises(DatasetError, match="no split 'test'; expected train or val"):
        open_dataset("davis16", tmp_path / "davis", "test")
    with pytest.raises(DatasetError, match="Long-Videos has no split 'val'; it has none"):
        open_dataset("lvid", tmp_path / "davis", "val")


def test_classes_of_youtube_objects(tmp_path: Path) -> None:
    trees.ytobj(tmp_path)
    groups = {video.name: video.group for video in open_dataset("ytobj", tmp_path).videos}
    assert groups == {"aeroplane/0001": "aeroplane", "cat/0002/003": "cat", "cat/0002/004": "cat"}


def test_labels_pair_with_images_by_number_not_by_position(tmp_path: Path) -> None:
    trees.fbms(tmp_path)
    camel, cars = open_dataset("fbms", tmp_path).videos
    assert [frame.name for frame in camel.annotated] == ["camel01_0001", "camel01_0006"]
    assert [frame.name for frame in cars.annotated] == ["cars1_01", "cars1_06"]


def test_what_is_missing_in_a_tree_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    trees.davis16(tmp_path)
    (tmp_path / "ImageSets/480p/val.txt").write_text("/J/480p/libby/0.jpg\n/J/480p/surf/0.jpg\n/J/480p/bear/0.jpg\n")
    (tmp_path / "JPEGImages/480p/libby/00002.jpg").unlink()
    (tmp_path / "JPEGImages/480p/bear/00004.jpg").unlink()
    (tmp_path / "Annotations/480p/bear/00004.png").unlink()
    dataset = open_dataset("davis16", tmp_path)
    assert [video.name for video in dataset.videos] == ["libby", "bear"]
    assert dataset.problems.keys() == {"libby", "surf", "bear"}
    assert "masks without an image" in dataset.problems["libby"]
    assert "00002" in dataset.problems["libby"]
    assert "listed for val, but absent" in dataset.problems["surf"]
    assert "images missing" in dataset.problems["bear"]
    assert "number 4" in dataset.problems["bear"]


def test_folders_that_are_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"does not exist; expected the folder of DAVIS-2016"):
        open_dataset("davis16", tmp_path / "nowhere")
    with pytest.raises(DatasetError, match=r"unknown dataset 'davis'; expected one of davis16"):
        open_dataset("davis", tmp_path)
    with pytest.raises(DatasetError, match=r"is not FBMS-59: found nothing"):
        open_dataset("fbms", tmp_path)
    trees.davis16(tmp_path / "DAVIS")
    with pytest.raises(DatasetError, match=r"holds it; pass --root .*DAVIS"):
        open_dataset("davis16", tmp_path)
    shutil.rmtree(tmp_path / "DAVIS/ImageSets")
    with pytest.raises(DatasetError, match=r"without its lists; expected ImageSets/2016/val.txt"):
        open_dataset("davis16", tmp_path / "DAVIS")


@pytest.mark.parametrize("allow_soft", [False, True], ids=["to learn from", "to score"])
@pytest.mark.parametrize("kind", ["palette", "grey"])
def test_object_numbers_of_davis_2017_are_united(kind: str, allow_soft: bool, tmp_path: Path) -> None:
    trees.davis16(tmp_path)
    labels = trees.square(0) * 1 + trees.square(0, 4) * 2
    picture = trees.palette(labels) if kind == "palette" else labels.astype(np.uint8)
    trees.save(tmp_path / "Annotations/480p/libby/00001.png", picture)
    dataset = open_dataset("davis16", tmp_path)
    found = dataset.read_mask(dataset.videos[0].frames[1], allow_soft=allow_soft)
    assert (found == trees.square(0)).all()


@pytest.mark.parametrize("allow_soft", [False, True], ids=["to learn from", "to score"])
def test_soft_masks_of_davis_are_refused(allow_soft: bool, tmp_path: Path) -> None:
    trees.davis16(tmp_path)
    trees.save(tmp_path / "Annotations/480p/libby/00001.png", trees.square(0).astype(np.uint8) * np.uint8(200))
    dataset = open_dataset("davis16", tmp_path)
    with pytest.raises(MaskError, match=r"libby/00001.png has grey levels .* \(200\); expected 0 and 255"):
        dataset.read_mask(dataset.videos[0].frames[1], allow_soft=allow_soft)


def test_fbms_is_read_from_the_folder_that_the_published_code_reads(tmp_path: Path) -> None:
    trees.fbms_preprocessed(tmp_path)
    for root in (tmp_path, tmp_path / "TestSet"):
        dataset = open_dataset("fbms", root)
        flows = open_flows(str(root), dataset)
        flows.check(dataset.videos[0])
        assert flows.read_colors("camel01", "00006").shape == (*trees.SIZE, 3)
    assert dataset.flow_pictures[0] == "JPEGFlows/{video}"


def test_empty_masks_are_masks(tmp_path: Path) -> None:
    trees.davis16(tmp_path)
    trees.save(tmp_path / "Annotations/480p/libby/00001.png", np.zeros(trees.SIZE, np.uint8))
    dataset = open_dataset("davis16", tmp_path)
    assert not dataset.read_mask(dataset.videos[0].frames[1]).any()


def test_every_row_says_what_a_user_needs_to_know() -> None:
    for row in DATASETS.values():
        assert row.source.startswith("https://")
        assert row.annotated
        assert row.labels
        assert row.licence
        assert row.default_split is None or row.default_split in row.splits


def test_a_damaged_mask_is_named(tmp_path: Path) -> None:
    trees.davis16(tmp_path)
    path = tmp_path / "Annotations/480p/libby/00001.png"
    dataset = open_dataset("davis16", tmp_path)
    frame = dataset.videos[0].frames[1]
    whole = path.read_bytes()
    for content, problem in (
        (b"", "the file is empty"),
        (b"no image", "not an image"),
        (whole[: len(whole) // 2], "the file (ends before|cannot be decoded)"),
        (whole[:50] + b"\0\0\0\0" + whole[54:], "the file cannot be decoded"),
    ):
        path.write_bytes(content)
        with pytest.raises(MaskError, match=rf"libby/00001.png cannot be used: {problem}"):
            dataset.read_mask(frame)


@pytest.mark.parametrize("mode", ["L", "LA", "1", "RGB", "RGBA", "P", "I;16"])
def test_one_object_in_any_pixel_format(mode: str, tmp_path: Path) -> None:
    from segmentation.videos.mask_files import as_grey, read_levels

    mask = trees.square(3)
    image = Image.fromarray(trees.grey(mask))
    if mode == "P":
        image = trees.palette(mask)
    elif mode == "I;16":
        image = Image.fromarray(mask.astype(np.uint16) * np.uint16(65535))
    elif mode != "L":
        image = image.convert(mode)
    trees.save(tmp_path / "mask.png", image)
    assert (as_grey(read_levels(tmp_path / "mask.png"), tmp_path / "mask.png") == mask).all()


@pytest.mark.parametrize(("level", "is_object"), [(0, False), (16, False), (127, False), (128, True), (255, True)])
def test_grey_is_object_from_128_on(level: int, is_object: bool, tmp_path: Path) -> None:
    from segmentation.videos.mask_files import as_grey, read_levels

    path = tmp_path / "mask.png"
    Image.fromarray(np.array([[level, 255]], np.uint8)).save(path)
    assert as_grey(read_levels(path), path).tolist() == [[is_object, True]]


def test_masks_of_16_bits_count_by_their_upper_bits(tmp_path: Path) -> None:
    from segmentation.videos.mask_files import as_grey, read_levels

    path = tmp_path / "mask.png"
    Image.fromarray(np.array([[0, 127 * 256 + 255, 128 * 256, 65535]], np.uint16)).save(path)
    assert as_grey(read_levels(path), path).tolist() == [[False, False, True, True]]
