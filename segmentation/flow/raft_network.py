"""The forward pass of RAFT with the modules of torchvision, split so that work is shared.

Features and context are computed once per frame. Correlations, and the part of the recurrent unit that depends on the
context alone, are computed once per pair, and the rest in each iteration. Only the last flow is upsampled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models.optical_flow.raft import make_coords_grid, upsample_flow

from segmentation.flow.correlation import Correlation


@dataclass(frozen=True)
class _SharedConvolution:
    """A convolution over (hidden, context, motion), split because the context is the same in every iteration."""

    changing: Tensor
    context: Tensor
    bias: Tensor
    padding: Any

    @classmethod
    def of(cls, convolutions: list[Any], context_channels: int) -> _SharedConvolution:
        hidden = convolutions[0].out_channels
        weight = torch.cat([convolution.weight.detach() for convolution in convolutions])
        bias = torch.cat([convolution.bias.detach() for convolution in convolutions if convolution.bias is not None])
        end = hidden + context_channels
        changing = torch.cat([weight[:, :hidden], weight[:, end:]], dim=1)
        layout = torch.channels_last
        return cls(
            changing.contiguous(memory_format=layout),
            weight[:, hidden:end].contiguous(memory_format=layout),
            bias,
            convolutions[0].padding,
        )

    def of_context(self, context: Tensor) -> Tensor:
        return F.conv2d(context, self.context, self.bias, padding=self.padding)

    def __call__(self, changing: Tensor, of_context: Tensor) -> Tensor:
        return F.conv2d(changing, self.changing, padding=self.padding).add_(of_context)


@dataclass(frozen=True)
class _RecurrentUnit:
    """A convolutional GRU, as one convolution for both gates and one for the candidate state."""

    gates: _SharedConvolution
    candidate: _SharedConvolution

    def __call__(self, hidden: Tensor, motion: Tensor, of_context: tuple[Tensor, Tensor]) -> Tensor:
        gates = self.gates(torch.cat([hidden, motion], dim=1), of_context[0]).sigmoid_()
        update, reset = gates.chunk(2, dim=1)
        candidate = self.candidate(torch.cat([reset * hidden, motion], dim=1), of_context[1]).tanh_()
        return torch.lerp(hidden, candidate, update)


class RaftNetwork:
    """A RAFT network of torchvision on a device, for inference."""

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self.network = cast(Any, network.to(device))
        self.device = device
        block = self.network.update_block
        block.to(memory_format=torch.channels_last)  # the encoders' norms are faster with channels first
        context_channels = self.network.context_encoder.output_dim - block.hidden_state_size
        units: list[Any] = [block.recurrent_block.convgru1, block.recurrent_block.convgru2]
        self._units = [
            _RecurrentUnit(
                _SharedConvolution.of([unit.convz, unit.convr], context_channels),
                _SharedConvolution.of([unit.convq], context_channels),
            )
            for unit in units
            if isinstance(unit, nn.Module)
        ]

    def precision(self) -> torch.autocast:
        """Return the context to compute in: bfloat16 on GPUs, float32 on the CPU."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda")

    def features(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h8 w8"]:
        """Encode frames with values in [-1, 1] for the correlations."""
        with self.precision():
            features: Tensor = self.network.feature_encoder(images)
        return features

    def context(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h8 w8"]:
        """Encode frames with values in [-1, 1] from which flow starts."""
        with self.precision():
            context: Tensor = self.network.context_encoder(images)
        return context

    def flow(
        self,
        first: Float[Tensor, "b c h8 w8"],
        context: Float[Tensor, "b d h8 w8"],
        second: Float[Tensor, "b c h8 w8"],
        iterations: int,
    ) -> Float[Tensor, "b 2 h w"]:
        """Estimate flow in px from the features and the context of the first frames and the features of the second."""
        block = self.network.update_block
        hidden, inputs = context[:, : block.hidden_state_size], context[:, block.hidden_state_size :]
        with self.precision():
            hidden = hidden.tanh().contiguous(memory_format=torch.channels_last)
            inputs = inputs.relu().contiguous(memory_format=torch.channels_last)
            of_context = [(unit.gates.of_context(inputs), unit.candidate.of_context(inputs)) for unit in self._units]
        correlation = Correlation(first, second, self.network.corr_block.radius)
        batch, _, height, width = first.shape
        start = make_coords_grid(batch, height, width, device=str(self.device))
        start = start.contiguous(memory_format=torch.channels_last)
        flow = torch.zeros_like(start)
        for _ in range(iterations):
            windows = correlation(start + flow)
            with self.precision():
                motion = block.motion_encoder(flow, windows)
                for unit, constant in zip(self._units, of_context, strict=True):
                    hidden = unit(hidden, motion, constant)
                flow = flow + block.flow_head(hidden).float()
        with self.precision():
            weights = None if self.network.mask_predictor is None else self.network.mask_predictor(hidden)
        full: Tensor = upsample_flow(flow, None if weights is None else weights.float())
        return full
