"""A value that cannot be is refused before anything heavy is loaded, so within a second."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from segmentation.commands import app
from segmentation.network.network_files import EXPECTED
from tests.conftest import ROOT
from tests.segmentation.trees import fbms_preprocessed

RUN = """
import json, sys
from segmentation import cli
said = []
for arguments in json.load(sys.stdin):
    sys.argv = ["segmentation", *arguments]
    try:
        cli.main()
    except SystemExit as stopped:
        said.append(str(stopped.code))
heavy = {"torch", "torchvision", "transformers", "timm", "ray", "zarr", "numba", "pandas"} & sys.modules.keys()
print(json.dumps([said, sorted(heavy)]))
"""


def test_mistakes_are_found_before_anything_is_loaded(tmp_path: Path) -> None:
    fbms_preprocessed(tmp_path / "FBMS")
    (tmp_path / "net.pth").write_bytes(b"")
    (tmp_path / "clip.mp4").write_bytes(b"")
    (tmp_path / "photos.zarr").mkdir()
    (tmp_path / "empty").mkdir()
    train, flows, evaluate, predict = (
        [command, "--output", "out", *more]
        for command, more in (
            ("train", []),
            ("flows", []),
            ("evaluate", ["--checkpoint", "net.pth"]),
            ("predict", ["--checkpoint", "net.pth"]),
        )
    )
    mistakes = [
        ([*train, "--data", "photos.zarr", "--encoder", "mit-b9"], "Encoder 'mit-b9' is unknown; expected mit-b0, mit"),
        ([*train, "--data", "photos.zarr", "--initialization", "no.pth"], "'no.pth' of encoder mit-b1 is neither"),
        ([*train, "--data", "a.zarr", "--size", "small", "--initialization", "no.pth"], "of encoder lite0 is neither"),
        ([*train, "--data", "my photos.zarr"], "--output 'my photos.zarr'` makes"),
        ([*train, "--videos", "davies=FBMS:flows.zarr"], "unknown dataset 'davies'; expected one of davis16"),
        ([*train, "--videos", "davis16=DAVIS:flows.zarr"], "DAVIS does not exist; expected the folder of DAVIS-2016"),
        ([*train, "--videos", "fbms=FBMS:no.zarr"], "the flow no.zarr does not exist; expected what `segmentation"),
        ([*flows, "--dataset", "davies", "--root", "FBMS"], "unknown dataset 'davies'; expected one of davis16"),
        ([*flows, "--dataset", "fbms", "--root", "FBMS", "--split", "val"], "no split 'val'; expected train or test"),
        ([*flows, "--dataset", "fbms", "--root", "FBMS", "--raft", "no.pth"], "there is no file 'no.pth', and it is"),
        ([*flows, "--video", "no.mp4"], "no.mp4 does not exist; expected a video file"),
        ([*evaluate, "--dataset", "davies=FBMS"], "--dataset davies has no protocol to score it by"),
        ([*evaluate, "--dataset", "fbms=no"], "no does not exist; expected the folder of FBMS-59"),
        ([*evaluate, "--dataset", "fbms=FBMS:no.zarr"], "no.zarr does not exist; expected what `segmentation flows"),
        ([*evaluate, "--dataset", "fbms=FBMS", "--raft", "raft-huge"], "there is no file 'raft-huge', and it is no"),
        (
            [*evaluate, "--dataset", "fbms=FBMS", "--checkpoint", "no.pth"],
            f"no.pth does not exist. Expected {EXPECTED}",
        ),
        ([*evaluate, "--dataset", "fbms=FBMS", "--checkpoint", "empty"], "empty holds no network: it has no config.js"),
        ([*predict, "no.mp4"], "no.mp4 does not exist; expected a video file, a folder of frames or a photo"),
        ([*predict, "clip.mp4", "--raft", "raft-huge"], "there is no file 'raft-huge', and it is no name of RAFT"),
        ([*predict, "clip.mp4", "--checkpoint", "no.pth"], "no.pth does not exist."),
        (["score", "--dataset", "davies", "--root", "FBMS", "--predictions", "FBMS"], "--dataset davies has no"),
    ]
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        input=json.dumps([arguments for arguments, _ in mistakes]),
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said, heavy = json.loads(done.stdout)
    for sentence, (arguments, expected) in zip(said, mistakes, strict=True):
        assert sentence.startswith("error: "), (arguments, sentence)
        assert expected in sentence, (arguments, sentence)
    assert not heavy
    assert not (tmp_path / "out").exists()


LIBRARY = """
import sys
from pathlib import Path

import segmentation

common = {"checkpoint": Path("net.pth"), "output": Path("out")}
for call, settings in (
    (segmentation.evaluate, segmentation.EvaluationSettings(dataset=("fbms=absent",), **common)),
    (segmentation.predict, segmentation.PredictionSettings(inputs=(Path("absent.mp4"),), **common)),
):
    try:
        call(settings)
    except segmentation.SegmentationError as error:
        print(error)
print(sorted({"torch", "torchvision", "transformers", "timm", "ray", "zarr", "numba"} & sys.modules.keys()))
"""


def test_the_library_finds_mistakes_before_anything_is_loaded(tmp_path: Path) -> None:
    environment = {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", LIBRARY], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    evaluation, prediction, heavy = done.stdout.splitlines()
    assert "absent does not exist; expected the folder of FBMS-59" in evaluation
    assert "absent.mp4 does not exist; expected a video file" in prediction
    assert heavy == "[]"


def test_help_shows_no_empty_default() -> None:
    for command in ("flows", "train", "evaluate", "predict", "score", "fit-motion"):
        done = CliRunner().invoke(app, [command, "--help"], terminal_width=200)
        assert done.exit_code == 0
        assert "[default: ]" not in " ".join(done.output.split())
