"""Checkpoints: ours come back as they were, the released ones are recognised, everything else is refused in words."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch

from segmentation.errors import SegmentationError
from segmentation.network.checkpoint import file_name, load_network, save_network
from segmentation.network.model import TwoStreamNetwork
from tests.segmentation.released_checkpoints import read_shapes, save_zeros


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Return the folder of a saved network with random weights."""
    save_network(TwoStreamNetwork("mit-b0", initialization="random", side_px=64), tmp_path / "net", {"score": 0.5})
    return tmp_path / "net"


@pytest.mark.parametrize("encoder", ["mit-b0", "timm:test_convnext", "timm:test_resnet"])
def test_a_saved_network_comes_back(encoder: str, tmp_path: Path) -> None:
    network = TwoStreamNetwork(encoder, initialization="random", side_px=96)
    save_network(network, tmp_path / "net", {"score": 0.5})
    again = load_network(tmp_path / "net")
    assert (again.encoder_name, again.side_px, again.training) == (encoder, 96, False)
    assert again.state_dict().keys() == network.state_dict().keys()
    for name, value in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    assert sorted(path.name for path in (tmp_path / "net").iterdir()) == ["config.json", "model.safetensors"]
    assert json.loads((tmp_path / "net/config.json").read_text())["about"] == {"score": 0.5}


@pytest.mark.parametrize("variant", ["b0", "b1", "b2"])
def test_released_checkpoints_are_told_by_their_shapes(variant: str, tmp_path: Path) -> None:
    network = load_network(save_zeros(tmp_path / "DepthFlow.pth", f"fakeflow_mit{variant}"))
    assert network.encoder_name == f"mit-{variant}"
    assert network.side_px == 512
    assert all(not value.any() for value in network.state_dict().values())


def test_files_name_parameters_as_the_released_ones_do() -> None:
    names = {file_name(name) for name in TwoStreamNetwork("mit-b2", initialization="random").state_dict()}
    constants = {f"vos.{stream}_encoder.{name}" for stream in ("app", "mo") for name in ("mean", "std")}
    assert names == read_shapes("fakeflow_mitb2").keys() - constants


def test_names_of_older_transformers_pass_unchanged() -> None:
    old = "image_encoder.backbone.encoder.block.0.1.attention.self.query.weight"
    assert file_name(old) == "vos.app_encoder.backbone.encoder.block.0.1.attention.self.query.weight"


def test_a_run_folder_means_its_best_network(saved: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    save_network(TwoStreamNetwork("mit-b0", initialization="random", side_px=96), run / "last")
    with pytest.raises(SegmentationError, match=r"has not been validated yet.*take its last network: .*run/last$"):
        load_network(run)
    saved.rename(run / "best")
    assert load_network(run).side_px == 64
    (run / "settings.json").write_text("{}")
    assert load_network(run, side_px=32).side_px == 32


def test_a_checkpoint_of_another_encoder_is_refused(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(SegmentationError, match="net is a checkpoint of encoder mit-b0, expected mit-b1"):
        load_network(saved, expected_encoder="mit-b1")
    config = saved / "config.json"
    config.write_text(config.read_text().replace("mit-b0", "mit-b1"))
    with pytest.raises(
        SegmentationError, match=r"in another shape \d+ parameters of the two-stream network with mit-b1"
    ):
        load_network(saved)
    odd = {"vos.app_encoder.backbone.encoder.patch_embeddings.1.proj.weight": torch.zeros(48, 32, 3, 3)}
    with pytest.raises(SegmentationError, match=r"\[32, 48, 160, 256\] channels, which is none of mit-b0"):
        load_network(save_zeros(tmp_path / "odd.pth", "fakeflow_mitb0", **odd))


def test_a_checkpoint_with_other_parameters_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SegmentationError, match=r"half.pth.*it lacks 2 parameters.*vos.decoder.blend2.conv.weight"):
        load_network(save_zeros(tmp_path / "half.pth", "fakeflow_mitb0", without="blend2"))
    extra = {"vos.selector.weight": torch.zeros(1)}
    with pytest.raises(SegmentationError, match=r"has unknown 1 parameters.*vos.selector.weight"):
        load_network(save_zeros(tmp_path / "more.pth", "fakeflow_mitb0", **extra))


def test_another_networks_checkpoint_is_refused(tmp_path: Path) -> None:
    torch.save({"layer1.0.conv1.weight": torch.zeros(4, 4, 1, 1)}, tmp_path / "resnet.pth")
    with pytest.raises(SegmentationError, match=r"another network.*the first is layer1.0.conv1.weight.*FakeFlow_mitb"):
        load_network(tmp_path / "resnet.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(SegmentationError, match=r"holds no state dict.*but a list"):
        load_network(tmp_path / "list.pth")


def test_damaged_files_are_refused(saved: Path, tmp_path: Path) -> None:
    whole = save_zeros(tmp_path / "whole.pth", "fakeflow_mitb0").read_bytes()
    for name, content in (("cut.pth", whole[: len(whole) // 2]), ("empty.pth", b""), ("text.pth", b"not a checkpoint")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SegmentationError, match=rf"{name} cannot be read as a checkpoint.*download it again"):
            load_network(tmp_path / name)
    weights = saved / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(SegmentationError, match=r"model.safetensors cannot be read, it is truncated or damaged"):
        load_network(saved)
    weights.unlink()
    with pytest.raises(SegmentationError, match=r"holds no network: it has no model.safetensors"):
        load_network(saved)
    (saved / "config.json").write_text("{")
    weights.write_bytes(b"")
    with pytest.raises(SegmentationError, match=r"config.json is no JSON"):
        load_network(saved)
    (saved / "config.json").write_text('{"model_type": "segformer"}')
    with pytest.raises(SegmentationError, match=r"does not describe a fakeflow two-stream network"):
        load_network(saved)
    with pytest.raises(SegmentationError, match=r"nowhere does not exist. Expected tiny-vos, a run folder"):
        load_network(tmp_path / "nowhere")


class Bomb:
    """Would make a file if it were unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.target,)


def test_no_code_in_a_checkpoint_runs(tmp_path: Path) -> None:
    target = tmp_path / "touched"
    torch.save({"weight": Bomb(target)}, tmp_path / "bomb.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Bomb(target), protocol=2))
    for name in ("bomb.pth", "plain.pth"):
        with pytest.raises(SegmentationError, match="cannot be read as a checkpoint"):
            load_network(tmp_path / name)
    assert not target.exists()
