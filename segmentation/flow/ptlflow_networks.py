"""Optical flow by a network of the package ptlflow (Morimitsu, 2021), such as SEA-RAFT, which is an extra of ours."""

from __future__ import annotations

import difflib
import logging
import pickle
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, UInt8

from segmentation.errors import FlowError
from segmentation.flow.pair_by_pair import PairByPair
from segmentation.flow.ptlflow_names import PTLFLOW, require_package
from segmentation.flow.weight_downloads import downloaded, sha256_of

PACKAGE = "ptlflow"
_UNFIT = (OSError, RuntimeError, ValueError, TypeError, KeyError, EOFError, ImportError, pickle.UnpicklingError)
"""What building a network and loading weights of unknown origin may raise."""


@dataclass(frozen=True)
class NamedNetwork:
    """A network of ptlflow and weights of it, both by name; nothing is opened.

    Attributes:
        estimator: name of the estimator without weights, such as `ptlflow:sea_raft_s`.
        network: name of the network in the package.
        weights: name of weights of the package, or path of a file.
        url: address of these weights; None for a file.
    """

    estimator: str
    network: str
    weights: str
    url: str | None

    @property
    def name(self) -> str:
        """Network with its weights, as `sea_raft_s:sintel` or `sea_raft_s:mine.ckpt`."""
        return f"{self.network}:{self.weights if self.url else Path(self.weights).name}"

    def file(self) -> Path:
        """Return the file of the weights, downloaded if it is not there.

        Raises:
            FlowError: it cannot be downloaded.
        """
        if self.url is None:
            return Path(self.weights)
        return downloaded(self.url, f"{PTLFLOW}{self.name}", f"give the file's path: --flow {self.estimator}:PATH")


def find_network(estimator: str) -> NamedNetwork:
    """Find a network of ptlflow and its weights.

    Args:
        estimator: `ptlflow:NAME`, or `ptlflow:NAME:WEIGHTS` with the name of weights of the package or the path of a
            checkpoint. By default weights are taken that were fine-tuned on Sintel, or else trained on FlyingThings.

    Raises:
        FlowError: the package is missing, or it has no such network or weights.
    """
    network, _, weights = estimator.removeprefix(PTLFLOW).partition(":")
    names = _package(estimator).get_model_names()
    if network not in names:
        close = difflib.get_close_matches(network, names, 4, 0.5)
        close += [name for name in names if network and name.startswith(network) and name not in close]
        hint = f"did you mean {', '.join(close)}?" if close else f"expected one of {', '.join(names)}"
        raise FlowError(f"--flow {estimator}: {PACKAGE} has no network {network!r}; {hint}")
    known: Mapping[str, str] = getattr(_package(estimator).get_model_reference(network), "pretrained_checkpoints", {})
    name = f"{PTLFLOW}{network}"
    if not weights:
        if not known:
            raise FlowError(
                f"--flow {name}: {PACKAGE} has no weights of {network}; give a checkpoint, as {name}:PATH, or take "
                "another network"
            )
        weights = _usual(list(known))
    if weights in known:
        return NamedNetwork(name, network, weights, known[weights])
    if not Path(weights).is_file():
        raise FlowError(
            f"--flow {estimator}: there is no file {weights!r}, and it is no name of weights of {network}: expected "
            f"{', '.join(known) or 'the path of a checkpoint'}"
        )
    return NamedNetwork(name, network, weights, None)


@dataclass(frozen=True)
class LoadedNetwork:
    """A network of ptlflow with its weights.

    Attributes:
        named: names of network and weights.
        model: the package's model in evaluation mode.
        sha256: sha256 of the file of weights.
    """

    named: NamedNetwork
    model: torch.nn.Module
    sha256: str


def open_network(estimator: str) -> LoadedNetwork:
    """Load a network of ptlflow with its weights; arguments are those of `find_network`.

    Raises:
        FlowError: the package is missing, there are no such weights, or they do not fit.
    """
    named = find_network(estimator)
    file = named.file()
    try:
        with _quietly():
            model = _package(estimator).get_model(named.network, str(file))
    except _UNFIT as error:
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        if isinstance(error, pickle.UnpicklingError):
            reason = "not a file of tensors alone"  # torch advises to run what is in it
        raise FlowError(
            f"the network {named.network} of {PACKAGE} cannot be built with the weights {file} ({reason}). Expected a "
            f"checkpoint of {PACKAGE} for this network"
        ) from None
    return LoadedNetwork(named, model.eval().requires_grad_(False), sha256_of(file))


def load_network(estimator: str, device: str, upscale: bool = False) -> PairByPair:
    """Load a network of ptlflow as an estimator.

    Args:
        estimator: name, as for `find_network`.
        device: name of the device in torch.
        upscale: whether to enlarge frames with a side below 128 px instead of refusing them.

    Raises:
        FlowError: the package is missing, there are no such weights, or they do not fit.
    """
    loaded = open_network(estimator)
    model: Any = loaded.model.to(device)
    with _quietly():
        from ptlflow.utils.io_adapter import IOAdapter

    # On a GPU, two pairs at a time would only need twice the memory.
    turn = nullcontext() if device == "cpu" else threading.Lock()

    @torch.inference_mode()
    def estimate(first: UInt8[np.ndarray, "h w 3"], second: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w 2"]:
        adapter = IOAdapter(model.output_stride, first.shape[:2])
        images = [np.ascontiguousarray(frame[..., ::-1]) for frame in (first, second)]  # the package wants BGR
        inputs = adapter.prepare_inputs(images)
        with turn:
            outputs = model({name: values.to(device) for name, values in inputs.items()})
        flow: np.ndarray = outputs["flows"][0, 0].permute(1, 2, 0).float().contiguous().cpu().numpy()
        return flow

    return PairByPair(loaded.named.estimator, f"{PTLFLOW}{loaded.named.name}", estimate, device, upscale)


def _package(estimator: str) -> Any:
    """Import ptlflow, which takes seconds."""
    require_package(estimator)
    try:
        with _quietly():
            import ptlflow
    except ImportError as error:
        raise FlowError(f"the package {PACKAGE} is installed, but cannot be imported: {error}") from error
    return ptlflow


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep back what the package says while it is imported and builds a network."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            from loguru import logger

            logger.disable(PACKAGE)
            yield
    finally:
        logging.disable(disabled)


def _usual(known: list[str]) -> str:
    """Choose among the names of weights of a network."""
    for wanted in ("sintel", "things"):
        fitting = sorted((name for name in known if wanted in name), key=len)
        if fitting:
            return fitting[0]
    return known[0]
