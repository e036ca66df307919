"""Reading of recipes: one that is damaged, edited or of another version is refused by the name of the field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from importlib.metadata import version
from itertools import pairwise
from typing import Any, NoReturn

from pipeline.dataset.inventory import MALFORMED
from pipeline.dataset.schema import Layout
from pipeline.dataset.sealed import is_intact
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError, UnusablePhoto
from pipeline.files.ids import is_plain
from pipeline.files.storage import explained
from pipeline.making.config import fingerprint
from pipeline.photos.originals import read_original
from pipeline.recipe.columns import LONGEST_ID, SHARD_BYTES, PhotoColumns, table, unpack_text
from pipeline.recipe.recipe import BEGINNING, KIND, VERSION, Recipe
from pipeline.redaction import without_credentials

GET_AGAIN = "Get the file again from where the dataset was published."
_LARGEST_PRIOR_BYTES = 2**20
_LARGEST_NUMBER = 2**40
_LONGEST_SHOWN = 60


def read_recipe(url: str) -> Recipe:
    """Read the recipe at a path or URL.

    Raises:
        PipelineError: there is none, it was changed after it was written, or it is of another version.
    """
    name = without_credentials(url)
    try:
        with explained(name, "read"):
            content = read_original(url).content
    except (FileNotFoundError, NotADirectoryError):
        raise PipelineError(f"{name}: there is no recipe here. Write one with `pipeline recipe X.zarr FILE`.") from None
    except UnusablePhoto as problem:
        raise PipelineError(f"{name} cannot be read as a recipe: {problem}") from None
    return parse_recipe(content, name)


def parse_recipe(content: bytes, name: str) -> Recipe:
    """Read the content of a recipe's file; `name` is its place, for messages.

    Raises:
        PipelineError: as in `read_recipe`.
    """
    try:
        stored = json.loads(content)
        kind = str(stored["format"])
    except MALFORMED:
        if BEGINNING in content[:100]:
            raise PipelineError(f"{name} is an incomplete or damaged recipe; get it again.") from None
        raise PipelineError(f"{name} is no recipe; expected a file that `pipeline recipe` wrote.") from None
    _refuse_other_version(name, kind, stored)
    if not is_intact(content):
        raise PipelineError(f"{name} was changed after it was written: it differs from its own checksum. {GET_AGAIN}")
    try:
        return _parsed(stored)
    except KeyError as missing:
        why = f"it has no field {missing}"
    except MALFORMED as error:
        why = str(error)
    raise PipelineError(f"{name} is not what `pipeline recipe` writes: {why}. {GET_AGAIN}")


def _refuse_other_version(name: str, kind: str, stored: Mapping[str, Any]) -> None:
    if not kind.startswith(f"{KIND} "):
        raise PipelineError(f"{name} is no recipe but {_shown(kind)}; expected a file that `pipeline recipe` wrote.")
    if kind == f"{KIND} {VERSION}":
        return
    ours, writer = f"fakeflow {version('fakeflow')}", stored.get("written_by")
    number = kind.removeprefix(f"{KIND} ")
    is_version = number.isascii() and number.isdecimal() and len(number) < 10 and not number.startswith("0")
    if not is_version or writer == ours:
        raise PipelineError(
            f"{name} was changed after it was written: its format is {_shown(kind)}; expected '{KIND} {VERSION}'. "
            f"{GET_AGAIN}"
        )
    raise PipelineError(
        f"{name} is a recipe of version {number}, written by {_shown(writer)}; this {ours} reads version {VERSION}. "
        "Install the version that wrote it."
    )


def _parsed(stored: Mapping[str, Any]) -> Recipe:
    photos = _number("photos", stored["photos"])
    settings = _table("settings", stored["settings"])
    settings["motion_prior"] = _motion_prior(stored["motion_prior"])
    if (wanted := fingerprint(settings)) != stored["fingerprint"]:
        _refuse("fingerprint", stored["fingerprint"], f"{wanted}, which settings and motion_prior give")
    layout = _layout(_table("layout", stored["layout"]))
    for field, found in (("layout.samples", layout.samples), ("settings.photos", settings["photos"])):
        if found != photos:
            _refuse(field, found, f"{photos}, as photos says")
    ids = tuple(unpack_text("ids", stored["ids"], LONGEST_ID * photos).split("\n"))
    if len(ids) != photos:
        raise ValueError(f"ids holds {len(ids)} names; expected {photos}, as photos says")
    if other := [one for one in ids if not is_plain(one)]:
        raise ValueError(f"ids holds {_shown(other[0])}; expected names that can be printed")
    if other := [second for first, second in pairwise(ids) if first >= second]:
        raise ValueError(f"ids holds {_shown(other[0])} in a wrong place; expected names that rise")
    return Recipe(
        settings=settings,
        source=str(stored["source"]),
        licence=str(stored["licence"]),
        layout=layout,
        software={name: str(value) for name, value in _table("software", stored["software"]).items()},
        precision={
            name: _number(f"precision.{name}", value)
            for name, value in _table("precision", stored["precision"]).items()
        },
        ids=ids,
        failures=_failures(stored["failures"], photos),
        columns=PhotoColumns.from_texts(stored, photos),
        shards=table("shards", stored["shards"], layout.shard_count, SHARD_BYTES),
    )


def _motion_prior(packed: object) -> dict[str, Any]:
    text = unpack_text("motion_prior", packed, _LARGEST_PRIOR_BYTES)
    try:
        return _table("motion_prior", json.loads(text))
    except json.JSONDecodeError as error:
        raise ValueError(f"motion_prior is no JSON ({error}); expected a table of names and values") from None


def _layout(sizes: dict[str, Any]) -> Layout:
    known = {one.name for one in fields(Layout)}
    if surplus := sorted(sizes.keys() - known):
        raise ValueError(f"layout holds {_shown(surplus[0])}; expected only {', '.join(sorted(known))}")
    for name in ("samples", "motions", "side", "samples_per_shard", "frames", "objects"):
        if name in sizes:
            _number(f"layout.{name}", sizes[name])
    names = sizes["motion_parameters"]
    if not isinstance(names, str):
        _refuse("layout.motion_parameters", names, "names separated by spaces")
    try:
        return DatasetStore.read_layout({**sizes, "motion_parameters": names.split()})
    except TypeError:  # a size is missing
        raise ValueError(f"layout has the fields {', '.join(sizes)}; expected all sizes of a dataset") from None


def _failures(text: object, photos: int) -> dict[int, str]:
    if not isinstance(text, str):
        _refuse("failures", text, "ROW:REASON for each failed photo")
    failures = {}
    for one in text.split():
        row, _, reason = one.partition(":")
        if not (row.isascii() and row.isdecimal() and len(row) < 16 and int(row) < photos and reason):
            _refuse("failures", one, f"ROW:REASON with a row from 0 to {photos - 1}")
        failures[int(row)] = reason
    return failures


def _number(field: str, found: object) -> int:
    if isinstance(found, bool) or not isinstance(found, int) or not 1 <= found < _LARGEST_NUMBER:
        _refuse(field, found, f"a whole number from 1 to {_LARGEST_NUMBER - 1}")
    return found


def _table(field: str, found: object) -> dict[str, Any]:
    if not isinstance(found, dict):
        _refuse(field, found, "a table of names and values")
    return dict(found)


def _refuse(field: str, found: object, expected: str) -> NoReturn:
    raise ValueError(f"{field} is {_shown(found)}; expected {expected}")


def _shown(found: object) -> str:
    """Return a value of a file as ASCII on one line, cut if it is long."""
    text = ascii(found)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
