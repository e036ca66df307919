"""The settings of a run: defaults, TOML files, and the fingerprint of everything that decides a dataset's content."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from depth import DEFAULT_MODEL
from pipeline.command.settings import check_limits, setting, setting_of
from pipeline.engine.placement import Placement
from pipeline.errors import PipelineError
from pipeline.files.regular_files import read_text

if TYPE_CHECKING:
    from flowsim import MotionPrior

INPUT, OUTPUT, DEPTH, MOTION, PLACE = "Input", "Output", "Depth", "Motion", "Where it runs"
"""Headings of the options on help pages."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Settings of `pipeline run`; every field is a command-line option and a key of the TOML file."""

    input: str | None = setting("Folder or URL of a DUTS tree, a DUTSv2 tree, or photos.", INPUT, default=None)
    images: str | None = setting("Folder of photos, in place of --input.", INPUT, default=None)
    masks: str | None = setting("Folder of masks, each named like its photo in --images.", INPUT, default=None)
    split: Literal["all", "train", "test"] = setting(
        "Part of DUTS to use: DUTS-TR (train), DUTS-TE (test), or both (all).", INPUT, default="all"
    )
    limit: int | None = setting(
        "Largest number of photos to use, from the first on.", INPUT, unset="all", at_least=1, default=None
    )
    allow_missing_masks: bool = setting(
        "Also use photos that have no mask; they get an empty one.", INPUT, default=False
    )
    max_side: int = setting(
        "Longest side of a photo, in pixels, and side of the stored canvas; larger photos are shrunk.",
        INPUT,
        at_least=32,
        default=400,
    )
    output: str = setting("Zarr dataset to make or to continue; a folder or URL.", OUTPUT)
    samples_per_shard: int = setting(
        "Number of photos that one task makes and one file holds.", OUTPUT, at_least=1, default=64
    )
    max_failures: int = setting(
        "Largest number of unusable photos with which the command still succeeds.", OUTPUT, at_least=0, default=0
    )
    retry_failed: bool = setting("Try the photos again that failed in an earlier run.", OUTPUT, default=False)
    depth_model: str = setting(
        "Depth network: an id on the Hugging Face hub, a folder, a DPT checkpoint (.pt), or tiny-dpt, which is part of "
        "fakeflow and works offline.",
        DEPTH,
        default=DEFAULT_MODEL,
    )
    resize: Literal["aspect", "square"] = setting(
        "Shape to which photos are resized for the depth network: their own (aspect) or a square.",
        DEPTH,
        default="aspect",
    )
    normalization: Literal["minmax", "percentile"] = setting(
        "How the output of the depth network is scaled to inverse depth in [0, 1].", DEPTH, default="minmax"
    )
    motion: str = setting(
        "Motion model: davis (fitted to real videos), davis-small (the same, with objects of pairs as small as in "
        "these videos), camera+object, camera, parallax (our reading of the paper), or the path of a TOML file.",
        MOTION,
        default="davis",
    )
    motions: int = setting(
        "Number of motions drawn for each photo; each gives a flow field.", MOTION, at_least=1, default=1
    )
    frames: int = setting(
        "Number of frames of each sample, the photo included: 1 makes the photo and its flow, 2 a pair with the next "
        "frame, 3 to 16 a clip.",
        MOTION,
        at_least=1,
        default=1,
    )
    objects: Literal["mask", "components", "labels"] = setting(
        "What moves on its own in a pair or a clip: the mask as one object (mask), each large connected part of it "
        "(components), or each object of masks that are label images (labels). If there are more than 8, the 8 "
        "largest do; further parts move with the nearest of these, and further label objects become background.",
        MOTION,
        default="mask",
    )
    seed: int = setting("Seed of the drawn motions.", MOTION, at_least=0, default=0)
    workers: int | None = setting(
        "Number of Ray workers; 0 runs everything in this process, without Ray.",
        PLACE,
        unset="0 on one machine with at most one GPU; otherwise one per GPU, or per machine without GPUs",
        at_least=0,
        default=None,
    )
    gpus_per_worker: float | None = setting(
        "Share of a GPU that each Ray worker gets; with 0.5, two workers share a GPU.", PLACE, unset="1", default=None
    )
    device: Literal["auto", "cpu", "cuda"] = setting(
        "Device that the depth network runs on; auto uses a GPU if there is one.", PLACE, default="auto"
    )

    def __post_init__(self) -> None:
        check_limits(self, PipelineError)
        if self.frames > LONGEST_CLIP:
            raise PipelineError(f"--frames is {self.frames}; expected 1 to {LONGEST_CLIP}.")
        if self.objects != "mask" and self.frames == 1:
            raise PipelineError(
                f"--objects {self.objects} needs frames: add --frames 2 for pairs, or leave --objects out."
            )
        Placement(self.workers, self.device, self.gpus_per_worker)  # refuses contradictions
        if self.motion_prior().object_area and self.frames == 1:
            raise PipelineError(
                f"--motion {self.motion} has smaller objects (`object_area`), which need frames: add --frames 2 for "
                "pairs, or use a motion model without it, such as davis."
            )

    @property
    def placement(self) -> Placement:
        """The placement of the work."""
        return Placement(self.workers, self.device, self.gpus_per_worker)

    def motion_prior(self) -> MotionPrior:
        """Return the motion model.

        Raises:
            PipelineError: there is no such preset, or the file does not hold a motion model.
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


@dataclass(frozen=True, kw_only=True)
class ImportSettings:
    """Settings of `pipeline import`, which makes samples of ready-made flow pictures."""

    max_side: int = setting_of(RunConfig, "max_side")
    longest_px: float = setting(
        "Length in pixels that the longest vector of each picture gets, since pictures do not store it.",
        INPUT,
        flag="--longest",
        at_least=1,
        default=20.0,
    )

    def __post_init__(self) -> None:
        from pipeline.dataset.schema import LARGEST_FLOW_PX

        check_limits(self, PipelineError)
        if self.longest_px > LARGEST_FLOW_PX:
            raise PipelineError(
                f"--longest is {self.longest_px:g}; expected at most {int(LARGEST_FLOW_PX)} px, the largest flow that "
                "a dataset holds."
            )


LONGEST_CLIP = 16
LATER_SETTINGS = {"frames": 1, "objects": "mask"}
"""Settings that earlier versions did not have, and what they did; left out of a dataset's settings if they say so."""
LONGEST_SHOWN = 70
"""Largest number of characters of a setting in a list of differences."""

