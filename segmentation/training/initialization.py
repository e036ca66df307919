"""The network that a training starts from: random weights, an encoder's, or a whole network's."""

from __future__ import annotations

from pathlib import Path

from pipeline.files.regular_files import MAX_TEXT_BYTES, read_file
from segmentation.network.checkpoint import FORMAT, load_network
from segmentation.network.encoder_names import is_of_timm
from segmentation.network.model import TwoStreamNetwork
from segmentation.network.network_files import CONFIG_FILE
from segmentation.network.sizes import NetworkSize


def make_network(size: NetworkSize, initialization: str, *, side_px: int, seed: int) -> TwoStreamNetwork:
    """Return a network with its first weights.

    Args:
        size: its encoder and the width of its decoder.
        initialization: `imagenet`, `random`, the path of an encoder's weights, or a whole network to start from.
        side_px: of the square that the network sees.
        seed: of random weights.

    Raises:
        SegmentationError: the initialisation does not exist, is damaged, or is of another size.
    """
    path = Path(initialization)
    is_encoder = initialization in ("imagenet", "random") or not path.exists()
    is_encoder |= path.is_file() and is_of_timm(size.encoder)
    is_encoder |= path.is_dir() and not _is_network(path)
    if is_encoder:
        return TwoStreamNetwork(
            size.encoder, initialization=initialization, side_px=side_px, decoder_width=size.decoder_width, seed=seed
        )
    network = load_network(path, expected_encoder=size.encoder, expected_width=size.decoder_width)
    network.side_px = side_px
    return network


def _is_network(folder: Path) -> bool:
    """Return whether a folder was written by `save_network`, which names its format; an encoder's folder does not."""
    config = folder / CONFIG_FILE
    try:
        return FORMAT.encode() in read_file(config, MAX_TEXT_BYTES)
    except OSError:
        return False
