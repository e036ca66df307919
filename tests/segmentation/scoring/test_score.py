"""`segmentation score` as a user runs it: right numbers by every protocol, and a sentence for every mistake."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from segmentation.scoring.protocols import PROTOCOLS, protocol_for
from segmentation.videos.datasets import open_dataset
from tests.conftest import ROOT, SHARED
from tests.segmentation import slow_measures, trees
from tests.segmentation.commands import refusal
from tests.segmentation.score_command import Score, predict


def test_davis_leaves_out_the_first_and_the_last_frame(davis: Path, tmp_path: Path, score: Score) -> None:
    predict(tmp_path / "out", "libby", {0: 9, 1: 2, 2: 3, 3: 4, 4: 2, 5: 9})
    code, scores, printed = score("davis16", davis, tmp_path / "out")
    assert code == 0
    assert "davis16" in printed
    assert "all annotated frames but the first and the last" in printed
    assert scores["protocol"] == "davis16"
    libby = scores["sequences"]["libby"]
    assert libby["per_frame"]["frame"] == ["00001", "00002", "00003", "00004"]
    frames = [(trees.square(k + shift), trees.square(k + 2)) for k, shift in ((1, 2), (2, 3), (3, 4), (4, 2))]
    region = [slow_measures.region_similarity(*pair) for pair in frames]
    contour = [slow_measures.boundary_accuracy(*pair) for pair in frames]
    assert libby["per_frame"]["J"] == pytest.approx(region)
    assert libby["per_frame"]["F"] == pytest.approx(contour)
    assert libby["J"]["mean"] == pytest.approx(np.mean(region))
    assert libby["J"]["decay"] == pytest.approx(slow_measures.published_decay(np.array(region)))
    assert scores["mean"]["J&F"] == pytest.approx((np.mean(region) + np.mean(contour)) / 2)

    code, scores, _ = score("davis16", davis, tmp_path / "out", "--protocol", "davis16-all-frames")
    assert scores["protocol"] == "davis16-all-frames"
    assert scores["sequences"]["libby"]["frames"] == 6


def test_chosen_sequences_alone_are_scored(tmp_path: Path, score: Score) -> None:
    trees.ytobj_preprocessed(tmp_path / "YTOBJ")
    for video in ("aeroplane/0001", "cat/0002"):
        for frame in (1, 11, 21):
            trees.save(tmp_path / f"out/{video}/{frame:05d}.png", trees.grey(trees.square(frame % 7)))
    code, scores, printed = score("ytobj", tmp_path / "YTOBJ", tmp_path / "out", "--sequences", "cat/0002,aero*")
    assert code == 0, printed
    assert list(scores["sequences"]) == ["aeroplane/0001", "cat/0002"]
    code, scores, _ = score("ytobj", tmp_path / "YTOBJ", tmp_path / "out", "--sequences", "*/0002")
    assert code == 0
    assert list(scores["sequences"]) == ["cat/0002"]
    code, *_ = score("ytobj", tmp_path / "YTOBJ", tmp_path / "out", "--sequences", "cat")
    assert "--sequences cat chooses nothing in" in refusal(code)


def test_youtube_objects_has_means_over_sequences_and_over_classes(tmp_path: Path, score: Score) -> None:
    trees.ytobj_preprocessed(tmp_path / "YTOBJ")
    for video, shift in (("aeroplane/0001", 0), ("cat/0002", 2), ("cat/0003", 4)):
        for frame in (1, 11, 21):
            trees.save(tmp_path / f"out/{video}/{frame:05d}.png", trees.grey(trees.square(frame % 7 + shift)))
    code, scores, printed = score("ytobj", tmp_path / "YTOBJ", tmp_path / "out")
    assert code == 0
    near, far = (slow_measures.region_similarity(trees.square(0), trees.square(shift)) for shift in (2, 4))
    assert scores["mean"]["J"]["mean"] == pytest.approx((1 + near + far) / 3)
    assert scores["classes"]["cat"]["J"]["mean"] == pytest.approx((near + far) / 2)
    assert scores["mean over classes"]["J"]["mean"] == pytest.approx((1 + (near + far) / 2) / 2)
    assert "F" not in scores["mean"]
    assert "mean over classes" in printed


def test_frames_without_an_object_are_left_out_by_fbms_and_count_in_davis(
    davis: Path, tmp_path: Path, score: Score
) -> None:
    nothing = np.zeros(trees.SIZE, np.uint8)
    trees.fbms_preprocessed(tmp_path / "FBMS")
    trees.save(tmp_path / "FBMS/TestSet/Annotations/camel01/00006.png", nothing)
    predict(tmp_path / "fbms", "camel01", {1: 0, 6: 0})
    _, scores, _ = score("fbms", tmp_path / "FBMS", tmp_path / "fbms")
    assert scores["sequences"]["camel01"]["frames"] == 1
    trees.save(tmp_path / "FBMS/TestSet/Annotations/camel01/00001.png", nothing)
    code, *_ = score("fbms", tmp_path / "FBMS", tmp_path / "fbms")
    assert "has an object in the ground truth" in refusal(code)

    predict(tmp_path / "davis", "libby", dict.fromkeys(range(6), 2))
    for frame in (1, 2):
        trees.save(davis / f"Annotations/480p/libby/{frame:05d}.png", nothing)
    trees.save(tmp_path / "davis/libby/00001.png", nothing)
    _, scores, _ = score("davis16", davis, tmp_path / "davis")
    assert scores["sequences"]["libby"]["per_frame"]["J"] == [1, 0, 1, 1]
    assert scores["sequences"]["libby"]["per_frame"]["F"] == [1, 0, 1, 1]


def test_official_tree_of_fbms_is_scored_where_it_is_annotated(tmp_path: Path, score: Score) -> None:
    trees.fbms(tmp_path / "FBMS")
    for frame in range(1, 11):  # predictions of all frames, annotated or not
        trees.save(tmp_path / f"out/camel01/camel01_{frame:04d}.png", trees.grey(trees.square(frame)))
        trees.save(tmp_path / f"out/cars1/cars1_{frame:02d}.png", trees.grey(trees.square(frame)))
    code, scores, _ = score("fbms", tmp_path / "FBMS", tmp_path / "out")
    assert code == 0
    assert scores["mean"]["J"]["mean"] == 1
    assert {name: content["frames"] for name, content in scores["sequences"].items()} == {"camel01": 2, "cars1": 2}


def test_a_listed_sequence_without_masks_is_refused(davis: Path, tmp_path: Path, score: Score) -> None:
    predict(tmp_path / "out", "libby", dict.fromkeys(range(6), 2))
    with (davis / "ImageSets/480p/val.txt").open("a") as lists:
        lists.write("/JPEGImages/480p/surf/00000.jpg /Annotations/480p/surf/00000.png\n")
    assert "surf: listed for val, but absent" in refusal(score("davis16", davis, tmp_path / "out")[0])
    assert score("davis16", davis, tmp_path / "out", "--allow-missing")[0] == 0


def test_root_of_another_dataset_and_wrong_choices(davis: Path, tmp_path: Path, score: Score) -> None:
    assert "looks like DAVIS-2016 (--dataset davis16)" in refusal(score("fbms", davis, tmp_path)[0])
    assert "--dataset ytvos18 has no protocol" in refusal(score("ytvos18", davis, tmp_path)[0])
    assert "expected davis16 or davis16-all-frames" in refusal(
        score("davis16", davis, tmp_path, "--protocol", "fbms")[0]
    )
    predict(tmp_path / "out", "libby", dict.fromkeys(range(6), 2))
    for option in ("--plot", "--worst"):
        text = refusal(score("davis16", davis, tmp_path / "out", option, str(tmp_path / "picture.xyz"))[0])
        assert "picture.xyz cannot be written" in text


def test_measures_of_soft_masks_are_added_on_request(davis: Path, tmp_path: Path, score: Score) -> None:
    predict(tmp_path / "out", "libby", dict.fromkeys(range(6), 4))
    assert "MAE" not in score("davis16", davis, tmp_path / "out")[1]["mean"]
    _, scores, printed = score("davis16", davis, tmp_path / "out", "--saliency")
    wrong = np.mean(trees.square(4) != trees.square(2))
    assert scores["mean"]["MAE"] == pytest.approx(wrong)
    assert scores["sequences"]["libby"]["MAE"] == pytest.approx(wrong)
    assert {"max F-beta", "S-measure", "max E-measure"} <= scores["mean"].keys()
    assert f"MAE {wrong:.4f}" in printed


def test_plot_shows_every_sequence(tmp_path: Path, score: Score) -> None:
    from PIL import Image

    trees.ytobj_preprocessed(tmp_path / "YTOBJ")
    for video in ("aeroplane/0001", "cat/0002", "cat/0003"):
        for frame in (1, 11, 21):
            trees.save(tmp_path / f"out/{video}/{frame:05d}.png", trees.grey(trees.square(frame % 7)))
    assert score("ytobj", tmp_path / "YTOBJ", tmp_path / "out", "--plot", str(tmp_path / "plots/J.png"))[0] == 0
    picture = np.asarray(Image.open(tmp_path / "plots/J.png").convert("RGB")).astype(int)
    lines = (np.abs(picture - (0x1F, 0x5F, 0xA8)).sum(axis=2) < 30).any(axis=0)
    assert np.count_nonzero(np.diff(lines.astype(int)) == 1) >= 3  # a line of J in each of three panels


@pytest.mark.parametrize("name", PROTOCOLS)
def test_protocols_say_what_they_count(name: str) -> None:
    protocol = PROTOCOLS[name]
    assert protocol_for(protocol.dataset, name) is protocol
    assert set(protocol.definition) == {"measures", "frames", "empty ground truth", "means", "source"}
    assert protocol.counted([1, 2, 3, 4]) == ([2, 3] if name == "davis16" else [1, 2, 3, 4])


@pytest.mark.parametrize("command", ["pipeline run", "segmentation score", "segmentation train"])
def test_help_is_quick(command: str) -> None:
    # Processor time, not the clock's: other processes do not count. The best of three, if the first compiles modules.
    program, name = command.split()
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", f"{program}.cli", name, "--help"], cwd=ROOT, capture_output=True, check=True
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        if seconds[-1] < 1:
            return
    raise AssertionError(f"{command} --help takes {min(seconds):.1f} s")


def test_as_a_process_of_its_own(davis: Path, tmp_path: Path) -> None:
    arguments = ["score", "--dataset", "davis16", "--root", str(davis), "--predictions", str(tmp_path / "nowhere")]
    done = subprocess.run(
        [sys.executable, "-m", "segmentation.cli", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: the folder of predictions")


@pytest.mark.shared
def test_official_scores_of_davis_from_files(score: Score) -> None:
    official = json.loads((Path(__file__).parents[1] / "reference/davis16_mtnet_scores.json").read_text())
    _, scores, _ = score("davis16", SHARED / "data/DAVIS", SHARED / "data/MTNet-DAVIS16-predictions")
    found = {name: content for name, content in scores["sequences"].items()} | {"mean over sequences": scores["mean"]}
    for name, expected in official.items():
        for measure in "JF":
            assert found[name][measure] == pytest.approx(expected[measure], abs=1e-6)
        assert found[name].get("frames") == expected.get("frames")


@pytest.mark.shared
def test_every_official_mask_of_davis_is_read() -> None:
    for split, sequences in (("train", 5), ("val", 4)):
        dataset = open_dataset("davis16", SHARED / "data/DAVIS", split)
        assert len(dataset.videos) == sequences
        assert not dataset.problems
        for video in dataset.videos:
            for frame in video.annotated[:: len(video.annotated) // 4]:
                assert dataset.read_mask(frame).shape == (480, 854)
    bear = open_dataset("davis16", SHARED / "data/DAVIS", "train").videos[0]
    assert dataset.read_mask(bear.frames[77]).any()  # grey with alpha
