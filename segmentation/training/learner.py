"""One step of training: a batch, its loss, the gradients of all ranks, the optimiser and the moving average."""

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
from segmentation.network.winograd import use_winograd
from segmentation.training.batches import seed_of, too_little_memory
from segmentation.training.optimization import make_optimizer, set_learning_rate
from segmentation.training.recipes import Recipe


@dataclass(frozen=True)
class Place:
    """The device and the rank of a process that trains.

    Attributes:
        device: `cpu` or `cuda`.
        readers: number of processes that read and prepare its batches; 0 = it does so itself.
        rank: rank of this process among `ranks` that share every step.
        ranks: number of processes that train together.
    """

    device: str
    readers: int = 0
    rank: int = 0
    ranks: int = 1

    @property
    def gpus(self) -> list[int]:
        """Number of the GPU of this process, in a list; empty on a CPU."""
        return [torch.cuda.current_device()] if self.device == "cuda" else []


class Learner:
    """A network that learns step by step; random draws depend on nothing but the seed, the step and the rank.

    Args:
        network: network with its first weights.
        recipe: recipe of the training.
        place: device and rank of this process.
        steps: number of steps of the whole run, on which the learning rate depends.
        seed: seed of the run.
        compile: whether to compile the network.

    Attributes:
        network: network that learns.
        average: moving average of the weights; None if the recipe has none.
        optimizer: optimiser of the weights.
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
        if place.device == "cpu":
            use_winograd(network)
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
        """Network to validate and to save: the one with averaged weights, if the recipe averages them."""
        network: TwoStreamNetwork = self.network if self.average is None else self.average.module
        return network

    def has_finite_weights(self) -> bool:
        """Return whether all weights are finite."""
        return all(bool(torch.isfinite(parameter).all()) for parameter in self.network.parameters())

    def learn(self, prepared: PreparedBatch, step: int) -> Float32[Tensor, " 3"]:
        """Do one step of training.

        Args:
            prepared: batch of this rank.
            step: number of the step, counted from 0.

        Returns:
            Loss of this rank, number of pixels in the intersection of prediction and truth, and in their union; on the
            device.

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
        torch.manual_seed(seed_of(self.seed, step, self.place.rank, use=1))  # for stochastic depth
        with autocast(self.recipe.precision, device):
            logits = self._runner(batch.image, batch.flow_rgb)
        # The cross-entropy of two classes, in a form whose sum has a fixed order on GPUs, too.
        background, is_object = logits.float().unbind(1)
        loss = F.binary_cross_entropy_with_logits(is_object - background, batch.mask.float())
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if self.recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip_norm)
        set_learning_rate(self.optimizer, self.recipe, step, self.steps)
        self.optimizer.step()
        if self.average is not None:
            self.average.update(self.network, step=step + 1)
        with torch.no_grad():
            found, truth = logits[:, 1] > logits[:, 0], batch.mask > 0
            return torch.stack([loss.detach(), (found & truth).sum(), (found | truth).sum()])

    def _explain(self, error: RuntimeError | MemoryError) -> TrainingError | None:
        """Return an error that says what to do about an error of torch; None if there is no advice."""
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
