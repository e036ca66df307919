"""The command that measures everything about GPUs, tried on the CPU."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.on_gpu import PARTS, Part, main, missing_packages, run_bounded, write_as_they_come
from benchmarks.on_gpu_depth import VARIANTS, differences, scaled
from tests.conftest import ROOT


def test_figures_are_on_disk_before_the_part_ends(tmp_path: Path) -> None:
    def broken() -> Iterator[tuple[str, Any]]:
        yield "first", 1
        yield "second", {"median": 2.0}
        raise RuntimeError("the device is gone")

    with pytest.raises(RuntimeError, match="the device is gone"):
        write_as_they_come(tmp_path / "x.json", {"is_dry_run": True}, broken())
    left = json.loads((tmp_path / "x.json").read_text())
    assert left == {"is_dry_run": True, "is_complete": False, "figures": {"first": 1, "second": {"median": 2.0}}}


def test_parts_say_what_they_lack(tmp_path: Path) -> None:
    part = Part("flow", "benchmarks.on_gpu_parts:measure_flow", 10, ("no_such_package", "json"))
    assert missing_packages(part.needs) == ["no_such_package"]
    state = run_bounded(part, tmp_path, 10, is_dry=True)
    assert state == {"state": "skipped", "reason": "needs no_such_package, which this machine lacks"}
    assert run_bounded(PARTS[0], tmp_path, 1, is_dry=True)["reason"] == "no time was left"


def test_parts_for_a_machine_with_little_installed_need_neither_zarr_nor_ray() -> None:
    little = {part.name for part in PARTS if not {"zarr", "ray"} & set(part.needs)}
    assert little >= {"flow", "depth", "frames", "raft"}
    code = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(('zarr', 'ray', 'fsspec', 'typer', 'numcodecs')))\n"  # None: not importable
        "import benchmarks.on_gpu_depth, benchmarks.on_gpu_parts, benchmarks.raft\n"
        "import benchmarks.flow_kernel, flowsim.clips\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    monkeypatch.setattr("sys.argv", ["on_gpu", "--output", str(tmp_path)])
    with pytest.raises(SystemExit, match="torch sees no GPU"):
        main()


def test_variants_have_names_of_their_own_and_begin_with_the_reference() -> None:
    assert len({variant.name for variant in VARIANTS}) == len(VARIANTS)
    assert VARIANTS[0].dtype == "float32"


def test_differences_are_those_of_maps_scaled_per_photo() -> None:
    maps = torch.rand(2, 4, 5)
    assert differences(scaled(3 * maps + 1), scaled(maps))["largest_difference"] == pytest.approx(0, abs=1e-6)
    changed = scaled(maps).clone()
    changed[0, 0, 0] += 0.25
    assert differences(changed, scaled(maps))["largest_difference"] == pytest.approx(0.25)
    changed[0, 0, 0] = torch.nan
    assert differences(changed, scaled(maps))["mean_difference"] is None


@pytest.mark.slow
def test_a_dry_run_measures_every_part(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.on_gpu", "--dry-run", "--minutes", "20", "--output", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    parts = json.loads((tmp_path / "on_gpu.json").read_text())["parts"]
    assert {name: state["state"] for name, state in parts.items()} == dict.fromkeys(
        (part.name for part in PARTS), "done"
    )
    assert done.returncode == 0, done.stdout
    for part in PARTS:
        found = json.loads((tmp_path / f"{part.name}.json").read_text())
        assert found["is_complete"]
        assert found["figures"]
    variants = json.loads((tmp_path / "depth.json").read_text())["figures"]
    assert [name for name, value in variants.items() if "failed" in str(value)] == []
