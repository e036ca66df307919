"""Miniature video datasets, as downloaded and as pre-processed by the published code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (24, 32)


def square(step: int, side: int = 8) -> np.ndarray:
    """A square that moves right; (h, w) bool."""
    mask = np.zeros(SIZE, bool)
    mask[6 : 6 + side, 4 + step : 4 + step + side] = True
    return mask


def save(path: Path, pixels: np.ndarray | Image.Image, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(path, **options)


def grey(mask: np.ndarray) -> np.ndarray:
    return mask.astype(np.uint8) * np.uint8(255)


def palette(labels: np.ndarray) -> Image.Image:
    """Object numbers with the colours of DAVIS."""
    image = Image.new("P", SIZE[::-1])
    image.putdata(labels.astype(int).ravel().tolist())
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0] + [0, 0, 0] * 252)
    return image


def photo(path: Path) -> None:
    save(path, np.full((*SIZE, 3), 90, np.uint8))


def davis16(root: Path, frames: int = 6) -> None:
    for video, start in (("bear", 0), ("libby", 2)):
        for k in range(frames):
            photo(root / f"JPEGImages/480p/{video}/{k:05d}.jpg")
            save(root / f"Annotations/480p/{video}/{k:05d}.png", grey(square(k + start)))
    # One official mask has an alpha channel.
    opaque = np.full(SIZE, 255, np.uint8)
    save(
        root / "Annotations/480p/libby/00003.png", Image.merge("LA", [*map(Image.fromarray, (grey(square(5)), opaque))])
    )
    lines = [f"/JPEGImages/480p/libby/{k:05d}.jpg /Annotations/480p/libby/{k:05d}.png " for k in range(frames)]
    for split, content in (("val", "\n".join(lines)), ("train", "\n".join(lines).replace("libby", "bear"))):
        path = root / f"ImageSets/480p/{split}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")


def davis16_preprocessed(root: Path) -> None:
    davis16(root)
    for old in (root / "ImageSets/480p").iterdir():
        old.unlink()
    (root / "ImageSets/2016").mkdir()
    (root / "ImageSets/2016/val.txt").write_text("libby\n")
    for k in range(6):
        photo(root / f"JPEGFlows/480p/libby/{k:05d}.jpg")


def fbms(root: Path) -> None:
    """Colour masks on white with grey copies that lose objects; grey masks on black; on some frames only."""
    for k in range(1, 11):
        photo(root / f"Testset/camel01/camel01_{k:04d}.jpg")
        photo(root / f"Testset/cars1/cars1_{k:02d}.jpg")
    photo(root / "Trainingset/bear01/bear01_0001.jpg")
    save(root / "Trainingset/bear01/GroundTruth/bear01_0001_gt.ppm", np.full((*SIZE, 3), 255, np.uint8))
    for k in (1, 6):
        colors = np.full((*SIZE, 3), 255, np.uint8)
        colors[square(k)] = (0, 0, 255)
        colors[square(k) & (np.arange(SIZE[1]) < k + 8)] = (255, 0, 0)
        truth = root / "Testset/camel01/GroundTruth"
        save(truth / f"camel01_{k:04d}_gt.ppm", colors)
        save(truth / f"camel01_{k:04d}_gt.pgm", np.zeros(SIZE, np.uint8))
        save(truth / f"camel01_{k:04d}_PROB_gt.ppm", colors)
        levels = np.where(square(k), 128, 0).astype(np.uint8)
        levels[square(k) & (np.arange(SIZE[1]) < k + 8)] = 255
        save(root / f"Testset/cars1/GroundTruth/cars1_{k:03d}.pgm", levels)
    (root / "Testset/camel01/GroundTruth/camel01Def.dat").write_text("")


def fbms_preprocessed(root: Path) -> None:
    for k in (1, 6):
        for kind in ("JPEGImages", "JPEGFlows"):
            photo(root / f"TestSet/{kind}/camel01/{k:05d}.jpg")
        save(root / f"TestSet/Annotations/camel01/{k:05d}.png", grey(square(k)))


def ytobj(root: Path) -> None:
    """Images frameNNNN.jpg, labels NNNN.jpg with the noise of JPEG, every tenth frame."""
    for k in range(1, 22):
        photo(root / f"aeroplane/data/0001/shots/001/images/frame{k:04d}.jpg")
        photo(root / f"cat/data/0002/shots/003/images/frame{k:04d}.jpg")
        photo(root / f"cat/data/0002/shots/004/images/frame{k:04d}.jpg")
        if k % 10 == 1:
            for folder in ("aeroplane/data/0001/shots/001", "cat/data/0002/shots/003", "cat/data/0002/shots/004"):
                save(root / f"{folder}/labels/{k:04d}.jpg", grey(square(k % 7)), quality=60)


def ytobj_preprocessed(root: Path) -> None:
    for video in ("aeroplane/0001", "cat/0002", "cat/0003"):
        for k in (1, 11, 21):
            for kind in ("JPEGImages", "JPEGFlows"):
                photo(root / f"{kind}/{video}/{k:05d}.jpg")
            save(root / f"Annotations/{video}/{k:05d}.png", grey(square(k % 7)))


def lvid(root: Path) -> None:
    for k in range(30):
        photo(root / f"JPEGImages/blueboy/{k:05d}.jpg")
        if k % 15 == 0:
            save(root / f"Annotations/blueboy/{k:05d}.png", palette(square(k // 10) * 1 + square(k // 10, 4) * 2))


def ytvos18(root: Path) -> None:
    for k in range(0, 20, 5):
        photo(root / f"train/JPEGImages/003234408d/{k:05d}.jpg")
        save(root / f"train/Annotations/003234408d/{k:05d}.png", palette(square(k % 7) * 1 + square(k % 7, 4) * 1))
        photo(root / f"valid/JPEGImages/0062f687f1/{k:05d}.jpg")
    save(root / "valid/Annotations/0062f687f1/00000.png", palette(square(0) * 1))
    (root / "train/meta.json").write_text("{}")


def ytvos18_preprocessed(root: Path) -> None:
    ytvos18(root)
    (root / "ImageSets").mkdir()
    (root / "ImageSets/train.txt").write_text("003234408d\n")


def segtrackv2(root: Path) -> None:
    for k in range(3):
        photo(root / f"JPEGImages/birdfall/birdfall_{k:05d}.png")
        save(root / f"GroundTruth/birdfall/birdfall_{k:05d}.png", grey(square(k)))
        photo(root / f"JPEGImages/bmx/bmx_{k:05d}.bmp")
        save(root / f"GroundTruth/bmx/1/bmx_{k:05d}.png", grey(square(k, 4)))
        save(root / f"GroundTruth/bmx/2/bmx_{k:05d}.png", np.repeat(grey(square(k, 8))[..., None], 3, axis=2))


def segtrackv2_preprocessed(root: Path) -> None:
    for k in range(3):
        photo(root / f"JPEGImages/birdfall/{k:05d}.jpg")
        save(root / f"Annotations/birdfall/{k:05d}.png", grey(square(k)))


TREES: dict[str, tuple[str, Callable[[Path], None], dict[str, int]]] = {
    # what is made: dataset, how, annotated frames of each video
    "davis16": ("davis16", davis16, {"libby": 6}),
    "davis16 pre-processed": ("davis16", davis16_preprocessed, {"libby": 6}),
    "fbms": ("fbms", fbms, {"camel01": 2, "cars1": 2}),
    "fbms pre-processed": ("fbms", fbms_preprocessed, {"camel01": 2}),
    "ytobj": ("ytobj", ytobj, {"aeroplane/0001": 3, "cat/0002/003": 3, "cat/0002/004": 3}),
    "ytobj pre-processed": ("ytobj", ytobj_preprocessed, {"aeroplane/0001": 3, "cat/0002": 3, "cat/0003": 3}),
    "lvid": ("lvid", lvid, {"blueboy": 2}),
    "ytvos18": ("ytvos18", ytvos18, {"003234408d": 4}),
    "ytvos18 pre-processed": ("ytvos18", ytvos18_preprocessed, {"003234408d": 4}),
    "segtrackv2": ("segtrackv2", segtrackv2, {"birdfall": 3, "bmx": 3}),
    "segtrackv2 pre-processed": ("segtrackv2", segtrackv2_preprocessed, {"birdfall": 3}),
}
