"""Names of networks of the package ptlflow, and whether the package is there."""

from __future__ import annotations

import importlib.util

from pipeline.errors import installation_of
from segmentation.errors import FlowError

PTLFLOW = "ptlflow:"
"""Beginning of the names of networks of the package ptlflow."""


def require_package(estimator: str) -> None:
    """Raise if the package ptlflow is not installed; it is not loaded."""
    if importlib.util.find_spec("ptlflow") is None:
        raise FlowError(
            f"--flow {estimator} needs the package ptlflow, which is not installed. {installation_of('ptlflow')}"
        )
