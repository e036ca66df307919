"""Writing of the recipe of a finished dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from shlex import quote
from typing import Any

import numpy as np

from pipeline.command.progress import Progress
from pipeline.dataset.run_log import run_records
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError
from pipeline.files.storage import Storage
from pipeline.recipe.columns import DIGEST_BYTES, NO_FILE, PhotoColumns
from pipeline.recipe.marks import Marks, marks_of_shard, shard_digest
from pipeline.recipe.recipe import Recipe


def recipe_of(store: DatasetStore, progress: Progress) -> Recipe:
    """Return the recipe of a dataset; all of its values are read for that.

    Args:
        store: a complete dataset of `pipeline run`.
        progress: told how many samples have been read.

    Raises:
        PipelineError: the dataset is incomplete or damaged, was imported, or does not say what it was made of.
    """
    _refuse_unfit(store)
    layout, attributes = store.layout, store.attributes
    digests: list[tuple[bytes, bytes]] = []
    marks: list[Marks] = []
    shards: list[bytes] = []
    precisions: Counter[str] = Counter()
    failures: dict[int, str] = {}
    for shard, record in store.commits.read_all(range(layout.shard_count)):
        failures |= {int(failure["row"]): str(failure["reason"]) for failure in record["failures"]}
        rows = layout.rows(shard)
        digests += _digests(store, record, rows, failures)
        marks.append(marks_of_shard(store, shard))
        shards.append(shard_digest(record["objects"]))
        precisions[record["precision"]] += 1
        progress.update(layout.samples, rows.stop, len(failures))
    photos, masks = (np.frombuffer(b"".join(column), np.uint8) for column in zip(*digests, strict=True))
    return Recipe(
        settings=attributes["settings"],
        source=attributes["source"],
        licence=attributes["licence"],
        layout=layout,
        software=software_of(store),
        precision=dict(precisions),
        ids=tuple(map(str, store.read("id", slice(None)))),
        failures=failures,
        columns=PhotoColumns(
            photos.reshape(-1, DIGEST_BYTES),
            masks.reshape(-1, DIGEST_BYTES),
            *(np.concatenate(column) for column in zip(*marks, strict=True)),
        ),
        shards=np.frombuffer(b"".join(shards), np.uint8).reshape(len(shards), -1),
    )


def write_recipe(recipe: Recipe, url: str) -> int:
    """Write a recipe to a path or URL; return its size in bytes.

    Raises:
        PipelineError: the place cannot be written to.
    """
    folder, _, name = url.rpartition("/")
    if not name:
        raise PipelineError(f"{url} is a folder; expected the name of a file, such as {url}dutsv2.recipe.json.")
    content = recipe.to_json()
    Storage(folder or ("/" if url.startswith("/") else ".")).write(name, content)
    return len(content)


def _refuse_unfit(store: DatasetStore) -> None:
    if not store.layout.is_simulated:
        raise PipelineError(
            f"{store.name} was made by `pipeline import`; expected a dataset of `pipeline run`, because a recipe makes "
            "depth and flow again from photos."
        )
    if store.layout.left_out:
        raise PipelineError(f"{store.name} was published without images; write the recipe from the whole dataset.")
    if missing := store.layout.shard_count - len(store.committed()):
        raise PipelineError(
            f"{store.name} is incomplete: {missing} of {store.layout.shard_count} shards are not made. Run the command "
            f"that made it again, then `pipeline recipe {quote(store.name)} FILE`."
        )


def _digests(
    store: DatasetStore, record: Mapping[str, Any], rows: range, failures: Mapping[int, str]
) -> list[tuple[bytes, bytes]]:
    """Return the digests of the photo and of the mask of each row of a shard."""
    originals = record.get("originals") or [{}] * len(rows)
    if any("photo" not in used and row not in failures for row, used in zip(rows, originals, strict=True)):
        raise PipelineError(
            f"{store.name}: shard {record['shard']} was made by an earlier version of fakeflow, which did not record "
            "the checksums of photos and masks. Make the dataset again in another place, then write its recipe."
        )
    return [(_digest(used, "photo"), _digest(used, "mask")) for used in originals]


def _digest(used: Mapping[str, Mapping[str, str]], role: str) -> bytes:
    return bytes.fromhex(used[role]["sha256"])[:DIGEST_BYTES] if role in used else NO_FILE


def software_of(store: DatasetStore) -> dict[str, str]:
    """Return the versions of the last run that recorded them; empty if none did."""
    records = [record for _, record in sorted(run_records(store).items())]
    return next((dict(record["software"]) for record in reversed(records) if "software" in record), {})
