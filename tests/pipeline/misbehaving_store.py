"""A file system in memory, at `misbehaving://`, that fails or forgets when it is told to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.memory import MemoryFileSystem

SCHEME = "misbehaving"


class MisbehavingFileSystem(MemoryFileSystem):  # type: ignore[misc]
    """Does to files whose path holds `victim` what it is told.

    Attributes:
        error: raised when a victim is read; None: none.
        flips_bits: whether the last bit of what is written to a victim is changed.
    """

    protocol = SCHEME
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    victim: ClassVar[str] = "none"
    error: ClassVar[Exception | None] = None
    flips_bits: ClassVar[bool] = False

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        stripped: str = MemoryFileSystem._strip_protocol(str(path).replace(f"{SCHEME}://", "memory://", 1))
        return stripped

    def _open(self, path: str, mode: str = "rb", **options: object) -> Any:
        if "r" in mode:
            self._fail(path)
        return super()._open(path, mode, **options)

    def cat_file(self, path: str, *arguments: object, **options: object) -> bytes:
        self._fail(path)
        content: bytes = super().cat_file(path, *arguments, **options)
        return content

    def _fail(self, path: str) -> None:
        if self.error and self.victim in path:
            raise self.error

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: object) -> None:
        if self.flips_bits and self.victim in path:
            value = value[:-1] + bytes([value[-1] ^ 1])
        super().pipe_file(path, value, mode=mode, **options)


@contextmanager
def misbehaving_store() -> Iterator[type[MisbehavingFileSystem]]:
    """Register an empty one that behaves."""
    fsspec.register_implementation(SCHEME, MisbehavingFileSystem, clobber=True)
    fsspec.filesystem(SCHEME).store.clear()
    try:
        yield MisbehavingFileSystem
    finally:
        MisbehavingFileSystem.store.clear()
        MisbehavingFileSystem.pseudo_dirs[:] = [""]


@contextmanager
def misbehaving(victim: str, error: Exception | None = None, flips_bits: bool = False) -> Iterator[None]:
    """Have it misbehave for a while."""
    kind = MisbehavingFileSystem
    kind.victim, kind.error, kind.flips_bits = victim, error, flips_bits
    try:
        yield
    finally:
        kind.victim, kind.error, kind.flips_bits = "none", None, False
