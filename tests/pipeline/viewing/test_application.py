"""Answers of the viewer's server: exact values, one sentence for every mistake, and nothing for other web pages."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from anyio.from_thread import start_blocking_portal
from starlette.testclient import TestClient

from flowsim import flow_to_rgb
from pipeline.dataset.store import DatasetStore
from pipeline.viewing.application import make_application
from pipeline.viewing.bounded_cache import BoundedCache
from pipeline.viewing.catalogue import Catalogue
from tests.pipeline.viewing.known_datasets import (
    HEIGHT,
    MOTIONS,
    WIDTH,
    add_shard,
    begin_dataset,
    flow_px,
    make_dataset,
    object_rows,
)

IDS = [f"scene_{row:03d}" for row in range(11)]
FAILED = 6
BASE_URL = "http://127.0.0.1:8765"


def client_of(url: str | Path) -> TestClient:
    return TestClient(make_application(Catalogue(str(url))), base_url=BASE_URL)


def decode(png: bytes) -> np.ndarray:
    pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    return pixels[..., ::-1]


def wait_for_measures(client: TestClient) -> dict[str, Any]:
    for _ in range(400):
        state: dict[str, Any] = client.get("/api/state").json()
        if state["measured"] >= state["usable"] or state["error"]:
            return state
        time.sleep(0.05)
    raise AssertionError("the measurement does not end")


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("viewed") / "x.zarr"
    make_dataset(str(folder), IDS, failed=[FAILED])
    return folder


@pytest.fixture
def dataset(made_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made_once, tmp_path / "x.zarr"))


@pytest.fixture(scope="module")
def client(made_once: Path) -> Iterator[TestClient]:
    with client_of(made_once) as client:
        yield client


def test_the_list_tells_states_reasons_and_kinds_of_motion(client: TestClient) -> None:
    index, facts = client.get("/api/index").json(), client.get("/api/dataset").json()
    assert index["rows"] == list(range(11))
    assert index["ids"] == IDS
    assert [row for row, failed in enumerate(index["failed"]) if failed] == [FAILED]
    assert index["reasons"] == {str(FAILED): "truncated"}
    for row in set(range(11)) - {FAILED}:
        (kind,) = index["kinds"][row]
        assert facts["kinds"][kind].startswith(f"shot {MOTIONS[row].shot}, ")
    assert facts["name"] == "x.zarr"
    assert ["motion", "davis, seed 1"] in facts["facts"]
    assert facts["layers"] == ["photo", "depth", "flow", "mask", "next"]


def test_pictures_hold_what_is_stored(client: TestClient, made_once: Path) -> None:
    store = DatasetStore.open(str(made_once))
    photo = decode(client.get("/picture/4/photo").content)
    np.testing.assert_array_equal(photo, store.read("image", 4)[:HEIGHT, :WIDTH])
    flow = np.zeros((HEIGHT, WIDTH, 2), np.float32)
    flow[..., 0] = flow_px(4)
    np.testing.assert_array_equal(decode(client.get("/picture/4/flow").content), flow_to_rgb(flow))
    mask = decode(client.get("/picture/4/mask").content)
    np.testing.assert_array_equal(mask[-1], photo[-1] // 3)
    depth = decode(client.get("/picture/4/depth").content).astype(int).sum(-1)
    assert depth[0].min() > depth[-1].max()  # the object is nearer, and near is bright
    small = decode(client.get("/thumbnail/4/photo").content)
    assert small.shape == photo.shape
    assert np.abs(small.astype(int) - photo).max() < 12


def test_flow_under_the_pointer_is_exact(client: TestClient, made_once: Path) -> None:
    steps = np.frombuffer(client.get("/flow/7?motion=0&step=0").content, "<i2").reshape(HEIGHT, WIDTH, 2)
    np.testing.assert_array_equal(steps, DatasetStore.open(str(made_once)).read("flow", 7)[0, :HEIGHT, :WIDTH])
    assert steps[3, 5, 0] / 64 == flow_px(7)


def test_a_sample_tells_its_size_object_and_motion(client: TestClient) -> None:
    sample = client.get("/api/sample/5").json()
    assert (sample["id"], sample["height"], sample["width"]) == (IDS[5], HEIGHT, WIDTH)
    assert sample["object_share"] == pytest.approx(object_rows(5) / HEIGHT)
    motion = dict(sample["motions"][0])
    assert motion["type of shot"].startswith(f"{MOTIONS[5].shot}, ")
    assert motion["field of view"] == f"{MOTIONS[5].fov_deg:.0f}°"
    assert motion["camera turns"].startswith("tilt ")


def test_a_failed_sample_tells_why_and_has_no_picture(client: TestClient) -> None:
    assert client.get(f"/api/sample/{FAILED}").json()["failure"] == f"{IDS[FAILED]} ends early (truncated)"
    answer = client.get(f"/thumbnail/{FAILED}/photo")
    assert answer.status_code == 404
    assert answer.json()["error"] == "The photo of row 6 could not be used, so there is no picture of it."


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/api/sample/11", "There is no row 11: the dataset has rows 0 to 10."),
        ("/thumbnail/99999999999999999999/photo", "There is no row 99999999999999999999"),
        ("/picture/0/photo?motion=1", "no picture 'photo' of motion 1, step 0"),
        ("/picture/0/photo?step=-1", "step is '-1'; expected a whole number"),
        ("/picture/0/photo?step=²", "step is '²'; expected a whole number"),
        ("/picture/0/occlusion", "It has photo, depth, flow, mask, next of motion 0, step 0."),
        ("/picture/0/..%5Cphoto", "no picture '..\\\\photo'"),
        ("/flow/0?step=1", "no picture 'flow' of motion 0, step 1"),
    ],
)
def test_what_is_not_there_is_said_in_one_sentence(client: TestClient, path: str, sentence: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert sentence in answer.json()["error"]


@pytest.mark.parametrize(
    "path",
    [
        "/page/../application.py",
        "/page/%2e%2e/application.py",
        "/page/..%2fapplication.py",
        "/page/%2fetc/passwd",
        "/page/..%5c..%5capplication.py",
        "/page/index.html%00.js",
        "/page//etc/passwd",
        "/zarr.json",
    ],
)
def test_no_path_leads_out_of_the_page(made_once: Path, path: str) -> None:
    async def request() -> int:
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        # As a server passes it on: clients would tidy the path before they send it.
        raw = path.encode()
        decoded = raw.replace(b"%2e", b".").replace(b"%2f", b"/").replace(b"%5c", b"\\").replace(b"%00", b"\0").decode()
        scope = {
            "type": "http",
            "method": "GET",
            "path": decoded,
            "raw_path": raw,
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"127.0.0.1:8765")],
        }
        await make_application(Catalogue(str(made_once)))(scope, receive, send)
        return int(sent[0]["status"])

    with start_blocking_portal() as portal:  # a loop of its own; the browser's may run in this thread
        assert portal.call(request) == 404


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "", "0.0.0.0:8765"])
def test_other_host_names_are_refused(client: TestClient, host: str) -> None:
    for path in ("/", "/api/index", "/thumbnail/0/photo"):
        answer = client.get(path, headers={"host": host})
        assert answer.status_code == 400
        assert answer.text == "Invalid host header"


def test_requests_of_other_pages_are_refused_but_links_work(client: TestClient) -> None:
    for site in ("cross-site", "same-site"):
        assert client.get("/api/index", headers={"sec-fetch-site": site}).status_code == 403
        assert client.get("/thumbnail/0/photo", headers={"sec-fetch-site": site}).status_code == 403
        assert client.post("/api/measure", headers={"sec-fetch-site": site}).status_code == 403
        assert client.get("/", headers={"sec-fetch-site": site}).status_code == 200
    assert client.get("/api/index", headers={"sec-fetch-site": "same-origin"}).status_code == 200
    assert client.get("/", headers={"host": "localhost:9000"}).status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/page/main.js", "/api/index", "/thumbnail/0/photo", "/absent", "/api/sample/99"]
)
def test_every_answer_forbids_to_load_from_elsewhere(client: TestClient, path: str) -> None:
    answer = client.get(path)
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["img-src"] == "'self' blob:"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert answer.headers["cache-control"] == "no-store"


def test_ids_stay_text(tmp_path: Path) -> None:
    ids = ["<script>alert(1)</script>", "\"'&/\\..", "név 写真 🎞", "x" * 5000, "tab\tand\u202eturned"]
    make_dataset(str(tmp_path / "x.zarr"), ids)
    with client_of(tmp_path / "x.zarr") as client:
        answer = client.get("/api/index")
        assert answer.headers["content-type"] == "application/json"
        listed = answer.json()["ids"]
        assert listed[:3] == ids[:3]
        assert listed[3] == "x" * 300
        assert listed[4] == "tab\\tand\\u202eturned"
        assert client.get("/api/sample/3").json()["id"] == ids[3]


def test_sizes_are_measured_once_somebody_asks(dataset: Path) -> None:
    with client_of(dataset) as client:
        client.get("/api/index")
        assert client.get("/api/state").json()["measured"] == 0
        assert client.post("/api/measure").status_code == 200
        state = wait_for_measures(client)
        assert state["rows"] == sorted(set(range(11)) - {FAILED})
        assert state["flow_px"] == pytest.approx([flow_px(row) for row in state["rows"]])
        assert state["object_share"] == pytest.approx([object_rows(row) / HEIGHT for row in state["rows"]])
        assert client.get("/api/state?first=8").json()["rows"] == state["rows"][8:]
        assert client.get("/api/measure").status_code == 405


def test_unknown_vectors_do_not_count(tmp_path: Path) -> None:
    from pipeline.viewing.measuring import mean_length_px

    flow = np.full((2, 3, 2), np.nan, np.float32)
    assert mean_length_px(flow) is None
    flow[0, 0], flow[1, 2] = (3, 4), (0, 1)
    assert mean_length_px(flow) == 3


def test_a_damaged_sample_is_said_and_the_others_are_shown(dataset: Path) -> None:
    path = dataset / "flow/c/0/0/0/0/0"
    content = bytearray(path.read_bytes())
    content[20] ^= 1  # in the chunk of row 0
    path.write_bytes(content)
    with client_of(dataset) as client:
        answer = client.get("/thumbnail/0/flow")
        assert answer.status_code == 500
        assert "the array flow cannot be read (a chunk's checksum does not fit)" in answer.json()["error"]
        assert client.get("/thumbnail/0/photo").status_code == client.get("/thumbnail/1/flow").status_code == 200
        client.post("/api/measure")
        state = wait_for_measures(client)
        assert state["error"] == ""
        assert state["flow_px"][0] is None
        assert state["flow_px"][1] == flow_px(1)


def test_a_measurement_ends_with_a_sentence_if_the_place_is_lost(tmp_path: Path) -> None:
    make_dataset(str(tmp_path / "x.zarr"), [f"{row}" for row in range(60)], samples_per_shard=20)
    catalogue = Catalogue(str(tmp_path / "x.zarr"))
    with TestClient(make_application(catalogue), base_url="http://127.0.0.1") as client:
        shutil.rmtree(tmp_path / "x.zarr/flow")
        client.post("/api/measure")
        state = wait_for_measures(client)
        assert "the array flow cannot be read" in state["error"]
        assert state["measured"] < 60


def test_a_dataset_that_is_being_written_shows_what_is_made(tmp_path: Path) -> None:
    store = begin_dataset(str(tmp_path / "x.zarr"), 11, 4)
    catalogue = Catalogue(str(tmp_path / "x.zarr"))
    assert catalogue.index()["rows"] == []
    assert not catalogue.is_complete()
    add_shard(store, 1, IDS, failed=[FAILED])
    catalogue.refresh()
    index = catalogue.index()
    assert index["rows"] == [4, 5, 6, 7]
    revision, generation = index["revision"], index["generation"]
    catalogue.refresh()
    assert catalogue.revision == revision
    add_shard(store, 0, IDS)
    catalogue.refresh()
    assert (catalogue.revision, catalogue.generation) == (revision + 1, generation)
    add_shard(store, 1, IDS)  # as `--retry-failed` makes it again
    catalogue.refresh()
    assert catalogue.generation == generation + 1
    assert catalogue.counts() == {"usable": 8, "failed": 0, "all": 11}
    add_shard(store, 2, IDS)
    catalogue.refresh()
    assert catalogue.is_complete()


def test_rows_stay_there_while_their_shard_is_read_again(dataset: Path) -> None:
    catalogue = Catalogue(str(dataset))
    is_over, lost = threading.Event(), []

    def watch() -> None:
        while not is_over.is_set():
            lost.extend(row for row in (4, FAILED) if row not in catalogue)

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(10):
        catalogue.refresh()  # looks again at shards with failures, which a run may repair
    is_over.set()
    watcher.join()
    assert lost == []


def test_a_dataset_that_grows_gets_its_new_rows(tmp_path: Path) -> None:
    from dataclasses import replace

    store = make_dataset(str(tmp_path / "x.zarr"), IDS[:8])
    catalogue = Catalogue(str(tmp_path / "x.zarr"))
    attributes = {name: store.attributes[name] for name in ("settings", "source", "licence")}
    store.grow(replace(store.layout, samples=11), {**attributes, "fingerprint": "1" * 64})
    add_shard(store, 2, IDS)
    catalogue.refresh()
    assert catalogue.index()["ids"] == IDS


def test_a_dataset_that_is_gone_is_said(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.viewing.application.SECONDS_BETWEEN_LOOKS", 0.0)
    with client_of(dataset) as client:
        shutil.rmtree(dataset)
        answer = client.get("/api/state")
        assert answer.status_code == 500
        assert "x.zarr: there is no dataset here" in answer.json()["error"]


def test_a_request_that_was_given_up_reads_nothing(made_once: Path) -> None:
    application = make_application(Catalogue(str(made_once)))
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    async def request() -> None:
        scope = {
            "type": "http",
            "method": "GET",
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"localhost")],
        }
        async with application.router.lifespan_context(application):
            await application({**scope, "path": "/thumbnail/0/photo"}, receive, send)

    with start_blocking_portal() as portal:
        portal.call(request)
    assert sent[0]["status"] == 499
    assert sent[1]["body"] == b""


def test_the_cache_forgets_what_was_not_used_for_longest() -> None:
    cache, made = BoundedCache(limit=10), []

    def get(name: str) -> bytes:
        return cache.get(name, lambda: made.append(name) or name.encode() * 4)  # type: ignore[func-returns-value]

    for name in "abacab":
        assert get(name) == name.encode() * 4
    assert made == ["a", "b", "c", "b"]
    assert cache.size == 8
