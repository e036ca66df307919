"""What one step of training is: a batch, its loss, the gradients of all ranks, the optimiser, the moving average."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float32
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.nn import functional as F

from segmentation.data.transforms import Batch, PreparedBatch, finish_batch
from segmentation.errors import TrainingError
from segmentation.network.model import TwoStreamNetwork
from segmentation.network.precision import autocast
from segmentation.training.batches import seed_of, too_little_memory
from segmentation.training.optimization import learning_rate_at, make_optimizer
from segmentation.training.recipes import Recipe


@dataclass(frozen=True)
class Place:
    """Where a process trains.

    Attributes:
        device: `cpu` or `cuda`.
        readers: processes that read and prepare batches for it; 0 = it does so itself.
        rank: of this process among `ranks` that share every step.
        ranks: 1 = it is alone.
    """

    device: str
    readers: int = 0
    rank: int = 0
    ranks: int = 1

    @property
    def gpus(self) -> list[int]:
        """The number of its GPU, if it has one."""
        return [torch.cuda.current_device()] if self.device == "cuda" else []


class Learner:
    """A network that learns step by step; nothing is drawn but by the seed, the step and the rank.

    Args:
        network: with its first weights.
        recipe: how it learns.
        place: where this process is.
        steps: of the whole run; the learning rate depends on it.
        seed: of the run.
        compile: compile the network.

    Attributes:
        network: what learns.
        average: the moving average of its weights, None without.
        optimizer: of its weights.
    """

    def __init__(
        self,
        network: TwoStreamNetwork,
        recipe: Recipe,
        place: Place,
        *,
        steps: int,
        seed: int,
        compile: bool = False,
    ) -> None:
        self.recipe, self.place, self.steps, self.seed, self.is_compiled = recipe, place, steps, seed, compile
        # Channels last is for GPUs: on CPUs the gradients of convolutions take a third longer.
        layout = torch.contiguous_format if place.device == "cpu" else torch.channels_last
        self.network = network.to(place.device).to(memory_format=layout).train()
        self.average = _make_average(network, self.recipe.ema_decay)
        self.optimizer = make_optimizer(network, self.recipe)
        self._batch: Batch | None = None
        self._runner: nn.Module = network
        if place.ranks > 1:
            self._runner = nn.parallel.DistributedDataParallel(network, device_ids=place.gpus or None)
        if compile:
            self._runner = torch.compile(self._runner)  # type: ignore[assignment]

    @property
    def best_guess(self) -> TwoStreamNetwork:
        """The network to judge and to keep: with averaged weights, if there are."""
        network: TwoStreamNetwork = self.network if self.average is None else self.average.module
        return network

    def has_finite_weights(self) -> bool:
        """Look at all weights."""
        return all(bool(torch.isfinite(parameter).all()) for parameter in self.network.parameters())

    def learn(self, prepared: PreparedBatch, step: int) -> Float32[Tensor, " 3"]:
        """Do one step.

        Args:
            prepared: samples of this rank.
            step: its number, from 0 on.

        Returns:
            This rank's loss, and how many pixels were found and true, and found or true; still on the device.

        Raises:
            TrainingError: the device has too little memory, or there is no compiler.
        """
        try:
            return self._learn(prepared, step)
        except (RuntimeError, MemoryError) as error:
            if explained := self._explain(error):
                raise explained from error
            raise

    def _learn(self, prepared: PreparedBatch, step: int) -> Float32[Tensor, " 3"]:
        device = self.place.device
        batch = self._batch = finish_batch(prepared, device, self._batch)
        torch.manual_seed(seed_of(self.seed, step, self.place.rank, use=1))  # of stochastic depth
        with autocast(self.recipe.precision, device):
            logits = self._runner(batch.image, batch.flow_rgb)
        # The cross-entropy of two classes, in a form whose sum has a fixed order on GPUs, too.
        background, is_object = logits.float().unbind(1)
        loss = F.binary_cross_entropy_with_logits(is_object - background, batch.mask.float())
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if self.recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate_at(self.recipe, step, self.steps)
        self.optimizer.step()
        if self.average is not None:
            self.average.update(self.network, step=step + 1)
        with torch.no_grad():
            found, truth = logits[:, 1] > logits[:, 0], batch.mask > 0
            return torch.stack([loss.detach(), (found & truth).sum(), (found | truth).sum()])

    def _explain(self, error: RuntimeError | MemoryError) -> TrainingError | None:
        """Say what can be done about an error of torch; None where nothing can."""
        if isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error):
            return too_little_memory(
                self.place.device, self.recipe.batch_size // self.place.ranks, self.network.side_px
            )
        if self.is_compiled and type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            return TrainingError(
                f"--compile does not work here ({type(error).__name__}: {str(error).strip().splitlines()[0]}); train "
                "without it, or install a C++ compiler such as g++ if that is what is missing"
            )
        return None


def _make_average(network: nn.Module, decay: float | None) -> ModelEmaV3 | None:
    return None if decay is None else ModelEmaV3(network, decay=decay, use_warmup=True, warmup_power=0.75)
