"""The library face of `segmentation`: public names, one use of each command's function, and silence."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import segmentation
from segmentation.commands import app
from segmentation.scoring.settings import ScoreSettings
from tests.conftest import ROOT, write_png
from tests.segmentation.drawn_videos import draw_davis, save_small_network
from tests.segmentation.stand_in_raft import moving_texture, save_checkpoint
from tests.segmentation.training_runs import settings_in

NAMES = (
    "Augmentation Batch EvaluationSettings HubNetwork Mixture PredictionSettings SegmentationError ShardDataset "
    "TrainingSettings Triplet TwoStreamNetwork VideoFrames __version__ evaluate load_network make_batch predict "
    "save_network train"
)


def test_public_names() -> None:
    assert sorted(segmentation.__all__) == sorted(NAMES.split())
    for name in segmentation.__all__:
        assert getattr(segmentation, name) is not None
    modules = {path.stem for path in (ROOT / "segmentation").iterdir()}
    assert not modules & set(segmentation.__all__)


def test_import_and_settings_load_nothing_heavy() -> None:
    code = (
        "import sys, segmentation\n"
        "segmentation.TrainingSettings, segmentation.EvaluationSettings, segmentation.PredictionSettings\n"
        "print(sorted({'torch', 'ray', 'zarr', 'cv2', 'numpy', 'typer'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_train_then_load_in_silence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    summary = segmentation.train(settings_in(tmp_path, epochs=1))
    assert capfd.readouterr().out == ""
    assert segmentation.load_network(summary.best_network).side_px == 32


def test_evaluate_and_predict_in_silence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    network = save_small_network(tmp_path / "network")
    raft = str(save_checkpoint(tmp_path / "small.pth", "raft_small"))
    root = draw_davis(tmp_path / "DAVIS", only=4)
    evaluation = segmentation.evaluate(
        segmentation.EvaluationSettings(
            dataset=(f"davis16={root}",),
            checkpoint=network,
            output=tmp_path / "results",
            raft=raft,
            raft_iterations=1,
            workers=0,
        )
    )
    mean = evaluation.scores["davis16"].mean["J"].mean
    scores = json.loads((tmp_path / "results/scores.json").read_text())
    assert scores["datasets"]["davis16"]["mean"]["J"]["mean"] == pytest.approx(mean)
    assert (tmp_path / "results/davis16-worst.png").exists()

    for number, frame in enumerate(moving_texture(3)):
        write_png(tmp_path / "clip" / f"{number:05d}.png", frame)
    made, problems = segmentation.predict(
        segmentation.PredictionSettings(
            inputs=(tmp_path / "clip",), checkpoint=network, output=tmp_path / "masks", raft=raft, raft_iterations=1
        )
    )
    assert not problems
    assert [prediction.frames for prediction in made] == [3]
    assert len(list((tmp_path / "masks/clip/masks").iterdir())) == 3
    assert capfd.readouterr() == ("", "")


def test_values_are_checked_where_they_are_kept(tmp_path: Path) -> None:
    with pytest.raises(segmentation.SegmentationError, match="--side-px is 16; expected at least 32"):
        segmentation.PredictionSettings(inputs=(tmp_path,), checkpoint=tmp_path, output=tmp_path, side_px=16)
    with pytest.raises(segmentation.SegmentationError, match=r"--threshold is .*; expected more than 0, at most 1"):
        ScoreSettings(dataset="davis16", root=tmp_path, predictions=tmp_path, threshold=2.0)


@pytest.mark.parametrize("command", ["train", "score", "flows", "evaluate", "predict", "fit-motion"])
def test_help_pages_end_with_examples(command: str) -> None:
    done = CliRunner().invoke(app, [command, "--help"], terminal_width=200)
    assert done.exit_code == 0
    assert f"segmentation {command} " in done.output.rpartition("Examples:")[2]
