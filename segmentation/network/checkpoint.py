"""Load and save the two-stream network: our folders, and the released `FakeFlow_mitb*.pth` and `DepthFlow_mitb*.pth`.

Both name parameters alike: as the released files do, whose Mix Transformers carry the names of transformers 4.30.
transformers has renamed them since and may do so again; files do not follow.
"""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipeline.files.regular_files import read_text, refuse_irregular
from pipeline.files.whole_files import save_whole, write_whole
from segmentation.errors import SegmentationError, writing
from segmentation.network.encoder_names import MIT_VARIANTS, MitVariant
from segmentation.network.model import NETWORK_SIDE_PX, TwoStreamNetwork
from segmentation.network.network_files import CONFIG_FILE, EXPECTED, WEIGHTS_FILE, find_network
from segmentation.network.sizes import PUBLISHED_WIDTH

FORMAT = "fakeflow two-stream network"
NOT_READABLE = (OSError, RuntimeError, ValueError, KeyError, EOFError, SafetensorError, pickle.UnpicklingError)
"""Exceptions that reading a damaged or foreign file can raise."""

Network = TypeVar("Network", bound=TwoStreamNetwork)

UNUSED = re.compile(r"vos\.(app|mo)_encoder\.(mean|std)")
"""ImageNet's mean and deviation: constants of the architecture."""

NETWORK_RENAMES = (
    (r"image_encoder\.", "vos.app_encoder."),
    (r"flow_encoder\.", "vos.mo_encoder."),
    *((rf"decoder\.stages\.{i}\.project\.", f"vos.decoder.conv{i + 1}.conv.") for i in range(4)),
    *((rf"decoder\.stages\.{i}\.blend\.", f"vos.decoder.blend{i + 1}.conv.") for i in range(4)),
    *((rf"decoder\.stages\.{i}\.attention\.conv\.", f"vos.decoder.cbam{i + 1}.conv1.conv.") for i in range(4)),
    *(
        (rf"decoder\.stages\.{i}\.attention\.{part}\.{place}\.", f"vos.decoder.cbam{i + 1}.conv{n}.{place // 2}.conv.")
        for i in range(4)
        for part, n in (("channel", 2), ("spatial", 3))
        for place in (0, 2)
    ),
    (r"decoder\.predictor\.", "vos.decoder.predictor.conv."),
)
"""Patterns for the beginnings of our parameter names, each with its replacement in files."""
MIT_RENAMES = (
    (r"\.backbone\.stages\.(\d+)\.(patch_embeddings|layer_norm)\.", r".backbone.encoder.\2.\1."),
    (r"\.backbone\.stages\.(\d+)\.blocks\.", r".backbone.encoder.block.\1."),
    (r"\.layernorm_before\.", ".layer_norm_1."),
    (r"\.layernorm_after\.", ".layer_norm_2."),
    (r"\.attention\.q_proj\.", ".attention.self.query."),
    (r"\.attention\.k_proj\.", ".attention.self.key."),
    (r"\.attention\.v_proj\.", ".attention.self.value."),
    (r"\.attention\.o_proj\.", ".attention.output.dense."),
    (r"\.attention\.sequence_reduction\.sequence_reduction\.", ".attention.self.sr."),
    (r"\.attention\.sequence_reduction\.layer_norm\.", ".attention.self.layer_norm."),
    (r"\.mlp\.fc([12])\.", r".mlp.dense\1."),
)
"""Names in today's transformers Segformer, each with its name in version 4.30; old names pass unchanged."""


def load_network(
    path: str | Path,
    *,
    expected_encoder: str | None = None,
    expected_width: int | None = None,
    side_px: int | None = None,
) -> TwoStreamNetwork:
    """Load a network in evaluation mode, float32, on the CPU.

    Args:
        path: a folder that `save_network` wrote, the folder of a training run, of which the best network is taken, or
            a released .pth file, whose encoder is seen from the shapes.
        expected_encoder: refuse a checkpoint of any other encoder.
        expected_width: refuse a checkpoint with any other number of channels in the decoder.
        side_px: of the square that it sees; None = as it was trained.

    Raises:
        SegmentationError: no such file, truncated, another network's, or of another encoder or width.
    """
    return read_network(
        TwoStreamNetwork, path, expected_encoder=expected_encoder, expected_width=expected_width, side_px=side_px
    )


def read_network(
    kind: type[Network],
    path: str | Path,
    *,
    expected_encoder: str | None = None,
    expected_width: int | None = None,
    side_px: int | None = None,
) -> Network:
    """Load a network as an object of a class that is or extends `TwoStreamNetwork`; see `load_network`."""
    path = find_network(Path(path))
    if path.is_dir():
        config, weights = _read_folder(path)
        encoder, trained_px = config["encoder"], config["side_px"]
        decoder_width = config.get("decoder_width", PUBLISHED_WIDTH)  # older folders do not name it
    else:
        weights = _read_released(path)
        encoder, trained_px = _recognize_variant(weights, path), NETWORK_SIDE_PX
        decoder_width = PUBLISHED_WIDTH
    if expected_encoder not in (None, encoder):
        raise SegmentationError(f"{path} is a checkpoint of encoder {encoder}, expected {expected_encoder}.")
    if expected_width not in (None, decoder_width):
        raise SegmentationError(
            f"{path} is a checkpoint with {decoder_width} channels in the decoder, expected {expected_width}."
        )
    network = kind(encoder, initialization="random", side_px=side_px or trained_px, decoder_width=decoder_width)
    _fill(network, weights, path)
    return network.eval()


