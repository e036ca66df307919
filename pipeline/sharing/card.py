"""The card of a published dataset: README.md with the front matter that the Hugging Face Hub reads."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from pipeline.dataset.provenance import origin
from pipeline.dataset.published_files import MANIFEST, PREVIEW
from pipeline.dataset.store import DatasetStore
from pipeline.redaction import redact
from pipeline.showing.status import counts, size_in_words, stored_as

_SIMULATED = (
    "Photos with a mask of the salient object, the inverse depth that a network sees in them, and optical flow "
    "simulated from it"
)
_IMPORTED = (
    "Photos with a mask of the salient object, and optical flow whose direction and relative length alone is known"
)
_MEANINGS = {"id": "name of the photo's file, without its ending"}


def dataset_card(store: DatasetStore) -> str:
    """Write the card; the same dataset gives the same text."""
    layout, attributes, settings = store.layout, store.attributes, store.attributes["settings"]
    counted = counts(store)
    size = sum(size for key, size in store.storage.sizes().items() if "/c/" in key)
    mean_size = size_in_words(size / max(1, layout.samples))
    summary, how = (_SIMULATED, _simulation(settings)) if layout.is_simulated else (_IMPORTED, _import(attributes))
    return f"""---
pretty_name: Image-flow-mask triplets from still photos
license: other
license_name: that-of-the-photos
task_categories:
- image-segmentation
tags:
- optical-flow
- video-object-segmentation
- zarr
size_categories:
- {_size_category(layout.samples)}
---

# Image-flow-mask triplets from still photos

{summary}: training pairs for two-stream video object segmentation. Made with fakeflow.

![some samples]({PREVIEW})

## What is in it

| | |
|---|---|
| photos | {layout.samples:,}: {counted["usable"]:,} usable, {counted["failed"]:,} failed |
| flows per photo | {layout.motions} |
| canvas | {layout.side} x {layout.side} px, photos at the top left |
| stored | {size_in_words(size)}, {mean_size} per photo |

One Zarr v3 group. A chunk holds one sample; the axis `sample` is the same in all arrays.

| array | shape | stored as | unit | meaning |
|---|---|---|---|---|
{_fields(store)}

Rows whose `status` is not 0 hold no picture. Fixed-point arrays carry `scale_factor`, so xarray decodes them; the value
-32768 in `flow` is unknown.

```python
import xarray

dataset = xarray.open_zarr("...")  # the address of this folder
sample = dataset.isel(sample=0)
height, width = sample["size"].values
flow_px = sample["flow"].values[0, :height, :width]  # u to the right, v down
```

## How it was made

| | |
|---|---|
| photos and masks | {_inert(attributes.get("source", "unknown"))} |
| their listing | {_inert(settings.get("listing_hash", "unknown"))} |
{how}
| settings | {_inert(attributes["fingerprint"])} |
| schema version | {_inert(attributes["schema_version"])} |

The group's attribute `fakeflow` holds all settings.

## Check it

`{MANIFEST}` lists every file with size and SHA-256; `pipeline verify ADDRESS` compares them.

## Licence and source

{_inert(attributes.get("licence", "unknown"))}. Ask the source of the photos and masks before you pass them on; the
licence of a depth model is that of its authors.

## Cite

The method is that of Suhwan Cho et al., *FakeFlow* (arXiv 2407.11714), renamed *DepthFlow* (arXiv 2507.19790);
depth that of Ranftl et al., *Vision Transformers for Dense Prediction* (ICCV 2021). Cite the source of the photos, too.
"""


def _fields(store: DatasetStore) -> str:
    lines = []
    for name, spec in store.specs(store.layout).items():
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
    """Return text of a dataset's attributes that is shown as it is: no HTML, Markdown or credentials in it count."""
    text = html.escape(" ".join(redact(str(value)).split()), quote=False)
    return "".join(f"&#{ord(character)};" if character in "|[]`*\\" else character for character in text)


def _words(provenance: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in provenance.items() if value and not isinstance(value, dict))


def _size_category(samples: int) -> str:
    steps = [(1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")]
    return next((name for limit, name in steps if samples < limit), "1M<n<10M")
