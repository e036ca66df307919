"""The network that a training starts from: random weights, an encoder's, or a whole network's."""

from __future__ import annotations

from pathlib import Path

from pipeline.files.regular_files import MAX_TEXT_BYTES, read_file
from segmentation.network.checkpoint import FORMAT, load_network
from segmentation.network.encoder_names import TIMM_PREFIX
from segmentation.network.model import TwoStreamNetwork
from segmentation.network.network_files import CONFIG_FILE


def make_network(encoder: str, initialization: str, *, side_px: int, seed: int) -> TwoStreamNetwork:
    """Return the network with its first weights.

    Args:
        encoder: its name.
        initialization: `imagenet`, `random`, the path of an encoder's weights, or a whole network to start from.
        side_px: of the square that the network sees.
        seed: of random weights.

    Raises:
        SegmentationError: the initialisation does not exist, is damaged, or is of another encoder.
    """
    path = Path(initialization)
    is_encoder = initialization in ("imagenet", "random") or not path.exists()
    is_encoder |= path.is_file() and encoder.startswith(TIMM_PREFIX)
    is_encoder |= path.is_dir() and not _is_network(path)
    if is_encoder:
        return TwoStreamNetwork(encoder, initialization=initialization, side_px=side_px, seed=seed)
    network = load_network(path, expected_encoder=encoder)
    network.side_px = side_px
    return network


def _is_network(folder: Path) -> bool:
    """Tell a folder of `save_network` from that of an encoder: only the former has its own format named."""
    config = folder / CONFIG_FILE
    try:
        return FORMAT.encode() in read_file(config, MAX_TEXT_BYTES)
    except OSError:
        return False
