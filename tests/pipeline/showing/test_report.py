"""`pipeline report`: the page's numbers, and the page as a browser shows it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from pipeline.commands import app
from pipeline.dataset.run_log import run_records
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError
from pipeline.making.config import ImportSettings, RunConfig
from pipeline.making.import_tree import import_tree
from pipeline.making.run import run
from pipeline.sharing.export import export_tree
from pipeline.showing.report import write_report
from tests.conftest import draw_duts
from tests.pipeline.making.test_run import Watcher

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium, which is not installed")
HOSTILE = "<img src=x onerror=alert(1)>"

# Tells in the page's text what the browser made of it.
PROBE = """<script>addEventListener('load', () => {
const all = selector => [...document.querySelectorAll(selector)];
const report = document.createElement('pre');
report.id = 'probe';
report.textContent = JSON.stringify({
  pictures: all('img').length,
  broken: all('img').filter(picture => !picture.complete || !picture.naturalWidth).length,
  drawings: all('svg').length,
  empty: all('svg').filter(drawing => drawing.querySelectorAll('path').length < 5 || !drawing.clientWidth).length,
  too_wide: document.documentElement.scrollWidth > innerWidth,
  fetched: performance.getEntriesByType('resource').filter(entry => !entry.name.startsWith('data:')).length,
  headings: all('h2').map(heading => heading.textContent),
});
document.body.append(report);
})</script>"""


class Links(HTMLParser):
    """Collects what a page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "link", "iframe")
        self.urls += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "srcset")]


