"""`segmentation evaluate` as a user runs it: masks, scores, resuming, and a sentence for every mistake."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segmentation import cli
from segmentation.commands import SOME_VIDEOS_FAILED
from segmentation.data.source_names import Benchmark
from tests.conftest import ROOT, write_png
from tests.segmentation import trees
from tests.segmentation.commands import Command, Outcome, refusal
from tests.segmentation.drawn_videos import draw_davis, plain_mask, read_grey, read_rgb, save_small_network
from tests.segmentation.stand_in_raft import moving_texture
from tests.segmentation.video_flows import read_flow


@pytest.fixture
def evaluate(segmentation: Command, raft: Path, checkpoint: Path, tmp_path: Path) -> Command:
    """Run `segmentation evaluate` with a small network and small weights of RAFT."""

    def run(
        *datasets: str, network: Path = checkpoint, output: Path | None = None, options: tuple[object, ...] = ()
    ) -> Outcome:
        fixed = ["--checkpoint", network, "--output", output or tmp_path / "out", "--workers", "0", *options]
        fixed += ["--raft", raft, "--raft-iterations", "1"]
        named = [part for dataset in datasets for part in ("--dataset", dataset)]
        return segmentation("evaluate", *fixed, *named)

    return run


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(folder.rglob("*.png"))
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_masks_and_scores_without_given_flow(
    evaluate: Command, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = draw_davis(tmp_path / "DAVIS", libby=5, surf=3)
    code, printed = evaluate(f"davis16={root}")
    assert code == 0, printed
    out = tmp_path / "out"
    for video, frames in (("libby", 5), ("surf", 3)):
        flow = dict(read_flow(str(out / "flows/davis16.zarr"), video))
        assert len(list((out / "davis16" / video).iterdir())) == frames
        for name, flow_px in flow.items():
            expected = plain_mask(checkpoint, read_rgb(root / "JPEGImages/480p" / video / f"{name}.png"), flow_px)
            found = read_grey(out / "davis16" / video / f"{name}.png")
            assert 0.02 < (expected > 0).mean() < 0.98
            assert set(np.unique(found)) <= {0, 255}
            assert (found != expected).mean() < 1e-3  # the plain way sums in another order

    scores = json.loads((out / "scores.json").read_text())
    assert 0 <= scores["share of time the network waited for data"] <= 1
    assert "8 frames predicted" in printed
    assert "the network waited for data" in printed
    again = tmp_path / "again.json"
    arguments = ["--dataset", "davis16", "--root", root, "--predictions", out / "davis16", "--json", again]
    monkeypatch.setattr(sys, "argv", ["segmentation", "score", *map(str, arguments)])
    with pytest.raises(SystemExit):
        cli.main()
    assert scores["datasets"]["davis16"] == json.loads(again.read_text())

    assert "│ mine " in printed
    assert "│ HFAN, MiT-b1 │      86.2 │      87.1 │        86.7 │" in printed
    assert "2 of the 20 sequences" in " ".join(printed.split())
    for picture in ("davis16-scores.png", "davis16-worst.png"):
        assert read_rgb(out / picture).size


def test_the_same_command_predicts_what_is_missing(evaluate: Command, tmp_path: Path) -> None:
    root = draw_davis(tmp_path / "DAVIS", libby=4, surf=3)
    masks = tmp_path / "out/davis16"
    evaluate(f"davis16={root}")
    whole = hashes(masks)
    with Image.open(masks / "surf/00001.png") as mask:  # as davis2017-evaluation reads it
        assert mask.mode == "P"
        assert set(np.unique(np.array(mask))) == {0, 1}
        assert set(np.unique(np.array(mask.convert("L")))) == {0, 255}
    untouched = (masks / "libby/00000.png").stat().st_mtime_ns
    (masks / "surf/00001.png").unlink()
    code, printed = evaluate(f"davis16={root}")
    assert code == 0
    assert "3 frames predicted" in printed
    assert hashes(masks) == whole
    assert (masks / "libby/00000.png").stat().st_mtime_ns == untouched
    code, printed = evaluate(f"davis16={root}")
    assert code == 0
    assert "the network waited" not in printed
    assert not (tmp_path / "out/.unfinished").exists()


def test_videos_of_one_frame_are_named_and_the_others_are_scored(evaluate: Command, tmp_path: Path) -> None:
    root = draw_davis(tmp_path / "DAVIS", short=3, single=1)
    code, printed = evaluate(f"davis16={root}", options=("--flow", "dis"))
    assert code == SOME_VIDEOS_FAILED, printed
    sentence = "single has 1 frame; flow from each frame to the next needs at least 2"
    assert f"not predicted: davis16: single: {sentence}" in printed
    assert {path.split("/")[0] for path in hashes(tmp_path / "out/davis16")} == {"short"}
    scores = json.loads((tmp_path / "out/scores.json").read_text())
    assert list(scores["datasets"]["davis16"]["sequences"]) == ["short"]


def test_videos_of_two_frames_are_predicted_though_the_protocol_leaves_both_out(
    evaluate: Command, tmp_path: Path
) -> None:
    root = draw_davis(tmp_path / "both", pair=2, short=3)
    code, printed = evaluate(f"davis16={root}", output=tmp_path / "both-out", options=("--flow", "dis"))
    assert code == 0, printed
    scores = json.loads((tmp_path / "both-out/scores.json").read_text())["datasets"]["davis16"]
    assert list(scores["sequences"]) == ["short"]
    assert scores["notes"] == ["no ground truth that counts in 1 sequence: pair"]
    root = draw_davis(tmp_path / "DAVIS", pair=2)
    sentence = refusal(evaluate(f"davis16={root}", options=("--flow", "dis"))[0])
    assert "has more than two annotated frames, and the protocol davis16 leaves out the first and the last" in sentence
    assert sorted(hashes(tmp_path / "out/davis16")) == ["pair/00000.png", "pair/00001.png"]


def test_some_sequences_first_and_the_others_later(evaluate: Command, tmp_path: Path) -> None:
    root = tmp_path / "YTOBJ"
    trees.ytobj_preprocessed(root)
    dataset = f"ytobj={root}:{root}"
    code, printed = evaluate(dataset, options=("--sequences", "cat/*"))
    assert code == 0, printed
    assert {path.split("/")[0] for path in hashes(tmp_path / "out/ytobj")} == {"cat"}
    code, printed = evaluate(dataset, options=("--sequences", "aeroplane/0001"))
    assert code == 0
    assert "3 frames predicted" in printed
    scores = json.loads((tmp_path / "out/scores.json").read_text())["datasets"]["ytobj"]
    assert list(scores["sequences"]) == ["aeroplane/0001"]
    assert not scores["notes"]
    assert "--sequences dog/* chooses nothing in" in refusal(evaluate(dataset, options=("--sequences", "dog/*"))[0])


def test_several_datasets_with_flow_pictures(evaluate: Command, tmp_path: Path) -> None:
    fbms, ytobj = tmp_path / "FBMS", tmp_path / "YTOBJ"
    trees.fbms_preprocessed(fbms)
    trees.ytobj_preprocessed(ytobj)
    code, printed = evaluate(f"fbms={fbms}:{fbms}", f"ytobj={ytobj}:{ytobj}")
    assert code == 0, printed
    assert sorted(hashes(tmp_path / "out/fbms")) == ["camel01/00001.png", "camel01/00006.png"]
    assert len(hashes(tmp_path / "out/ytobj")) == 9
    assert (tmp_path / "out/ytobj/cat/0003/00021.png").is_file()
    scores = json.loads((tmp_path / "out/scores.json").read_text())["datasets"]
    assert {name: content["protocol"] for name, content in scores.items()} == {"fbms": "fbms", "ytobj": "ytobj"}
    assert "mean over classes" in scores["ytobj"]
    assert "fbms J" in printed
    assert "86.9" in printed


def test_the_network_can_see_larger_pictures_than_in_training(evaluate: Command, tmp_path: Path) -> None:
    trees.fbms_preprocessed(tmp_path / "FBMS")
    dataset = f"fbms={tmp_path / 'FBMS'}:{tmp_path / 'FBMS'}"
    for name, options in (("as trained", ()), ("64", ("--side-px", 64)), ("128", ("--side-px", 128))):
        assert evaluate(dataset, output=tmp_path / name, options=options)[0] == 0
    masks = [hashes(tmp_path / name / "fbms") for name in ("as trained", "64", "128")]
    assert masks[0] == masks[1] != masks[2]


def draw_sparse(root: Path, frames: int, step: int) -> None:
    """Write a YouTube-Objects tree of one video, of which every `step`-th frame has a mask."""
    folder = root / "aeroplane/data/0001/shots/001"
    for k, frame in enumerate(moving_texture(frames), 1):
        write_png(folder / f"images/frame{k:04d}.png", frame)
        if k % step == 1:
            mask = np.zeros(frame.shape[:2], np.uint8)
            mask[30:90, 20:80] = 255
            write_png(folder / f"labels/{k:04d}.png", mask)


def test_flow_is_estimated_for_frames_with_masks_alone(
    evaluate: Command, segmentation: Command, raft: Path, tmp_path: Path
) -> None:
    root, whole = tmp_path / "YTOBJ", tmp_path / "whole.zarr"
    draw_sparse(root, 11, 5)
    options = ["--raft", raft, "--raft-iterations", "1", "--workers", "0"]
    assert segmentation("flows", "--dataset", "ytobj", "--root", root, "--output", whole, *options)[0] == 0
    assert evaluate(f"ytobj={root}:{whole}", output=tmp_path / "all")[0] == 0
    (root / "aeroplane/data/0001/shots/001/images/frame0004.png").write_bytes(b"needed for no prediction")
    code, printed = evaluate(f"ytobj={root}")
    assert code == 0, printed
    assert "1 video, 3 frames to do" in printed
    stored = dict(read_flow(str(tmp_path / "out/flows/ytobj.zarr"), "aeroplane/0001"))
    expected = dict(read_flow(str(whole), "aeroplane/0001"))
    assert list(stored) == ["frame0001", "frame0006", "frame0011"]  # the last by the frame before it
    assert all((flow_px == expected[name]).all() for name, flow_px in stored.items())
    assert len(hashes(tmp_path / "out/ytobj")) == 3
    assert hashes(tmp_path / "out/ytobj") == hashes(tmp_path / "all/ytobj")


@pytest.mark.parametrize(("flow", "frames"), [("raft", 4), ("dis", 18)])  # 18 frames are two shards of flow
def test_predict_gives_the_masks_of_evaluate(
    evaluate: Command, segmentation: Command, raft: Path, checkpoint: Path, tmp_path: Path, flow: str, frames: int
) -> None:
    root = draw_davis(tmp_path / "DAVIS", libby=frames)
    assert evaluate(f"davis16={root}", options=("--flow", flow))[0] == 0
    options = ["--flow", flow, "--raft", raft, "--raft-iterations", "1", "--checkpoint", checkpoint]
    clip = root / "JPEGImages/480p/libby"
    assert segmentation("predict", clip, *options, "--output", tmp_path / "own")[0] == 0
    masks = hashes(tmp_path / "own/libby/masks")
    assert len(masks) == frames
    assert masks == hashes(tmp_path / "out/davis16/libby")


def test_other_settings_or_files_at_the_output_are_refused(evaluate: Command, tmp_path: Path) -> None:
    trees.fbms_preprocessed(tmp_path / "FBMS")
    dataset = f"fbms={tmp_path / 'FBMS'}:{tmp_path / 'FBMS'}"
    assert evaluate(dataset)[0] == 0
    other = save_small_network(tmp_path / "other", seed=1)
    message = refusal(evaluate(dataset, network=other)[0])
    assert "was begun with other settings" in message
    assert "checkpoint_sha256: " in message
    message = refusal(evaluate(dataset, options=("--side-px", 96))[0])
    assert "side_px: " in message
    (tmp_path / "mine/fbms").mkdir(parents=True)
    (tmp_path / "mine/fbms/thesis.txt").write_text("all my work")
    message = refusal(evaluate(dataset, output=tmp_path / "mine")[0])
    assert "holds other files (thesis.txt); choose another --output" in message
    assert (tmp_path / "mine/fbms/thesis.txt").exists()


def test_flow_that_is_not_there_or_does_not_fit(evaluate: Command, tmp_path: Path) -> None:
    root = tmp_path / "FBMS"
    trees.fbms_preprocessed(root)
    assert "nowhere does not exist; expected what" in refusal(evaluate(f"fbms={root}:{tmp_path / 'nowhere'}")[0])
    (tmp_path / "empty").mkdir()
    message = refusal(evaluate(f"fbms={root}:{tmp_path / 'empty'}")[0])
    assert "holds neither flows of FBMS-59 nor a folder TestSet/JPEGFlows" in message
    shutil.copytree(root, tmp_path / "flows")
    pictures = tmp_path / "flows/TestSet/JPEGFlows/camel01"
    for name in ("00001", "00006"):
        trees.save(pictures / f"{name}.jpg", np.zeros((18, 20, 3), np.uint8))
    code, printed = evaluate(f"fbms={root}:{tmp_path / 'flows'}", output=tmp_path / "out2")
    assert code == 0
    assert printed.count("such as camel01: images 32x24, flow 20x18; each is resized") == 1
    assert read_grey(tmp_path / "out2/fbms/camel01/00006.png").shape[:2] == (24, 32)
    (pictures / "00006.jpg").unlink()
    message = refusal(evaluate(f"fbms={root}:{tmp_path / 'flows'}", output=tmp_path / "out2")[0])
    assert "1 annotated frame of camel01 has no flow picture, the first is" in message
    assert "00006.jpg; or leave" in message


def test_a_damaged_video_does_not_stop_the_others(evaluate: Command, tmp_path: Path) -> None:
    root = tmp_path / "YTOBJ"
    trees.ytobj_preprocessed(root)
    (root / "JPEGImages/cat/0002/00011.jpg").write_bytes(b"no image")
    code, printed = evaluate(f"ytobj={root}:{root}")
    assert code == 3
    assert "not predicted: ytobj: cat/0002: frame" in printed
    assert "00011.jpg cannot be read: not an image" in printed
    scores = json.loads((tmp_path / "out/scores.json").read_text())
    assert set(scores["datasets"]["ytobj"]["sequences"]) == {"aeroplane/0001", "cat/0003"}
    assert "3 of 9 predictions are missing" in scores["datasets"]["ytobj"]["notes"][0]
    assert "cat/0002" in scores["not predicted"]["ytobj"]


def test_wrong_choices(evaluate: Command, tmp_path: Path) -> None:
    root = tmp_path / "FBMS"
    trees.fbms_preprocessed(root)
    assert "'fbms' names no videos; expected NAME=ROOT or NAME=ROOT:FLOWS" in refusal(evaluate("fbms")[0])
    assert "looks like FBMS-59 (--dataset fbms)" in refusal(evaluate(f"davis16={root}")[0])
    assert "named twice" in refusal(evaluate(f"fbms={root}:{root}", f"fbms={root}:{root}")[0])
    assert "--dataset ytvos18 has no protocol" in refusal(evaluate(f"ytvos18={root}")[0])
    assert "nowhere does not exist" in refusal(evaluate(f"fbms={root}:{root}", network=tmp_path / "nowhere")[0])
    assert not (tmp_path / "out/fbms").exists()
    assert Benchmark.parse("fbms=a/b:s3://bucket/flows.zarr") == Benchmark(
        "fbms", Path("a/b"), "s3://bucket/flows.zarr"
    )


@pytest.mark.slow
def test_ray_gives_the_same_masks(evaluate: Command, checkpoint: Path, tmp_path: Path) -> None:
    root = tmp_path / "YTOBJ"
    trees.ytobj_preprocessed(root)
    assert evaluate(f"ytobj={root}:{root}")[0] == 0
    command = [sys.executable, "-m", "segmentation.cli", "evaluate", "--dataset", f"ytobj={root}:{root}"]
    command += ["--checkpoint", str(checkpoint), "--workers", "2", "--output", str(tmp_path / "ray")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "each cpu" in done.stderr
    assert hashes(tmp_path / "ray/ytobj") == hashes(tmp_path / "out/ytobj")
