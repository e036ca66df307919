"""Worker that makes shards: it decodes photos, estimates depth, draws motion, simulates flow and writes."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth import DepthEstimator
from flowsim import MotionPrior
from pipeline.dataset import schema
from pipeline.dataset.commits import Failure
from pipeline.dataset.shard_writer import write_shard
from pipeline.dataset.store import DatasetStore
from pipeline.engine.placement import Share
from pipeline.errors import PipelineError, UnusablePhoto
from pipeline.files.storage import is_of_store, is_transient
from pipeline.making.config import RunConfig
from pipeline.making.network_identity import refuse_other_weights
from pipeline.making.plan import ShardOutcome, ShardTask
from pipeline.making.sample import fill_row
from pipeline.photos.decoding import decode_pair
from pipeline.photos.labels import decode_labels
from pipeline.photos.masks import decode_mask_levels
from pipeline.photos.originals import Expected, Record, locate_photo_and_mask, read_original
from pipeline.photos.rows import Row

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""Photo and grey mask."""


class ShardWorker:
    """Makes shards of one dataset with one depth network on one device.

    `make` may be called from several threads: one of them uses the network at a time, while the others decode, simulate
    and write. If it is called twice with one task, it writes the same bytes twice.
    """

    def __init__(self, config: RunConfig, share: Share) -> None:
        _check_folders(config)
        self.config = config
        self.store = DatasetStore.open(config.output)
        self.prior = MotionPrior.from_dict(self.store.attributes["settings"]["motion_prior"])
        share.set_up_torch()
        self.device = share.device
        refuse_other_weights(config, self.store.attributes["settings"])
        self.estimator = load_estimator(config, share.device)
        self._network = threading.Lock()
        self._pool = ThreadPoolExecutor(share.cpus, thread_name_prefix="sample")

    def make(self, task: ShardTask) -> ShardOutcome:
        """Make, write and commit one shard.

        Raises:
            PipelineError: the shard cannot be written.
        """
        clock = _Clock()
        layout = self.store.layout
        positions = range(len(task.rows)) if task.only is None else task.only
        arrays = schema.empty_shard(layout, len(task.rows))
        failures: dict[int, Failure] = {}
        used = {} if task.only is None else self._keep_stored(task, arrays)
        arrays["id"][:] = [row.id for row in task.rows]

        pairs: dict[int, Pair] = {}
        for position, outcome in zip(
            positions, self._pool.map(self._decode, positions, [task] * len(positions)), strict=True
        ):
            if isinstance(outcome, Failure):
                failures[position] = outcome
            else:
                pairs[position], used[position] = outcome
        clock.lap("decode")

        with self._network:
            clock.lap("wait")
            maps = self.estimator([photo for photo, _ in pairs.values()])
            clock.lap("depth")

        made = self._pool.map(partial(self._put_sample, arrays, task), pairs, pairs.values(), maps)
        failures |= {position: failure for position, failure in zip(pairs, made, strict=True) if failure}
        clock.lap("flow")

        listed = [failures[position] for position in sorted(failures)]
        originals = [{} if place in failures else used.get(place, {}) for place in range(len(task.rows))]
        write_shard(self.store, task.shard, arrays, listed, self.estimator.precision, self._pool.map, originals)
        clock.lap("write")
        new = tuple(failures[position] for position in positions if position in failures)
        return ShardOutcome(task.shard, task.photos, new, clock.seconds)

    def _decode(self, position: int, task: ShardTask) -> tuple[Pair, Record] | Failure:
        row = task.rows[position]
        expected = task.expected[position] if task.expected else None
        if expected and expected.problem:
            return self._failure(task, position, *expected.problem)
        try:
            return _read_pair(row, self.config, expected)
        except UnusablePhoto as problem:
            return self._failure(task, position, problem.reason, str(problem))
        except Exception as problem:  # any error here concerns this photo alone
            is_local = "://" not in row.image
            if not is_local and is_of_store(problem) and is_transient(problem):
                raise PipelineError(  # the store fails, not the photo: the shard is made again by the next run
                    f"{row.image}: the store keeps failing ({problem}). "
                    "Run the same command again when it works: it resumes."
                ) from None
            reason = "unreadable" if is_of_store(problem) else "internal"
            return self._failure(task, position, reason, f"{type(problem).__name__}: {problem}")

    def _failure(self, task: ShardTask, position: int, reason: str, sentence: str) -> Failure:
        row = task.rows[position]
        return Failure(self.store.layout.rows(task.shard).start + position, row.id, reason, f"{row.image}: {sentence}")

    def _put_sample(
        self,
        arrays: dict[str, NDArray[Any]],
        task: ShardTask,
        position: int,
        pair: Pair,
        inverse_depth: NDArray[np.float32],
    ) -> Failure | None:
        """Fill one row, or return why it cannot be filled."""
        if not np.isfinite(inverse_depth).all():
            return self._failure(task, position, "depth_not_finite", "the depth model gave values that are not finite")
        fill_row(arrays, position, self.config, self.prior, *pair, inverse_depth, self.device)
        return None

    def _keep_stored(self, task: ShardTask, arrays: dict[str, NDArray[Any]]) -> dict[int, Record]:
        """Copy the rows of a committed shard that are not made anew; return their originals by position.

        `task.only` holds every failed row of the shard, so the rows that are kept are all usable.
        """
        rows = self.store.layout.rows(task.shard)
        made_anew = set(task.only or ())
        kept = [position for position in range(len(task.rows)) if position not in made_anew]
        for name, values in arrays.items():
            values[kept] = self.store.read(name, slice(rows.start, rows.stop))[kept]
        record = self.store.commits.read(task.shard)
        return {place: used for place, used in enumerate(record.get("originals", ())) if place in kept}


def load_estimator(config: RunConfig, device: str) -> DepthEstimator:
    """Load the depth network of a run.

    Raises:
        DepthError: the network cannot be loaded; the message says how to repair that.
    """
    return DepthEstimator.load(
        config.depth_model, device=device, resize=config.resize, normalization=config.normalization
    )


def _check_folders(config: RunConfig) -> None:
    """Raise if this machine does not see the folders of photos; otherwise, every photo would count as unreadable.

    Raises:
        PipelineError: a folder does not exist on this machine.
    """
    for url in (config.input, config.images, config.masks):
        if url is not None and "://" not in url and not Path(url).exists():
            raise PipelineError(
                f"{url} does not exist on {socket.gethostname()}, where a worker runs. Give a folder that all machines "
                "see, or a URL such as s3://bucket/DUTS."
            )


def _read_pair(row: Row, config: RunConfig, expected: Expected | None) -> tuple[Pair, Record]:
    files = {role: read_original(url, role) for role, url in locate_photo_and_mask(row).items()}
    if expected:
        expected.check(files)
    mask = files["mask"].content if "mask" in files else None
    decode = decode_labels if config.objects == "labels" else decode_mask_levels
    return decode_pair(files["photo"].content, mask, config.max_side, decode=decode), {
        role: file.record for role, file in files.items()
    }


class _Clock:
    """Splits the time since it was made into named laps."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """End a lap and give it a name."""
        now = time.perf_counter()
        self.seconds[name] = now - self._last
        self._last = now
