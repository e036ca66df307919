"""Encoders of one stream, from RGB to features at four scales.

As published the Mix Transformers of SegFormer (Xie et al., NeurIPS 2021) from transformers; or backbones of timm.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from pipeline.files.regular_files import refuse_irregular
from segmentation.errors import SegmentationError
from segmentation.network.encoder import IMAGENET_MEAN, IMAGENET_STD, Encoder
from segmentation.network.encoder_names import (
    LITE_VARIANTS,
    MIT_VARIANTS,
    TIMM_PREFIX,
    MitVariant,
    check_initialization,
)

STRIDES = (4, 8, 16, 32)
HUB_TIMEOUT_S = 10


class MitEncoder(Encoder):
    """A Mix Transformer, as transformers' SegformerModel."""

    def _levels(self, normalized: Tensor) -> list[Tensor]:
        return list(self.backbone(pixel_values=normalized, output_hidden_states=True, return_dict=True).hidden_states)


class TimmEncoder(Encoder):
    """A timm backbone made with `features_only`; levels beyond the four strides are left out."""

    def __init__(self, backbone: Any) -> None:
        places = {stride: index for index, stride in enumerate(backbone.feature_info.reduction()) if stride in STRIDES}
        every_channels = backbone.feature_info.channels()
        settings = backbone.default_cfg or {}
        super().__init__(
            backbone,
            [every_channels[index] for index in places.values()],
            settings.get("mean", IMAGENET_MEAN),
            settings.get("std", IMAGENET_STD),
        )
        self.places = tuple(places.values())
        self.is_channels_last = str(getattr(backbone, "output_fmt", "")).endswith("NHWC")

    def _levels(self, normalized: Tensor) -> list[Tensor]:
        features = self.backbone(normalized)
        levels = [features[place] for place in self.places]
        return [level.permute(0, 3, 1, 2) for level in levels] if self.is_channels_last else levels


def make_encoder(name: str, initialization: str, side_px: int) -> Encoder:
    """Create one encoder.

    Args:
        name: `mit-b0`, `mit-b1`, `mit-b2`, `lite0`, `lite1`, `lite2`, or `timm:` and the name of a timm backbone.
        initialization: `imagenet` (from the hub), `random`, or a path: for a Mix Transformer the folder of
            `nvidia/mit-b*` with config.json and weights, otherwise a file of timm's weights.
        side_px: of the square that enters; some backbones of timm must know it.

    Raises:
        SegmentationError: unknown name, no such path, no network, or weights of another encoder.
    """
    check_initialization(name, initialization)
    _refuse_irregular_files(Path(initialization))
    if name in LITE_VARIANTS:
        return _make_lite(LITE_VARIANTS[name], initialization, side_px)
    if name.startswith(TIMM_PREFIX):
        return TimmEncoder(_make_timm(name.removeprefix(TIMM_PREFIX), initialization, side_px))
    variant = MIT_VARIANTS[name]
    if initialization == "random":
        backbone = _make_random_mit(variant)
    else:
        folder = _download_mit(name) if initialization == "imagenet" else Path(initialization)
        backbone = _load_mit(name, variant, folder)
    return MitEncoder(backbone, variant.channels, IMAGENET_MEAN, IMAGENET_STD)


def _refuse_irregular_files(path: Path) -> None:
    """Raise if a path or a file below it is a pipe or a device, on which the libraries would block."""
    try:
        for file in (
            file for file in (path.iterdir() if path.is_dir() else [path]) if file.exists() and not file.is_dir()
        ):
            refuse_irregular(file)
    except OSError as error:
        raise SegmentationError(f"{path} cannot be read as an encoder's weights: {error}.") from None


def _make_random_mit(variant: MitVariant) -> nn.Module:
    from transformers import SegformerConfig, SegformerModel

    model: nn.Module = SegformerModel(SegformerConfig(depths=list(variant.depths), hidden_sizes=list(variant.channels)))
    # As the authors' code begins. transformers' 0.02 for every kernel lets a twentieth of the signal through the
    # depthwise ones, whose deviation is sqrt(2 / 9) here, so that training is slow to start.
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
        elif isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * math.prod(module.kernel_size) // module.groups
            nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
    return model


