"""Selects sequences of a dataset by name, as `--sequences` does."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from segmentation.errors import DatasetError
from segmentation.videos.trees import some


@dataclass(frozen=True)
class Sequences:
    """Names of sequences, or patterns such as `car-*`.

    Attributes:
        patterns: none = all sequences.
    """

    patterns: tuple[str, ...] = ()

    @staticmethod
    def parse(given: Sequence[str] | None) -> Sequences:
        """Parse lists of names that are separated by commas; the option may be given several times."""
        names = (name.strip() for text in given or () for name in text.split(","))
        return Sequences(tuple(name for name in names if name))

    def __contains__(self, name: str) -> bool:
        """Return whether a sequence is selected."""
        return not self.patterns or any(_matches(name, pattern) for pattern in self.patterns)

    def check(self, names: Collection[str], where: str) -> None:
        """Raise if a pattern selects no sequence.

        Args:
            names: of all sequences that there are.
            where: they are, in words.

        Raises:
            DatasetError: one chooses nothing.
        """
        for pattern in self.patterns:
            if not any(_matches(name, pattern) for name in names):
                raise DatasetError(
                    f"--sequences {pattern} chooses nothing in {where}; expected names or patterns of its sequences: "
                    f"{some(sorted(names))}"
                )


ALL = Sequences()


def _matches(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)
