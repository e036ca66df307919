"""The floors of the house: imports go down only, between packages and inside them, and never in a circle."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = {"segmentation": 3, "pipeline": 2, "depth": 1, "flowsim": 1}
FLOORS = {
    "pipeline": (
        "redaction",
        "errors",
        "files",
        "command",
        "engine",
        "photos",
        "dataset",
        "showing",
        "viewing",
        "making",
        "checking",
        "recipe",
        "sharing",
        "command_settings",
        "telling",
        "sharing_commands",
        "commands",
        "cli",
    ),
    "segmentation": (
        "errors",
        "videos",
        "network",
        "flow",
        "scoring",
        "data",
        "training",
        "prediction",
        "commands",
        "cli",
    ),
}
"""The rooms of a package from the ground up; a file may import from its own room and from those before it."""
HEAVY = {"torch", "ray", "transformers", "timm", "numba"}
LIGHT = (
    "pipeline.commands",
    "pipeline.dataset.schema",
    "pipeline.dataset.store",
    "pipeline.engine.placement",
    "pipeline.making.config",
    "pipeline.making.plan",
    "pipeline.making.run",
    "pipeline.photos.folders",
    "pipeline.photos.layouts",
    "pipeline.photos.listing",
    "pipeline.photos.rows",
)


@cache
def modules() -> dict[str, Path]:
    """Return every module of ours by its dotted name."""
    found = {}
    for package in OURS:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


@cache
def imports(name: str) -> frozenset[str]:
    """Return what a module imports, wherever it stands in the file: our modules in full, others by first name."""
    found = set()
    for node in ast.walk(ast.parse(modules()[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            named = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (named & modules().keys()) or {node.module}
    ours = {one for one in found if one in modules()}
    return frozenset(ours | {one.split(".")[0] for one in found - ours})


def room(name: str) -> str:
    """Return the part of a module's name that says on which floor of its package it stands."""
    return name.split(".")[1] if "." in name else ""


def test_packages_import_only_what_lies_below() -> None:
    for name in modules():
        package = name.split(".")[0]
        for other in {one.split(".")[0] for one in imports(name)} & OURS.keys() - {package}:
            assert OURS[other] < OURS[package], f"{name} imports {other}"


@pytest.mark.parametrize("package", FLOORS)
def test_rooms_import_only_from_the_floors_below(package: str) -> None:
    floor = {one: number for number, one in enumerate(FLOORS[package])}
    for name in modules():
        if name.startswith(f"{package}."):
            assert room(name) in floor, f"{name} stands on no floor; add its room to FLOORS"
            for other in imports(name):
                if other.startswith(f"{package}."):
                    assert floor[room(other)] <= floor[room(name)], f"{name} imports {other}"


def test_there_is_no_circle() -> None:
    graph = {name: {one for one in imports(name) if one in modules() and one != name} for name in modules()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as circle:
        pytest.fail(f"imports in a circle: {' -> '.join(circle.args[1])}")


def test_every_room_holds_more_than_one_file() -> None:
    for package in FLOORS:
        for folder in (path for path in (ROOT / package).iterdir() if (path / "__init__.py").exists()):
            assert len(list(folder.glob("*.py"))) > 2, f"{folder} is a room for one file"


def test_flowsim_and_depth_know_neither_files_of_ours_nor_ray() -> None:
    for name in modules():
        if name.split(".")[0] in ("flowsim", "depth"):
            assert not imports(name) & {"ray", "zarr", "typer"}, name


def test_only_the_engine_and_shared_training_import_ray_and_only_command_modules_typer() -> None:
    for name in modules():
        if room(name) != "engine" and name != "segmentation.training.on_ray":
            assert "ray" not in imports(name), name
        if not name.endswith("commands") and room(name) != "command":
            assert "typer" not in imports(name), name


@pytest.mark.parametrize("name", LIGHT)
def test_light_modules_load_without_heavy_libraries(name: str) -> None:
    at_load = ast.parse(modules()[name].read_text(encoding="utf-8")).body
    loaded = {alias.name.split(".")[0] for node in at_load if isinstance(node, ast.Import) for alias in node.names}
    loaded |= {node.module.split(".")[0] for node in at_load if isinstance(node, ast.ImportFrom) and node.module}
    assert not loaded & HEAVY


@pytest.mark.parametrize(
    ("package", "command", "heavy"),
    [
        ("pipeline", "run", HEAVY | {"zarr", "cv2", "pandas"}),
        ("segmentation", "score", HEAVY | {"numpy", "cv2", "matplotlib", "PIL"}),
    ],
)
def test_help_loads_no_heavy_library(package: str, command: str, heavy: set[str]) -> None:
    code = (
        f"import sys, {package}.commands\n"
        "from typer.testing import CliRunner\n"
        f"assert CliRunner().invoke({package}.commands.app, [{command!r}, '--help']).exit_code == 0\n"
        f"print(sorted({heavy!r} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
