"""Loads depth networks from the files that `model_files` finds."""

from __future__ import annotations

import pickle
from pathlib import Path

from torch import nn

from depth.errors import DepthError
from depth.model_files import ModelFiles
from depth.networks import NOT_READABLE, fold_batch_norms, wrap_transformers_model


def load_depth_network(files: ModelFiles) -> nn.Module:
    """Load a network in evaluation mode: normalised photos (b, 3, h, w) to (b, rows, columns).

    Raises:
        DepthError: the weights are damaged or of another network.
    """
    if files.kind == "tiny":
        return _load_tiny(files)
    if files.kind == "transformers":
        return _load_transformers(files.path)
    from depth.original import load_original

    return load_original(files.path)


def _load_tiny(files: ModelFiles) -> nn.Module:
    from depth.tiny import TinyDPT

    try:
        network = TinyDPT.load(files.path)
    except NOT_READABLE as error:
        raise _unreadable(files.weights[0], error) from error
    fold_batch_norms(network)
    return network


def _load_transformers(folder: Path) -> nn.Module:
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
    return wrap_transformers_model(model)


def _unreadable(path: Path, error: BaseException) -> DepthError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, pickle.UnpicklingError) or "weights_only" in str(error):
        lines = ["it holds more than tensors"]  # torch's own message advises to run the code in it
    reason = " ".join(lines[:2]) or type(error).__name__  # torch's second line names the first foreign parameter
    return DepthError(
        f"The weights in {path} cannot be read ({reason}). They are truncated or belong to another network than "
        "config.json describes; download config.json and the weights again, together."
    )
