"""`segmentation export-onnx`: ONNX Runtime gives the network's logits and masks at any size."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from segmentation import load_network, save_network
from segmentation.errors import SegmentationError
from segmentation.network.model import TwoStreamNetwork
from segmentation.network.onnx_export import ExportSettings, export_onnx
from tests.conftest import ROOT

SIZES = ((1, 120, 214), (2, 96, 96), (3, 61, 40))


def export(checkpoint: str, output: Path) -> None:
    pytest.importorskip("onnxscript", reason="needs the extra onnx")
    # In a process of its own: torch cannot trace functions whose shapes are checked, as they are in tests.
    command = [sys.executable, "-m", "segmentation.cli", "export-onnx", checkpoint, "--output", str(output)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=580)
    assert (done.returncode, done.stdout) == (0, f"{output}\n"), done.stderr


def assert_runs_alike(network: TwoStreamNetwork, output: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(output, providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(0)
    for batch, height, width in (*SIZES, (1, network.side_px, network.side_px)):
        image, flow_rgb = torch.rand(2, batch, 3, height, width, generator=generator)
        with torch.no_grad():
            wanted = network(image, flow_rgb).numpy()
        (found,) = session.run(["logits"], {"image": image.numpy(), "flow_rgb": flow_rgb.numpy()})
        scale = np.abs(wanted).max()
        assert np.abs(found - wanted).max() < 1e-4 * scale, (batch, height, width)
        assert ((found[:, 1] > found[:, 0]) != (wanted[:, 1] > wanted[:, 0])).mean() < 1e-4


@pytest.mark.slow
@pytest.mark.ci
def test_the_included_network(tmp_path: Path) -> None:
    export("tiny-vos", tmp_path / "tiny-vos.onnx")
    assert_runs_alike(load_network("tiny-vos"), tmp_path / "tiny-vos.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny-vos.onnx"]


@pytest.mark.slow
@pytest.mark.ci
def test_a_network_of_published_size(tmp_path: Path) -> None:
    save_network(TwoStreamNetwork("mit-b0", initialization="random"), tmp_path / "net")
    export(str(tmp_path / "net"), tmp_path / "made" / "net.onnx")
    assert_runs_alike(load_network(tmp_path / "net"), tmp_path / "made" / "net.onnx")


def test_mistakes_are_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SegmentationError, match=r"--output is .*net\.pth; expected a file that ends in \.onnx"):
        export_onnx(ExportSettings(checkpoint=Path("tiny-vos"), output=tmp_path / "net.pth"))
    pytest.importorskip("onnxscript", reason="needs the extra onnx")
    with pytest.raises(SegmentationError, match=r"absent does not exist\. Expected tiny-vos"):
        export_onnx(ExportSettings(checkpoint=tmp_path / "absent", output=tmp_path / "net.onnx"))
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SegmentationError, match="cannot be written"):
        export_onnx(ExportSettings(checkpoint=Path("tiny-vos"), output=tmp_path / "file" / "net.onnx"))
