"""The table of known depth networks, with their weights, their input and the meaning of their output.

Importing this module imports neither torch nor transformers.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

EMBEDDED_MODEL = "tiny-dpt"
"""The network shipped inside the package; needs no network connection."""
DEFAULT_MODEL = "Intel/dpt-hybrid-midas"
"""The network that the FakeFlow paper names (arXiv 2407.11714)."""

Meaning = Literal["relative inverse depth", "metric depth"]
"""Meaning of a network's output: larger = nearer with unknown scale and shift, or metres with larger = farther."""

Triple = tuple[float, float, float]
HALF: Triple = (0.5, 0.5, 0.5)
IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class InputRule:
    """The rule by which a photo becomes a network's input.

    Attributes:
        side: the published side of the network's input, in pixels.
        multiple: number of pixels that both sides are rounded to multiples of.
        fit: `minimal` scales as little as possible so that one side becomes `side`, as isl-org/DPT does: the shorter
            side of a photo larger than `side`, the longer side of a smaller one. `shorter` scales the shorter side to
            `side`. `square` ignores the aspect ratio; the others keep it up to the rounding to `multiple`.
        interpolation: `cubic` (a = -0.75, no smoothing) or `area` (mean over the covered pixels).
        mean: mean that is subtracted from each channel, for values in [0, 1].
        std: deviation that each channel is divided by, for values in [0, 1].
    """

    side: int = 384
    multiple: int = 32
    fit: Literal["minimal", "shorter", "square"] = "minimal"
    interpolation: Literal["cubic", "area"] = "cubic"
    mean: Triple = HALF
    std: Triple = HALF

    def resized(self, resize: str) -> InputRule:
        """Return the rule with `square` in place of its own fit, or the rule itself for `aspect`."""
        return replace(self, fit="square") if resize == "square" else self

    def describe(self) -> dict[str, Any]:
        """Return the rule as plain values, for a dataset's attributes."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


@dataclass(frozen=True)
class KnownModel:
    """One row of the table.

    Attributes:
        id: hub id, `tiny-dpt`, or the file name of an original checkpoint.
        revision: commit on the hub, so that a name always gives the same weights; None for files outside the hub.
        input: rule for the input.
        meaning: meaning of the output.
        licence: SPDX id of the weights' licence, as their publisher states it.
    """

    id: str
    revision: str | None
    input: InputRule
    meaning: Meaning
    licence: str


DPT_INPUT = InputRule()
"""The rule of isl-org/DPT, run_monodepth.py: a photo of 400x300, as in DUTS, enters at 384x288, one of 1920x1080 at
672x384."""
DEPTH_ANYTHING_INPUT = InputRule(518, 14, "shorter", "cubic", IMAGENET_MEAN, IMAGENET_STD)
"""The rule of DepthAnything/Depth-Anything-V2, depth_anything_v2/dpt.py."""
TINY_INPUT = InputRule(224, 32, "shorter", "area")
"""The rule that `depth.distill` trains with; `side` is replaced by `short_side` of the model's config.json."""

_INVERSE: Meaning = "relative inverse depth"

_ROWS = (
    KnownModel(EMBEDDED_MODEL, None, TINY_INPUT, _INVERSE, "MIT"),
    KnownModel(DEFAULT_MODEL, "11eaf7a1cf4bd70740697dbc216f98980c0aeb03", DPT_INPUT, _INVERSE, "Apache-2.0"),
    KnownModel("Intel/dpt-large", "bc15f29aa3a80d532f2ed650b5e16ac48d8958f9", DPT_INPUT, _INVERSE, "Apache-2.0"),
    KnownModel(
        "depth-anything/Depth-Anything-V2-Small-hf",
        "5426e4f0f36572d16453bbda7a8389317b1bef99",
        DEPTH_ANYTHING_INPUT,
        _INVERSE,
        "Apache-2.0",
    ),
    KnownModel(
        "depth-anything/Depth-Anything-V2-Base-hf",
        "b1958afc87fb45a9e3746cb387596094de553ed8",
        DEPTH_ANYTHING_INPUT,
        _INVERSE,
        "CC-BY-NC-4.0",
    ),
    KnownModel(
        "depth-anything/Depth-Anything-V2-Large-hf",
        "7581137eff8d4e94f6e796d3baea0e9fa79b22d2",
        DEPTH_ANYTHING_INPUT,
        _INVERSE,
        "CC-BY-NC-4.0",
    ),
    KnownModel("dpt_hybrid-midas-501f0c75.pt", None, DPT_INPUT, _INVERSE, "MIT"),
    KnownModel("dpt_large-midas-2f21e586.pt", None, DPT_INPUT, _INVERSE, "MIT"),
)
KNOWN_MODELS = {row.id: row for row in _ROWS}

MEANING_BY_MODEL_TYPE: dict[str, Meaning] = {
    "dpt": _INVERSE,
    "depth_anything": _INVERSE,
    "glpn": "metric depth",
    "zoedepth": "metric depth",
    "depth_pro": "metric depth",
}
"""Meaning of the output of networks without a row above, by `model_type` of their config.json. Networks with
`depth_estimation_type: metric` and DPT over DINOv2 (facebook/dpt-dinov2-*) give metric depth."""
