"""A published copy without pixels: photos, flow and frames are left out, because they can be made again."""

from __future__ import annotations

from pipeline.checking.plausibility import SPREAD_ROWS
from pipeline.checking.remaking import names_of_other_bits
from pipeline.command.progress import Progress
from pipeline.dataset.commits import PRIVATE_FOLDER
from pipeline.dataset.sealed import FIELD, sealed_json
from pipeline.dataset.spread import spread
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError


def refuse_unfit(store: DatasetStore, progress: Progress) -> None:
    """Raise unless the arrays that would be left out can be made again to the bit.

    Up to 256 samples, evenly spread, are made again and compared.

    Raises:
        PipelineError: flow was imported, images were painted anew, the dataset does not say which photos it was made
            of, or flow or frames made here have other bits than the stored ones.
    """
    name, layout = store.name, store.layout
    if layout.left_out:
        raise PipelineError(f"{name} has no images already. Copy it as it is, without --without.")
    if not layout.is_simulated:
        raise PipelineError(
            f"{name} was made by `pipeline import`: its flow cannot be made again from depth. Publish it with images."
        )
    if layout.frames > 1 and store.attributes["settings"]["motion_prior"].get("object_area"):
        raise PipelineError(
            f"{name} shows smaller objects than its photos (`object_area` of its motion model), so photos do not give "
            "its images again. Publish it with images."
        )
    for shard, record in store.commits.read_all(range(layout.shard_count)):
        if len(record["failures"]) < len(layout.rows(shard)) and not record.get("originals"):
            raise PipelineError(
                f"{name}: shard {shard} was made by an earlier version of fakeflow, which did not record the checksums "
                "of photos, so readers could not check them. Publish it with images."
            )
    _refuse_other_bits(store, progress)


def _refuse_other_bits(store: DatasetStore, progress: Progress) -> None:
    chosen = spread(store.usable_rows(), SPREAD_ROWS)
    specs = store.specs(store.layout)
    names = [name for name, spec in specs.items() if spec.has_sample_chunks or name == "window"]
    progress.announce(f"making flow and frames of {len(chosen)} samples again")
    for row in chosen:
        pictures = {name: store.read(name, row) for name in names}
        height, width = map(int, store.read("size", row))
        other = names_of_other_bits(pictures, store.read("motion", row), (height, width), store.layout.frames)
        if other:
            raise PipelineError(
                f"{store.name}: {', '.join(other)} of sample {store.read('id', row)}, made again here, differ from "
                "what is stored, because another kind of processor or a GPU made them. Publish it with images, or "
                "make it again on this machine."
            )


def is_kept(key: str, metadata: dict[str, bytes]) -> bool:
    """Return whether a file of the whole dataset belongs to the copy as it is.

    Args:
        key: key of the file.
        metadata: key -> content of the metadata of the copy.
    """
    array = key.partition("/")[0]
    return array == PRIVATE_FOLDER or f"{array}/zarr.json" in metadata


def record_without_images(store: DatasetStore, shard: int, metadata: dict[str, bytes]) -> bytes:
    """Return the commit record of a shard of the copy; it keeps the checksums of what is left out, too."""
    record = store.commits.read(shard)
    del record[FIELD]
    kept = {key: sha256 for key, sha256 in record["objects"].items() if is_kept(key, metadata)}
    left_out = {key: sha256 for key, sha256 in record["objects"].items() if key not in kept}
    return sealed_json({**record, "objects": kept, "left_out": left_out})
