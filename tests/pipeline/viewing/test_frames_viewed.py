"""The frames of pairs and clips in the viewer, and the next frame that it renders of single photos."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect
from starlette.testclient import TestClient

from pipeline.command.progress import Silent
from pipeline.dataset.schema import decode_flow
from pipeline.dataset.store import DatasetStore
from pipeline.making.config import RunConfig
from pipeline.making.run import run
from pipeline.sharing.publish import publish
from pipeline.viewing.application import make_application
from pipeline.viewing.catalogue import Catalogue
from tests.conftest import draw_duts
from tests.pipeline.faulty_s3 import BUCKET, faulty_s3
from tests.pipeline.making.test_run import Watcher
from tests.pipeline.viewing.conftest import PATIENCE_MS, OpenPage, Serve
from tests.pipeline.viewing.known_datasets import make_dataset
from tests.pipeline.viewing.test_application import BASE_URL, client_of, decode

HEIGHT, WIDTH = 72, 96
ROW = 1


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the same photos as `clips.zarr` and `photos.zarr`."""
    folder = tmp_path_factory.mktemp("frames")
    draw_duts(folder / "DUTS", 3)
    for name, frames in (("clips.zarr", 3), ("photos.zarr", 1)):
        made = {"input": str(folder / "DUTS"), "output": str(folder / name), "frames": frames, "motions": 2}
        run(RunConfig(**made, depth_model="tiny-dpt", max_side=96, workers=0), Watcher())  # type: ignore[arg-type]
    return folder


@pytest.fixture
def clips(made_once: Path) -> TestClient:
    return client_of(made_once / "clips.zarr")


@pytest.mark.parametrize(("motion", "step"), [(0, 0), (1, 0), (1, 1)])
def test_frames_and_flow_of_each_step_are_those_stored(
    clips: TestClient, made_once: Path, motion: int, step: int
) -> None:
    store = DatasetStore.open(str(made_once / "clips.zarr"))
    inside = slice(HEIGHT), slice(WIDTH)
    with clips as client:
        chosen = f"motion={motion}&step={step}"
        frame = decode(client.get(f"/picture/{ROW}/next?{chosen}").content)
        np.testing.assert_array_equal(frame, store.read("next_image", ROW)[motion, step][inside])
        steps = np.frombuffer(client.get(f"/flow/{ROW}?{chosen}").content, "<i2").reshape(HEIGHT, WIDTH, 2)
        flow = store.read("later_flow", ROW)[motion, 0] if step else store.read("flow", ROW)[motion]
        np.testing.assert_array_equal(steps, flow[inside])
        occlusion = decode(client.get(f"/picture/{ROW}/occlusion?{chosen}").content).astype(int)
        hidden = store.read("occlusion", ROW)[motion, step][inside] == 1
        assert hidden.any()
        assert (occlusion[hidden][:, 0] - occlusion[hidden][:, 2] > 100).all()
        windows = client.get(f"/api/sample/{ROW}").json()["windows"]
        assert windows == store.read("window", ROW).tolist()


def test_the_rendered_next_frame_is_moved_by_the_flow(made_once: Path) -> None:
    store = DatasetStore.open(str(made_once / "photos.zarr"))
    photo = store.read("image", ROW)[:HEIGHT, :WIDTH].astype(int)
    with client_of(made_once / "photos.zarr") as client:
        for motion in range(2):
            frame = decode(client.get(f"/picture/{ROW}/next?motion={motion}").content).astype(int)
            flow = decode_flow(store.read("flow", ROW)[motion, :HEIGHT, :WIDTH])
            rows, columns = np.mgrid[12 : HEIGHT - 12, 12 : WIDTH - 12]
            u, v = np.rint(flow[rows, columns]).astype(int).transpose(2, 0, 1)
            moved = frame[np.clip(rows + v, 0, HEIGHT - 1), np.clip(columns + u, 0, WIDTH - 1)]
            error, unmoved = (np.median(np.abs(one - photo[rows, columns])) for one in (moved, frame[rows, columns]))
            assert error < 0.8 * unmoved


