"""Mistakes of users: no traceback, no usable sample lost, and a sentence that helps."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import zarr
from PIL import Image

from pipeline.dataset import schema
from pipeline.dataset.store import DatasetStore
from tests.conftest import ROOT, MakeDuts, draw_scene, write_png
from tests.pipeline.conftest import Command, Done
from tests.pipeline.drawn_dataset import contents

SMALL = ["--workers", "0", "--depth-model", "tiny-dpt", "--max-side", "96", "--samples-per-shard", "4"]


@pytest.fixture
def pipeline_run(tmp_path: Path, pipeline: Command) -> Command:
    """Run `pipeline run` on small photos."""

    def command(*arguments: str, output: Path | None = None) -> Done:
        return pipeline("run", "--output", output or tmp_path / "out.zarr", *SMALL, *arguments)

    return command


def put_photo(root: Path, stem: str, content: bytes, suffix: str = ".jpg") -> None:
    _, mask = draw_scene(1)
    (root / "DUTS-TR/DUTS-TR-Image" / f"{stem}{suffix}").write_bytes(content)
    write_png(root / "DUTS-TR/DUTS-TR-Mask" / f"{stem}.png", mask)


def encoded(mode: str, suffix: str, **options: object) -> bytes:
    import io

    photo, _ = draw_scene(1)
    stream = io.BytesIO()
    picture = Image.fromarray(photo)
    picture = picture.convert("P", palette=Image.Palette.ADAPTIVE) if mode == "P" else picture.convert(mode)
    picture.save(stream, {".jpg": "JPEG", ".png": "PNG"}[suffix], **options)
    return stream.getvalue()


def test_bad_photos_are_listed_and_good_ones_kept(make_duts: MakeDuts, tmp_path: Path, pipeline_run: Command) -> None:
    root = make_duts(3)
    jpeg = encoded("RGB", ".jpg")
    bad = {
        "bad_truncated": (jpeg[: len(jpeg) // 2], "truncated"),
        "bad_empty": (b"", "empty_file"),
        "bad_text": (b"this is no photo", "not_an_image"),
        "bad_tiny": (cv2.imencode(".jpg", np.zeros((1, 1, 3), np.uint8))[1].tobytes(), "too_small"),
    }
    for stem, (content, _) in bad.items():
        put_photo(root, stem, content)
    put_photo(root, "mask_of_another_size", encoded("RGB", ".jpg"))
    write_png(root / "DUTS-TR/DUTS-TR-Mask/mask_of_another_size.png", draw_scene(1, 200, 50)[1])

    done = pipeline_run("--input", str(root))
    assert done.returncode == 3
    assert "3 of 8 photos usable" in done.stdout
    assert "5 photos failed; --max-failures allows 0." in done.stderr
    store = DatasetStore.open(str(tmp_path / "out.zarr"))
    failures = {failure.id: failure for failure in store.failures()}
    assert {stem: failures[stem].reason for stem in bad} == {stem: reason for stem, (_, reason) in bad.items()}
    assert failures["mask_of_another_size"].reason == "mask_size"
    assert all(f"{failure.id}" in failure.message for failure in failures.values())
    status = dict(zip(store.read("id", slice(None)), store.read("status", slice(None)), strict=True))
    assert {str(name) for name, state in status.items() if state == schema.USABLE} == {
        f"scene_{i:03d}" for i in range(3)
    }
    again = pipeline_run("--input", str(root), "--max-failures", "5")
    assert again.returncode == 0


def test_retry_failed_does_those_alone(make_duts: MakeDuts, tmp_path: Path, pipeline_run: Command) -> None:
    root = make_duts(3)
    put_photo(root, "mended", b"")
    assert pipeline_run("--input", str(root)).returncode == 3
    put_photo(root, "mended", encoded("RGB", ".jpg"))
    done = pipeline_run("--input", str(root), "--retry-failed")
    assert done.returncode == 0, done.stderr
    assert "4 of 4 photos usable, 1 in this run" in done.stdout
    fresh = tmp_path / "fresh.zarr"
    assert pipeline_run("--input", str(root), output=fresh).returncode == 0
    for name in ("image", "mask", "inverse_depth", "flow", "motion", "id", "size", "status"):
        made, wanted = (zarr.open_group(str(place), mode="r")[name][:] for place in (tmp_path / "out.zarr", fresh))
        assert (made == wanted).all(), name


def test_failures_beyond_the_first_shard_keep_their_rows_and_are_tried_again(
    make_duts: MakeDuts, tmp_path: Path, pipeline_run: Command
) -> None:
    root, output = make_duts(10), tmp_path / "out.zarr"
    photos = root / "DUTS-TR/DUTS-TR-Image"
    whole = {row: (photos / f"scene_{row:03d}.png").read_bytes() for row in (5, 6, 9)}

    def failed_rows() -> list[int]:
        store = DatasetStore.open(str(output))
        rows = np.flatnonzero(store.read("status", slice(None)) == schema.FAILED).tolist()
        assert [(failure.row, failure.id) for failure in store.failures()] == [
            (row, f"scene_{row:03d}") for row in rows
        ]
        return rows

    for row in whole:
        (photos / f"scene_{row:03d}.png").write_bytes(b"")
    assert pipeline_run("--input", str(root)).returncode == 3
    assert failed_rows() == [5, 6, 9]
    (photos / "scene_006.png").write_bytes(whole[6])
    done = pipeline_run("--input", str(root), "--retry-failed", "--max-failures", "2")
    assert done.returncode == 0, done.stderr
    assert "7 photos are done already" in done.said
    assert failed_rows() == [5, 9]
    for row in (5, 9):
        (photos / f"scene_{row:03d}.png").write_bytes(whole[row])
    done = pipeline_run("--input", str(root), "--retry-failed")
    assert "8 photos are done already" in done.said
    assert "10 of 10 photos usable, 2 in this run" in done.stdout
    assert pipeline_run("--input", str(root), output=tmp_path / "fresh.zarr").returncode == 0
    assert contents(output) == contents(tmp_path / "fresh.zarr")


def test_every_kind_of_picture_that_people_call_a_photo(make_duts: MakeDuts, pipeline_run: Command) -> None:
    root = make_duts(1)
    put_photo(root, "grey", encoded("L", ".jpg"))
    put_photo(root, "cmyk", encoded("CMYK", ".jpg"))
    put_photo(root, "palette", encoded("P", ".png"), ".png")
    put_photo(root, "rgba", encoded("RGBA", ".png"), ".png")
    put_photo(root, "sixteen_bit", cv2.imencode(".png", draw_scene(1)[0].astype(np.uint16) * 257)[1].tobytes(), ".png")
    put_photo(root, "größe 写真", encoded("RGB", ".jpg"))
    exif = Image.Exif()
    exif[0x0112] = 6
    put_photo(root, "rotated", encoded("RGB", ".jpg", exif=exif))
    mask = draw_scene(1)[1]
    write_png(root / "DUTS-TR/DUTS-TR-Mask/grey.png", np.repeat(mask[..., None], 3, 2))
    huge = np.zeros((6000, 8000, 3), np.uint8)
    huge[2000:4000, 2000:4000] = 200
    put_photo(root, "huge", cv2.imencode(".jpg", huge)[1].tobytes())
    write_png(root / "DUTS-TR/DUTS-TR-Mask/huge.png", cv2.resize(huge[..., 0], (96, 72)))
    done = pipeline_run("--input", str(root))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "9 of 9 photos usable" in done.stdout


@pytest.mark.parametrize(
    ("prepare", "arguments", "message"),
    [
        (lambda p: None, ["--input", "{p}/absent"], "does not exist"),
        (lambda p: (p / "empty").mkdir(), ["--input", "{p}/empty"], "is empty"),
        (lambda p: None, ["--input", "{p}/DUTS/DUTS-TR/DUTS-TR-Image"], "pass the folder that holds both"),
        (lambda p: (p / "DUTS/DUTS-TR/DUTS-TR-Mask/scene_001.png").unlink(), ["--input", "{p}/DUTS"], "have no mask"),
        (
            lambda p: write_png(p / "DUTS/DUTS-TR/DUTS-TR-Image/scene_001.jpg", draw_scene(0)[0]),
            ["--input", "{p}/DUTS"],
            "two files with the stem",
        ),
        (lambda p: None, ["--input", "{p}/DUTS", "--motion", "wobble"], "no motion preset 'wobble'"),
        (lambda p: None, ["--input", "{p}/DUTS", "--motions", "0"], "--motions is 0; expected at least 1"),
        (lambda p: None, ["--input", "{p}/DUTS", "--depth-model", "no such model"], "tiny-dpt"),
        (lambda p: None, ["--input", "{p}/DUTS", "--config", "{p}/absent.toml"], "cannot be read as TOML"),
        (lambda p: (p / "a.toml").write_text("sead = 1"), ["--config", "{p}/a.toml"], "unknown setting 'sead'"),
        (lambda p: (p / "a.toml").write_text("seed = 'x'"), ["--config", "{p}/a.toml"], "has the wrong type"),
    ],
)
def test_a_mistake_gets_one_sentence(
    make_duts: MakeDuts,
    tmp_path: Path,
    pipeline_run: Command,
    prepare: Callable[[Path], object],
    arguments: list[str],
    message: str,
) -> None:
    make_duts(2)
    prepare(tmp_path)
    done = pipeline_run(*(argument.format(p=tmp_path) for argument in arguments))
    assert done.returncode == 1
    assert message in done.stderr
    assert any(line.startswith("error: ") for line in done.stderr.splitlines())
    assert not (tmp_path / "out.zarr").exists()


def test_photos_without_masks_are_used_when_said(make_duts: MakeDuts, tmp_path: Path, pipeline_run: Command) -> None:
    root = make_duts(2)
    (root / "DUTS-TR/DUTS-TR-Mask/scene_001.png").unlink()
    done = pipeline_run("--input", str(root), "--allow-missing-masks", "--motion", "camera+object")
    assert done.returncode == 0, done.stderr
    assert not DatasetStore.open(str(tmp_path / "out.zarr")).read("mask", 1).any()


def test_masks_without_photo_are_noted(make_duts: MakeDuts, pipeline_run: Command) -> None:
    root = make_duts(2)
    (root / "DUTS-TR/DUTS-TR-Image/scene_001.png").unlink()
    done = pipeline_run("--input", str(root))
    assert done.returncode == 0
    assert "1 masks without a photo" in done.stderr


def test_outputs_that_are_something_else_are_left_alone(
    make_duts: MakeDuts, tmp_path: Path, pipeline_run: Command
) -> None:
    root = str(make_duts(1))
    zarr.create_group(str(tmp_path / "foreign.zarr"))
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/thesis.tex").write_text("mine")
    for name, message in [
        ("foreign.zarr", "fakeflow did not write"),
        ("file", "is a file, not a dataset"),
        ("folder", "a folder with other files"),
    ]:
        done = pipeline_run("--input", root, output=tmp_path / name)
        assert done.returncode == 1
        assert message in done.stderr
    assert (tmp_path / "file").read_text() == "mine"
    assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == ["thesis.tex"]


def test_no_permission_to_write(make_duts: MakeDuts, pipeline_run: Command) -> None:
    done = pipeline_run("--input", str(make_duts(1)), output=Path("/proc/dutsv2.zarr"))
    assert done.returncode == 1
    assert "/proc/dutsv2.zarr: cannot write" in done.stderr


def test_full_disk_keeps_what_is_done_and_resumes(make_duts: MakeDuts, tmp_path: Path, pipeline_run: Command) -> None:
    root = make_duts(9)
    code = (
        "import resource, pipeline.making.worker, numba\n"  # what may write caches does so before the limit
        "from pipeline.cli import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (24_000, 24_000))\n"
        "main()\n"
    )
    options = ["--input", str(root), "--motion", "camera+object"]  # metadata that are smaller than the limit
    arguments = ["run", "--output", str(tmp_path / "out.zarr"), *SMALL, *options]
    environment = {**os.environ, "NUMBA_DISABLE_CACHING": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "no space left" in done.stderr
    assert "run the same command again" in done.stderr
    assert not DatasetStore.open(str(tmp_path / "out.zarr")).committed()
    assert pipeline_run(*options).returncode == 0
    assert len(DatasetStore.open(str(tmp_path / "out.zarr")).committed()) == 3


def test_values_are_checked_before_anything_is_listed_or_loaded(pipeline: Command, tmp_path: Path) -> None:
    for option, value, said in (
        ("--motion", "davies", "error: --motion davies: no motion preset 'davies'; there are: "),
        ("--motion", "mine.toml", "error: --motion mine.toml: it cannot be read (No such file or directory)."),
        ("--limit", "0", "error: --limit is 0; expected at least 1."),
    ):
        done = pipeline("run", "--input", tmp_path / "absent", "--output", tmp_path / "out.zarr", option, value)
        assert done.returncode == 1
        assert done.stderr.startswith(said)
    heavy = "import sys; sys.argv = ['pipeline', 'run', '--input', 'absent', '--output', 'out', '--motion', 'davies']\n"
    heavy += "try:\n    from pipeline.cli import main; main()\n"
    heavy += "finally:\n    assert not {'torch', 'zarr', 'ray', 'fsspec'} & sys.modules.keys(), 'loaded'"
    done = subprocess.run([sys.executable, "-c", heavy], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr.startswith("error: --motion davies"), done.stderr
