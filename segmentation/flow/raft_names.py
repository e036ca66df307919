"""The names of RAFT's weights, as users type them, and what is used by default."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from segmentation.errors import FlowError

Size = Literal["raft-large", "raft-small"]
SIZES: tuple[Size, ...] = ("raft-large", "raft-small")
WEIGHTS: Mapping[str, tuple[Size, str]] = {
    "raft-large": ("raft-large", "C_T_SKHT_V2"),
    "raft-things": ("raft-large", "C_T_V1"),
    "raft-small": ("raft-small", "C_T_V1"),
}
"""Names of torchvision's weights: network and variant.

`raft-large` is torchvision's default, fine-tuned on Sintel, KITTI and HD1K, which made the published flows. The others
are torchvision's copies of the authors' raft-things.pth and raft-small.pth, trained on FlyingChairs and FlyingThings.
"""
DEFAULT_WEIGHTS = "raft-large"
DEFAULT_ITERATIONS = 20
"""Number of updates of the flow field of a pair; the authors evaluate with 12 to 32."""


def check_raft(weights: str) -> None:
    """Raise if weights are neither a file nor a known name; the file itself is not opened."""
    name, _, variant = weights.partition(":")
    if not Path(weights).is_file() and (name not in WEIGHTS or (variant and name not in SIZES)):
        raise FlowError(
            f"there is no file {weights!r}, and it is no name of RAFT weights: expected {', '.join(WEIGHTS)}, or the "
            "path of a checkpoint such as raft-things.pth (https://github.com/princeton-vl/RAFT, download_models.sh). "
            "--flow dis needs no weights"
        )
