"""What a dataset is, on one screen."""

from __future__ import annotations

from typing import Any

from pipeline.dataset import schema
from pipeline.dataset.metadata import ROOT_METADATA
from pipeline.dataset.provenance import origin
from pipeline.dataset.published_files import MANIFEST
from pipeline.dataset.store import DatasetStore, our_attributes
from pipeline.errors import PipelineError
from pipeline.files.storage import Storage


def describe(url: str) -> str:
    """Return some lines on a dataset of photos or the flows of videos, local or published.

    Raises:
        PipelineError: there is none, or it cannot be read.
    """
    storage = Storage(url)
    metadata = storage.read_if_there(ROOT_METADATA)
    attributes = our_attributes(metadata, storage) if metadata is not None else None
    if attributes is None:
        raise PipelineError(f"{storage.name}: there is no dataset of fakeflow here.")
    sizes = storage.sizes()
    if attributes.get("kind") == DatasetStore.kind:
        lines = _photos(DatasetStore.open(url), sizes)
    else:
        lines = _others(attributes, sizes)
    published = "yes, with a manifest" if MANIFEST in sizes else "no"
    lines["published"] = published
    lines["stored"] = f"{len(sizes):,} files, {size_in_words(sum(sizes.values()))}"
    return "\n".join([storage.name, *(f"  {name:<15} {text}" for name, text in lines.items())])


def counts(store: DatasetStore) -> dict[str, int]:
    """Return the numbers of samples: `usable`, `failed`, `not made`."""
    states = store.states()
    usable, failed = (int((states == state).sum()) for state in (schema.USABLE, schema.FAILED))
    return {"usable": usable, "failed": failed, "not made": len(states) - usable - failed}


def stored_as(spec: schema.ArraySpec) -> str:
    """Return an array's type, with the step of fixed-point numbers."""
    step = spec.attributes.get("scale_factor")
    return f"{spec.dtype} / {round(1 / step)}" if step else spec.dtype


def size_in_words(size: float) -> str:
    """Return a number of bytes as people say it."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def _photos(store: DatasetStore, sizes: dict[str, int]) -> dict[str, str]:
    layout, counted = store.layout, counts(store)
    lines = {
        "samples": f"{layout.samples:,}: " + ", ".join(f"{count:,} {name}" for name, count in counted.items() if count),
        "flows": f"{layout.motions} per sample",
        "canvas": f"{layout.side} x {layout.side} px, {layout.samples_per_shard} samples in a shard",
        **dict(origin(store.attributes)),
        "licence": str(store.attributes.get("licence", "unknown")),
        "settings": f"{store.attributes['fingerprint'][:12]}, schema version {store.attributes['schema_version']}",
    }
    for name, spec in store.specs(layout).items():
        size = sum(size for key, size in sizes.items() if key.startswith(f"{name}/c/"))
        shape = " x ".join(str(length) for length in spec.shape)
        lines[f"  {name}"] = f"{shape:<28} {stored_as(spec):<14} {size_in_words(size)}"
    return lines


def _others(attributes: dict[str, Any], sizes: dict[str, int]) -> dict[str, str]:
    below = sorted(key.removesuffix("/flow/zarr.json") for key in sizes if key.endswith("/flow/zarr.json"))
    named = ", ".join(below[:8]) + (f" and {len(below) - 8} more" if len(below) > 8 else "")
    lines = {"holds": str(attributes["kind"])}
    if below:
        lines["videos"] = f"{len(below)}: {named}"
    if "layout" in attributes and attributes["layout"].get("frames"):
        layout = attributes["layout"]
        lines["flow"] = f"{layout['frames']} frames of {layout['width']} x {layout['height']} px"
    return lines
