"""The layers of the project, held by reading its imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = {"segmentation": 3, "pipeline": 2, "depth": 1, "flowsim": 1}
LIGHT = ("schema", "manifest", "plan", "config", "errors", "store", "cli", "run", "placement", "rows", "stopping")


def imports(path: Path, *, at_load: bool = False) -> set[str]:
    """Return the top-level names that a file imports, anywhere or only when it is loaded."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if at_load else list(ast.walk(tree))
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("package", OURS)
def test_packages_import_only_what_lies_below(package: str) -> None:
    for path in files(package):
        for name in imports(path) & OURS.keys() - {package}:
            assert OURS[name] < OURS[package], f"{path} imports {name}"


def test_flowsim_and_depth_know_neither_files_of_ours_nor_ray() -> None:
    for path in files("flowsim") + files("depth"):
        assert not imports(path) & {"ray", "zarr", "typer", "pipeline", "segmentation"}, path


def test_only_the_engine_and_its_kin_import_ray_and_only_cli_modules_typer() -> None:
    for package in OURS:
        for path in files(package):
            if path.name not in ("engine.py", "cluster.py", "ray_training.py"):
                assert "ray" not in imports(path), path
            if not path.stem.endswith("cli"):
                assert "typer" not in imports(path), path


@pytest.mark.parametrize("module", LIGHT)
def test_light_modules_load_without_heavy_libraries(module: str) -> None:
    heavy = {"torch", "ray", "transformers", "timm", "numba"}
    assert not imports(ROOT / "pipeline" / f"{module}.py", at_load=True) & heavy


def test_help_loads_no_heavy_library() -> None:
    code = (
        "import sys, pipeline.cli\n"
        "from typer.testing import CliRunner\n"
        "assert CliRunner().invoke(pipeline.cli.app, ['run', '--help']).exit_code == 0\n"
        "print(sorted({'torch', 'ray', 'transformers', 'timm', 'numba', 'zarr', 'cv2', 'pandas'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
