"""Croissant metadata of a published dataset: what it holds, and what its users should know before they use it.

The formats are those of MLCommons: Croissant 1.0 and its extension for responsible AI, RAI 1.0. Croissant has no reader
of Zarr, so the records that it describes are those of the Parquet file that is published beside the arrays.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from pipeline.dataset.inventory import MALFORMED
from pipeline.dataset.keys import ROOT_METADATA
from pipeline.dataset.provenance import origin
from pipeline.dataset.published_files import CROISSANT, VIEWER_SAMPLES
from pipeline.dataset.store import DatasetStore
from pipeline.files.storage import Storage
from pipeline.redaction import redact
from pipeline.sharing.citation import bibtex
from pipeline.sharing.parquet_files import PICTURE
from pipeline.sharing.viewer_samples import viewer_columns
from pipeline.showing.status import counts

CONFORMS_TO = ["http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"]
_NAMED = (
    "citeAs column equivalentProperty extract field fileProperty fileObject fileSet format includes isLiveDataset "
    "jsonPath key md5 parentField path recordSet references regex repeated replace samplingRate separator source "
    "subField transform"
)
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{name: f"cr:{name}" for name in _NAMED.split()},
}
_TYPES = {PICTURE: "sc:ImageObject", "string": "sc:Text", "int32": "sc:Integer", "float32": "sc:Float"}
_MEANINGS = {
    "id": "name of the photo's file, without its ending",
    "photo": "photo, scaled down",
    "inverse_depth": "inverse depth in colours, bright = near",
    "flow": "optical flow in colours: direction, and length relative to the longest vector of the picture",
    "mask": "the salient object: the photo, darkened outside of it, or white on black",
    "height": "height of the stored sample in pixels",
    "width": "width of the stored sample in pixels",
    "longest_flow_px": "length of the longest flow vector in pixels",
}


def croissant_json(
    store: DatasetStore, files: Mapping[str, tuple[int, str]], published_on: str, *, with_images: bool = True
) -> bytes:
    """Return the content of `croissant.json`.

    Args:
        store: the dataset.
        files: key -> size in bytes and SHA-256 of the root's metadata and of the samples for the viewer.
        published_on: day of the first publication, YYYY-MM-DD.
        with_images: whether the samples for the viewer show the photos.
    """
    described = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": "image-flow-mask-triplets",
        "description": _description(store),
        "conformsTo": CONFORMS_TO,
        "citeAs": bibtex(),
        "license": redact(str(store.attributes.get("licence", "unknown"))),
        "version": "1.0.0",
        "datePublished": published_on,
        "isLiveDataset": False,
        "keywords": ["optical flow", "video object segmentation", "monocular depth", "zarr"],
        "distribution": [
            _file(ROOT_METADATA, files[ROOT_METADATA], "application/json", "metadata of the Zarr group and its arrays"),
            _file(VIEWER_SAMPLES, files[VIEWER_SAMPLES], "application/x-parquet", "some samples as pictures"),
        ],
        "recordSet": [_records(viewer_columns(store, with_images=with_images))],
        **{f"rai:{name}": words for name, words in _responsible_use(store).items()},
    }
    return (json.dumps(described, indent=1, ensure_ascii=False) + "\n").encode()


def published_on(target: Storage) -> str:
    """Return the day on which a dataset was first published at a place, YYYY-MM-DD; today if it is not there yet."""
    try:
        return date.fromisoformat(json.loads(target.read_if_there(CROISSANT) or b"")["datePublished"]).isoformat()
    except MALFORMED:
        return datetime.now(UTC).date().isoformat()


def _file(key: str, sized: tuple[int, str], encoding: str, description: str) -> dict[str, Any]:
    size, sha256 = sized
    return {
        "@type": "cr:FileObject",
        "@id": key,
        "name": key,
        "description": description,
        "contentUrl": key,
        "contentSize": f"{size} B",
        "encodingFormat": encoding,
        "sha256": sha256,
    }


def _records(columns: Mapping[str, str]) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "samples",
        "name": "samples",
        "description": "Some samples, evenly spread. The whole dataset is the Zarr group beside this file.",
        "field": [_field(name, kind) for name, kind in columns.items()],
    }


def _field(name: str, kind: str) -> dict[str, Any]:
    source: dict[str, Any] = {"fileObject": {"@id": VIEWER_SAMPLES}, "extract": {"column": name}}
    if kind == PICTURE:
        source["transform"] = {"jsonPath": "bytes"}
    return {
        "@type": "cr:Field",
        "@id": f"samples/{name}",
        "name": name,
        "description": _MEANINGS[name],
        "dataType": _TYPES[kind],
        "source": source,
    }


def _description(store: DatasetStore) -> str:
    layout = store.layout
    frames = f", and {layout.frames - 1} further frames for each flow" if layout.frames > 1 else ""
    flows = "simulated optical flow" if layout.is_simulated else "optical flow read back from colour pictures"
    return (
        f"{layout.samples:,} photos with a mask of the salient object and {layout.motions} x {flows}{frames}, as a "
        "sharded Zarr v3 group: training data for two-stream video object segmentation. Made with fakeflow."
    )


def _responsible_use(store: DatasetStore) -> dict[str, str | list[str]]:
    """Return the properties of the RAI vocabulary, name -> words."""
    made = {what: redact(words) for what, words in origin(store.attributes)}
    counted, layout = counts(store), store.layout
    if layout.is_simulated:
        flow = (
            f"Inverse depth was estimated by {made['depth']}. Flow was simulated from depth, mask and a random motion "
            f"(motion model {made['motion']}); the parameters of each motion are stored."
        )
        tools = [f"depth: {made['depth']}"]
        limits = "Flow is simulated from estimated depth and a random motion; it is no measurement of a real scene."
    else:
        flow = f"Flow was read back from colour pictures: {made['flow']}."
        tools = []
        limits = "Only the direction and the relative length of flow are known, since it was read from colour pictures."
    source = f"Photos and masks come from {made['source']}; nothing was collected for this dataset."
    return {
        "dataCollection": f"{source} {flow}",
        "dataCollectionType": ["Secondary Data analysis", "Others"],
        "dataCollectionMissingData": f"{counted['failed']:,} of {layout.samples:,} photos could not be used; their "
        "rows are empty, have status 1, and a reason in the commit records.",
        "dataPreprocessingProtocol": [
            f"Photos larger than {layout.side} px are scaled down; all lie at the top left of a square canvas."
        ],
        "dataAnnotationProtocol": ["Masks are those of the source of the photos; nobody annotated anything anew."],
        "machineAnnotationTools": tools,
        "dataBiases": [
            "The choice of photos is that of their source, which mostly shows one salient object near the centre.",
            "Motions follow one motion model, so rare kinds of motion may be absent.",
        ],
        "dataLimitations": [limits, "A mask covers the salient object, not every object that could move."],
        "dataUseCases": [
            "Training of networks for unsupervised video object segmentation that see a photo and its optical flow.",
            "Not validated: evaluation of methods, or any decision about people.",
        ],
        "dataSocialImpact": "Networks that segment moving objects serve video editing, robots, and surveillance.",
        "personalSensitiveInformation": [
            "Photos may show people. No name, place or other information about a person was added; metadata in the "
            "files of the photos is not kept."
        ],
        "dataReleaseMaintenancePlan": "A published dataset is not changed in place; its manifest lists the SHA-256 of "
        "every file. The settings in its attributes make the same dataset again from the same photos.",
    }
