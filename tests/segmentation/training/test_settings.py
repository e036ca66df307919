"""Settings of a training: the published stages, and values that are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from segmentation.errors import SegmentationError, TrainingError
from segmentation.training.data_split import open_data
from tests.segmentation.training_runs import (
    settings_in,
    train_in,
)


@pytest.mark.parametrize(("preset", "epochs"), [("paper-stage1", 4000), ("paper-stage2", 2000)])
def test_the_published_stages_are_as_published(tmp_path: Path, preset: Any, epochs: int) -> None:
    settings = settings_in(tmp_path, preset=preset, epochs=None, batch_size=None, samples_per_epoch=None)
    recipe = settings.recipe
    assert (recipe.optimizer, recipe.learning_rate, recipe.schedule) == ("adam", 1e-5, "constant")
    assert (recipe.batch_size, recipe.samples_per_epoch, recipe.epochs) == (16, 512, epochs)
    assert (recipe.flips, recipe.smallest_crop, recipe.jitter, recipe.precision) == ("reference", 1.0, 0.0, "float32")
    assert settings.epochs_between_validations == 100
    assert open_data(settings)[0].with_replacement
    assert replace(settings, validate_every=3).epochs_between_validations == 3
    modern = settings_in(tmp_path, epochs=200)
    assert modern.epochs_between_validations == 4
    assert not open_data(modern)[0].with_replacement


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": ()}, "nothing to train on"),
        ({"batch_size": 0}, "--batch-size is 0; expected at least 1"),
        ({"learning_rate": -1.0}, "--learning-rate is -1.0"),
        ({"batch_size": 8}, "an epoch of 6 samples is less than one batch of 8"),
        ({"batch_size": 3, "workers": 2}, "--batch-size 3 cannot be divided among --workers 2"),
        ({"output": ""}, "give --output"),
        ({"select": "davis16-val"}, "--select davis16-val names no split of the video datasets; expected held-out"),
        ({"initialization": "absent.pth"}, "'absent.pth' of encoder mit-b0 is neither 'imagenet' nor 'random'"),
        ({"encoder": "mit-b9"}, "'mit-b9' is unknown"),
        ({"device": "cuda"}, "torch sees no GPU"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    if changes.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises((SegmentationError, RuntimeError), match=message):
        train_in(tmp_path, **changes)
    assert not (tmp_path / "run").exists()


def test_photos_cannot_have_fresh_motion_and_none(tmp_path: Path) -> None:
    assert settings_in(tmp_path, fresh_motion=True).content()["flow"] == "fresh"
    assert settings_in(tmp_path, zero_flow=True).content()["flow"] == "zero"
    with pytest.raises(TrainingError, match="fresh_motion and zero_flow are both set"):
        settings_in(tmp_path, fresh_motion=True, zero_flow=True)