def _download_mit(name: str) -> Path:
    """Download `nvidia/<name>` from the hub, or find it in the local cache."""
    from huggingface_hub import snapshot_download

    try:
        files = ["config.json", "model.safetensors", "pytorch_model.bin"]
        return Path(snapshot_download(f"nvidia/{name}", allow_patterns=files, etag_timeout=HUB_TIMEOUT_S))
    except OSError as error:  # all errors of the hub's client are
        raise SegmentationError(
            f"ImageNet weights nvidia/{name} are not on this machine and the hub cannot be reached. Download them "
            f"elsewhere (`hf download nvidia/{name} --local-dir FOLDER`) and give FOLDER as the initialisation, or "
            "start from 'random'."
        ) from error


def _load_mit(name: str, variant: MitVariant, folder: Path) -> nn.Module:
    from safetensors import SafetensorError
    from transformers import SegformerConfig, SegformerModel

    try:
        config = SegformerConfig.from_pretrained(folder)
        if (tuple(config.depths), tuple(config.hidden_sizes)) != (variant.depths, variant.channels):
            raise SegmentationError(
                f"{folder} holds another encoder: stages of {config.depths} blocks and {config.hidden_sizes} channels; "
                f"{name} has {list(variant.depths)} and {list(variant.channels)}."
            )
        model: nn.Module
        with _quiet():
            model, report = SegformerModel.from_pretrained(folder, config=config, output_loading_info=True)
    except (OSError, ValueError, SafetensorError) as error:
        raise SegmentationError(
            f"{folder} cannot be read as the encoder {name}: expected the folder of nvidia/{name} with config.json and "
            f"model.safetensors or pytorch_model.bin ({error})."
        ) from error
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise SegmentationError(
            f"{folder} lacks {len(missing)} parameters of {name}, such as {missing[0]}; copy nvidia/{name} again."
        )
    return model.train()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from listing the parameters of the classifier in a file, which nobody needs here, and from
    drawing a progress bar."""
    from transformers.utils import logging

    verbosity, has_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if has_bar:
            logging.enable_progress_bar()


def _make_lite(name: str, initialization: str, side_px: int) -> Encoder:
    from segmentation.network.lite import LiteEncoder, calibrate_norms

    backbone = _make_timm(name, initialization, side_px)
    if initialization == "random":
        calibrate_norms(backbone)
    return LiteEncoder(backbone)


def _make_timm(name: str, initialization: str, side_px: int) -> Any:
    import timm

    options: dict[str, Any] = {"pretrained": initialization != "random"}
    if initialization not in ("imagenet", "random"):
        options["pretrained_cfg_overlay"] = {"file": initialization}
    if name not in timm.list_models() and name.split(".")[0] not in timm.list_models():
        raise SegmentationError(f"timm has no backbone {name!r}; `timm.list_models()` lists them.")
    try:
        if "swin" in name:
            options["img_size"] = side_px
        backbone = timm.create_model(name, features_only=True, **options)
    except OSError as error:
        raise SegmentationError(
            f"ImageNet weights of timm's {name} are not on this machine and the hub cannot be reached. Give the path "
            "of a downloaded file of weights as the initialisation, or start from 'random'."
        ) from error
    except (RuntimeError, TypeError, AttributeError) as error:
        raise SegmentationError(f"timm's {name} cannot be loaded as a source of features: {error}.") from error
    strides = backbone.feature_info.reduction()
    if tuple(stride for stride in strides if stride in STRIDES) != STRIDES:
        raise SegmentationError(
            f"timm's {name} gives features at strides {strides}, expected {list(STRIDES)} among them. Choose a "
            "hierarchical backbone, such as convnext_tiny, pvt_v2_b1 or resnet50."
        )
    return backbone