NOT_CONTENT = {"input", "output", "images", "masks", "max_failures", "retry_failed"} | {
    "workers",
    "gpus_per_worker",
    "device",
}
"""Settings that do not change the dataset; the input is represented by the hash of its listing."""


def load_config(given: Mapping[str, Any], config_file: Path | None) -> RunConfig:
    """Return the settings of a run; options win over the TOML file, and the file over defaults.

    Args:
        given: options of the command line by field name; None stands for an option that is not given.
        config_file: TOML file whose keys are names of `RunConfig`, written with `-` or `_`.

    Raises:
        PipelineError: a key is unknown, a value has the wrong type, or there is no output.
    """
    values: dict[str, Any] = {}
    if config_file is not None:
        try:
            table = tomllib.loads(read_text(config_file))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise PipelineError(f"{config_file}: cannot be read as TOML ({error}).") from None
        for key, value in table.items():
            name = key.replace("-", "_")
            refuse_unfit_setting(str(config_file), key, name, value)
            values[name] = value
    values |= {name: value for name, value in given.items() if value is not None}
    if not values.get("output"):
        raise PipelineError("No output given; pass --output dutsv2.zarr.")
    return RunConfig(**values)


def refuse_unfit_setting(where: str, key: str, name: str, value: Any) -> None:
    """Raise if a value of a file is none of a field of `RunConfig`.

    Args:
        where: the file, for messages.
        key: name of the setting in the file.
        name: name of the field.
        value: value of the setting.

    Raises:
        PipelineError: there is no such field, or its values have another type.
    """
    hints = get_type_hints(RunConfig)
    if name not in hints:
        raise PipelineError(f"{where}: unknown setting {key!r}; known: {', '.join(sorted(hints))}.")
    if not _fits(value, hints[name]):
        raise PipelineError(f"{where}: {key} = {value!r} has the wrong type; expected {_words(hints[name])}.")


def content_settings(config: RunConfig, **resolved: Any) -> dict[str, Any]:
    """Return all settings that determine the values of the dataset, as plain values.

    Args:
        config: the settings; those in `NOT_CONTENT` are left out.
        resolved: settings in full: `listing_hash`, `photos`, `depth` (provenance of the network) and `motion_prior`.
    """
    settings = {name: value for name, value in dataclasses.asdict(config).items() if name not in NOT_CONTENT}
    settings = {name: value for name, value in settings.items() if LATER_SETTINGS.get(name) != value}
    plain: dict[str, Any] = json.loads(json.dumps({**settings, **resolved}))
    return plain


def fingerprint(settings: Mapping[str, Any]) -> str:
    """Return the sha256 of settings; it does not depend on the order of keys."""
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
