"""Normalised inverse depth of photos.

`DepthEstimator.load("tiny-dpt")(photos)` turns RGB photos into maps in [0, 1], 1 = nearest. Importing this package is
cheap, because torch is only imported at the first use of `DepthEstimator`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from depth.errors import DepthError
from depth.weights import DEFAULT_MODEL, EMBEDDED_MODEL, KNOWN_MODELS

if TYPE_CHECKING:
    from depth.estimator import DepthEstimator

    __version__: str

__all__ = ["DEFAULT_MODEL", "EMBEDDED_MODEL", "KNOWN_MODELS", "DepthError", "DepthEstimator", "__version__"]


def __getattr__(name: str) -> Any:
    """Import `DepthEstimator`, and torch with it, at its first use (PEP 562)."""
    if name == "DepthEstimator":
        from depth.estimator import DepthEstimator

        return DepthEstimator
    if name == "__version__":
        from importlib.metadata import version

        return version("fakeflow")
    raise AttributeError(f"module 'depth' has no attribute {name!r}")
