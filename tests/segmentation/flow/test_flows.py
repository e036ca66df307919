"""`segmentation flows` as a user runs it: values, resuming, every kind of input, and a sentence for every mistake."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import xarray
import zarr

from flowsim import flow_to_rgb
from pipeline.dataset.flow_store import FlowDataset
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError
from segmentation import cli
from segmentation.flow.raft import load_raft
from tests.conftest import ROOT
from tests.segmentation.stand_in_raft import moving_texture, save_checkpoint
from tests.segmentation.video_flows import read_flow

Flows = Callable[..., tuple[int | str | None, str]]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("weights") / "small.pth", "raft_small")


@pytest.fixture
def flows(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Flows:
    """Run the command; return exit code or error message, and what was printed."""

    def run(*arguments: str | Path, output: Path | None = None) -> tuple[int | str | None, str]:
        fixed = [
            "--raft",
            weights,
            "--raft-iterations",
            "1",
            "--workers",
            "0",
            "--output",
            output or tmp_path / "out.zarr",
        ]
        monkeypatch.setattr(sys, "argv", ["segmentation", "flows", *map(str, [*fixed, *arguments])])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        printed = capsys.readouterr()
        return stopped.value.code, printed.out + printed.err

    return run


def write_frames(folder: Path, frames: np.ndarray, extension: str = ".png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for k, frame in enumerate(frames):
        (folder / f"{k:05d}{extension}").write_bytes(cv2.imencode(extension, frame[..., ::-1])[1].tobytes())


def davis(root: Path, **videos: np.ndarray) -> Path:
    for name, frames in videos.items():
        write_frames(root / "JPEGImages/480p" / name, frames)
        write_frames(root / "Annotations/480p" / name, np.zeros_like(frames))
    lists = root / "ImageSets/480p"
    lists.mkdir(parents=True, exist_ok=True)
    (lists / "val.txt").write_text("".join(f"{name}\n" for name in videos))
    return root


def contents(output: Path) -> dict[str, str]:
    return {
        str(path.relative_to(output)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(output.rglob("*"))
        if path.is_file() and path.name != "lock"
    }


def test_flow_of_each_frame_in_pixels(flows: Flows, weights: Path, tmp_path: Path) -> None:
    videos = {"libby": moving_texture(18), "surf": moving_texture(3, 136, 176, seed=1)}
    root = davis(tmp_path / "DAVIS", **videos)
    code, printed = flows("--dataset", "davis16", "--root", root)
    assert code == 0, printed
    assert "flow of 2 of 2 videos, 21 frames made" in printed
    raft = load_raft(str(weights), iterations=1)
    for name, frames in videos.items():
        stored = xarray.open_zarr(tmp_path / "out.zarr" / name)
        flow = stored["flow"].values
        assert list(stored["frame"].values) == [f"{k:05d}" for k in range(len(frames))]
        np.testing.assert_allclose(flow[:-1], raft(frames), atol=1 / 128)
        np.testing.assert_allclose(flow[-1], -raft(frames[[-1, -2]])[0], atol=1 / 128)
        for (frame, values), expected in zip(read_flow(str(tmp_path / "out.zarr"), name), flow, strict=True):
            assert frame in stored["frame"].values
            assert (values == expected).all()
    group = zarr.open_group(tmp_path / "out.zarr", mode="r")
    assert sorted(name for name, _ in group.groups()) == ["libby", "surf"]  # a warning would be an error
    assert group["libby/flow"].shape == (18, 128, 160, 2)
    assert group["libby/flow"].attrs["units"] == "pixel"
    assert group["libby/flow"].attrs["last_frames"] == "minus the flow to the frame `stride` before"
    about = group["libby"].attrs["fakeflow"]
    assert about["weights"] == "small.pth"
    assert about["settings"]["weights_sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert about["settings"]["network"] == "raft-small"
    assert about["origin"] == {"dataset": "DAVIS-2016", "licence": "CC BY-NC 4.0"}


def test_the_same_command_does_what_is_missing(flows: Flows, tmp_path: Path) -> None:
    root = davis(tmp_path / "DAVIS", libby=moving_texture(18), surf=moving_texture(2, seed=1))
    output = tmp_path / "out.zarr"
    arguments = ("--dataset", "davis16", "--root", root)
    flows(*arguments)
    whole = contents(output)
    store = FlowDataset.open(str(output)).video("libby")
    assert store.layout.shard_count == 2
    (output / "libby/.fakeflow/commits/000001.json").unlink()
    (output / "libby/flow/c/1/0/0/0").write_bytes(b"half a shard")
    (output / "libby/flow/c/1/0/0/0.partial").write_bytes(b"stray")
    assert not store.is_complete()
    code, printed = flows(*arguments)
    assert code == 0
    assert "2 frames made in this run" in printed
    assert contents(output) == whole
    shutil.rmtree(output / "surf")
    assert "2 frames made in this run" in flows(*arguments)[1]
    assert contents(output) == whole


def test_stride(flows: Flows, weights: Path, tmp_path: Path) -> None:
    frames = moving_texture(5)
    root = davis(tmp_path / "DAVIS", libby=frames, surf=frames[:2])
    code, printed = flows("--dataset", "davis16", "--root", root, "--stride", "2")
    assert code == 3
    assert "not done: surf: surf has 2 frames; flow with --stride 2 needs 3" in printed
    stored = [flow for _, flow in read_flow(str(tmp_path / "out.zarr"), "libby")]
    raft = load_raft(str(weights), iterations=1)
    expected = [raft(frames[[k, k + 2]])[0] for k in range(3)] + [-raft(frames[[k, k - 2]])[0] for k in (3, 4)]
    np.testing.assert_allclose(stored, expected, atol=1 / 128)


def test_other_settings_on_the_same_output_are_refused(flows: Flows, tmp_path: Path) -> None:
    root = davis(tmp_path / "DAVIS", libby=moving_texture(2))
    assert flows("--dataset", "davis16", "--root", root)[0] == 0
    code, _ = flows("--dataset", "davis16", "--root", root, "--raft-iterations", "2")
    assert isinstance(code, str)
    assert "was begun with other settings" in code
    assert "iterations: 1 -> 2" in code
    with pytest.raises(PipelineError, match="holds flows of videos, not photos"):
        DatasetStore.open(str(tmp_path / "out.zarr"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").write_text("text")
    assert "is a folder with other files" in str(
        flows("--dataset", "davis16", "--root", root, output=tmp_path / "mine")[0]
    )


def test_frames_that_changed_since_are_refused(flows: Flows, tmp_path: Path) -> None:
    write_frames(tmp_path / "frames", moving_texture(3))
    assert flows("--video", tmp_path / "frames")[0] == 0
    whole = contents(tmp_path / "out.zarr")
    write_frames(tmp_path / "frames", moving_texture(3, seed=1))  # of the same names
    code, _ = flows("--video", tmp_path / "frames")
    assert "was begun with other settings" in str(code)
    assert contents(tmp_path / "out.zarr") == whole


def test_each_bad_video_is_named_and_the_others_are_done(flows: Flows, tmp_path: Path) -> None:
    names = ("good", "single", "sizes", "gap", "damaged", "orphan", "tiny")
    root = davis(tmp_path / "DAVIS", **{name: moving_texture(4) for name in names})
    folder = root / "JPEGImages/480p"
    for path in sorted((folder / "single").iterdir())[1:]:
        path.unlink()
    shutil.rmtree(root / "Annotations/480p/single")
    write_frames(folder / "tiny", moving_texture(4, 100, 160))
    (folder / "sizes/00002.png").write_bytes(cv2.imencode(".png", moving_texture(1, 136, 160)[0])[1].tobytes())
    for kind in ("JPEGImages", "Annotations"):
        (root / kind / "480p/gap/00002.png").unlink()
    (folder / "damaged/00001.png").write_bytes((folder / "damaged/00001.png").read_bytes()[:2000])
    (folder / "orphan/00003.png").unlink()
    with (root / "ImageSets/480p/val.txt").open("a") as file:
        file.write("ghost\n")
    code, printed = flows("--dataset", "davis16", "--root", root)
    assert code == cli.SOME_VIDEOS_FAILED
    assert "flow of 1 of 8 videos" in printed
    found = {line.split(": ")[1]: line for line in printed.splitlines() if line.startswith("not done: ")}
    expected = {
        "single": "has 1 frame; flow with --stride 1 needs 2",
        "sizes": "frame 00002 is 160x136, the first frame 160x128",
        "gap": "images missing between others",
        "damaged": "damaged/00001.png cannot be read",
        "orphan": "masks without an image",
        "tiny": "frames are 160x100; RAFT needs 128 px",
        "ghost": "listed for val, but absent",
    }
    assert found.keys() == expected.keys()
    for name, sentence in expected.items():
        assert sentence in found[name]
    assert len(list(read_flow(str(tmp_path / "out.zarr"), "good"))) == 4

    write_frames(folder / "damaged", moving_texture(4))
    (folder / "orphan/00003.png").write_bytes((folder / "good/00003.png").read_bytes())
    _, printed = flows("--dataset", "davis16", "--root", root, "--upscale", output=tmp_path / "again.zarr")
    assert "flow of 4 of 8 videos" in printed


def write_clip(path: Path, frames: np.ndarray) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 25.0, (frames.shape[2], frames.shape[1]))
    for frame in frames:
        writer.write(frame[..., ::-1])
    writer.release()
    return path


def test_a_video_file_and_a_folder_of_frames(flows: Flows, weights: Path, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", moving_texture(18))
    capture = cv2.VideoCapture(str(clip))
    decoded = np.stack([capture.read()[1][..., ::-1] for _ in range(18)])
    write_frames(tmp_path / "frames", decoded)
    assert flows("--video", clip)[0] == 0
    assert flows("--video", tmp_path / "frames")[0] == 0
    output = str(tmp_path / "out.zarr")
    of_clip, of_folder = (list(read_flow(output, name)) for name in ("clip", "frames"))
    assert [name for name, _ in of_clip] == [f"{k:05d}" for k in range(18)]
    for (_, first), (_, second) in zip(of_clip, of_folder, strict=True):
        assert (first == second).all()
    np.testing.assert_allclose(of_clip[16][1], load_raft(str(weights), iterations=1)(decoded[16:])[0], atol=1 / 128)


def test_videos_that_cannot_be_opened(flows: Flows, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", moving_texture(12))
    content = clip.read_bytes()
    clip.write_bytes(content[: len(content) // 2])
    assert "clip.mp4 is no video that can be decoded: the container is damaged" in str(flows("--video", clip)[0])
    assert "does not exist; expected a video file, a folder" in str(flows("--video", tmp_path / "absent.mp4")[0])
    (tmp_path / "empty").mkdir()
    assert "holds no images" in str(flows("--video", tmp_path / "empty")[0])
    write_frames(tmp_path / "frames", moving_texture(5))
    (tmp_path / "frames/00002.png").unlink()
    assert "images missing between others" in str(flows("--video", tmp_path / "frames")[0])
    assert "number 2" in str(flows("--video", tmp_path / "frames")[0])


def test_mistakes_in_the_command(flows: Flows, tmp_path: Path) -> None:
    root = davis(tmp_path / "DAVIS", libby=moving_texture(2))
    assert "either --dataset with --root, or --video" in str(flows("--dataset", "davis16")[0])
    assert "those of raft-small, but raft-large was asked for" in str(
        flows("--dataset", "davis16", "--root", root, "--model", "raft-large")[0]
    )
    assert "unknown dataset 'davis'" in str(flows("--dataset", "davis", "--root", root)[0])
    assert not (tmp_path / "out.zarr").exists()


def test_sequences_that_were_asked_for_and_done_are_a_success(flows: Flows, tmp_path: Path) -> None:
    root = davis(tmp_path / "DAVIS", libby=moving_texture(2), surf=moving_texture(2, seed=1))
    (root / "ImageSets/480p/val.txt").write_text("libby\nsurf\nbear\n")
    arguments = ("--dataset", "davis16", "--root", root)
    code, printed = flows(*arguments, "--sequences", "lib*")
    assert code == 0, printed
    assert "flow of 1 of 1 video, 2 frames made" in printed
    code, printed = flows(*arguments, "--sequences", "libby, s?rf")
    assert code == 0
    assert "flow of 2 of 2 videos, 2 frames made" in printed
    code, printed = flows(*arguments, "--sequences", "libby", "--sequences", "bear")
    assert code == 3
    assert "not done: bear: listed for val, but absent" in printed
    message = str(flows(*arguments, "--sequences", "libby,lobby")[0])
    assert "--sequences lobby chooses nothing in" in message
    assert "expected names or patterns of its sequences: bear, libby, surf" in message
    assert "leave it out with --video" in str(flows("--video", tmp_path, "--sequences", "libby")[0])


def test_pictures_for_the_published_code(flows: Flows, tmp_path: Path) -> None:
    root = davis(tmp_path / "DAVIS", libby=moving_texture(3))
    assert flows("--dataset", "davis16", "--root", root)[0] == 0
    assert flows("--dataset", "davis16", "--root", root, "--jpeg", tmp_path / "DAVIS")[0] == 0
    folder = tmp_path / "DAVIS/JPEGFlows/480p/libby"
    assert sorted(path.name for path in folder.iterdir()) == ["00000.jpg", "00001.jpg", "00002.jpg"]
    for name, flow in read_flow(str(tmp_path / "out.zarr"), "libby"):
        picture = cv2.imread(str(folder / f"{name}.jpg"))[..., ::-1].astype(int)
        assert np.abs(picture - flow_to_rgb(flow)).mean() < 4
    kept = (folder / "00001.jpg").stat().st_mtime_ns
    (folder / "00000.jpg").unlink()
    assert flows("--dataset", "davis16", "--root", root, "--jpeg", tmp_path / "DAVIS")[0] == 0
    assert (folder / "00000.jpg").exists()
    assert (folder / "00001.jpg").stat().st_mtime_ns == kept


def test_videos_in_classes_and_splits(flows: Flows, tmp_path: Path) -> None:
    root = tmp_path / "YTOBJ"
    for name in ("cat/0002", "dog/0001"):
        write_frames(root / "JPEGImages" / name, moving_texture(2))
        write_frames(root / "Annotations" / name, np.zeros((2, 128, 160, 3), np.uint8))
    assert flows("--dataset", "ytobj", "--root", root, "--jpeg", root)[0] == 0
    assert (root / "JPEGFlows/cat/0002/00001.jpg").exists()
    assert zarr.open_group(tmp_path / "out.zarr", mode="r")["cat/0002/flow"].shape == (2, 128, 160, 2)
    root = tmp_path / "FBMS"
    for split, name in (("Testset", "camel01"), ("Trainingset", "bear01")):
        write_frames(root / split / name, moving_texture(2))
        write_frames(root / split / name / "GroundTruth", np.zeros((1, 128, 160, 3), np.uint8))
    assert flows("--dataset", "fbms", "--root", root, "--jpeg", tmp_path / "pre")[0] == 0
    assert (tmp_path / "pre/TestSet/JPEGFlows/camel01/00000.jpg").exists()
    assert len(list(read_flow(str(tmp_path / "out.zarr"), "bear01"))) == 2


@pytest.mark.slow
def test_ray_gives_the_same_bytes(flows: Flows, weights: Path, tmp_path: Path) -> None:
    root = davis(tmp_path / "DAVIS", libby=moving_texture(18), surf=moving_texture(3, seed=1))
    assert flows("--dataset", "davis16", "--root", root)[0] == 0
    command = [sys.executable, "-m", "segmentation.cli", "flows", "--dataset", "davis16", "--root", root]
    command += ["--raft", weights, "--raft-iterations", "1", "--workers", "2", "--output", tmp_path / "ray.zarr"]
    done = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "ray.zarr") == contents(tmp_path / "out.zarr")
