"""Files are written whole or not at all, and are on the disk before they have their names."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from pipeline.files.whole_files import save_whole, write_whole
from tests.file_operations import assert_written_whole, watched_files


def test_a_file_is_flushed_before_it_gets_its_name(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    for content in (b"first", b"second"):
        with watched_files() as operations:
            write_whole(path, content)
        assert_written_whole(path, operations)
        assert path.read_bytes() == content
    assert list(path.parent.iterdir()) == [path]


def test_what_cannot_be_written_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    write_whole(path, b"old")

    def fill_the_disk(partial: Path) -> None:
        partial.write_bytes(b"ne")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left on device"):
        save_whole(path, fill_the_disk)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
