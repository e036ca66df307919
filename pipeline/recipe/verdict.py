"""The comparison of a dataset with a recipe: equal to the bit, equal within bounds, or which samples differ and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from pipeline.checking.plausibility import DatasetChecker
from pipeline.command.progress import Progress
from pipeline.dataset.schema import USABLE
from pipeline.dataset.store import DatasetStore
from pipeline.engine.placement import count_of
from pipeline.files.ids import shown
from pipeline.making.config import differences, fingerprint
from pipeline.recipe.columns import DIGEST_BYTES
from pipeline.recipe.marks import Marks, marks_of_shard, shard_digest
from pipeline.recipe.recipe import Recipe
from pipeline.recipe.writing import software_of

DEPTH_BOUND_STEPS = 5
"""Largest difference, in steps of 1/255, of the mean inverse depth of a quarter of a picture: 5 / 255 = 0.02."""
FLOW_BOUND = 0.1
"""Largest difference of the mean flow of a sample relative to its length, in addition to `FLOW_BOUND_PX`."""
FLOW_BOUND_PX = 0.5
_LISTED = 20

OTHER_DECODER = (
    "image or mask has other pixels although the files are the same: Pillow or OpenCV decodes them in another way"
)


@dataclass(frozen=True)
class Verdict:
    """How a dataset compares with a recipe.

    Attributes:
        kind: `bits` = equal to the bit, `bounds` = equal within the stated bounds, `different`.
        sentence: the verdict in words.
        samples: id and reason of each sample that differs by more than the bounds.
    """

    kind: Literal["bits", "bounds", "different"]
    sentence: str
    samples: tuple[tuple[str, str], ...] = ()

    @property
    def lines(self) -> list[str]:
        """The verdict for people: the sentence, and the first samples that differ."""
        more = len(self.samples) - _LISTED
        named = [f"  {shown(sample_id)}: {why}" for sample_id, why in self.samples[:_LISTED]]
        return [self.sentence, *named, *([f"  ... and {more} more"] if more > 0 else [])]


@dataclass
class _Found:
    """What the comparison of the shards has found so far.

    Attributes:
        different: id and reason of samples that differ.
        near: rows whose depth or flow differs within the bounds.
        depth_steps: largest difference of mean inverse depths among them.
        flow_px: largest difference of mean flow among them.
        repacked: number of shards whose values are equal but were compressed in another way.
    """

    different: list[tuple[str, str]] = field(default_factory=list)
    near: list[int] = field(default_factory=list)
    depth_steps: int = 0
    flow_px: float = 0.0
    repacked: int = 0


def compare(store: DatasetStore, recipe: Recipe, progress: Progress) -> Verdict:
    """Compare a dataset, whose files are intact, with a recipe.

    Args:
        store: the dataset.
        recipe: the recipe.
        progress: told how many samples are compared.

    Raises:
        PipelineError: the dataset cannot be read.
    """
    if refusal := _other_dataset(store, recipe):
        return Verdict("different", refusal)
    found = _Found()
    for shard, record in store.commits.read_all(range(store.layout.shard_count)):
        rows = store.layout.rows(shard)
        if shard_digest({**record["objects"], **record.get("left_out", {})}) != recipe.shards[shard].tobytes():
            _compare_shard(store, recipe, shard, record, found)
        progress.update(len(recipe.ids), rows.stop, len(found.different))
    found.different += _implausible(store, found.near)
    return _verdict(store, recipe, found)


def _other_dataset(store: DatasetStore, recipe: Recipe) -> str:
    """Return why the dataset is another one than the recipe's, or is unfinished; empty if neither."""
    settings = store.attributes["settings"]
    if fingerprint(settings) != fingerprint(recipe.settings):
        lines = "; ".join(differences(recipe.settings, settings))
        return f"another dataset: its settings are not those of the recipe (recipe -> dataset): {lines}"
    if missing := store.layout.shard_count - len(store.committed()):
        return f"unfinished: {missing} of {count_of(store.layout.shard_count, 'shard')} are not made"
    return ""


def _compare_shard(store: DatasetStore, recipe: Recipe, shard: int, record: Mapping[str, Any], found: _Found) -> None:
    """Compare the samples of a shard that has other bytes."""
    rows = store.layout.rows(shard)
    failures = {failure["row"]: failure for failure in record["failures"]}
    originals = record.get("originals") or [{}] * len(rows)
    ids, status = (store.read(name, slice(rows.start, rows.stop)) for name in ("id", "status"))
    marks = None if store.layout.left_out else marks_of_shard(store, shard)
    is_same = True
    for place, row in enumerate(rows):
        sample_id = str(ids[place])
        why = ""
        if sample_id != recipe.ids[row]:
            why = f"the recipe names {recipe.ids[row]!r} in its row"
        elif status[place] != USABLE and row not in recipe.failures:
            why = f"failed: {failures[row]['message'] if row in failures else 'no reason is recorded'}"
        elif status[place] == USABLE and row in recipe.failures:
            why = f"is usable here, but failed in the recipe's dataset ({recipe.failures[row]})"
        elif marks is None:
            why = "its shard has other checksums; what was left out of this dataset cannot be compared sample by sample"
        else:
            why = _other_file(recipe, row, originals[place]) or _other_values(recipe, row, place, marks, found)
        if why:
            found.different.append((sample_id, why))
        is_same &= not why and not (found.near and found.near[-1] == row)
    found.repacked += is_same


