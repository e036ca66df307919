"""State, contents and provenance of a dataset, in some lines of text."""

from __future__ import annotations

from pipeline.dataset import schema
from pipeline.dataset.array_spec import ArraySpec
from pipeline.dataset.flow_store import open_any
from pipeline.dataset.provenance import origin
from pipeline.dataset.published_files import MANIFEST
from pipeline.dataset.store import DatasetStore
from pipeline.engine.placement import count_of
from pipeline.files.storage import Storage
from pipeline.showing.flow_state import status_lines


def describe(url: str) -> str:
    """Return some lines about a dataset of photos or the flow of videos, local or published.

    Raises:
        PipelineError: there is no dataset, or it cannot be read.
    """
    store, sizes = open_any(url), Storage(url).sizes()
    lines = _photos(store, sizes) if isinstance(store, DatasetStore) else status_lines(store)
    published = "yes, with a manifest" if MANIFEST in sizes else "no"
    stored = f"{count_of(len(sizes), 'file')}, {size_in_words(sum(sizes.values()))}"
    return "\n".join([*lines, _line("published", published), _line("stored", stored)])


def counts(store: DatasetStore) -> dict[str, int]:
    """Return the numbers of `usable`, `failed` and `not made` samples."""
    states = store.states()
    usable, failed = (int((states == state).sum()) for state in (schema.USABLE, schema.FAILED))
    return {"usable": usable, "failed": failed, "not made": len(states) - usable - failed}


def frames_in_words(layout: schema.Layout) -> str:
    """Return `pairs` or the length of the clips of a dataset with frames."""
    return "pairs" if layout.frames == 2 else f"clips of {layout.frames} frames"


def stored_as(spec: ArraySpec) -> str:
    """Return an array's type, with the step of fixed-point numbers."""
    step = spec.attributes.get("scale_factor")
    return f"{spec.dtype} / {round(1 / step)}" if step else spec.dtype


def size_in_words(size: float) -> str:
    """Return a number of bytes in words, such as 1.5 MB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def _photos(store: DatasetStore, sizes: dict[str, int]) -> list[str]:
    layout, committed, failed = store.layout, store.committed(), len(store.failures())
    made = sum(len(layout.rows(shard)) for shard in committed)
    is_complete = len(committed) == layout.shard_count
    lines = {
        "shards": f"{len(committed):,} of {layout.shard_count:,} ({layout.samples_per_shard} samples each)",
        "samples": f"{made:,} of {layout.samples:,}: {made - failed:,} usable, {failed:,} failed",
        "flows": f"{layout.motions} per sample",
        **({} if layout.frames == 1 else {"frames": frames_in_words(layout)}),
        "canvas": f"{layout.side} x {layout.side} px",
        **({"left out": ", ".join(layout.left_out)} if layout.left_out else {}),
        **dict(origin(store.attributes)),
        "licence": str(store.attributes.get("licence", "unknown")),
        "settings": f"{store.attributes['fingerprint'][:12]}, schema version {store.attributes['schema_version']}",
    }
    for name, spec in store.specs(layout).items():
        size = sum(size for key, size in sizes.items() if key.startswith(f"{name}/c/"))
        shape = " x ".join(str(length) for length in spec.shape)
        lines[f"  {name}"] = f"{shape:<28} {stored_as(spec):<14} {size_in_words(size)}"
    state = "complete" if is_complete else "incomplete: run the same command again to continue"
    return [f"{store.name}: {state}", *(_line(name, text) for name, text in lines.items())]


def _line(name: str, text: str) -> str:
    return f"  {name:<15} {text}"
