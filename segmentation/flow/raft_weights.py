"""Weights of RAFT: those of torchvision by name, or a checkpoint of torchvision or of princeton-vl by path."""

from __future__ import annotations

import pickle
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from zipfile import BadZipFile

import torch
from torch import Tensor, nn

from segmentation.errors import FlowError
from segmentation.flow.raft_names import WEIGHTS, Size, check_raft
from segmentation.flow.weight_downloads import downloaded, sha256_of

_NOT_READABLE = (OSError, RuntimeError, ValueError, KeyError, EOFError, BadZipFile, pickle.UnpicklingError)
_ORIGINAL_NAMES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^fnet\.", "feature_encoder."),
        (r"^cnet\.", "context_encoder."),
        (r"^(\w+_encoder)\.conv1\.", r"\1.convnormrelu.0."),
        (r"^(\w+_encoder)\.norm1\.", r"\1.convnormrelu.1."),
        (r"^(\w+_encoder)\.conv2\.", r"\1.conv."),
        (r"(\.layer\d\.\d)\.conv(\d)\.", r"\1.convnormrelu\2.0."),
        (r"(\.layer\d\.\d)\.norm(\d)\.", r"\1.convnormrelu\2.1."),
        (r"^update_block\.encoder\.convc(\d)\.", r"update_block.motion_encoder.convcorr\1.0."),
        (r"^update_block\.encoder\.convf(\d)\.", r"update_block.motion_encoder.convflow\1.0."),
        (r"^update_block\.encoder\.conv\.", "update_block.motion_encoder.conv.0."),
        (r"^update_block\.gru\.conv([zrq])\.", r"update_block.recurrent_block.convgru1.conv\1."),  # small: one GRU
        (r"^update_block\.gru\.conv([zrq])(\d)\.", r"update_block.recurrent_block.convgru\2.conv\1."),
        (r"^update_block\.mask\.0\.", "mask_predictor.convrelu.0."),
        (r"^update_block\.mask\.2\.", "mask_predictor.conv."),
    )
)


@dataclass(frozen=True)
class LoadedRaft:
    """A network with its weights.

    Attributes:
        network: torchvision's `RAFT`, float32, on the CPU, in evaluation mode.
        size: which of the two networks of the paper it is.
        name: name of the weights such as `raft-large:C_T_V1`, or name of their file.
        sha256: sha256 of the file.
    """

    network: nn.Module
    size: Size
    name: str
    sha256: str


def open_raft(weights: str, size: Size | None = None) -> LoadedRaft:
    """Load RAFT (Teed & Deng, ECCV 2020).

    Args:
        weights: name in `WEIGHTS`, a network with a variant of torchvision (`raft-large:C_T_SKHT_K_V2`), or the path of
            a checkpoint.
        size: network that the weights must belong to; None = either.

    Raises:
        FlowError: there is no such name or file, it cannot be downloaded, it is damaged, or it belongs to another
            network.
    """
    path = Path(weights)
    name = path.name
    if not path.is_file():
        path, name = _named(weights)
    state = _read_state(path)
    found = _size_of(state, path)
    if size is not None and found != size:
        raise FlowError(
            f"the weights {weights} are those of {found}, but {size} was asked for. "
            f"Ask for {found}, or give weights of {size}."
        )
    network = _empty(found)
    try:
        report = network.load_state_dict(state, strict=False)
    except RuntimeError as error:
        shapes = str(error).splitlines()[1].strip() if len(str(error).splitlines()) > 1 else str(error)
        raise FlowError(f"the weights {path} do not fit {found}: {shapes}") from None
    if foreign := [*report.missing_keys, *report.unexpected_keys]:
        raise FlowError(
            f"the weights {path} do not fit {found}: {len(report.missing_keys)} parameters are missing and "
            f"{len(report.unexpected_keys)} are unknown, for example {', '.join(foreign[:3])}. "
            "Expected a whole checkpoint of RAFT, by princeton-vl or torchvision."
        )
    return LoadedRaft(network.eval().requires_grad_(False), found, name, sha256_of(path))


def translate_original(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the parameters of a princeton-vl checkpoint (`module.fnet.conv1.weight`...) to torchvision's names.

    These checkpoints list the last norm of a block that halves the resolution a second time, as `downsample.1`; one of
    the two is dropped.
    """
    translated = {}
    for original, values in state.items():
        name = original.removeprefix("module.")
        block = re.match(r"(.*\.layer\d\.\d)\.norm[34]\.", original)
        if block and f"{block[1]}.downsample.1.weight" in state:
            continue
        for pattern, replacement in _ORIGINAL_NAMES:
            name = pattern.sub(replacement, name)
        translated[name] = values
    return translated


def _empty(size: Size) -> nn.Module:
    from torchvision.models import optical_flow

    network: nn.Module = optical_flow.raft_large() if size == "raft-large" else optical_flow.raft_small()
    return network


def _named(weights: str) -> tuple[Path, str]:
    """Return the file of weights of torchvision, downloaded if it is not there, and their full name."""
    from torchvision.models import optical_flow

    check_raft(weights)
    name, _, variant = weights.partition(":")
    size, default = WEIGHTS[name]
    variant = variant or default
    table: Any = optical_flow.Raft_Large_Weights if size == "raft-large" else optical_flow.Raft_Small_Weights
    if variant not in table.__members__:
        raise FlowError(f"{size} has no weights {variant!r}; torchvision offers {', '.join(table.__members__)}")
    path = downloaded(
        table[variant].url,
        f"{size}:{variant}",
        "take a checkpoint of https://github.com/princeton-vl/RAFT such as raft-things.pth, and give the file's path: "
        "--raft PATH, or use --flow dis, which needs no weights",
    )
    return path, f"{size}:{variant}"


def _read_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict with the names of torchvision; nothing but tensors is ever unpickled."""
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except _NOT_READABLE as error:
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        if isinstance(error, pickle.UnpicklingError) or "weights_only" in str(error):
            reason = "not a file of tensors alone"  # torch advises to run what is in it
        raise FlowError(
            f"the weights {path} cannot be read ({reason}). They are damaged, or hold more than tensors; "
            "download them again."
        ) from None
    if not isinstance(stored, dict) or not all(isinstance(values, Tensor) for values in stored.values()):
        raise FlowError(f"{path} holds no state dict; expected a mapping from names of parameters to tensors")
    state = cast(dict[str, Tensor], stored)
    return translate_original(state) if any("fnet." in name for name in state) else dict(state)


def _size_of(state: dict[str, Tensor], path: Path) -> Size:
    stem = state.get("feature_encoder.convnormrelu.0.weight")
    sizes: dict[int, Size] = {64: "raft-large", 32: "raft-small"}
    if stem is None or stem.ndim != 4 or stem.shape[0] not in sizes:
        names = ", ".join(list(state)[:3]) or "none"
        raise FlowError(
            f"the weights {path} are not of RAFT (they hold {names}...); expected princeton-vl's or torchvision's"
        )
    return sizes[stem.shape[0]]