def read_about(path: str | Path) -> dict[str, Any]:
    """Return the plain values that `save_network` kept beside the weights in a folder.

    Raises:
        SegmentationError: there is no such folder, or its files are damaged.
    """
    about: dict[str, Any] = _read_config(find_network(Path(path))).get("about", {})
    return about


def save_network(network: TwoStreamNetwork, folder: str | Path, about: Mapping[str, Any] | None = None) -> None:
    """Write `model.safetensors` and `config.json` into `folder`, each whole or not at all.

    Args:
        network: with any encoder.
        folder: made if absent; a network in it is replaced.
        about: plain values worth keeping beside the weights, such as the training's configuration and scores.

    Raises:
        SegmentationError: the folder cannot be written.
    """
    folder = Path(folder)
    config = {
        "format": FORMAT,
        "encoder": network.encoder_name,
        "side_px": network.side_px,
        "decoder_width": network.decoder_width,
        "about": dict(about or {}),
    }
    weights = {file_name(n): v.detach().cpu().contiguous() for n, v in network.state_dict().items()}
    weights_file, config_file = folder / WEIGHTS_FILE, folder / CONFIG_FILE
    with writing(weights_file):
        folder.mkdir(parents=True, exist_ok=True)
        save_whole(weights_file, lambda partial: save_file(weights, partial))
    with writing(config_file):
        write_whole(config_file, (json.dumps(config, indent=2) + "\n").encode())


def file_name(name: str) -> str:
    """Return the name under which a parameter of `TwoStreamNetwork` is stored in files."""
    for pattern, replacement in NETWORK_RENAMES:
        if match := re.match(pattern, name):
            name = replacement + name[match.end() :]
            break
    if re.match(r"vos\.(app|mo)_encoder\.backbone\.stages\.\d+\.(patch_embeddings|blocks|layer_norm)\.", name):
        for pattern, replacement in MIT_RENAMES:
            name = re.sub(pattern, replacement, name)
    return name


def _read_folder(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read a folder that `save_network` wrote."""
    config = _read_config(folder)
    try:
        return config, load_file(folder / WEIGHTS_FILE)
    except NOT_READABLE as error:
        raise SegmentationError(
            f"{folder / WEIGHTS_FILE} cannot be read, it is truncated or damaged ({error}): copy the folder again."
        ) from error


def _read_config(folder: Path) -> dict[str, Any]:
    for file in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / file).is_file():
            raise SegmentationError(f"{folder} holds no network: it has no {file}. Expected {EXPECTED}.")
    try:
        config = json.loads(read_text(folder / CONFIG_FILE))
    except (OSError, ValueError, RecursionError) as error:
        raise SegmentationError(f"{folder / CONFIG_FILE} is no JSON ({error}): copy the folder again.") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT or not {"encoder", "side_px"} <= config.keys():
        raise SegmentationError(f"{folder / CONFIG_FILE} does not describe a {FORMAT}. Expected {EXPECTED}.")
    return config


def _read_released(path: Path) -> dict[str, Tensor]:
    """Read a .pth file of tensors, without running any code in it."""
    try:
        refuse_irregular(path)
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except NOT_READABLE as error:
        raise SegmentationError(
            f"{path} cannot be read as a checkpoint: it is truncated, or not what torch.save writes of tensors alone. "
            f"Expected {EXPECTED}; download it again."
        ) from error
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        raise SegmentationError(
            f"{path} holds no state dict (names to tensors) but a {type(weights).__name__}. Expected {EXPECTED}."
        )
    return {name: value for name, value in weights.items() if not UNUSED.fullmatch(name)}


def _recognize_variant(weights: Mapping[str, Tensor], path: Path) -> str:
    """Tell the Mix Transformer of a released checkpoint from its blocks and channels."""
    prefix = "vos.app_encoder.backbone.encoder."
    channels = [weights.get(f"{prefix}patch_embeddings.{stage}.proj.weight") for stage in range(4)]
    blocks = [re.match(re.escape(prefix) + r"block\.(\d)\.(\d+)\.", name) for name in weights]
    depths = [len({block[2] for block in blocks if block and int(block[1]) == stage}) for stage in range(4)]
    found = MitVariant(tuple(depths), tuple(0 if one is None else one.shape[0] for one in channels))
    for name, variant in MIT_VARIANTS.items():
        if variant == found:
            return name
    if not any(depths):
        known = next(iter(weights), "none")
        raise SegmentationError(
            f"{path} is the checkpoint of another network: no parameter is named {prefix}..., the first is {known}. "
            f"Expected {EXPECTED}."
        )
    raise SegmentationError(
        f"{path} has an encoder of {depths} blocks and {list(found.channels)} channels, which is none of "
        f"{', '.join(MIT_VARIANTS)}. Expected {EXPECTED}."
    )


def _fill(network: TwoStreamNetwork, weights: Mapping[str, Tensor], path: Path) -> None:
    """Copy the weights of a file into the network.

    Raises:
        SegmentationError: names or shapes do not fit.
    """
    own = network.state_dict()
    in_file = {name: file_name(name) for name in own}
    expected = {in_file[name]: value.shape for name, value in own.items()}
    problems = (
        ("lacks", [name for name in expected if name not in weights]),
        ("has unknown", [name for name in weights if name not in expected]),
        ("has in another shape", [n for n, shape in expected.items() if n in weights and weights[n].shape != shape]),
    )
    for problem, names in problems:
        if names:
            raise SegmentationError(
                f"{path} is the checkpoint of another network or encoder: it {problem} {len(names)} parameters of the "
                f"two-stream network with {network.encoder_name}, such as {', '.join(names[:3])}. Expected {EXPECTED}."
            )
    network.load_state_dict({name: weights[in_file[name]] for name in own})
