"""Training epochs drawn from several sources by weight, resumable at any sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from segmentation.data.photo_samples import Triplet, TripletSource
from segmentation.errors import DatasetError


class Mixture(Dataset[Triplet]):
    """Epochs with a fixed number of samples, to which each source contributes according to its weight.

    A source gives its samples in the order of its own epochs, one after the other: training epoch e takes the e-th
    piece of that endless sequence, so each of its samples comes equally often. With replacement, each sample is drawn
    anew by the `draw` of its source. The draws depend on (seed, epoch) alone; there is no other state. Positions are
    those of the rank: a DataLoader without shuffling gives the same batches with any number of workers. Use
    `multiprocessing_context="spawn"` and `collate_fn=list`.

    Args:
        sources: sources, each with its weight.
        samples_per_epoch: number of samples of an epoch, of all ranks together.
        seed: seed of the order within an epoch.
        rank: rank of this process among `ranks` that train together.
        ranks: number of processes that train together.
        with_replacement: whether to draw samples anew each time, as the published training does.

    Raises:
        DatasetError: there is no source, or a weight is not positive or so small that its source gives no sample.
    """

    def __init__(
        self,
        sources: Sequence[tuple[TripletSource, int | float]],
        samples_per_epoch: int,
        *,
        seed: int = 0,
        rank: int = 0,
        ranks: int = 1,
        with_replacement: bool = False,
    ) -> None:
        if not 0 <= rank < ranks:
            raise ValueError(f"rank is {rank} of {ranks}; expected 0 <= rank < ranks")
        self.sources = [source for source, _ in sources]
        self.shares = _share([weight for _, weight in sources], samples_per_epoch)
        """Number of samples that each source contributes to an epoch."""
        self.samples, self.seed, self.rank, self.ranks = samples_per_epoch, seed, rank, ranks
        self.with_replacement = with_replacement
        self._start = torch.zeros(2, dtype=torch.int64)  # epoch, samples of this rank to skip
        self._start.share_memory_()  # type: ignore[no-untyped-call]  # so that persistent workers see it change
        self._drawn: tuple[int, NDArray[np.int64]] | None = None

    @property
    def fingerprints(self) -> dict[str, Any]:
        """Fingerprint of each dataset of `pipeline run` among the sources, by name of the dataset."""
        return {name: value for source in self.sources for name, value in source.fingerprints.items()}

    def set_epoch(self, epoch: int, skip: int = 0) -> None:
        """Set the next epoch, and the number of its samples that this rank has already seen."""
        self._start.copy_(torch.tensor([epoch, skip]))

    @property
    def start(self) -> tuple[int, int]:
        """Current epoch, and the number of its samples that this rank has already seen."""
        epoch, skip = self._start.tolist()
        return epoch, skip

    def __len__(self) -> int:
        """Return the number of samples of the epoch that are left for this rank."""
        return max(0, len(range(self.rank, self.samples, self.ranks)) - self.start[1])

    def __getitem__(self, position: int) -> Triplet:
        """Read the sample at a position among those that are left for this rank."""
        if not 0 <= position < len(self):
            raise IndexError(f"position {position} of {len(self)}")
        return self.__getitems__([position])[0]

    def __getitems__(self, positions: Sequence[int]) -> list[Triplet]:
        """Read a batch; samples of one source are read together.

        Raises:
            DatasetError: a sample cannot be used.
        """
        epoch, skip = self.start
        drawn = self._draw(epoch)[[self.rank + self.ranks * (skip + position) for position in positions]]
        samples: dict[int, Triplet] = {}
        for source, its_epoch in np.unique(drawn[:, :2], axis=0).tolist():
            places = np.flatnonzero((drawn[:, 0] == source) & (drawn[:, 1] == its_epoch)).tolist()
            read = self.sources[source].read(drawn[places, 2].tolist(), its_epoch)
            samples.update(zip(places, read, strict=True))
        return [samples[place] for place in range(len(positions))]

    def __iter__(self) -> Iterator[Triplet]:
        """Yield the samples of the epoch that are left for this rank."""
        return (self[position] for position in range(len(self)))

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without the drawn epoch, which the other process draws again."""
        return {**self.__dict__, "_drawn": None}

    def _draw(self, epoch: int) -> NDArray[np.int64]:
        """Return (samples, 3): source, epoch of that source, and number of the sample there."""
        if self._drawn is None or self._drawn[0] != epoch:
            random = np.random.default_rng([self.seed, epoch])
            pieces = [
                _drawn_anew(source, epoch, share, place, random)
                if self.with_replacement
                else _piece(source, epoch * share, share, place)
                for place, (source, share) in enumerate(zip(self.sources, self.shares, strict=True))
            ]
            drawn = random.permutation(np.concatenate(pieces))
            self._drawn = epoch, drawn
        return self._drawn[1]


def _piece(source: TripletSource, start: int, length: int, place: int) -> NDArray[np.int64]:
    """Return `length` samples of a source from position `start` of its endless sequence of epochs."""
    first, last = start // source.samples, (start + length - 1) // source.samples
    epochs = range(first, last + 1)
    row = np.concatenate([source.order(epoch) for epoch in epochs])
    its_epoch = np.repeat(list(epochs), source.samples)
    piece = slice(start - first * source.samples, start - first * source.samples + length)
    return np.stack([np.full(length, place), its_epoch[piece], row[piece]], axis=1)


def _drawn_anew(
    source: TripletSource, epoch: int, count: int, place: int, random: np.random.Generator
) -> NDArray[np.int64]:
    """Return samples that a source draws with replacement; its epoch is that of the training."""
    numbers = source.draw(count, random)
    return np.stack([np.full(count, place), np.full(count, epoch), numbers], axis=1)


def _share(weights: Sequence[int | float], samples: int) -> list[int]:
    """Divide samples among sources by weight, by the method of largest remainders."""
    if not weights:
        raise DatasetError("there is nothing to train on; give photos, videos or both")
    if odd := [weight for weight in weights if not 0 < weight < float("inf")]:
        raise DatasetError(f"a weight is {odd[0]}; expected a positive number")
    exact = np.array(weights, float) / sum(weights) * samples
    shares = np.floor(exact).astype(int)
    for place in np.argsort(shares - exact, kind="stable")[: samples - int(shares.sum())]:
        shares[place] += 1
    if not shares.all():
        raise DatasetError(
            f"the weights {', '.join(f'{weight:g}' for weight in weights)} leave a source without any of the {samples} "
            "samples of an epoch; give it more weight, or epochs more samples"
        )
    return [int(share) for share in shares]
