"""`segmentation flows` as a user runs it: values, resuming, every kind of input, and a sentence for every mistake."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import xarray
import zarr

from pipeline.dataset.flow_store import FlowDataset
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError
from segmentation.commands import SOME_VIDEOS_FAILED
from segmentation.flow.raft import load_raft
from tests.conftest import ROOT
from tests.segmentation.commands import Command
from tests.segmentation.flow_videos import davis, write_frames
from tests.segmentation.stand_in_raft import moving_texture
from tests.segmentation.video_flows import read_flow


def contents(output: Path) -> dict[str, str]:
    return {
        str(path.relative_to(output)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(output.rglob("*"))
        if path.is_file() and path.name != "lock"
    }


def test_flow_of_each_frame_in_pixels(flows: Command, weights: Path, tmp_path: Path) -> None:
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


def test_the_same_command_does_what_is_missing(flows: Command, tmp_path: Path) -> None:
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


def test_stride(flows: Command, weights: Path, tmp_path: Path) -> None:
    frames = moving_texture(5)
    root = davis(tmp_path / "DAVIS", libby=frames, surf=frames[:2])
    code, printed = flows("--dataset", "davis16", "--root", root, "--stride", "2")
    assert code == 3
    assert "not done: surf: surf has 2 frames; flow with --stride 2 needs at least 3" in printed
    stored = [flow for _, flow in read_flow(str(tmp_path / "out.zarr"), "libby")]
    raft = load_raft(str(weights), iterations=1)
    expected = [raft(frames[[k, k + 2]])[0] for k in range(3)] + [-raft(frames[[k, k - 2]])[0] for k in (3, 4)]
    np.testing.assert_allclose(stored, expected, atol=1 / 128)


def test_other_settings_on_the_same_output_are_refused(flows: Command, tmp_path: Path) -> None:
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


def test_frames_that_changed_since_are_refused(flows: Command, tmp_path: Path) -> None:
    write_frames(tmp_path / "frames", moving_texture(3))
    assert flows("--video", tmp_path / "frames")[0] == 0
    whole = contents(tmp_path / "out.zarr")
    write_frames(tmp_path / "frames", moving_texture(3, seed=1))  # of the same names
    code, _ = flows("--video", tmp_path / "frames")
    assert "was begun with other settings" in str(code)
    assert contents(tmp_path / "out.zarr") == whole


def test_each_bad_video_is_named_and_the_others_are_done(flows: Command, tmp_path: Path) -> None:
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
    assert code == SOME_VIDEOS_FAILED
    assert "flow of 1 of 8 videos" in printed
    found = {line.split(": ")[1]: line for line in printed.splitlines() if line.startswith("not done: ")}
    expected = {
        "single": "has 1 frame; flow from each frame to the next needs at least 2",
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


def test_mistakes_in_the_command(flows: Command, tmp_path: Path) -> None:
    root = davis(tmp_path / "DAVIS", libby=moving_texture(2))
    assert "give one of --dataset with --root, --video and --pairs" in str(flows("--dataset", "davis16")[0])
    assert "those of raft-small, but raft-large was asked for" in str(
        flows("--dataset", "davis16", "--root", root, "--model", "raft-large")[0]
    )
    assert "unknown dataset 'davis'" in str(flows("--dataset", "davis", "--root", root)[0])
    assert not (tmp_path / "out.zarr").exists()


@pytest.mark.slow
def test_ray_gives_the_same_bytes(flows: Command, weights: Path, tmp_path: Path) -> None:
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
