"""The known depth networks, one row each: where the weights are, what goes in and what comes out.

Importing this module imports neither torch nor transformers.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

EMBEDDED_MODEL = "tiny-dpt"
"""The network shipped inside the package; needs no network connection."""
DEFAULT_MODEL = "Intel/dpt-hybrid-midas"
"""The network that FakeFlow is said to use (arXiv 2407.11714)."""

Meaning = Literal["relative inverse depth", "metric depth"]
"""What a network's output says: larger = nearer with unknown scale and shift, or metres, larger = farther."""

Triple = tuple[float, float, float]
HALF: Triple = (0.5, 0.5, 0.5)
IMAGENET_MEAN: Triple = (0.485, 0.456, 0.406)
IMAGENET_STD: Triple = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class InputRule:
    """How a photo becomes a network's input.

    Attributes:
        side: the published side of the network's input, in pixels.
        multiple: both sides become multiples of this.
        fit: `minimal` scales as little as possible so that one side becomes `side` (isl-org/DPT: a photo larger than
            `side` is shrunk by its shorter side, a smaller one enlarged by its longer side); `shorter` scales the
            shorter side to `side`; `square` ignores the aspect. The aspect is kept up to the rounding to `multiple`.
        interpolation: `cubic` (a = -0.75, no smoothing) or `area` (mean over the covered pixels).
        mean: per channel, of values in [0, 1].
        std: per channel, of values in [0, 1].
    """

    side: int = 384
    multiple: int = 32
    fit: Literal["minimal", "shorter", "square"] = "minimal"
    interpolation: Literal["cubic", "area"] = "cubic"
    mean: Triple = HALF
    std: Triple = HALF

    def describe(self) -> dict[str, Any]:
        """Return the rule as plain values, for a dataset's attributes."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


@dataclass(frozen=True)
class KnownModel:
    """One row of the table.

    Attributes:
        id: hub id, `tiny-dpt`, or the file name of an original checkpoint.
        revision: commit on the hub, so that the same name gives the same weights for ever; None where there is no hub.
        input: how photos go in.
        meaning: what comes out.
        licence: SPDX id of the weights' licence, as their publisher states it.
    """

    id: str
    revision: str | None
    input: InputRule
    meaning: Meaning
    licence: str


DPT_INPUT = InputRule()
"""isl-org/DPT, run_monodepth.py. A photo of 400x300, as in DUTS, enters at 384x288, one of 1920x1080 at 672x384."""
DEPTH_ANYTHING_INPUT = InputRule(518, 14, "shorter", "cubic", IMAGENET_MEAN, IMAGENET_STD)
"""DepthAnything/Depth-Anything-V2, depth_anything_v2/dpt.py."""
TINY_INPUT = InputRule(224, 32, "shorter", "area")
"""As `depth.distill` trains it; `side` is replaced by `short_side` of the model's config.json."""

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
"""What networks that have no row above mean by their output, by `model_type` of their config.json; a config with
`depth_estimation_type: metric`, and DPT over DINOv2 (facebook/dpt-dinov2-*), are metric depth."""
