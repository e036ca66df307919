"""The choice of some sequences of a dataset by name, as typed after `--sequences`."""

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
        """Read what was typed: names with commas between them, once or several times."""
        names = (name.strip() for text in given or () for name in text.split(","))
        return Sequences(tuple(name for name in names if name))

    def __contains__(self, name: str) -> bool:
        """Tell whether a sequence is chosen."""
        return not self.patterns or any(_matches(name, pattern) for pattern in self.patterns)

    def check(self, names: Collection[str], where: str) -> None:
        """Make sure that every pattern chooses something.

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