def _other_file(recipe: Recipe, row: int, used: Mapping[str, Mapping[str, str]]) -> str:
    for role, column in (("photo", recipe.columns.photo), ("mask", recipe.columns.mask)):
        digest = column[row].tobytes()
        if role in used and bytes.fromhex(used[role]["sha256"])[:DIGEST_BYTES] != digest:
            return f"was made of another {role} than the recipe names"
    return ""


def _other_values(recipe: Recipe, row: int, place: int, marks: Marks, found: _Found) -> str:
    """Return how the values of a sample differ by more than the bounds; keep smaller differences in `found`."""
    columns = recipe.columns
    if (marks.source_mark[place] != columns.source_mark[row]).any():
        return OTHER_DECODER
    if (marks.made_mark[place] == columns.made_mark[row]).all():
        return ""
    steps = int(np.abs(marks.depth[place].astype(int) - columns.depth[row]).max())
    if steps > DEPTH_BOUND_STEPS:
        return f"mean inverse depth differs by {steps / 255:.3f}; the bound is {DEPTH_BOUND_STEPS / 255:.3f}"
    mean, wanted = (column.copy().view("<f2").astype(float) for column in (marks.flow[place], columns.flow[row]))
    off_px, bound_px = float(np.hypot(*(mean - wanted))), FLOW_BOUND_PX + FLOW_BOUND * float(np.hypot(*wanted))
    if not off_px <= bound_px:
        return f"mean flow differs by {off_px:.2f} px; the bound is {bound_px:.2f} px"
    found.near.append(row)
    found.depth_steps, found.flow_px = max(found.depth_steps, steps), max(found.flow_px, off_px)
    return ""


def _implausible(store: DatasetStore, rows: Sequence[int]) -> Iterator[tuple[str, str]]:
    """Yield those of some samples whose flow does not follow from their depth and motion."""
    if not rows:
        return
    checker = DatasetChecker(store, all_rows=False, among=rows)
    for shard in sorted({row // store.layout.samples_per_shard for row in rows}):
        for ids, problem in checker.problems(shard):
            yield from ((sample_id, problem) for sample_id in ids)


def _verdict(store: DatasetStore, recipe: Recipe, found: _Found) -> Verdict:
    samples = count_of(len(recipe.ids), "sample")
    if found.different:
        sentence = f"different: {len(found.different)} of {samples} differ from the recipe's dataset"
        sentence += f", and {len(found.near)} more differ within the bounds" if found.near else ""
        return Verdict("different", f"{sentence}. {_other_versions(store, recipe)}".strip(), tuple(found.different))
    if found.near:
        return Verdict(
            "bounds",
            f"equal within bounds: {len(found.near)} of {samples} have another depth. Mean inverse depth of a quarter "
            f"of a picture differs by up to {found.depth_steps / 255:.3f} (bound {DEPTH_BOUND_STEPS / 255:.3f}), mean "
            f"flow by up to {found.flow_px:.2f} px (bound {FLOW_BOUND_PX} px + {FLOW_BOUND:.0%}). Photos and masks are "
            f"the recipe's, and flow follows from depth and motion. {_other_versions(store, recipe)}".strip(),
        )
    if names := ", ".join(store.layout.left_out):
        return Verdict("bits", f"equal to the bit: {samples}; left out, compared by their recorded checksums: {names}")
    packed = f"; {count_of(found.repacked, 'shard')} compressed in another way" if found.repacked else ""
    return Verdict("bits", f"equal to the bit: {samples}{packed}")


def _other_versions(store: DatasetStore, recipe: Recipe) -> str:
    """Return how the arithmetic and the software differ that made the recipe's dataset and this one."""
    now = {record["precision"] for _, record in store.commits.read_all(sorted(store.committed()))}
    there, here = ", ".join(sorted(recipe.precision)), ", ".join(sorted(now))
    lines = differences({"precision of the depth network": there}, {"precision of the depth network": here})
    if recipe.software and (software := software_of(store)):
        lines += differences(recipe.software, software)
    if not lines:
        return ""
    return f"Not the same (recipe -> here): {'; '.join(lines)}."
