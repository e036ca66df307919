"""Names of networks of the package ptlflow, and whether the package is there."""

from __future__ import annotations

import importlib.util
from shlex import quote

from segmentation.errors import FlowError

PTLFLOW = "ptlflow:"
"""Beginning of the names of networks of the package ptlflow."""


def require_package(estimator: str) -> None:
    """Raise if the package ptlflow is not installed; it is not loaded."""
    if importlib.util.find_spec("ptlflow") is None:
        raise FlowError(
            f"--flow {estimator} needs the package ptlflow, which is not installed. Install it with "
            f"`pip install {quote('.[ptlflow]')}` in the folder of fakeflow"
        )
