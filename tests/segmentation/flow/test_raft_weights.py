"""Weights of RAFT: checkpoints of the authors and of torchvision, names, and files that cannot be used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torchvision.models import optical_flow

from segmentation.errors import FlowError
from segmentation.flow.raft import load_raft
from segmentation.flow.raft_weights import open_raft
from tests.conftest import SHARED
from tests.segmentation.stand_in_raft import REFERENCE, moving_texture

REAL_SMALL = SHARED / "weights/raft-small.pth"


@pytest.mark.parametrize(("network", "size"), [("raft", "raft-large"), ("raft_small", "raft-small")])
def test_checkpoints_of_the_authors_fill_every_parameter(network: str, size: str, checkpoints: dict[str, Path]) -> None:
    loaded = open_raft(str(checkpoints[network]))
    assert loaded.size == size
    assert loaded.name == f"{network}.pth"
    original = torch.load(checkpoints[network], weights_only=True)
    stored = {values.numpy().tobytes() for values in original.values()}
    for name, values in loaded.network.state_dict().items():
        assert values.contiguous().numpy().tobytes() in stored, name
    again = open_raft(str(checkpoints[network]))
    assert again.sha256 == loaded.sha256


def test_checkpoints_of_torchvision_load_too(checkpoints: dict[str, Path], tmp_path: Path) -> None:
    network = open_raft(str(checkpoints["raft_small"])).network
    torch.save(network.state_dict(), tmp_path / "own.pth")
    frames = moving_texture(2)
    same = load_raft(str(checkpoints["raft_small"]), iterations=2)(frames)
    assert (load_raft(str(tmp_path / "own.pth"), iterations=2)(frames) == same).all()


def test_names_stand_for_the_published_weights(
    checkpoints: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`raft-large` is torchvision's default, which made the published flows; `raft-things` is the authors' first."""
    folder = tmp_path / "hub/checkpoints"
    folder.mkdir(parents=True)
    for file, content in (
        ("raft_large_C_T_SKHT_V2-ff5fadd5.pth", "raft"),
        ("raft_large_C_T_V1-22a6c225.pth", "raft"),
        ("raft_small_C_T_V1-ad48884c.pth", "raft_small"),
    ):
        (folder / file).write_bytes(checkpoints[content].read_bytes())
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert optical_flow.Raft_Large_Weights.DEFAULT.name == "C_T_SKHT_V2"
    assert open_raft("raft-large").name == "raft-large:C_T_SKHT_V2"
    assert open_raft("raft-things").name == "raft-large:C_T_V1"
    assert open_raft("raft-small").name == "raft-small:C_T_V1"
    with pytest.raises(FlowError, match="'raft-things:C_T_V2', and it is no name of RAFT weights"):
        open_raft("raft-things:C_T_V2")


def test_weights_that_cannot_be_used(
    checkpoints: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_path = str(checkpoints["raft_small"])
    with pytest.raises(FlowError, match="those of raft-small, but raft-large was asked for"):
        load_raft(small_path, size="raft-large")
    with pytest.raises(FlowError, match=r"no file 'raft-things.pth'.*raft-large, raft-things, raft-small, or the path"):
        load_raft("raft-things.pth")
    with pytest.raises(FlowError, match="raft-large has no weights 'C_T_V9'; torchvision offers C_T_V1"):
        load_raft("raft-large:C_T_V9")
    damaged = tmp_path / "damaged.pth"
    damaged.write_bytes(checkpoints["raft_small"].read_bytes()[:100_000])
    with pytest.raises(FlowError, match=r"damaged.pth cannot be read"):
        load_raft(str(damaged))
    torch.save({"model": Path("x")}, tmp_path / "pickle.pth")
    with pytest.raises(FlowError, match=r"pickle.pth cannot be read.*download them again"):
        load_raft(str(tmp_path / "pickle.pth"))
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(FlowError, match=r"other.pth are not of RAFT \(they hold conv.weight"):
        load_raft(str(tmp_path / "other.pth"))
    part = torch.load(small_path, weights_only=True)
    part.pop("module.update_block.gru.convz.bias")
    torch.save(part, tmp_path / "part.pth")
    with pytest.raises(FlowError, match=r"1 parameters are missing and 0 are unknown.*convgru1.convz.bias"):
        load_raft(str(tmp_path / "part.pth"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for proxy in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(proxy, "http://127.0.0.1:9")
    with pytest.raises(FlowError, match=r"raft-large:C_T_SKHT_V2 are not on this machine.*--raft PATH"):
        load_raft()


def test_the_reference_lists_what_the_released_checkpoints_hold() -> None:
    shapes = json.loads((REFERENCE / "raft_state_dicts.json").read_text())
    assert {name: len(values) for name, values in shapes.items()} == {"raft": 179, "raft_small": 106}
