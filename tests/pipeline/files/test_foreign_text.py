"""Text of other authors has no effect: in a card, in JSON, in errors of libraries, in the links of a web server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from depth import DepthError
from depth.loading import load_depth_network
from depth.model_files import find_model
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError, UnusablePhoto
from pipeline.photos.decoding import decode_photo
from pipeline.photos.image_files import MAX_PIXELS
from pipeline.photos.listing import build_listing
from pipeline.sharing.card import dataset_card
from pipeline.showing.status import describe
from segmentation.data.photo_samples import ShardDataset
from segmentation.errors import FlowError, SegmentationError
from segmentation.flow.raft_weights import open_raft
from segmentation.network.checkpoint import load_network
from segmentation.prediction.mask_folders import begin_or_continue
from segmentation.training.folder import held_folder
from tests.conftest import draw_scene, write_png
from tests.pipeline.drawn_dataset import make_dataset
from tests.pipeline.photos.test_decoding import png_header

NESTED = "[" * 100_000


class Listing(SimpleHTTPRequestHandler):
    """Serves files and pages of links, and says nothing."""

    def log_message(self, *words: object) -> None:
        """Log nothing."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    folder = tmp_path / "served"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Listing, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_attributes_are_text_in_a_card(tmp_path: Path) -> None:
    store = make_dataset(str(tmp_path / "x.zarr"))
    hostile = "<img src=x onerror=alert(1)> | ![x](http://e/x.png)\n# head `c` https://me:hunter2@e/y"
    store.attributes.update(source=hostile, licence=hostile, fingerprint=hostile)
    store.attributes["settings"]["depth"]["model"] = hostile
    store.attributes["settings"]["motion"] = hostile
    card = dataset_card(store)
    assert "&lt;img src=x onerror=alert(1)&gt;" in card
    for forbidden in ("<img", "![x]", "\n# head", "`c`", "hunter2"):
        assert forbidden not in card


def test_deeply_nested_json_is_damage(tmp_path: Path) -> None:
    for name in ("net", "run", "masks"):
        (tmp_path / name).mkdir()
        for file in ("config.json", "settings.json", "model.safetensors"):
            (tmp_path / name / file).write_text(NESTED)
    with pytest.raises(SegmentationError, match=r"config.json is no JSON"):
        load_network(tmp_path / "net")
    with (
        pytest.raises(SegmentationError, match=r"settings.json cannot be read"),
        held_folder(tmp_path / "run", {}, resume=True),
    ):
        pass
    with pytest.raises(SegmentationError, match=r"settings.json is damaged"):
        begin_or_continue(tmp_path / "masks", {})
    with pytest.raises(DepthError, match=r"config.json is not JSON"):
        find_model(str(tmp_path / "net"))
    (tmp_path / "zarr.json").write_text(NESTED)
    with pytest.raises(PipelineError, match=r"zarr.json is no JSON object; it is damaged"):
        DatasetStore.open(str(tmp_path))


class Foreign:
    """Something that a file of tensors does not hold."""


def test_no_advice_to_run_what_is_in_a_file_of_weights(tmp_path: Path) -> None:
    path = tmp_path / "raft.pth"
    torch.save({"model": Foreign()}, path)
    with pytest.raises(FlowError, match="hold more than tensors") as refused:
        open_raft(str(path))
    assert "weights_only" not in str(refused.value)
    assert "option" not in str(refused.value)
    path = path.rename(tmp_path / "dpt.pt")
    with pytest.raises(DepthError) as unreadable:
        load_depth_network(find_model(str(path)))
    assert "weights_only" not in str(unreadable.value)


def test_a_device_is_no_folder() -> None:
    with pytest.raises(PipelineError, match="/dev/null is a file, not a dataset"):
        DatasetStore("/dev/null").exists()


def test_the_limit_of_a_photo_is_ours() -> None:
    with pytest.raises(UnusablePhoto) as refused:
        decode_photo(png_header(60_000, 60_000))
    assert str(refused.value) == f"the image has 3600000000 pixels; expected at most {MAX_PIXELS} pixels"


def test_photos_of_a_web_server_have_the_ids_of_their_files(served: tuple[Path, str]) -> None:
    folder, url = served
    for name in ("a b", "50 %", "ä"):
        photo, mask = draw_scene(1)
        write_png(folder / "DUTSv2/JPEGImages" / f"{name}.png", photo)
        write_png(folder / "DUTSv2/Annotations" / f"{name}.png", mask)
    remote, local = build_listing(f"{url}/DUTSv2"), build_listing(str(folder / "DUTSv2"))
    assert [row.id for row in remote.rows] == ["50 %", "a b", "ä"]
    assert remote.listing_hash == local.listing_hash


def test_a_dataset_on_a_web_server_is_read(served: tuple[Path, str]) -> None:
    folder, url = served
    make_dataset(str(folder / "x.zarr"))
    assert DatasetStore.open(f"{url}/x.zarr").committed() == {0, 1, 2}
    assert "6 of 6: 5 usable, 1 failed" in describe(f"{url}/x.zarr")
    assert ShardDataset(f"{url}/x.zarr").samples == 5
    with pytest.raises(PipelineError, match="is a folder with other files in it"):
        DatasetStore(url).exists()
    (folder / "note.txt").write_text("no dataset")
    with pytest.raises(PipelineError, match="is a file, not a dataset"):
        DatasetStore(f"{url}/note.txt").exists()
