"""The names of RAFT's networks and weights, as they are typed."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from segmentation.errors import FlowError

Size = Literal["raft-large", "raft-small"]
SIZES: tuple[Size, ...] = ("raft-large", "raft-small")


def check_raft(weights: str) -> None:
    """Raise if weights are neither a file nor a known name; whether the file can be read is not looked at."""
    if not Path(weights).is_file() and weights.partition(":")[0] not in SIZES:
        raise FlowError(
            f"there is no file {weights!r}, and it is no name of RAFT weights: expected {' or '.join(SIZES)}, or the "
            "path of a checkpoint such as raft-things.pth (https://github.com/princeton-vl/RAFT, download_models.sh)"
        )