def settings(root: Path, output: Path, **changes: object) -> RunConfig:
    small = {"depth_model": "tiny-dpt", "max_side": 96, "samples_per_shard": 4, "motion": "camera+object"}
    return RunConfig(**{"input": str(root), "output": str(output), "workers": 0, **small, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a dataset of nine photos, two of which failed, its report, and one of imported flow."""
    folder = tmp_path_factory.mktemp("report")
    photos = draw_duts(folder / "DUTS", 8) / "DUTS-TR/DUTS-TR-Image"
    for name in ("scene_003.png", f"{HOSTILE}.png"):
        (photos / name).write_bytes(b"no photo")
        mask = folder / "DUTS/DUTS-TR/DUTS-TR-Mask" / name
        shutil.copy(photos.parent / "DUTS-TR-Mask/scene_000.png", mask)
    run(settings(folder / "DUTS", folder / "simulated.zarr", motions=2), Watcher())
    store = DatasetStore.open(str(folder / "simulated.zarr"))
    write_report(store, folder / "report.html", Watcher())
    export_tree(store, folder / "tree", Watcher())
    import_tree(str(folder / "tree"), str(folder / "imported.zarr"), ImportSettings(max_side=96), Watcher())
    write_report(DatasetStore.open(str(folder / "imported.zarr")), folder / "imported.html", Watcher())
    return folder


@pytest.fixture(scope="module")
def page(made_once: Path) -> str:
    return (made_once / "report.html").read_text(encoding="utf-8")


def words(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_counts_failures_and_provenance_are_told(page: str, made_once: Path) -> None:
    told = words(page)
    assert "7 usable photos" in told
    assert "2 failed photos" in told
    assert "14 flow fields" in told
    assert "not_an_image 2" in told
    assert "scene_003" in told
    assert "14 fields of 7 photos" in told
    assert "Parameters of 14 motions" in told
    attributes = DatasetStore.open(str(made_once / "simulated.zarr")).attributes
    assert attributes["fingerprint"] in told
    assert attributes["settings"]["depth"]["sha256"] in told


def test_median_of_a_statistic_is_that_of_the_flow(page: str, made_once: Path) -> None:
    group = DatasetStore.open(str(made_once / "simulated.zarr")).group
    medians = []
    for row in np.flatnonzero(group["status"][:] == 0):
        height, width = group["size"][row]
        flows = group["flow"][row, :, :height, :width] / 64
        medians += [np.median(np.hypot(*np.moveaxis(flow, -1, 0))) for flow in flows]
    assert f"<h3>Median length</h3><span>{np.median(medians):.3g} px</span>" in page


def test_page_refers_to_nothing_outside_and_runs_nothing(page: str) -> None:
    links = Links()
    links.feed(page)
    assert links.urls
    assert all(url.startswith(("data:", "#")) for url in links.urls)
    assert HOSTILE not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)


def test_a_report_replaces_a_report_and_no_other_file(made_once: Path, tmp_path: Path) -> None:
    page, photo = tmp_path / "report.html", tmp_path / "photo.jpg"
    photo.write_bytes(b"\xff\xd8 a photo")
    for _ in range(2):
        assert (
            CliRunner().invoke(app, ["report", str(made_once / "simulated.zarr"), "--output", str(page)]).exit_code == 0
        )
    done = CliRunner().invoke(app, ["report", str(made_once / "simulated.zarr"), "--output", str(photo)])
    assert (done.exit_code, photo.read_bytes()) == (1, b"\xff\xd8 a photo")
    assert f"{photo} is a file that is no page, and would be lost" in str(done.exception)


def test_same_dataset_gives_the_same_page(page: str, made_once: Path, tmp_path: Path) -> None:
    write_report(DatasetStore.open(str(made_once / "simulated.zarr")), tmp_path / "again.html", Watcher())
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == page


def test_rates_come_from_the_runs_that_made_it(page: str, made_once: Path) -> None:
    (record,) = run_records(DatasetStore.open(str(made_once / "simulated.zarr"))).values()
    assert record["photos"] == 9
    assert record["failed"] == 2
    assert set(record["stage_seconds"]) == {"decode", "wait", "depth", "flow", "write"}
    assert 0 < record["stage_seconds"]["depth"] < 60
    assert re.search(r"in this process: cpu, \d+ cores? 9 ", words(page))


def test_imported_flow_has_no_motions_and_relative_lengths(made_once: Path) -> None:
    page = (made_once / "imported.html").read_text(encoding="utf-8")
    assert "Lengths are relative" in page
    assert "<h2>Motions</h2>" not in page
    assert "inverse depth" not in page
    assert "<h2>Speed</h2>" not in page  # no run is recorded


def test_a_dataset_of_which_nothing_is_made_yet_has_a_report_too(made_once: Path, tmp_path: Path) -> None:
    shutil.copytree(made_once / "imported.zarr", tmp_path / "begun.zarr")
    for record in (tmp_path / "begun.zarr/.fakeflow/commits").glob("*.json"):
        record.unlink()
    done = CliRunner().invoke(app, ["report", str(tmp_path / "begun.zarr"), "--output", str(tmp_path / "begun.html")])
    assert str(tmp_path / "begun.html") in done.output
    told = words((tmp_path / "begun.html").read_text(encoding="utf-8"))
    assert "0 usable photos" in told
    assert "14 not made yet" in told


def test_a_place_that_cannot_be_written_is_said_before_the_work(made_once: Path, tmp_path: Path) -> None:
    watcher = Watcher()
    with pytest.raises(PipelineError, match=r"absent/r.html: there is no folder"):
        write_report(DatasetStore.open(str(made_once / "simulated.zarr")), tmp_path / "absent/r.html", watcher)
    assert watcher.counts == []


@needs_browser
@pytest.mark.parametrize(("name", "pictures", "drawings"), [("report.html", 66, 22), ("imported.html", 40, 11)])
@pytest.mark.parametrize("width", [1200, 420])
def test_a_browser_shows_every_picture(
    made_once: Path, tmp_path: Path, name: str, pictures: int, drawings: int, width: int
) -> None:
    page = (made_once / name).read_text(encoding="utf-8")
    (tmp_path / name).write_text(page.replace("</body>", f"{PROBE}</body>"), encoding="utf-8")
    shown = browse(tmp_path / name, tmp_path, f"--window-size={width},900", "--dump-dom")
    found = json.loads(re.findall(r'<pre id="probe">(.*?)</pre>', shown)[0])
    assert found["pictures"] == pictures
    assert found["drawings"] == drawings
    assert (found["broken"], found["empty"], found["fetched"], found["too_wide"]) == (0, 0, 0, False)
    assert found["headings"][0] == "Samples"


@needs_browser
def test_a_browser_paints_it_light_and_dark(made_once: Path, tmp_path: Path) -> None:
    levels = {}
    for scheme, number in (("dark", 0), ("light", 1)):
        picture = tmp_path / f"{scheme}.png"
        option = f"--blink-settings=preferredColorScheme={number}"
        browse(made_once / "report.html", tmp_path, "--window-size=1000,1200", option, f"--screenshot={picture}")
        with Image.open(picture) as opened:
            pixels = np.asarray(opened.convert("RGB"))
        assert pixels[:400, 100:900].std() > 10
        levels[scheme] = np.median(pixels)
    assert levels["dark"] < 60
    assert levels["light"] > 220


def browse(page: Path, profile: Path, *options: str) -> str:
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile / 'profile'}"]
    done = subprocess.run(
        [*command, "--hide-scrollbars", *options, page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout
