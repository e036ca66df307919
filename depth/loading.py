"""Loading of depth networks by name: the embedded model, a hub id, a local folder or an original checkpoint."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pickle
import re
from pathlib import Path
from typing import Any

from depth.errors import DepthError
from depth.networks import LoadedNetwork, fold_batch_norms, wrap_transformers_model
from depth.weight_files import NOT_READABLE, hash_files
from depth.weights import (
    DEPTH_ANYTHING_INPUT,
    DPT_INPUT,
    EMBEDDED_MODEL,
    KNOWN_MODELS,
    MEANING_BY_MODEL_TYPE,
    TINY_INPUT,
    InputRule,
    Meaning,
)

HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
HUB_TIMEOUT_S = 10
"""The hub counts as unreachable if it does not answer within this time."""
UNKNOWN_LICENCE = "unknown: see the model's card"


def open_network(model: str) -> LoadedNetwork:
    """Load the network that `model` names.

    Args:
        model: `tiny-dpt`, a hub id `owner/name`, a folder with config.json and weights, or an isl-org `.pt` file.
            A name that exists on disk takes precedence over a hub id.

    Raises:
        DepthError: the name is unknown, the hub cannot be reached, or the weights are damaged or of another network.
    """
    path = Path(model)
    if model == EMBEDDED_MODEL:
        from depth.tiny import EMBEDDED_FOLDER

        return _open_tiny(EMBEDDED_FOLDER, model)
    if path.is_dir():
        return _open_folder(path, model, None)
    if path.is_file():
        from depth.original import open_original

        return open_original(path)
    if HUB_ID.fullmatch(model):
        known = KNOWN_MODELS.get(model)
        folder = _download(model, known.revision if known else None)
        return _open_folder(folder, model, folder.name)
    raise DepthError(
        f"Depth model {model!r} is neither a known name nor an existing file or folder. Known names: "
        f"{', '.join(KNOWN_MODELS)}. Or give any hub id 'owner/name', a folder with config.json and model.safetensors, "
        "or the path of an isl-org checkpoint (.pt)."
    )


def _download(model: str, revision: str | None) -> Path:
    """Fetch a model's files from the hub or find them in its cache; return their folder, named by the commit."""
    from huggingface_hub import errors, snapshot_download

    def fetch(commit: str | None, *weights: str, is_local: bool = False) -> Path:
        folder = snapshot_download(
            model,
            revision=commit,
            allow_patterns=["config.json", "preprocessor_config.json", *weights],
            etag_timeout=HUB_TIMEOUT_S,
            local_files_only=is_local,
        )
        return Path(folder)

    if revision:  # a commit cannot change, so the hub need not be asked about files on this machine
        with contextlib.suppress(errors.LocalEntryNotFoundError):
            folder = fetch(revision, is_local=True)
            if _find_weights(folder):
                return folder
    try:
        if revision:
            fetch(None)  # fails at once without a network connection; asking for a commit retries for half a minute
        folder = fetch(revision, "*.safetensors", "*.safetensors.index.json")
        return (
            folder if _find_weights(folder) else fetch(revision, "pytorch_model*.bin", "pytorch_model*.bin.index.json")
        )
    except errors.GatedRepoError as error:
        raise DepthError(f"{model} is gated: accept its terms on the hub and log in with `hf auth login`.") from error
    except errors.RepositoryNotFoundError as error:
        known = ", ".join(KNOWN_MODELS)
        raise DepthError(f"The hub has no model {model!r}, or it is private. Known names: {known}.") from error
    except errors.RevisionNotFoundError as error:
        raise DepthError(
            f"{model} has no commit {revision} on the hub any more: download another one and give the folder's path."
        ) from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, errors.HfHubHTTPError, OSError) as error:
        raise DepthError(
            f"Depth model {model!r} is not on this machine and the hub cannot be reached. Use the embedded model "
            f"{EMBEDDED_MODEL!r}, which needs no network, or download {model} elsewhere "
            f"(`hf download {model} --local-dir FOLDER`) and give the path of that folder instead of the name."
        ) from error


def _find_weights(folder: Path) -> list[Path]:
    found = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))
    return [path for path in found if path.is_file()]  # reading a pipe would block


def _open_folder(folder: Path, name: str, revision: str | None) -> LoadedNetwork:
    config = _read_json(folder / "config.json")
    if config.get("model_type") == EMBEDDED_MODEL:
        return _open_tiny(folder, name)
    return _open_transformers(folder, name, revision, config)


def _open_tiny(folder: Path, name: str) -> LoadedNetwork:
    from depth.tiny import TinyDPT

    config = _read_json(folder / "config.json")
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise DepthError(f"{folder} has a config.json but no model.safetensors: copy both files of the model.")
    try:
        network = TinyDPT.load(folder)
    except NOT_READABLE as error:
        raise _unreadable(weights, error) from error
    fold_batch_norms(network)
    rule = dataclasses.replace(TINY_INPUT, side=int(config.get("short_side", TINY_INPUT.side)))
    licence = KNOWN_MODELS[EMBEDDED_MODEL].licence if name == EMBEDDED_MODEL else UNKNOWN_LICENCE
    return LoadedNetwork(network, name, None, hash_files([weights]), rule, "relative inverse depth", licence)


