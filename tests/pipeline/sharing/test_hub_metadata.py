"""What hubs read of a published dataset: Croissant metadata, the card's front matter, samples that viewers can show."""

from __future__ import annotations

import hashlib
import json
from importlib import metadata
from pathlib import Path

import datasets
import mlcroissant
import numpy as np
import pytest
import yaml
from huggingface_hub import DatasetCard

from flowsim import flow_to_rgb
from pipeline.checking.verify import verify
from pipeline.dataset.store import DatasetStore
from pipeline.making.config import ImportSettings
from pipeline.making.import_tree import import_tree
from pipeline.sharing.citation import bibtex
from pipeline.sharing.export import export_tree
from pipeline.sharing.publish import publish
from pipeline.sharing.viewer_samples import viewer_samples
from tests.conftest import ROOT
from tests.pipeline.checking.damage import Silent
from tests.pipeline.drawn_dataset import make_dataset
from tests.pipeline.making.test_run import Watcher

pytestmark = [
    pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated"),  # rdflib, in mlcroissant
    pytest.mark.filterwarnings("ignore:The inplace keyword"),  # pandas, in mlcroissant
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with `x.zarr` of five usable samples, and its copy `published`."""
    folder = tmp_path_factory.mktemp("hub")
    publish(make_dataset(str(folder / "x.zarr")).url, str(folder / "published"), Silent())
    return folder


def load(published: Path, cache: Path) -> datasets.Dataset:
    """Load the samples as `datasets` finds them: by the front matter of the card."""
    return datasets.load_dataset(str(published), split="preview", cache_dir=str(cache))


def test_croissant_metadata_are_valid_without_a_warning(made: Path) -> None:
    issues = mlcroissant.Dataset(jsonld=str(made / "published/croissant.json")).metadata.ctx.issues
    assert not issues.errors
    assert not issues.warnings


def test_croissant_metadata_say_what_users_should_know(made: Path) -> None:
    said = mlcroissant.Dataset(jsonld=str(made / "published/croissant.json")).metadata
    assert "http://mlcommons.org/croissant/RAI/1.0" in said.conforms_to
    assert "drawn" in said.data_collection
    assert "camera+object, seed 5" in said.data_collection
    assert "1 of 6 photos could not be used" in said.data_collection_missing_data
    for words in (said.data_biases, said.data_limitations, said.data_use_cases, said.personal_sensitive_information):
        assert words
    assert said.data_social_impact
    assert said.data_release_maintenance_plan
    assert said.machine_annotation_tools == ["depth: drawn"]
    assert "2407.11714" in said.cite_as


def test_croissant_metadata_name_files_with_their_checksums_and_programs_load_the_records(made: Path) -> None:
    described = mlcroissant.Dataset(jsonld=str(made / "published/croissant.json"))
    files = {file.id: file for file in described.metadata.distribution}
    assert files.keys() == {"zarr.json", "preview.parquet"}
    for key, file in files.items():
        content = (made / "published" / key).read_bytes()
        assert (file.sha256, file.content_size) == (hashlib.sha256(content).hexdigest(), f"{len(content)} B")
    records = list(described.records("samples"))
    assert [record["samples/id"].decode() for record in records] == [f"scene_{row:03d}" for row in (0, 1, 2, 4, 5)]
    assert records[0]["samples/photo"].size == (36, 24)


def test_datasets_finds_pictures_by_the_card(made: Path, tmp_path: Path) -> None:
    samples = load(made / "published", tmp_path)
    pictures = {name for name, kind in samples.features.items() if isinstance(kind, datasets.Image)}
    assert pictures == {"photo", "inverse_depth", "flow", "mask"}
    store = DatasetStore.open(str(made / "x.zarr"))
    for sample, row in zip(samples, store.usable_rows(), strict=True):
        height, width = store.read("size", int(row))
        assert (sample["id"], sample["height"], sample["width"]) == (f"scene_{row:03d}", height, width)
        photo, flow = store.read("image", int(row))[:height, :width], store.read("flow", int(row))[0, :height, :width]
        assert np.abs(np.asarray(sample["photo"]).astype(int) - photo).mean() < 12
        assert np.abs(np.asarray(sample["flow"]).astype(int) - flow_to_rgb(flow / np.float32(64))).mean() < 12
        assert sample["longest_flow_px"] == pytest.approx(np.hypot(*np.moveaxis(flow / 64, -1, 0)).max())


def test_the_front_matter_is_what_the_hub_reads(made: Path) -> None:
    card = DatasetCard.load(made / "published/README.md", repo_type="dataset")
    said = card.data.to_dict()
    assert (said["license"], said["license_name"]) == ("other", "that-of-the-photos")
    assert said["size_categories"] == ["n<1K"]
    assert said["task_categories"] == ["image-segmentation"]
    assert "zarr" in said["tags"]
    (config,) = said["configs"]
    assert config["data_files"] == [{"split": "preview", "path": "preview.parquet"}]
    assert "@misc{cho2024fakeflow" in card.text


def test_bibtex_and_the_citation_file_name_the_same_works() -> None:
    said = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert said["version"] == metadata.version("fakeflow")
    (paper,) = said["references"]
    names = [f"{author['family-names']}, {author['given-names']}" for author in paper["authors"]]
    entries = bibtex()
    assert f"title = {{{said['title']}}}" in entries
    assert f"title = {{{paper['title']}}}" in entries
    assert f"author = {{{' and '.join(names)}}}" in entries
    assert f"version = {{{said['version']}}}" in entries
    assert paper["identifiers"][0]["value"].removeprefix("arXiv:") in entries


def test_samples_are_spread_and_not_enlarged(made: Path, tmp_path: Path) -> None:
    store = DatasetStore.open(str(made / "x.zarr"))
    (tmp_path / "some.parquet").write_bytes(viewer_samples(store, at_most=3))
    samples = datasets.Dataset.from_parquet(str(tmp_path / "some.parquet"), cache_dir=str(tmp_path / "cache"))
    assert samples["id"][:] == ["scene_000", "scene_002", "scene_005"]
    assert samples[0]["photo"].size == (36, 24)
    assert viewer_samples(store, at_most=3) == (tmp_path / "some.parquet").read_bytes()


def test_samples_without_images_do_not_show_the_photo(made: Path, tmp_path: Path) -> None:
    store = DatasetStore.open(str(made / "x.zarr"))
    (tmp_path / "some.parquet").write_bytes(viewer_samples(store, with_images=False, at_most=2))
    samples = datasets.Dataset.from_parquet(str(tmp_path / "some.parquet"), cache_dir=str(tmp_path / "cache"))
    assert "photo" not in samples.features
    shown, mask = np.asarray(samples[0]["mask"]).astype(int), store.read("mask", 0)[:24, :36]
    assert np.abs(shown - mask[..., None]).mean() < 8


def test_the_day_of_the_first_publication_is_kept(made: Path, tmp_path: Path) -> None:
    target = tmp_path / "published"
    publish(str(made / "x.zarr"), str(target), Silent())
    described = json.loads((target / "croissant.json").read_text())
    described["datePublished"] = "2024-02-29"
    (target / "croissant.json").write_text(json.dumps(described))
    publish(str(made / "x.zarr"), str(target), Silent())
    assert json.loads((target / "croissant.json").read_text())["datePublished"] == "2024-02-29"
    assert verify(str(target), Silent()).is_whole


def test_imported_flow_is_described_as_such(made: Path, tmp_path: Path) -> None:
    export_tree(DatasetStore.open(str(made / "x.zarr")), tmp_path / "tree", Watcher())
    import_tree(str(tmp_path / "tree"), str(tmp_path / "y.zarr"), ImportSettings(max_side=40), Watcher(), False)
    publish(str(tmp_path / "y.zarr"), str(tmp_path / "published"), Silent())
    described = mlcroissant.Dataset(jsonld=str(tmp_path / "published/croissant.json"))
    assert not described.metadata.ctx.issues.errors
    assert "read back from colour pictures" in described.metadata.data_collection
    assert "inverse_depth" not in load(tmp_path / "published", tmp_path / "cache").features


def test_hostile_attributes_change_neither_form_nor_secrecy(tmp_path: Path) -> None:
    from pipeline.sharing.croissant import croissant_json

    store = make_dataset(str(tmp_path / "x.zarr"))
    store.attributes["source"] = 's3://key:hunter2@host/x", "license": "mine"\n<script>'
    files = {key: (1, "0" * 64) for key in ("zarr.json", "preview.parquet")}
    described = json.loads(croissant_json(store, files, "2026-01-01"))
    assert described["license"] == "MIT"
    assert "hunter2" not in json.dumps(described)
