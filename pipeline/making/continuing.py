"""Begin, continue and grow datasets; settings or photos that do not fit the existing dataset are refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pipeline.dataset.schema import Layout
from pipeline.dataset.sharded_store import AnyLayout, ShardedStore
from pipeline.dataset.store import DatasetStore
from pipeline.engine.placement import count_of
from pipeline.errors import PipelineError
from pipeline.making.config import differences, fingerprint
from pipeline.photos.listing import Listing, hash_listing
from pipeline.photos.originals import LocateFiles, changed, each_used, locate_photo_and_mask

LISTING = frozenset({"limit", "listing_hash", "photos"})
"""Settings that identify the photos; a dataset that differs only in these may grow."""
_SHOWN = 3

Announce = Callable[[str], None]


def create_or_continue(
    store: ShardedStore[AnyLayout], layout: AnyLayout, settings: Mapping[str, Any], attributes: Mapping[str, Any]
) -> None:
    """Create a dataset, or check that the existing one was begun with the same settings.

    Args:
        store: the output; the caller holds its lock.
        layout: sizes of the dataset.
        settings: all settings that determine the dataset's values, as plain values.
        attributes: further attributes of the dataset.

    Raises:
        PipelineError: the existing dataset has other settings; the message lists them.
    """
    if not store.exists():
        store.create(layout, {"fingerprint": fingerprint(settings), "settings": dict(settings), **attributes})
        return
    if store.attributes["fingerprint"] != fingerprint(settings):
        lines = [_in_words(line) for line in differences(store.attributes["settings"], settings)]
        raise PipelineError(
            f"{store.name} was begun with other settings (there -> now):\n  "
            + "\n  ".join(lines or ["(the listing of the settings itself)"])
            + "\nRun with the same settings to continue it, or choose another --output."
        )


def create_or_grow(
    store: DatasetStore,
    layout: Layout,
    settings: Mapping[str, Any],
    attributes: Mapping[str, Any],
    listing: Listing,
    announce: Announce,
    locate: LocateFiles = locate_photo_and_mask,
) -> None:
    """Create or continue a dataset of photos, and grow it if photos were added after its last one.

    Args:
        store: the output; the caller holds its lock.
        layout: sizes of the dataset.
        settings: all settings that determine the dataset's values, as plain values; `LISTING` names those that identify
            the photos.
        attributes: further attributes of the dataset.
        listing: the photos.
        announce: told if the dataset grows, and before comparisons that take long.
        locate: returns the paths or URLs of the files of a row.

    Raises:
        PipelineError: the existing dataset has other settings or other photos, or was made of other bytes.
    """
    if store.exists() and _without_listing(before := store.attributes["settings"]) == _without_listing(settings):
        if before != settings:
            _refuse_other_photos(store, listing, before)
        _refuse_changed(store, listing, announce, locate)
        if before != settings:
            announce(f"the dataset grows from {before['photos']} to {len(listing)} photos")
            store.grow(layout, {"fingerprint": fingerprint(settings), "settings": dict(settings), **attributes})
    create_or_continue(store, layout, settings, attributes)


def _refuse_changed(store: DatasetStore, listing: Listing, announce: Announce, locate: LocateFiles) -> None:
    """Raise if files have other bytes than those that the dataset was made of."""
    unrecorded = 0

    def used() -> Iterator[tuple[str, dict[str, str]]]:
        nonlocal unrecorded
        for shard, record in store.commits.read_all(sorted(store.committed())):
            records = record.get("originals")
            unrecorded += records is None
            rows = store.layout.rows(shard)
            yield from each_used(listing.rows[rows.start : rows.stop], records or (), locate)

    names = changed(used(), announce)
    if names:
        raise PipelineError(
            f"{store.name}: {_some(names)} changed since the dataset was made of "
            f"{'them' if len(names) > 1 else 'it'}. Put the earlier {'files' if len(names) > 1 else 'file'} back, or "
            "choose another --output."
        )
    if unrecorded:
        shards = count_of(unrecorded, "shard")
        announce(f"{shards} made by an earlier version: their photos cannot be compared with the ones used then")


def _refuse_other_photos(store: DatasetStore, listing: Listing, before: Mapping[str, Any]) -> None:
    """Raise unless the photos of the dataset are the first ones of the listing."""
    had = int(before["photos"])
    if had <= len(listing) and hash_listing(listing.rows[:had]) == before["listing_hash"]:
        return
    there = {row: name for shard in store.committed() for row, name in _ids_of(store, shard)}
    now = {row.id for row in listing.rows}
    gone = [name for _, name in sorted(there.items()) if name not in now]
    known = set(there.values())
    between = [listing.rows[row].id for row in sorted(there) if row < len(listing)]
    came = [name for name in between if name not in known] if len(there) == had else []
    facts = [f"{had} photos there, {len(listing)} now"]
    facts += [f"not listed any more: {_some(gone)}"] if gone else []
    facts += [f"new before its last photo: {_some(came)}"] if came else []
    facts += [] if gone or came else ["some photos or masks have other names"]
    raise PipelineError(
        f"{store.name} was begun with other photos ({'; '.join(facts)}). Its rows are sorted by the photos' names: it "
        "can grow by photos that come after its last one, as with a larger --limit; none can be taken out, renamed or "
        "put between. List the same photos, or choose another --output."
    )


def _ids_of(store: DatasetStore, shard: int) -> Iterator[tuple[int, str]]:
    rows = store.layout.rows(shard)
    return zip(rows, map(str, store.read("id", slice(rows.start, rows.stop))), strict=True)


def _without_listing(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in LISTING}


def _in_words(line: str) -> str:
    return "the names or sizes of the files that it is made of" if line.startswith("listing_hash:") else line


def _some(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
