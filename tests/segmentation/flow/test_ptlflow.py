"""`--flow ptlflow:NAME`: flow by a network of the package with random weights, and a sentence for every mistake."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray

from segmentation.errors import FlowError
from segmentation.flow.estimators import load_estimator
from segmentation.flow.settings import EstimatorSettings, FlowCommandSettings
from tests.segmentation.commands import Command, refusal
from tests.segmentation.drawn_videos import save_small_network
from tests.segmentation.flow_videos import davis, write_frames
from tests.segmentation.stand_in_raft import moving_texture, save_checkpoint

package = pytest.mark.skipif(
    importlib.util.find_spec("ptlflow") is None, reason="the extra ptlflow is not installed: pip install '.[ptlflow]'"
)
NETWORK = "sea_raft_s"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save random weights of SEA-RAFT as the package saves a training."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "random.ckpt"
    torch.save({"state_dict": build().state_dict()}, path)
    return path


def build(weights: str | None = None) -> torch.nn.Module:
    """Build the network by the package alone, which warns of much."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ptlflow

        return ptlflow.get_model(NETWORK, weights)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Let every download fail; return the folder that downloads would go to."""
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch/hub/checkpoints"


def by_the_package(weights: Path, frames: np.ndarray) -> np.ndarray:
    """Estimate flow from the first frame to the second as the package documents it."""
    model = build(str(weights)).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ptlflow.utils.io_adapter import IOAdapter
    images = [np.ascontiguousarray(frame[..., ::-1]) for frame in frames]
    with torch.no_grad():
        flows = model(IOAdapter(model.output_stride, frames.shape[1:3]).prepare_inputs(images))["flows"]
    found: np.ndarray = flows[0, 0].permute(1, 2, 0).numpy()
    return found


@package
def test_flow_of_a_video_is_that_of_the_package(segmentation: Command, weights: Path, tmp_path: Path) -> None:
    frames = moving_texture(4, 132, 161)
    write_frames(tmp_path / "clip", frames)
    command = ["flows", "--video", tmp_path / "clip", "--flow", f"ptlflow:{NETWORK}:{weights}", "--workers", 0]
    command += ["--output", tmp_path / "out.zarr"]
    code, printed = segmentation(*command)
    assert code == 0, printed
    stored = xarray.open_zarr(tmp_path / "out.zarr/clip")
    for k in (0, 1, 2):
        np.testing.assert_allclose(stored["flow"].values[k], by_the_package(weights, frames[k : k + 2]), atol=1 / 100)
    about = stored.attrs["fakeflow"]
    assert about["weights"] == f"{NETWORK}:random.ckpt"
    assert about["settings"]["network"] == f"ptlflow:{NETWORK}"
    assert about["settings"]["weights_sha256"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert about["settings"]["iterations"] == 0
    assert "0 frames made in this run" in segmentation(*command)[1]
    other = tmp_path / "other.ckpt"
    state = torch.load(weights, weights_only=True)
    state["state_dict"]["init_conv.bias"] += 1
    torch.save(state, other)
    code, _ = segmentation(*command[:4], f"ptlflow:{NETWORK}:{other}", *command[5:])
    assert "was begun with other settings" in str(code)


@package
def test_masks_from_flow_by_a_network_of_the_package(segmentation: Command, weights: Path, tmp_path: Path) -> None:
    frames = moving_texture(3, 64, 80)
    checkpoint = save_small_network(tmp_path / "network")
    write_frames(tmp_path / "clip", frames)
    root = davis(tmp_path / "DAVIS", libby=moving_texture(3, 64, 80))
    flow = ["--flow", f"ptlflow:{NETWORK}:{weights}", "--checkpoint", checkpoint, "--device", "cpu"]
    code, printed = segmentation("predict", tmp_path / "clip", *flow, "--output", tmp_path / "masks")
    assert code == 0, printed
    assert f"3 frames, flow estimated by ptlflow:{NETWORK}:random.ckpt" in printed
    evaluate = ["evaluate", "--dataset", f"davis16={root}", *flow, "--workers", 0, "--output", tmp_path / "results"]
    code, printed = segmentation(*evaluate)
    assert code == 0, printed
    assert len(list((tmp_path / "results/davis16/libby").iterdir())) == 3


@package
def test_small_frames_are_enlarged_on_request_or_refused(weights: Path) -> None:
    frames = moving_texture(2, 64, 80)
    estimator = f"ptlflow:{NETWORK}:{weights}"
    strict = FlowCommandSettings(video=Path("clip.mp4"), output="flows.zarr", flow=estimator)
    with pytest.raises(FlowError, match=f"frames are 80x64; ptlflow:{NETWORK} needs 128 px on both sides"):
        load_estimator(strict, "cpu").pair(*frames)
    assert load_estimator(EstimatorSettings(flow=estimator), "cpu").pair(*frames).shape == (64, 80, 2)


@package
@pytest.mark.parametrize(
    ("estimator", "sentence"),
    [
        ("ptlflow:sea_raft_x", r"ptlflow has no network 'sea_raft_x'; did you mean .*sea_raft_s"),
        ("ptlflow:sea", r"has no network 'sea'; did you mean .*sea_raft_m"),
        ("ptlflow:", r"has no network ''; expected one of ccmr, .*waft_dav2_a1"),
        (f"ptlflow:{NETWORK}:no.ckpt", r"there is no file 'no.ckpt', .* of sea_raft_s: expected tartan, .* sintel"),
        ("ptlflow:lcv_raft_small", r"ptlflow has no weights of lcv_raft_small; give a checkpoint, as ptlflow:lcv_raf"),
    ],
)
def test_names_that_the_package_does_not_have(
    segmentation: Command, tmp_path: Path, estimator: str, sentence: str
) -> None:
    write_frames(tmp_path / "clip", moving_texture(2))
    code, _ = segmentation("flows", "--video", tmp_path / "clip", "--flow", estimator, "--output", tmp_path / "x.zarr")
    with pytest.raises(FlowError, match=sentence):
        raise FlowError(refusal(code))
    assert not (tmp_path / "x.zarr").exists()


@package
def test_weights_that_cannot_be_fetched(segmentation: Command, offline: Path, tmp_path: Path) -> None:
    write_frames(tmp_path / "clip", moving_texture(2))
    command = ["flows", "--video", tmp_path / "clip", "--workers", 0, "--output", tmp_path / "x.zarr", "--flow"]
    said = refusal(segmentation(*command, f"ptlflow:{NETWORK}")[0])
    assert f"the weights ptlflow:{NETWORK}:sintel are not on this machine and cannot be fetched" in said
    assert "sea_raft_s-sintel-bb63371a.ckpt elsewhere" in said
    assert f"put it into {offline}, or give the file's path: --flow ptlflow:{NETWORK}:PATH" in said
    assert not (tmp_path / "x.zarr").exists()


@package
@pytest.mark.parametrize("content", [b"no checkpoint", b""])
def test_weights_that_do_not_fit(segmentation: Command, tmp_path: Path, content: bytes) -> None:
    write_frames(tmp_path / "clip", moving_texture(2))
    foreign = tmp_path / "foreign.ckpt"
    foreign.write_bytes(content)
    if not content:
        save_checkpoint(foreign, "raft_small")
    command = ["flows", "--video", tmp_path / "clip", "--workers", 0, "--output", tmp_path / "x.zarr", "--flow"]
    said = refusal(segmentation(*command, f"ptlflow:{NETWORK}:{foreign}")[0])
    assert f"the network {NETWORK} of ptlflow cannot be built with the weights {foreign}" in said
    assert not (tmp_path / "x.zarr").exists()


def test_without_the_package(segmentation: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ptlflow", None)  # type: ignore[arg-type]  # as if it were not installed
    write_frames(tmp_path / "clip", moving_texture(2))
    root = davis(tmp_path / "DAVIS", libby=moving_texture(2))
    flow = ["--flow", f"ptlflow:{NETWORK}", "--output", tmp_path / "out"]
    network = ["--checkpoint", save_small_network(tmp_path / "network")]
    for command in (
        ["flows", "--video", tmp_path / "clip", *flow],
        ["predict", tmp_path / "clip", *flow, *network],
        ["evaluate", "--dataset", f"davis16={root}", *flow, *network],
    ):
        said = refusal(segmentation(*command)[0])
        assert f"--flow ptlflow:{NETWORK} needs the package ptlflow, which is not installed" in said
        assert "`pip install '.[ptlflow]'`" in said
        assert not (tmp_path / "out").exists()


def test_estimators_of_other_names_are_refused(segmentation: Command, tmp_path: Path) -> None:
    for command in (
        ["flows", "--video", tmp_path],
        ["predict", tmp_path, "--checkpoint", tmp_path],
        ["evaluate", "--dataset", f"davis16={tmp_path}", "--checkpoint", tmp_path],
    ):
        said = refusal(segmentation(*command, "--output", tmp_path / "out", "--flow", NETWORK)[0])
        assert f"--flow '{NETWORK}' is no estimator of optical flow; expected raft, dis, or ptlflow:" in said
