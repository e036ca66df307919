"""Commands and code of the README and the documentation, run as they stand in an empty folder with the examples."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import FlyingChairs, KittiFlow, Sintel

from benchmarks.front_picture import made_tiles, tile_box
from pipeline.dataset.store import DatasetStore
from tests.conftest import ROOT
from tests.segmentation.trees import SIZE, davis16
from tests.segmentation.video_flows import store_flow

PAGES = (
    "README.md",
    *(f"docs/{page}.md" for page in ("howto/published-tree", "howto/object-store", "tutorial", "howto/own-network")),
    "docs/howto/recipe.md",
    "docs/howto/train-optical-flow.md",
)
README = "\n".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
COMMAND = re.compile(r"(\.venv/bin/)?(pipeline|segmentation) ")
EXAMPLES = {"astronaut", "cameraman", "chelsea", "coffee", "flower", "pagoda", "rocket"}
FRONT = ("cameraman", "coffee", "pagoda")
SAME_PICTURE = 3.0
"""Mean difference in levels between a picture made here and the same one made by another version of torch or Pillow."""


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which the README's commands were run; what each printed is in `said.json`."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "examples").symlink_to(ROOT / "examples")
    (folder / ".venv").mkdir()
    (folder / ".venv/bin").symlink_to(Path(sys.executable).parent)
    lines = [line for block in blocks("bash") for line in block.splitlines() if COMMAND.match(line)]
    # What the README's code has found is printed behind it.
    found = "print(flow_px.shape, image.shape[:2], abs(flow_px).max(), flow_px.std())"
    reading, learning, learning_flow = (f"{sys.executable} - <<'END'\n{block}\nEND" for block in blocks("python"))
    named = {reading.replace("\nEND", f"\n{found}\nEND"): "read", learning: "learn", learning_flow: "learn flow"}
    davis16(folder / "DAVIS")
    store_flow(folder / "davis-flows.zarr", "bear", [f"{frame:05d}" for frame in range(6)], SIZE)
    said = {}
    for script in [*lines, *named]:
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PATH": f".venv/bin:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        command = script.removeprefix(".venv/bin/")
        said[named.get(script) or " ".join(command.split()[:2])] = said[command] = done.stdout
    (folder / "said.json").write_text(json.dumps(said))
    return folder


@pytest.fixture(scope="module")
def said(folder: Path) -> dict[str, str]:
    """Return what each command printed, `pipeline run` -> its output."""
    printed: dict[str, str] = json.loads((folder / "said.json").read_text())
    return printed


def difference(one: Image.Image, other: Image.Image) -> float:
    """Return the mean absolute difference of two pictures of one size, in levels."""
    assert one.size == other.size
    return float(np.abs(np.asarray(one, np.float32) - np.asarray(other, np.float32)).mean())


def test_a_dataset_is_made_with_the_best_motion_model(folder: Path, said: dict[str, str]) -> None:
    assert "7 of 7 photos usable" in said["pipeline run"]
    assert re.search(r"samples +7 of 7: 7 usable, 0 failed", said["pipeline status"])
    assert re.search(r"motion +davis, seed 0", said["pipeline status"])
    store = DatasetStore.open(str(folder / "dutsv2.zarr"))
    assert set(store.read("id", slice(None))) == EXAMPLES
    page = (folder / "report.html").read_text()
    assert all(name in page for name in EXAMPLES)


def test_pictures_in_the_readme_show_this_dataset(folder: Path) -> None:
    with Image.open(folder / "preview.png") as made, Image.open(ROOT / "examples/preview.png") as shown:
        assert difference(made, shown) < SAME_PICTURE
    tiles = made_tiles(DatasetStore.open(str(folder / "dutsv2.zarr")), FRONT)
    with Image.open(ROOT / "examples/front.png") as front:
        for line, pictures in enumerate(tiles):
            for column, picture in enumerate(pictures):
                assert difference(picture, front.crop(tile_box(line, column))) < SAME_PICTURE, (line, column)


def test_demo_makes_the_dataset_of_the_readme() -> None:
    (command,) = re.findall(r"pipeline run (.*)", (ROOT / "Makefile").read_text())
    (written,) = re.findall(r"^\.venv/bin/pipeline run (.*)", README, re.MULTILINE)
    content = [re.sub(r" --(output|workers) \S+", "", options) for options in (command, written)]
    assert content[0] == content[1]


def test_code_reads_flow_in_pixels(said: dict[str, str]) -> None:
    shape, size, longest, spread = re.fullmatch(r"\((.*), 2\) \((.*)\) (\S+) (\S+)\n", said["read"]).groups()  # type: ignore[union-attr]
    assert shape == size == "400, 400"
    assert 1 < float(longest) < 400
    assert float(spread) > 0


def test_export_import_verify_and_publish_keep_all_samples(folder: Path, said: dict[str, str]) -> None:
    for part, ending in (("JPEGImages", ".jpg"), ("JPEGFlows", ".jpg"), ("Annotations", ".png")):
        assert {path.name for path in (folder / "DUTSv2" / part).iterdir()} == {name + ending for name in EXAMPLES}
    assert "7 of 7 photos usable" in said["pipeline import"]
    assert "intact; " in said["pipeline verify"]
    assert "7 samples by value" in said["pipeline verify"]
    assert re.search(r"samples +7 of 7: 7 usable", said["pipeline status published"])
    assert re.search(r"published +yes", said["pipeline status published"])


def test_training_leaves_a_network_and_its_loss(folder: Path) -> None:
    records = [json.loads(line) for line in (folder / "runs/tutorial/metrics.jsonl").read_text().splitlines()]
    losses = [record["loss"] for record in records if "loss" in record]
    assert losses
    assert all(0 < loss < 10 for loss in losses)
    for name in ("best", "last"):
        assert any((folder / "runs/tutorial" / name).iterdir())


def test_a_network_of_ones_own_learns(said: dict[str, str]) -> None:
    losses = [float(loss) for loss in re.findall(r"^epoch \d: loss (\d\.\d{3})$", said["learn"], re.MULTILINE)]
    assert len(losses) == 4
    assert losses[-1] < losses[0] < 1


def test_raft_trains_on_pairs(said: dict[str, str]) -> None:
    losses = [float(loss) for loss in re.findall(r"^loss (\d+\.\d\d) px$", said["learn flow"], re.MULTILINE)]
    assert len(losses) == 4
    assert all(0 < loss < 1000 for loss in losses)


def test_trees_of_pairs_are_read_by_torchvision(folder: Path) -> None:
    for reader, tree in ((FlyingChairs, "chairs"), (Sintel, "sintel"), (KittiFlow, "kitti")):
        assert len(reader(folder / "trees" / tree)) == len(EXAMPLES)
    assert len((folder / "trees/davis/ImageSets/2017/train.txt").read_text().split()) == len(EXAMPLES)


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = {line.split()[1] for block in blocks("bash") for line in block.splitlines() if line.startswith("make ")}
    assert named >= {"demo", "test"}
    for target in named:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
