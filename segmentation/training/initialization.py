"""The network that a training starts from: random weights, an encoder's, or a whole network's."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import torch

from pipeline.files.regular_files import MAX_TEXT_BYTES, read_file
from segmentation.network.checkpoint import FORMAT, load_network
from segmentation.network.encoder_names import is_of_timm
from segmentation.network.model import TwoStreamNetwork
from segmentation.network.network_files import CONFIG_FILE
from segmentation.network.sizes import NetworkSize

NOISE_PICTURES = 2


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
        network = TwoStreamNetwork(
            size.encoder, initialization=initialization, side_px=side_px, decoder_width=size.decoder_width, seed=seed
        )
        if is_of_timm(size.encoder):
            fit_decoder(network)
        return network
    network = load_network(path, expected_encoder=size.encoder, expected_width=size.decoder_width)
    network.side_px = side_px
    return network


@torch.no_grad()
def fit_decoder(network: TwoStreamNetwork) -> None:
    """Fit the first weights of a decoder to the features of its encoders.

    The published decoder takes over the features of layer norms, of which each stream has a root mean square of one.
    Those of EfficientNet-Lite are ten times as large. Its attention then begins saturated, and with some seeds shuts
    whole stages off for good. So the projections are scaled to the features, as measured on noise, and every attention
    begins half open.

    Args:
        network: network whose decoder has random weights, and whose encoders are those of timm.
    """
    random = torch.Generator().manual_seed(0)
    noise = torch.rand(NOISE_PICTURES, 3, network.side_px, network.side_px, generator=random)
    with torch.random.fork_rng(devices=[]):
        probe = copy.deepcopy(network).train()  # a copy, since batch norms would learn the statistics of the noise
        levels = list(zip(probe.image_encoder(noise), probe.flow_encoder(noise), strict=True))
    sizes = [(image + flow).square().mean().sqrt() / math.sqrt(2) for image, flow in levels]
    for stage, size in zip(network.decoder.stages, reversed(sizes), strict=True):
        stage.get_parameter("project.weight").div_(size)
        for gate in ("channel", "spatial"):
            stage.get_parameter(f"attention.{gate}.2.weight").zero_()


def _is_network(folder: Path) -> bool:
    """Return whether a folder was written by `save_network`, which names its format; an encoder's folder does not."""
    config = folder / CONFIG_FILE
    try:
        return FORMAT.encode() in read_file(config, MAX_TEXT_BYTES)
    except OSError:
        return False
