"""The flow convention: what arrays say of themselves follows its schema and is true, and earlier data may lack it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import zarr

import pipeline
from pipeline.checking.verify import verify
from pipeline.dataset import schema
from pipeline.dataset.array_spec import ArraySpec
from pipeline.dataset.flow_convention import CONVENTION
from pipeline.dataset.flow_store import FlowLayout, VideoFlowStore
from pipeline.dataset.metadata import metadata_files
from pipeline.dataset.pair_flows import PairFlowLayout, PairFlowStore
from pipeline.dataset.schema import Layout
from pipeline.dataset.store import DatasetStore
from tests.conftest import ROOT
from tests.pipeline.checking.damage import Silent
from tests.pipeline.drawn_dataset import make_dataset

PAGE = ROOT / "docs/reference/flow-convention.md"
SCHEMA = json.loads(PAGE.with_suffix(".schema.json").read_text())
PHOTOS = Layout(6, 2, 32, ("a",), 2)
CLIPS = Layout(6, 2, 32, ("a",), 2, frames=4)
KINDS = {
    "photos": schema.array_specs(PHOTOS),
    "clips": schema.array_specs(CLIPS),
    "imported": schema.array_specs(Layout(6, 2, 32, (), 2, imported_longest_px=20.0)),
    "video": VideoFlowStore.specs(FlowLayout(5, 24, 32)),
    "estimated": PairFlowStore.specs(PairFlowLayout(6, 2, 32, 2)),
}


def flows(specs: dict[str, ArraySpec]) -> dict[str, ArraySpec]:
    return {name: spec for name, spec in specs.items() if name.endswith("flow")}


@pytest.mark.parametrize("kind", KINDS)
def test_every_array_of_flow_follows_the_convention(kind: str) -> None:
    specs = KINDS[kind]
    assert flows(specs)
    for name, spec in flows(specs).items():
        attributes = json.loads(json.dumps(dict(spec.attributes)))
        jsonschema.validate(attributes, SCHEMA)
        assert attributes["zarr_conventions"] == [CONVENTION]
        assert spec.shape[spec.dimensions.index(attributes["flow:component_dimension"])] == 2
        assert set(attributes["flow:components"]) < set(spec.dimensions)
        assert attributes["flow:unknown"] == {"stored_value": attributes["_FillValue"]}
        assert attributes["flow:direction"] == ("backward" if name == "backward_flow" else "forward")


def test_kinds_of_flow_differ_where_they_should() -> None:
    said = {kind: flows(specs)["flow"].attributes for kind, specs in KINDS.items()}
    assert said["imported"]["flow:unit"] == "relative"
    assert {kind for kind in KINDS if said[kind]["flow:unit"] == "pixel"} == KINDS.keys() - {"imported"}
    origins = {kind: attributes.get("flow:origin") for kind, attributes in said.items()}
    assert origins == {
        "photos": "simulated", "clips": "simulated", "imported": None, "video": "estimated", "estimated": "estimated"
    }  # fmt: skip
    assert "flow:time_step" not in said["video"]


def test_occlusion_belongs_to_the_step_of_the_flow() -> None:
    specs = KINDS["clips"]
    steps = {"flow": 1, "backward_flow": 3, "later_flow": 2}
    for name, spec in flows(specs).items():
        said = spec.attributes["flow:occlusion"]
        occlusion = specs[said["array"]]
        assert set(spec.dimensions) - {"uv"} <= set(occlusion.dimensions)
        first = said["first"]["step"]
        assert first + steps[name] <= occlusion.shape[occlusion.dimensions.index("step")]
        assert first == (1 if name == "later_flow" else 0)
        flags = dict(
            zip(occlusion.attributes["flag_meanings"].split(), occlusion.attributes["flag_values"], strict=True)
        )
        assert [flags["visible"], flags["hidden"], flags["leaves"]] == [
            *said["visible"], *said["hidden"], *said["outside"]
        ]  # fmt: skip
    assert "flow:occlusion" not in flows(KINDS["photos"])["flow"].attributes


def read_by_convention(array: zarr.Array[Any], sample: int) -> tuple[np.ndarray, np.ndarray]:
    """Return u and v in pixels by the page alone, NaN where unknown, without knowing who wrote the array."""
    said = dict(array.attrs)
    dimensions = list(array.metadata.dimension_names)  # type: ignore[union-attr]
    stored = np.moveaxis(np.asarray(array[:]), dimensions.index(said["flow:component_dimension"]), -1)[sample, 0]
    unknown = (stored == said["flow:unknown"]["stored_value"]).all(-1)
    values = stored * said["scale_factor"] + said["add_offset"]
    values[unknown] = np.nan
    order = [said["flow:components"].index(axis) for axis in ("column", "row")]
    return values[..., order[0]], values[..., order[1]]


def test_a_reader_that_knows_the_page_alone_finds_the_same_flow(tmp_path: Path) -> None:
    make_dataset(str(tmp_path / "x.zarr"))
    sample = pipeline.open_dataset(str(tmp_path / "x.zarr"))[1]
    u, v = read_by_convention(zarr.open_group(str(tmp_path / "x.zarr"), mode="r")["flow"], 1)  # type: ignore[arg-type]
    height, width = sample.mask.shape
    np.testing.assert_allclose(u[:height, :width], sample.flow_px[0, ..., 0])
    np.testing.assert_allclose(v[:height, :width], sample.flow_px[0, ..., 1])


def without_the_convention(spec: ArraySpec) -> ArraySpec:
    kept = {n: value for n, value in spec.attributes.items() if n != "zarr_conventions" and not n.startswith("flow:")}
    return ArraySpec(spec.dimensions, spec.shape, spec.dtype, spec.fill_value, kept, spec.has_sample_chunks)


def test_a_dataset_from_before_the_convention_is_intact(tmp_path: Path) -> None:
    store = make_dataset(str(tmp_path / "x.zarr"))
    attributes = {name: value for name, value in store.attributes.items() if name not in ("metadata", "file_sha256")}
    specs = {name: without_the_convention(spec) for name, spec in store.specs(store.layout).items()}
    for key, content in metadata_files(specs, store.layout.samples_per_shard, attributes).items():
        store.storage.write(key, content)
    assert '"flow:' not in (tmp_path / "x.zarr/flow/zarr.json").read_text()
    assert verify(store.url, Silent(), all_rows=True).is_whole
    again = DatasetStore.open(store.url)
    assert np.isfinite(pipeline.open_dataset(again.url)[0].flow_px).any()


def test_the_page_shows_what_is_written() -> None:
    page = PAGE.read_text(encoding="utf-8")
    (example,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    written = KINDS["clips"]["flow"].attributes
    shown = json.loads(example)
    assert shown == {name: value for name, value in written.items() if name in shown}
    assert {name for name in written if name.startswith("flow:")} < shown.keys()
    for name in SCHEMA["properties"]:
        assert f"`{name}`" in page
