"""The original checkpoints of isl-org/DPT: `dpt_hybrid-midas-501f0c75.pt` and `dpt_large-midas-2f21e586.pt`.

The same networks exist in transformers under other names. The names are translated, and the one setting in which the
architectures differ (the epsilon of layer norms, 1e-6 in timm's ViT) is set back.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from depth.errors import DepthError
from depth.networks import NOT_READABLE, wrap_transformers_model

HYBRID: dict[str, Any] = {"is_hybrid": True, "neck_hidden_sizes": [256, 512, 768, 768]}
LARGE: dict[str, Any] = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "backbone_out_indices": [5, 11, 17, 23],
    "neck_hidden_sizes": [256, 512, 1024, 1024],
}
TIMM_LAYER_NORM_EPS = 1e-6

UNUSED = re.compile(r"pretrained\.model\.head\.")
"""Names of the encoder's ImageNet classifier, which depth does not depend on."""
LEVELS = range(1, 5)
RENAMES = (
    (r"pretrained\.model\.patch_embed\.backbone\.stem\.conv", "dpt.embeddings.backbone.bit.embedder.convolution"),
    (r"pretrained\.model\.patch_embed\.backbone\.stem\.norm", "dpt.embeddings.backbone.bit.embedder.norm"),
    (
        r"pretrained\.model\.patch_embed\.backbone\.stages\.(\d+)\.blocks",
        r"dpt.embeddings.backbone.bit.encoder.stages.\1.layers",
    ),
    (r"pretrained\.model\.cls_token", "dpt.embeddings.cls_token"),
    (r"pretrained\.model\.pos_embed", "dpt.embeddings.position_embeddings"),
    (r"pretrained\.model\.norm", "dpt.layernorm"),
    (r"pretrained\.model\.blocks\.(\d+)\.norm1", r"dpt.encoder.layer.\1.layernorm_before"),
    (r"pretrained\.model\.blocks\.(\d+)\.norm2", r"dpt.encoder.layer.\1.layernorm_after"),
    (r"pretrained\.model\.blocks\.(\d+)\.attn\.proj", r"dpt.encoder.layer.\1.attention.output.dense"),
    (r"pretrained\.model\.blocks\.(\d+)\.mlp\.fc1", r"dpt.encoder.layer.\1.intermediate.dense"),
    (r"pretrained\.model\.blocks\.(\d+)\.mlp\.fc2", r"dpt.encoder.layer.\1.output.dense"),
    *(
        (rf"pretrained\.act_postprocess{n}\.0\.project", f"neck.reassemble_stage.readout_projects.{n - 1}")
        for n in LEVELS
    ),
    *((rf"pretrained\.act_postprocess{n}\.3", f"neck.reassemble_stage.layers.{n - 1}.projection") for n in LEVELS),
    *((rf"pretrained\.act_postprocess{n}\.4", f"neck.reassemble_stage.layers.{n - 1}.resize") for n in LEVELS),
    *((rf"scratch\.layer{n}_rn", f"neck.convs.{n - 1}") for n in LEVELS),
    # transformers numbers the fusion stages in the order of execution, from the coarsest (refinenet4) to refinenet1.
    *((rf"scratch\.refinenet{n}\.out_conv", f"neck.fusion_stage.layers.{4 - n}.projection") for n in LEVELS),
    *(
        (
            rf"scratch\.refinenet{n}\.resConfUnit(\d)\.conv(\d)",
            rf"neck.fusion_stage.layers.{4 - n}.residual_layer\1.convolution\2",
        )
        for n in LEVELS
    ),
    (r"scratch\.output_conv", "head.head"),
)
"""Patterns of the beginnings of names, and their replacements."""


def load_original(path: Path) -> nn.Module:
    """Load one of the two original checkpoints, recognised by the names of its parameters.

    Raises:
        DepthError: the file is damaged, not a checkpoint, or of another network.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except NOT_READABLE as error:
        raise DepthError(
            f"{path} cannot be read as a checkpoint: it is truncated, or not a file of tensors from torch.save. "
            "Expected dpt_hybrid-midas-501f0c75.pt or dpt_large-midas-2f21e586.pt of isl-org/DPT; download it again."
        ) from error
    if isinstance(checkpoint, dict) and "optimizer" in checkpoint and "model" in checkpoint:
        checkpoint = checkpoint["model"]  # as isl-org's own loader does
    if not isinstance(checkpoint, dict) or not all(isinstance(value, Tensor) for value in checkpoint.values()):
        raise DepthError(f"{path} holds no state dict (names to tensors) but a {type(checkpoint).__name__}.")
    return wrap_transformers_model(build_model(checkpoint, str(path)))


def build_model(checkpoint: dict[str, Tensor], name: str) -> Any:
    """Build transformers' DPTForDepthEstimation with the weights of an original checkpoint.

    Args:
        checkpoint: names and tensors as isl-org/DPT saves them.
        name: name of the file, for error messages.

    Raises:
        DepthError: names or shapes belong to another network.
    """
    from transformers import DPTConfig, DPTForDepthEstimation

    is_hybrid = _is_hybrid(checkpoint)
    config = DPTConfig(layer_norm_eps=TIMM_LAYER_NORM_EPS, **(HYBRID if is_hybrid else LARGE))
    with torch.device("meta"):
        model = DPTForDepthEstimation(config)
    weights = rename_weights(checkpoint)
    expected = model.state_dict()
    missing = [key for key in expected if key not in weights]
    foreign = [key for key in weights if key not in expected]
    reshaped = [key for key in weights if key in expected and weights[key].shape != expected[key].shape]
    for problem, keys in (("lacks", missing), ("has unknown", foreign), ("has in another shape", reshaped)):
        if keys:
            raise DepthError(
                f"{name} is the checkpoint of another network: it {problem} {len(keys)} parameters that DPT "
                f"{'Hybrid' if is_hybrid else 'Large'} has under the names {', '.join(keys[:3])}. Expected "
                "dpt_hybrid-midas-501f0c75.pt or dpt_large-midas-2f21e586.pt of isl-org/DPT."
            )
    model.load_state_dict({key: value.float() for key, value in weights.items()}, assign=True)
    return model.eval()


def rename_weights(checkpoint: dict[str, Tensor]) -> dict[str, Tensor]:
    """Translate isl-org's names into those of transformers; keep unknown names, and drop unused parameters."""
    patch = "projection" if _is_hybrid(checkpoint) else "patch_embeddings.projection"
    renamed: dict[str, Tensor] = {}
    for name, value in checkpoint.items():
        if UNUSED.match(name):
            continue
        if match := re.fullmatch(r"pretrained\.model\.blocks\.(\d+)\.attn\.qkv\.(weight|bias)", name):
            for part, third in zip(("query", "key", "value"), value.chunk(3), strict=True):
                renamed[f"dpt.encoder.layer.{match[1]}.attention.attention.{part}.{match[2]}"] = third
            continue
        for pattern, replacement in (*RENAMES, (r"pretrained\.model\.patch_embed\.proj", f"dpt.embeddings.{patch}")):
            if match := re.match(pattern + r"(?=\.|$)", name):
                name = match.expand(replacement) + name[match.end() :]
                break
        renamed[name] = value
    return renamed


def _is_hybrid(checkpoint: dict[str, Tensor]) -> bool:
    """Return whether a checkpoint is of DPT-Hybrid, whose encoder begins with a ResNet, and not of DPT-Large."""
    return any(name.startswith("pretrained.model.patch_embed.backbone.") for name in checkpoint)
