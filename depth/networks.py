"""Depth networks of different origin with a common interface: photos (b, 3, h, w) in, (b, rows, columns) out."""

from __future__ import annotations

import pickle
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from torch import Tensor, nn

from depth.weights import Meaning

NOT_READABLE = (OSError, RuntimeError, ValueError, KeyError, EOFError, SafetensorError, pickle.UnpicklingError)
"""Errors that readers raise on damaged or foreign weights."""


class AnyShapeDPT(nn.Module):
    """Runs transformers' DPTForDepthEstimation on photos of any aspect ratio.

    The forward function of transformers accepts only 384x384 for DPT-Hybrid and assumes a square grid of patches, while
    DPT as published keeps the aspect ratio. The modules are the same; position embeddings are interpolated, and the
    grid's shape is passed on. The last convolution always runs in float32, because bfloat16 would leave only a few
    hundred steps of depth.

    Args:
        model: transformers' DPTForDepthEstimation without an AutoBackbone: DPT-Hybrid or DPT over a plain ViT.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        config = model.config
        self.patch = int(config.patch_size)
        self.is_hybrid = bool(config.is_hybrid)
        self.taps = tuple(config.backbone_out_indices)[2 if self.is_hybrid else 0 :]
        self.embeddings = model.dpt.embeddings
        self.layers = model.dpt.encoder.layer
        self.neck = model.neck
        self.scale = int(config.head_in_index)
        head = model.head
        entry = [] if head.projection is None else [head.projection, nn.ReLU()]
        self.head = nn.Sequential(*entry, *head.head[:-2])
        self.last = head.head[-2:]

    def forward(self, photo: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b rows columns"]:
        """Return relative inverse depth at the input's resolution."""
        if self.is_hybrid:
            embedded = self.embeddings(photo, interpolate_pos_encoding=True)
            features = list(embedded.intermediate_activations)
        else:
            embedded = self.embeddings(photo)
            features = []
        tokens = embedded.last_hidden_states
        for index, layer in enumerate(self.layers):
            output = layer(tokens)
            tokens = output[0] if isinstance(output, tuple) else output  # a tuple before transformers 5
            if index in self.taps:
                features.append(tokens)
        fused = self.neck(features, photo.shape[2] // self.patch, photo.shape[3] // self.patch)
        pixels = self.head(fused[self.scale])
        with torch.autocast(photo.device.type, enabled=False):
            predicted: Tensor = self.last(pixels.float())
        return predicted[:, 0]


class PredictedDepth(nn.Module):
    """Runs any other network of transformers' AutoModelForDepthEstimation and unwraps its output."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, photo: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b rows columns"]:
        """Return the model's `predicted_depth`."""
        predicted: Tensor = self.model(pixel_values=photo).predicted_depth
        return predicted


def wrap_transformers_model(model: Any) -> nn.Module:
    """Return a module that runs a depth model of transformers on photos of any aspect ratio."""
    has_own_encoder = model.config.model_type == "dpt" and hasattr(model, "dpt")
    return (AnyShapeDPT(model) if has_own_encoder else PredictedDepth(model)).eval()


def fold_batch_norms(network: nn.Module) -> None:
    """Merge every batch norm that follows a convolution into that convolution, in place; for evaluation mode only.

    This applies to neighbours in a `Sequential`, and to timm's blocks with members `conv` and `bn`, whose norm includes
    the activation.
    """
    for module in list(network.modules()):
        children = dict(module.named_children())
        names = list(children)
        for first, second in pairwise(names):
            conv, norm = children[first], children[second]
            follows = isinstance(module, nn.Sequential) or (first, second) == ("conv", "bn")
            if follows and isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, first, nn.utils.fuse_conv_bn_eval(conv, norm))
                setattr(module, second, getattr(norm, "act", nn.Identity()))


def to_inverse_depth(output: Float[Tensor, "b rows columns"], meaning: Meaning) -> Float[Tensor, "b rows columns"]:
    """Turn a network's output into inverse depth of any scale and shift; metres below 0.01 count as 0.01."""
    return 1 / output.float().clamp(min=0.01) if meaning == "metric depth" else output.float()
