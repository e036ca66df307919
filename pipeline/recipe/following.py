"""Following a recipe: the dataset is made again from the same photos, each of which is checked before it is used."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.command.progress import Progress
from pipeline.command.settings import option_name, setting
from pipeline.dataset.store import DatasetStore
from pipeline.engine.placement import count_of
from pipeline.errors import InputError, PipelineError
from pipeline.making.config import NOT_CONTENT, RunConfig, differences, refuse_unfit_setting
from pipeline.making.plan import Content
from pipeline.making.run import RunSummary, layout_of, make_dataset
from pipeline.photos.folders import some
from pipeline.photos.listing import Listing, build_listing
from pipeline.photos.originals import Expected
from pipeline.photos.rows import Row, Rows
from pipeline.recipe.reading import GET_AGAIN, read_recipe
from pipeline.recipe.recipe import Recipe
from pipeline.recipe.verdict import Verdict, compare

if TYPE_CHECKING:
    from flowsim import MotionPrior

_RESOLVED = {"listing_hash", "photos", "depth", "motion_prior"}
"""Settings of a dataset that are no settings of `pipeline run`."""
_DECIDING = ("model", "sha256", "output", "input", "normalization")
"""What has to be the same of two depth networks."""


@dataclass(frozen=True, kw_only=True)
class RecipeConfig(RunConfig):
    """Settings of a run whose motion model is that of a recipe, whatever its name says here."""

    prior: Mapping[str, Any] = setting("Motion model of the recipe.")

    def motion_prior(self) -> MotionPrior:
        """Return the motion model.

        Raises:
            PipelineError: this version does not know such a model.
        """
        from flowsim import FlowsimError, MotionPrior

        try:
            return MotionPrior.from_dict(dict(self.prior))
        except FlowsimError as error:
            raise PipelineError(f"the motion model cannot be used: {error}.") from None


class Followed(NamedTuple):
    """A run by a recipe: the settings, the summary of the run, and how the dataset compares with the first one."""

    config: RunConfig
    summary: RunSummary
    verdict: Verdict


def run_recipe(url: str, given: Mapping[str, Any], progress: Progress) -> Followed:
    """Make the dataset that a recipe describes, or its missing part, and compare it with the recipe.

    Photos or masks that are missing or have other bytes become failed rows; the verdict names them.

    Args:
        url: path or URL of the recipe.
        given: settings of `pipeline run` that do not change the dataset: the input, the output and the machines.
        progress: told about the course of the run.

    Raises:
        PipelineError, depth.DepthError: other settings are given, the recipe cannot be used here, or the run fails.
    """
    config, recipe = configure(url, given)
    summary = make_dataset(config, Prescription(recipe, config), progress)
    return Followed(config, summary, compare(DatasetStore.open(config.output), recipe, progress))


def configure(url: str, given: Mapping[str, Any]) -> tuple[RecipeConfig, Recipe]:
    """Read a recipe and return the settings of its run.

    Raises:
        PipelineError: as in `run_recipe`.
    """
    if surplus := sorted(given.keys() - NOT_CONTENT):
        names = ", ".join(option_name(name) for name in surplus)
        raise PipelineError(
            f"{names} cannot be given with --recipe, which holds all settings that decide the dataset. Leave "
            f"{'them' if len(surplus) > 1 else 'it'} out, or leave --recipe out to make another dataset."
        )
    if not given.get("output"):
        raise PipelineError("No output given; pass --output dutsv2.zarr.")
    recipe = read_recipe(url)
    named = {one.name for one in fields(RunConfig)} - NOT_CONTENT
    settings = {name: value for name, value in recipe.settings.items() if name not in _RESOLVED}
    where = f"the recipe {url}"
    prior, repair = recipe.settings["motion_prior"], _repair(recipe)
    try:
        for name, value in settings.items():
            refuse_unfit_setting("settings", name, name if name in named else "", value)
        RecipeConfig(**settings, output=given["output"], prior=prior)
    except PipelineError as error:
        raise PipelineError(f"{where}: {error} {repair}") from None
    config = RecipeConfig(**{**settings, **given}, prior=prior)
    if (layout := layout_of(config, len(recipe.ids))) != recipe.layout:
        lines = "; ".join(differences(asdict(recipe.layout), asdict(layout), "layout."))
        raise PipelineError(
            f"{where} describes other arrays than this fakeflow makes of its settings (recipe -> here): {lines}. "
            f"{repair}"
        )
    network = recipe.settings.get("depth")
    if "listing_hash" not in recipe.settings or not isinstance(network, dict) or set(_DECIDING) - network.keys():
        raise PipelineError(
            f"{where}: a setting is missing; expected listing_hash and depth with {', '.join(_DECIDING)}. {repair}"
        )
    return config, recipe


def _repair(recipe: Recipe) -> str:
    """Return what to do with a recipe that this version cannot follow."""
    maker = recipe.software.get("fakeflow")
    if maker in (None, version("fakeflow")):
        return f"The file was changed after it was written. {GET_AGAIN}"
    return f"Install the version that made the dataset, fakeflow {maker}."


class Prescription:
    """What a recipe orders: its photos, as far as they are in the input, and exactly its settings."""

    def __init__(self, recipe: Recipe, config: RunConfig) -> None:
        self.recipe, self.config = recipe, config
        self._problems: dict[int, tuple[str, str]] = {}

    def find_photos(self, progress: Progress) -> Listing:
        """List the photos of the recipe; others of the input are left out.

        Raises:
            InputError: there is no such input, or it holds none of the photos.
        """
        recipe, config = self.recipe, self.config
        place = config.input or config.images
        found = build_listing(config.input, images=config.images, masks=config.masks, allow_missing_masks=True)
        by_id = {row.id: row for row in found.rows}
        if not by_id.keys() & set(recipe.ids):
            raise InputError(
                f"{place} holds none of the {len(recipe.ids)} photos that the recipe names, such as "
                f"{some(recipe.ids[:1])}; expected the photos that the dataset was made of"
            )
        photo_folders = sorted({posixpath.dirname(row.image) for row in by_id.values()})
        mask_folders = sorted({posixpath.dirname(row.mask) for row in by_id.values() if row.mask is not None})
        rows = []
        for number, sample_id in enumerate(recipe.ids):
            row = by_id.pop(sample_id, None)
            mask = row.mask if row is not None and self._has_mask(number) else None
            rows.append(Row(sample_id, f"{photo_folders[0]}/{sample_id}" if row is None else row.image, mask))
            if number in recipe.failures:
                self._problems[number] = recipe.failures[number], "failed, too, when the recipe's dataset was made"
            elif row is None:
                self._problems[number] = "missing", _no_file("photo", photo_folders)
            elif self._has_mask(number) and mask is None:
                self._problems[number] = "mask_missing", _no_file("mask", mask_folders)
        if by_id:
            others = count_of(len(by_id), "photo")
            progress.announce(f"{others} of the input, not named by the recipe, left out: {some([*by_id])}")
        return Listing(Rows(rows), recipe.source, recipe.settings["listing_hash"])

    def content(self, listing: Listing, network: Mapping[str, Any]) -> Content:
        """Return the settings of the recipe.

        Raises:
            PipelineError: the depth network on this machine is another one.
        """
        wanted = self.recipe.settings["depth"]
        if other := [name for name in _DECIDING if network[name] != wanted[name]]:
            lines = differences({name: wanted[name] for name in other}, {name: network[name] for name in other})
            raise PipelineError(
                f"The depth model {self.config.depth_model} on this machine is not the one of the recipe (there -> "
                f"here): {'; '.join(lines)}. Put the model there whose weights have the SHA-256 {wanted['sha256']}."
            )
        attributes = {"source": self.recipe.source, "licence": self.recipe.licence}
        return Content(self.recipe.settings, attributes, self.expected)

    def expected(self, rows: range) -> tuple[Expected, ...]:
        """Return what the files of some rows have to be."""
        return tuple(Expected(self._digests(number), self._problems.get(number)) for number in rows)

    def _digests(self, number: int) -> dict[str, str]:
        columns = self.recipe.columns
        digests = {"photo": columns.photo[number].tobytes().hex()}
        return digests | ({"mask": columns.mask[number].tobytes().hex()} if self._has_mask(number) else {})

    def _has_mask(self, number: int) -> bool:
        return bool(self.recipe.columns.mask[number].any())


def _no_file(role: str, folders: Sequence[str]) -> str:
    """Return the sentence that says in which folders a photo or mask of the recipe was looked for."""
    where = " or ".join(folders) or "the input, which has no masks"
    return f"there is no {role} of this name in {where}. Put the {role} there that the recipe was written for"
