"""The card of a published dataset: a README.md with the front matter that the Hugging Face Hub reads.

Its text is the template `card.md`.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from importlib.resources import files
from string import Template
from typing import Any

from pipeline.dataset.array_spec import ArraySpec
from pipeline.dataset.provenance import origin
from pipeline.dataset.published_files import CROISSANT, MANIFEST, PREVIEW, VIEWER_SAMPLES
from pipeline.dataset.schema import Layout
from pipeline.dataset.store import DatasetStore
from pipeline.redaction import redact
from pipeline.sharing.citation import bibtex
from pipeline.showing.status import counts, size_in_words, stored_as

_SIMULATED = (
    "Photos with a mask of the salient object, the inverse depth that a network sees in them, and optical flow "
    "simulated from it"
)
_IMPORTED = (
    "Photos with a mask of the salient object, and optical flow of which only direction and relative length are known"
)
_READING = """import xarray

dataset = xarray.open_zarr("...")  # the address of this folder
sample = dataset.isel(sample=0)
height, width = sample["size"].values
flow_px = sample["flow"].values[0, :height, :width]  # u to the right, v down"""
_READING_WITHOUT_IMAGES = """import pipeline  # `pip install .` in a clone of fakeflow

dataset = pipeline.open_dataset("...", photos="DUTS")  # the address of this folder, and the folder of the photos
flow_px = dataset[0].flow_px[0]  # u to the right, v down"""
_MEANINGS = {"id": "name of the photo's file, without its ending"}


def dataset_card(store: DatasetStore, layout: Layout | None = None) -> str:
    """Return the text of the card; the same dataset always gives the same text.

    Args:
        store: the dataset.
        layout: sizes of the copy, which may leave out arrays; None for those of the dataset.
    """
    layout = layout or store.layout
    attributes, settings = store.attributes, store.attributes["settings"]
    counted, arrays = counts(store), store.specs(layout)
    sizes = store.storage.sizes().items()
    size = sum(size for key, size in sizes if "/c/" in key and key.partition("/")[0] in arrays)
    summary, how = (_SIMULATED, _simulation(settings)) if layout.is_simulated else (_IMPORTED, _import(attributes))
    template = Template((files("pipeline.sharing") / "card.md").read_text(encoding="utf-8"))
    return template.substitute(
        size_category=_size_category(layout.samples),
        summary=summary,
        viewer_samples=VIEWER_SAMPLES,
        croissant=CROISSANT,
        bibtex=bibtex(),
        preview=_without(layout.left_out) if layout.left_out else f"![some samples]({PREVIEW})",
        reading=_READING_WITHOUT_IMAGES if layout.left_out else _READING,
        photos=f"{layout.samples:,}",
        usable=f"{counted['usable']:,}",
        failed=f"{counted['failed']:,}",
        motions=layout.motions,
        side=layout.side,
        size=size_in_words(size),
        mean_size=size_in_words(size / max(1, layout.samples)),
        arrays=_array_rows(arrays),
        source=_inert(attributes.get("source", "unknown")),
        listing=_inert(settings.get("listing_hash", "unknown")),
        how=how,
        fingerprint=_inert(attributes["fingerprint"]),
        schema_version=store.version_with(layout),
        manifest=MANIFEST,
        licence=_inert(attributes.get("licence", "unknown")),
    )


def _without(left_out: Sequence[str]) -> str:
    names = ", ".join(f"`{name}`" for name in left_out)
    return (
        f"Published without the photos' pixels. {names} are made again when they are read: flow from depth, mask and "
        "motion; what shows the photo from the photos, which you need to have. Each of them is checked."
    )


def _array_rows(specs: Mapping[str, ArraySpec]) -> str:
    lines = []
    for name, spec in specs.items():
        shape = ", ".join(str(length) for length in spec.shape)
        unit = str(spec.attributes.get("units", ""))
        meaning = _MEANINGS.get(name) or spec.attributes.get("description") or spec.attributes.get("flag_meanings", "")
        lines.append(f"| `{name}` | {shape} | {stored_as(spec)} | {'' if unit == '1' else unit} | {meaning} |")
    return "\n".join(lines)


def _simulation(settings: Mapping[str, Any]) -> str:
    motion = _inert(f"{settings['motion']}, seed {settings['seed']}")
    return (
        f"| depth model | {_inert(_words(settings['depth']))} |\n"
        f"| motion | {motion}; `motion` and the depth make each flow again |"
    )


def _import(attributes: Mapping[str, Any]) -> str:
    return "\n".join(f"| {what} | {_inert(words)} |" for what, words in origin(attributes) if what != "source")


def _inert(value: object) -> str:
    """Return a value of a dataset's attributes as plain text, without credentials; HTML and Markdown are escaped."""
    text = html.escape(" ".join(redact(str(value)).split()), quote=False)
    return "".join(f"&#{ord(character)};" if character in "|[]`*\\" else character for character in text)


def _words(provenance: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in provenance.items() if value and not isinstance(value, dict))


def _size_category(samples: int) -> str:
    steps = [(1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")]
    return next((name for limit, name in steps if samples < limit), "1M<n<10M")
