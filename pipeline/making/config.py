"""The settings of a run: defaults, TOML files, and the fingerprint of everything that decides a dataset's content."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from pipeline.engine.placement import Placement
from pipeline.errors import PipelineError
from pipeline.files.regular_files import read_text

if TYPE_CHECKING:
    from flowsim import MotionPrior

DEFAULT_DEPTH_MODEL = "Intel/dpt-hybrid-midas"


def _setting(help_text: str, **default: Any) -> Any:
    return field(metadata={"help": help_text}, **default)


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Settings of `pipeline run`; every field is a command-line option and a key of the TOML file."""

    input: str | None = _setting("Folder or URL: a DUTS tree, a DUTSv2 tree, or a folder of photos.", default=None)
    output: str = _setting("The Zarr dataset to make or to continue; folder or URL.")
    images: str | None = _setting("Folder of photos, in place of --input.", default=None)
    masks: str | None = _setting("Folder of masks with the photos' names, beside --images.", default=None)
    split: Literal["all", "train", "test"] = _setting("Part of DUTS: DUTS-TR, DUTS-TE, or both.", default="all")
    limit: int | None = _setting("Use only the first so many photos.", default=None)
    allow_missing_masks: bool = _setting("Use photos without a mask too; their mask is empty.", default=False)
    depth_model: str = _setting(
        "Hub id, folder, DPT checkpoint (.pt), or `tiny-dpt`, which is embedded and works offline.",
        default=DEFAULT_DEPTH_MODEL,
    )
    resize: Literal["aspect", "square"] = _setting("How photos are resized for the depth model.", default="aspect")
    normalization: Literal["minmax", "percentile"] = _setting(
        "How the model's output becomes inverse depth in [0, 1].", default="minmax"
    )
    motion: str = _setting(
        "Motion model: davis (fitted to real videos), camera+object, camera, parallax (our reading of the paper), or a "
        "TOML file.",
        default="davis",
    )
    motions: int = _setting("Flow fields per photo, each of its own motion.", default=1)
    max_side: int = _setting("Photos with a longer side are shrunk to it, pixels; also the canvas.", default=400)
    seed: int = _setting("Seed of all drawn motions.", default=0)
    samples_per_shard: int = _setting("Photos that one task makes and one file holds.", default=64)
    workers: int | None = _setting(
        "Ray workers; 0 = no Ray, in this process. Default: one per GPU, without a GPU one per machine.", default=None
    )
    gpus_per_worker: float | None = _setting(
        "Part of a GPU that each Ray worker gets: 0.5 = two workers share one. Default: 1.", default=None
    )
    device: Literal["auto", "cpu", "cuda"] = _setting(
        "Where the depth model runs; auto = GPU if there is one.", default="auto"
    )
    max_failures: int = _setting("Exit with an error when more photos than this cannot be used.", default=0)
    retry_failed: bool = _setting("Try the photos again that failed in an earlier run.", default=False)

    def __post_init__(self) -> None:
        for name, low in (("motions", 1), ("max_side", 32), ("samples_per_shard", 1), ("max_failures", 0), ("seed", 0)):
            if getattr(self, name) < low:
                raise PipelineError(f"--{name.replace('_', '-')} is {getattr(self, name)}; expected at least {low}.")
        if self.workers is not None and self.workers < 0:
            raise PipelineError(f"--workers is {self.workers}; expected 0 (in this process) or more.")
        if self.limit is not None and self.limit < 1:
            raise PipelineError(f"--limit is {self.limit}; expected at least 1.")
        Placement(self.workers, self.device, self.gpus_per_worker)  # refuses contradictions
        self.motion_prior()  # refuses what is none, before anything is listed or loaded

    @property
    def placement(self) -> Placement:
        """Where the work is done."""
        return Placement(self.workers, self.device, self.gpus_per_worker)

    def motion_prior(self) -> MotionPrior:
        """Return the motion model.

        Raises:
            PipelineError: there is no such preset, or the file is none of a motion model.
        """
        from flowsim import FlowsimError, MotionPrior

        try:
            if self.motion.endswith(".toml"):
                return MotionPrior.from_dict(tomllib.loads(read_text(self.motion)))
            return MotionPrior.preset(self.motion)
        except OSError as error:
            raise PipelineError(f"--motion {self.motion}: it cannot be read ({error.strerror or error}).") from None
        except (FlowsimError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise PipelineError(f"--motion {self.motion}: {error}") from None


LONGEST_SHOWN = 70
"""Characters of a setting in a list of differences."""

NOT_CONTENT = {"input", "output", "images", "masks", "max_failures", "retry_failed"} | {
    "workers",
    "gpus_per_worker",
    "device",
}
"""Settings that do not change the dataset; the input counts through the manifest's listing hash."""


def load_config(given: Mapping[str, Any], config_file: Path | None) -> RunConfig:
    """Merge defaults < TOML file < options given on the command line.

    Args:
        given: field name -> value; None means not given.
        config_file: TOML with the names of `RunConfig`, with `-` or `_`.

    Raises:
        PipelineError: unknown key, wrong type, or no output.
    """
    hints = get_type_hints(RunConfig)
    values: dict[str, Any] = {}
    if config_file is not None:
        try:
            table = tomllib.loads(read_text(config_file))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise PipelineError(f"{config_file}: cannot be read as TOML ({error}).") from None
        for key, value in table.items():
            name = key.replace("-", "_")
            if name not in hints:
                raise PipelineError(f"{config_file}: unknown setting {key!r}; known: {', '.join(sorted(hints))}.")
            if not _fits(value, hints[name]):
                raise PipelineError(
                    f"{config_file}: {key} = {value!r} has the wrong type; expected {_words(hints[name])}."
                )
            values[name] = value
    values |= {name: value for name, value in given.items() if value is not None}
    if not values.get("output"):
        raise PipelineError("No output given; pass --output dutsv2.zarr.")
    return RunConfig(**values)


def content_settings(config: RunConfig, **resolved: Any) -> dict[str, Any]:
    """Return everything that decides the dataset's values, as plain values.

    Args:
        config: the settings; those in `NOT_CONTENT` are left out.
        resolved: what settings stand for: `listing_hash`, `depth` (provenance), `motion_prior`.
    """
    settings = {name: value for name, value in dataclasses.asdict(config).items() if name not in NOT_CONTENT}
    plain: dict[str, Any] = json.loads(json.dumps({**settings, **resolved}))
    return plain


def fingerprint(settings: Mapping[str, Any]) -> str:
    """Return the sha256 of settings, independent of the order of keys."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def differences(stored: Mapping[str, Any], wanted: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return one line per setting that differs, `name: stored -> wanted`."""
    lines = []
    for name in sorted(stored.keys() | wanted.keys()):
        old, new = stored.get(name), wanted.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            lines += differences(old, new, f"{prefix}{name}.")
        elif old != new:
            lines.append(f"{prefix}{name}: {_short(old)} -> {_short(new)}")
    return lines


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 3]}..."


def _fits(value: Any, hint: Any) -> bool:
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    allowed = get_args(hint) or (hint,)
    return any(type(value) is kind or (kind is float and type(value) is int) for kind in allowed)


def _words(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return " | ".join(get_args(hint))
    return " or ".join(kind.__name__ for kind in get_args(hint) or (hint,) if kind is not type(None))