def _open_transformers(folder: Path, name: str, revision: str | None, config: dict[str, Any]) -> LoadedNetwork:
    weights = _find_weights(folder)
    if not weights:
        raise DepthError(f"{folder} has a config.json but no weights: expected model.safetensors or pytorch_model.bin.")
    known = KNOWN_MODELS.get(name)
    meaning = known.meaning if known else _infer_meaning(name, config)
    rule = known.input if known else _infer_input(folder, config)
    from transformers import AutoModelForDepthEstimation

    try:
        model, report = AutoModelForDepthEstimation.from_pretrained(
            folder, local_files_only=True, output_loading_info=True
        )
    except NOT_READABLE as error:
        raise _unreadable(folder, error) from error
    foreign = sorted(report["missing_keys"]) or sorted(str(x) for x in report.get("mismatched_keys", ()))
    if foreign:
        raise DepthError(
            f"The weights in {folder} belong to another network than its config.json describes: {len(foreign)} "
            f"parameters are missing or of another shape, for example {', '.join(foreign[:3])}. Download both files "
            "together."
        )
    licence = known.licence if known else UNKNOWN_LICENCE
    return LoadedNetwork(wrap_transformers_model(model), name, revision, hash_files(weights), rule, meaning, licence)


def _infer_meaning(name: str, config: dict[str, Any]) -> Meaning:
    """Return the meaning of a model's output according to its config.json; refuse models that do not estimate depth."""
    architectures = [str(a) for a in config.get("architectures") or []]
    model_type = str(config.get("model_type"))
    if architectures and not any(a.endswith("ForDepthEstimation") for a in architectures):
        raise DepthError(f"The output of {name} is not depth: its config.json says {', '.join(architectures)}.")
    if model_type not in MEANING_BY_MODEL_TYPE:
        raise DepthError(
            f"The meaning of the output of {name} ({model_type}) is not known. It is known for the network types "
            f"{', '.join(MEANING_BY_MODEL_TYPE)}; add a row to depth/weights.py for another type."
        )
    backbone = config.get("backbone_config") or {}
    over_dinov2 = model_type == "dpt" and backbone.get("model_type") == "dinov2"
    if config.get("depth_estimation_type") == "metric" or over_dinov2:
        return "metric depth"
    return MEANING_BY_MODEL_TYPE[model_type]


def _infer_input(folder: Path, config: dict[str, Any]) -> InputRule:
    """Return the published rule for DPT and Depth Anything, and the rule of its own processor for any other network."""
    if config.get("model_type") == "depth_anything":
        return DEPTH_ANYTHING_INPUT
    if config.get("model_type") == "dpt" and (config.get("is_hybrid") or not config.get("backbone_config")):
        return DPT_INPUT
    processor = _read_json(folder / "preprocessor_config.json")
    size = processor.get("size", DPT_INPUT.side)
    side = min(size[k] for k in ("height", "width")) if isinstance(size, dict) and "height" in size else size
    is_normalized = processor.get("do_normalize", "image_mean" in processor)
    return InputRule(
        side=side if isinstance(side, int) else DPT_INPUT.side,
        multiple=int(processor.get("ensure_multiple_of") or processor.get("size_divisor") or 32),
        fit="minimal" if processor.get("keep_aspect_ratio") or "size" not in processor else "square",
        mean=tuple(processor.get("image_mean", (0.5, 0.5, 0.5))) if is_normalized else (0.0, 0.0, 0.0),
        std=tuple(processor.get("image_std", (0.5, 0.5, 0.5))) if is_normalized else (1.0, 1.0, 1.0),
    )


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():  # reading a pipe would block
        raise DepthError(
            f"{path.parent} is no model folder: it has no {path.name}. Expected a folder as `save_pretrained` or "
            "`hf download --local-dir` writes it, with config.json, preprocessor_config.json and model.safetensors."
        )
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise DepthError(f"{path} is not JSON ({error}): download it again.") from error
    if not isinstance(values, dict):
        raise DepthError(f"{path} is not a configuration but a {type(values).__name__}: download it again.")
    return values


def _unreadable(path: Path, error: BaseException) -> DepthError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, pickle.UnpicklingError) or "weights_only" in str(error):
        lines = ["it holds more than tensors"]  # torch's own message advises to run the code in it
    reason = " ".join(lines[:2]) or type(error).__name__  # torch's second line names the first foreign parameter
    return DepthError(
        f"The weights in {path} cannot be read ({reason}). They are truncated or belong to another network than "
        "config.json describes; download config.json and the weights again, together."
    )
