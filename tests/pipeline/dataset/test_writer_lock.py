"""The lock of a dataset: one writer at a time, and asking for it changes nothing."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from pipeline.dataset.sharded_store import LOCK
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError
from pipeline.files.locks import is_held
from tests.pipeline.drawn_dataset import contents, make_dataset


def test_to_ask_for_a_lock_changes_nothing(tmp_path: Path) -> None:
    dataset = tmp_path / "x.zarr"
    make_dataset(str(dataset))
    store = DatasetStore(str(dataset))
    assert not is_held(store.storage, LOCK)
    assert not (dataset / LOCK).exists()
    with store.sole_writer():
        (dataset / LOCK).chmod(0o444)
        before = (dataset / LOCK).stat()
        assert is_held(store.storage, LOCK)
        assert (dataset / LOCK).stat() == before
    assert not is_held(store.storage, LOCK)


def test_what_a_lost_worker_left_half_written_is_gone_at_the_end_of_the_run(tmp_path: Path) -> None:
    make_dataset(str(tmp_path / "x.zarr"))
    before = contents(tmp_path / "x.zarr")
    with DatasetStore(str(tmp_path / "x.zarr")).sole_writer():
        (tmp_path / "x.zarr/.fakeflow/commits/.0123.partial").write_bytes(b"half a record")
    assert contents(tmp_path / "x.zarr") == before


def test_a_lock_file_that_goes_with_its_holder_still_lets_one_in_at_a_time(tmp_path: Path) -> None:
    store, inside, seen = DatasetStore(str(tmp_path / "x.zarr")), [0], list[int]()

    def enter_often() -> None:
        for _ in range(100):
            try:
                with store.sole_writer():
                    inside[0] += 1
                    time.sleep(0.0005)
                    seen.append(inside[0])
                    inside[0] -= 1
            except PipelineError:
                time.sleep(0.0002)

    threads = [threading.Thread(target=enter_often) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(seen) == {1}
    assert len(seen) > 20
    assert not (tmp_path / "x.zarr/.fakeflow/lock").exists()
