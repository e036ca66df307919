"""The origin of a dataset in words, from its attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def origin(attributes: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return pairs of a name and a description: source, depth and motion, or source and flow if flow was imported.

    Args:
        attributes: the group attribute `fakeflow`.
    """
    settings = attributes["settings"]
    found = [("source", str(attributes["source"]))]
    if attributes["layout"].get("imported_longest_px") is not None:
        return [*found, ("flow", f"{attributes['flow']}; longest vector {settings['longest_px']:g} px")]
    model, revision = settings["depth"]["model"], settings["depth"].get("revision")
    depth = f"{model} at {revision}" if revision else str(model)
    return [*found, ("depth", depth), ("motion", f"{settings['motion']}, seed {settings['seed']}")]