def test_motions_and_steps_are_chosen_and_frames_flicker(serve: Serve, open_page: OpenPage, made_once: Path) -> None:
    page = open_page(f"{serve(made_once / 'clips.zarr')}#row={ROW}&picture=next")
    expect(page.locator("#caption")).to_have_text("Frame 2, as stored.")
    flow = page.locator("#about dd").nth(2)
    expect(flow).to_contain_text("longest")
    first = flow.text_content()
    page.locator("#motion").select_option("2 of 2")
    expect(flow).not_to_have_text(first or "")
    page.locator("#step").select_option("frame 2 to 3")
    expect(page.locator("#caption")).to_have_text("Frame 3, as stored.")
    assert page.url.endswith("#row=1&picture=next&motion=1&step=1")
    page.get_by_role("button", name="Occlusion").click()
    expect(page.locator("#caption")).to_contain_text("Red: hidden by the step.")
    page.get_by_role("button", name="Flicker").click()
    expect(page.locator("#caption")).to_contain_text("Frame")  # the frames are read first
    shown: dict[str, str] = {}
    end = time.monotonic() + PATIENCE_MS / 1000
    while len(shown) < 3 and time.monotonic() < end:
        caption, picture = page.evaluate(
            "[document.querySelector('#caption').textContent, document.querySelector('#shown').src]"
        )
        shown[caption] = picture
    assert sorted(shown) == ["Frame 1, the photo", "Frame 2", "Frame 3"]
    assert len(set(shown.values())) == 3


def test_imported_flow_has_neither_depth_nor_next_frame(made_once: Path, tmp_path: Path) -> None:
    from pipeline.making.config import ImportSettings
    from pipeline.making.import_tree import import_tree
    from pipeline.sharing.export import export_tree

    export_tree(DatasetStore.open(str(made_once / "photos.zarr")), tmp_path / "tree", Watcher())
    import_tree(str(tmp_path / "tree"), str(tmp_path / "imported.zarr"), ImportSettings(max_side=96), Watcher())
    with client_of(tmp_path / "imported.zarr") as client:
        facts = client.get("/api/dataset").json()
        assert (facts["layers"], facts["kinds"], facts["lengths_are_relative"]) == (["photo", "flow", "mask"], [], True)
        assert client.get("/api/sample/0").json()["motions"] == []
        assert client.get("/picture/0/flow").status_code == 200


def test_an_object_store_is_looked_at_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    with faulty_s3(monkeypatch):
        url = f"s3://{BUCKET}/x.zarr"
        make_dataset(url, ["a", "b", "c", "d", "e"])
        with client_of(url) as client:
            assert client.get("/api/index").json()["ids"] == ["a", "b", "c", "d", "e"]
            for path in ("/thumbnail/4/photo", "/picture/4/next", "/flow/4", "/api/sample/4"):
                assert client.get(path).status_code == 200


@pytest.fixture(scope="module")
def slim(made_once: Path) -> Path:
    """Publish the photos without images."""
    folder = made_once / "slim"
    publish(str(made_once / "photos.zarr"), str(folder), Silent(), with_images=False)
    return folder


def test_a_dataset_without_images_shows_its_flow_and_with_the_photos_all_of_it(made_once: Path, slim: Path) -> None:
    slim_alone = client_of(slim)
    with_photos = TestClient(make_application(Catalogue(str(slim), str(made_once / "DUTS"))), base_url=BASE_URL)
    with client_of(made_once / "photos.zarr") as whole, slim_alone as alone, with_photos as again:
        assert alone.get("/api/dataset").json()["layers"] == ["depth", "flow", "mask"]
        assert again.get("/api/dataset").json()["layers"] == whole.get("/api/dataset").json()["layers"]
        for layer in ("depth", "flow"):
            answers = [client.get(f"/picture/{ROW}/{layer}?motion=1") for client in (whole, alone, again)]
            assert len({answer.content for answer in answers}) == 1
        for layer in ("photo", "mask", "next"):
            assert whole.get(f"/picture/{ROW}/{layer}").content == again.get(f"/picture/{ROW}/{layer}").content
        mask = DatasetStore.open(str(slim)).read("mask", ROW)[:HEIGHT, :WIDTH] > 0
        assert np.array_equal(decode(alone.get(f"/picture/{ROW}/mask").content) == 255, np.stack([mask] * 3, -1))
        assert alone.get(f"/picture/{ROW}/photo").status_code == 404


def test_the_page_of_a_dataset_without_images_begins_with_depth(serve: Serve, open_page: OpenPage, slim: Path) -> None:
    page = open_page(serve(slim))
    expect(page.locator(".tile img").first).to_be_visible()
    page.locator(".tile").first.click()
    expect(page.get_by_role("button", name="Depth")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("button", name="Photo")).to_have_count(0)
    expect(page.locator("#flicker")).to_be_hidden()
