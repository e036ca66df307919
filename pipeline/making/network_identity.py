"""The identity of a run's depth network, by its files: found on this machine, or by a worker that has them."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from functools import partial
from typing import Any

from depth import DepthError
from depth.model_files import describe_by_commit, find_model, is_on_this_machine
from pipeline.dataset.store import DatasetStore
from pipeline.engine import run_tasks as engine
from pipeline.engine.cluster import RayStart, asks_for_ray, is_on_cluster
from pipeline.making.config import RunConfig


def identify_network(config: RunConfig, store: DatasetStore, ray_start: RayStart | None) -> dict[str, Any]:
    """Return model, weights and processing of the depth network, which is not loaded, as plain values.

    A machine that only coordinates a cluster needs no weights: if its dataset was begun with the same commit of the
    hub, the dataset names them; otherwise, a machine on which workers run is asked.

    Args:
        config: settings of the run.
        store: the output, which may not exist yet.
        ray_start: the Ray of the run, if it is being started.

    Raises:
        DepthError: there is no such network.
        PipelineError: no machine of the cluster takes work.
    """
    stored = store.attributes["settings"].get("depth", {}) if store.exists() else {}
    known = describe_by_commit(config.depth_model, stored, resize=config.resize, normalization=config.normalization)
    if known is not None:
        return known
    if asks_for_ray(config.placement) and is_on_cluster() and not is_on_this_machine(config.depth_model):
        answer: dict[str, Any] = engine.ask_worker(partial(describe_network, config), config.placement, ray_start)
        return answer
    return describe_network(config)


def describe_network(config: RunConfig) -> dict[str, Any]:
    """Return model, weights and processing of the depth network by its files, which are downloaded if need be.

    Raises:
        DepthError: there is no such network.
    """
    return find_model(config.depth_model).describe(resize=config.resize, normalization=config.normalization)


def refuse_other_weights(config: RunConfig, settings: Mapping[str, Any]) -> None:
    """Raise if the weights on this machine are not those that a dataset was begun with.

    Args:
        config: settings of the run.
        settings: settings of the dataset.

    Raises:
        DepthError: they differ.
    """
    here, there = describe_network(config)["sha256"], settings["depth"]["sha256"]
    if here != there:
        raise DepthError(
            f"The weights of {config.depth_model} on {socket.gethostname()} (sha256 {here[:12]}) are not those that "
            f"the dataset was begun with ({there[:12]}). Put the same files on all machines."
        )
