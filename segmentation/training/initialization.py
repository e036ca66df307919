"""The network that a training starts from: random weights, an encoder's, or a whole network's."""

from __future__ import annotations

from pathlib import Path

from pipeline.files.regular_files import MAX_TEXT_BYTES, read_file
from segmentation.network.checkpoint import FORMAT, load_network
from segmentation.network.encoder_names import TIMM_PREFIX
from segmentation.network.model import TwoStreamNetwork
from segmentation.network.network_files import CONFIG_FILE
from segmentation.training.settings import TrainingSettings


def make_network(settings: TrainingSettings) -> TwoStreamNetwork:
    """Return the network with its first weights.

    Raises:
        SegmentationError: the initialisation does not exist, is damaged, or is of another encoder.
    """
    path = Path(settings.initialization)
    is_encoder = settings.initialization in ("imagenet", "random") or not path.exists()
    is_encoder |= path.is_file() and settings.encoder.startswith(TIMM_PREFIX)
    is_encoder |= path.is_dir() and not _is_network(path)
    if is_encoder:
        return TwoStreamNetwork(
            settings.encoder, initialization=settings.initialization, side_px=settings.side_px, seed=settings.seed
        )
    network = load_network(path, expected_encoder=settings.encoder)
    network.side_px = settings.side_px
    return network


def _is_network(folder: Path) -> bool:
    """Tell a folder of `save_network` from that of an encoder: only the former has its own format named."""
    config = folder / CONFIG_FILE
    try:
        return FORMAT.encode() in read_file(config, MAX_TEXT_BYTES)
    except OSError:
        return False
