"""The results of commands in lines of text, and their exit codes."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, NamedTuple

from pipeline.engine.placement import count_of
from pipeline.files.ids import shown

if TYPE_CHECKING:
    from pipeline.checking.findings import Finding, Verification
    from pipeline.dataset.commits import Failure
    from pipeline.dataset.store import DatasetStore
    from pipeline.making.config import RunConfig
    from pipeline.making.run import RunSummary
    from pipeline.recipe.verdict import Verdict

TOO_MANY_FAILURES = 3
BROKEN = 4
"""Exit codes of commands that found more failures than allowed, or a dataset that is not as it should be."""
LISTED_FINDINGS = 50


class Line(NamedTuple):
    """A line of text, and whether it tells of an error."""

    text: str
    is_error: bool = False


def run_summary(settings: RunConfig, summary: RunSummary, rate: str) -> list[Line]:
    """Tell what a run has made, and which photos failed."""
    made = summary.photos_made_now
    now = f"{made} in this run" + (f" at {rate}" if rate else "")
    usable = summary.photos - len(summary.failures)
    return [
        *(Line(f"note: {note}", is_error=True) for note in summary.listing_notes),
        Line(f"{settings.output}: {usable} of {summary.photos} photos usable, {now}"),
        *failed_photos(settings.output, summary.failures),
        Line(f"Look at it:  pipeline preview {quote(settings.output)} --output preview.png"),
    ]


def missing_photos(store: DatasetStore) -> list[Line]:
    """Tell what is not shown of a dataset without images that was opened without its photos."""
    if store.shows_photos:
        return []
    what = "photos" if store.layout.frames == 1 else "photos and frames"
    why = f"{store.name} was published without images; --photos FOLDER shows its {what} as well"
    return [Line(f"note: {why}", is_error=True)]


def failed_photos(dataset: str, failures: tuple[Failure, ...]) -> list[Line]:
    """Tell the number of failed photos for each reason, and what to do."""
    from pipeline.making.run import reasons

    lines = [f"  {count} failed: {reason}" for reason, count in reasons(failures)]
    if failures:
        lines.append(f"  which and why:     pipeline status {quote(dataset)} --failures")
        lines.append("  after the repair:  the same command with --retry-failed")
    return [Line(text) for text in lines]


def verification(dataset: str, result: Verification) -> list[Line]:
    """Tell what the verification of a dataset has found."""
    lines = [Line(_finding(finding)) for finding in result.findings[:LISTED_FINDINGS]]
    if len(result.findings) > LISTED_FINDINGS:
        lines.append(Line(f"... and {len(result.findings) - LISTED_FINDINGS} more"))
    lines += [Line(f"note: {note}") for note in result.notes]
    shards = count_of(result.shard_count - result.missing_shard_count, "shard")
    done = f"{count_of(result.objects, 'object')} of {shards} by checksum"
    done += f", {count_of(result.rows_compared, 'sample')} by value"
    if result.is_whole:
        return [*lines, Line(f"{dataset}: intact; {done}")]
    if result.findings:
        lines.append(Line(f"{dataset}: {count_of(len(result.findings), 'finding')}; {done}", is_error=True))
    if result.missing_shard_count:
        missing = f"{result.missing_shard_count} of {count_of(result.shard_count, 'shard')} not made yet"
        again = "run the command that made the dataset again"
        lines.append(Line(f"{dataset}: {missing}; {again}", is_error=True))
    return lines


def verdict(dataset: str, found: Verdict) -> list[Line]:
    """Tell how a dataset compares with a recipe."""
    first, *others = found.lines
    return [Line(text, found.kind == "different") for text in (f"{dataset}: {first}", *others)]


def _finding(finding: Finding) -> str:
    whose = " to ".join(dict.fromkeys([*finding.ids[:1], *finding.ids[-1:]]))
    whose = f" (sample{'s' * (len(finding.ids) > 1)} {whose})" if whose else ""
    return shown(f"{finding.key}{whose}: {finding.problem}")
