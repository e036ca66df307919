"""What commands show, export and estimate of a dataset without images, with its photos and without them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from pipeline import RunConfig, run
from pipeline.command.progress import Silent
from pipeline.dataset.store import DatasetStore
from pipeline.sharing.publish import publish
from tests.conftest import ROOT
from tests.pipeline.conftest import Command, Done
from tests.pipeline.drawn_dataset import contents

KINDS = {"photos": 1, "pairs": 2}
NEEDS_PHOTOS = "was published without images, so its photos are needed here. Give their folder by `--photos FOLDER`"


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make photos and pairs of three example photos, each whole and published without images."""
    folder = tmp_path_factory.mktemp("shown")
    shutil.copytree(ROOT / "examples/DUTS", folder / "DUTS")
    for kind, frames in KINDS.items():
        whole = str(folder / kind)
        sizes = {"max_side": 96, "limit": 3, "frames": frames}
        run(RunConfig(input=str(folder / "DUTS"), output=whole, depth_model="tiny-dpt", workers=0, **sizes))
        publish(whole, str(folder / f"{kind}-slim"), Silent(), with_images=False)
    return folder


@pytest.mark.parametrize(
    ("kind", "ending"), [("photos", ".png"), ("pairs", ".png"), ("pairs", ".webp"), ("photos", ".html")]
)
def test_with_photos_a_copy_looks_like_the_whole_dataset(
    places: Path, tmp_path: Path, pipeline: Command, kind: str, ending: str
) -> None:
    command = "report" if ending == ".html" else "preview"
    whole, slim = tmp_path / f"whole{ending}", tmp_path / f"slim{ending}"
    assert pipeline(command, places / kind, "--output", whole).returncode == 0
    done = pipeline(command, places / f"{kind}-slim", "--photos", places / "DUTS", "--output", slim)
    assert done.returncode == 0, done.said
    assert "note:" not in done.said
    if ending == ".html":
        pictures = re.findall(r"data:image/[^\"]+", whole.read_text())
        assert len(pictures) > 10
        assert re.findall(r"data:image/[^\"]+", slim.read_text()) == pictures
    else:
        assert slim.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_without_photos_depth_flow_and_masks_are_shown(
    places: Path, tmp_path: Path, pipeline: Command, kind: str
) -> None:
    slim = places / f"{kind}-slim"
    note = f"note: {slim} was published without images; --photos FOLDER shows its photos"
    done = pipeline("preview", slim, "--output", tmp_path / "slim.png")
    assert (done.returncode, note in done.stderr) == (0, True), done.said
    done = pipeline("report", slim, "--output", tmp_path / "slim.html")
    assert (done.returncode, note in done.stderr) == (0, True), done.said
    page = (tmp_path / "slim.html").read_text()
    heads = '<span class="soft">inverse depth, bright = near</span><span class="soft">flow</span>'
    assert f'heads">{heads}<span class="soft">mask</span>' in page
    assert "photo of" not in page
    assert "warping error" not in page


def test_what_shows_photos_asks_for_them_before_anything_is_made(
    places: Path, tmp_path: Path, pipeline: Command
) -> None:
    for kind, layout in (("photos", "published"), ("pairs", "sintel"), ("photos", "webdataset")):
        done = pipeline("export", places / f"{kind}-slim", tmp_path / "tree", "--layout", layout)
        assert (done.returncode, NEEDS_PHOTOS in done.stderr) == (1, True), done.said
        assert not (tmp_path / "tree").exists()
    done = pipeline("preview", places / "pairs-slim", "--output", tmp_path / "pairs.webp")
    assert (done.returncode, NEEDS_PHOTOS in done.stderr) == (1, True), done.said


def test_photos_are_found_in_any_folder_that_holds_them(places: Path, tmp_path: Path, pipeline: Command) -> None:
    def preview(photos: Path) -> Done:
        return pipeline("preview", places / "photos-slim", "--photos", photos, "--output", tmp_path / "x.png")

    done = preview(places / "DUTS/DUTS-TR/DUTS-TR-Image")
    assert done.returncode == 0, done.said
    for empty in ("none", "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        done = preview(tmp_path / empty)
        assert done.returncode == 1
        assert re.search(rf"{tmp_path / empty}( does not exist)?; expected [^-]+\n$", done.stderr), done.said


@pytest.mark.parametrize(("kind", "layout"), [("photos", "published"), ("photos", "parquet"), ("pairs", "sintel")])
def test_with_photos_a_copy_is_exported_like_the_whole_dataset(
    places: Path, tmp_path: Path, pipeline: Command, kind: str, layout: str
) -> None:
    assert pipeline("export", places / kind, tmp_path / "whole", "--layout", layout).returncode == 0
    done = pipeline(
        "export", places / f"{kind}-slim", tmp_path / "slim", "--layout", layout, "--photos", places / "DUTS"
    )
    assert done.returncode == 0, done.said
    assert len(contents(tmp_path / "whole")) > 1
    assert contents(tmp_path / "slim") == contents(tmp_path / "whole")


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_without_images_is_published_as_it_is(
    places: Path, tmp_path: Path, pipeline: Command, kind: str
) -> None:
    slim = places / f"{kind}-slim"
    done = pipeline("publish", slim, tmp_path / "again")
    assert done.returncode == 0, done.said
    assert contents(tmp_path / "again") == contents(slim)
    version = DatasetStore.open(str(slim)).attributes["schema_version"]
    assert f"| schema version | {version} |" in (slim / "README.md").read_text()
