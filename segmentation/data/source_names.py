"""Sources of training and evaluation data as users type them on the command line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from segmentation.errors import SegmentationError
from segmentation.scoring.protocols import protocol_for
from segmentation.videos.datasets import check_root
from segmentation.videos.table import check_split

_COLON = re.compile(r":(?!//)")  # not the colon of s3://


@dataclass(frozen=True)
class PhotoSource:
    """A dataset of `pipeline run`, estimated flow of its pairs if that is to be learnt from, and its weight."""

    url: str
    weight: int | float = 3
    flows: str | None = None

    @staticmethod
    def parse(text: str) -> PhotoSource:
        """Parse `URL[:FLOWS][:WEIGHT]`; without a weight, photos come three times as often as videos, as published.

        Raises:
            SegmentationError: the text has another form.
        """
        rest, weight = _split_weight(text)
        url, *more = _COLON.split(rest)
        if not url or len(more) > 1 or more == [""]:
            raise SegmentationError(
                f"{text!r} names no dataset; expected URL, URL:FLOWS, URL:WEIGHT or URL:FLOWS:WEIGHT, such as "
                "dutsv2.zarr:3"
            )
        flows = more[0] if more else None
        return PhotoSource(url, flows=flows) if weight is None else PhotoSource(url, weight, flows)

    def check(self) -> None:
        """Raise if the dataset does not exist; nothing is opened."""
        if not _may_exist(self.url):
            raise SegmentationError(
                f"{self.url} does not exist; expected a dataset, such as `pipeline run --input PHOTOS --output "
                f"{quote(self.url)}` makes"
            )
        if self.flows is not None and not _may_exist(self.flows):
            raise SegmentationError(
                f"the flow {self.flows} does not exist; expected what `segmentation flows --pairs {quote(self.url)} "
                f"--output {quote(self.flows)}` makes"
            )


@dataclass(frozen=True)
class VideoSource:
    """A video dataset with its flow and its weight in the mixture."""

    dataset: str
    root: Path
    flows: str
    weight: int | float = 1

    @staticmethod
    def parse(text: str) -> VideoSource:
        """Parse `NAME=ROOT:FLOWS[:WEIGHT]`.

        Raises:
            SegmentationError: the text has another form.
        """
        rest, weight = _split_weight(text)
        dataset, root, flows = split_places(rest)
        if flows is None:
            raise SegmentationError(
                f"{text!r} names no videos with their flows; expected NAME=ROOT:FLOWS or NAME=ROOT:FLOWS:WEIGHT, such "
                "as davis16=DAVIS:davis-flows.zarr:1"
            )
        return VideoSource(dataset, root, flows, 1.0 if weight is None else weight)

    def check(self) -> None:
        """Raise if the dataset is not known, or its folder or its flow does not exist; nothing is opened."""
        check_root(check_split(self.dataset, None), self.root)
        _check_flow(self.dataset, self.root, self.flows)


@dataclass(frozen=True)
class Benchmark:
    """A dataset on which a network is evaluated.

    Attributes:
        name: name of the dataset, as in `segmentation.videos.table.DATASETS`.
        root: folder of the dataset.
        flows: store of `segmentation flows`, or root of a `JPEGFlows` tree; None = the flow is estimated.
    """

    name: str
    root: Path
    flows: str | None = None

    @classmethod
    def parse(cls, text: str) -> Benchmark:
        """Parse `NAME=ROOT` or `NAME=ROOT:FLOWS`.

        Raises:
            SegmentationError: the text has another form.
        """
        name, root, flows = split_places(text)
        if flows and "://" not in flows:
            flows = str(Path(flows).absolute())  # the same text for the same place
        return cls(name, root, flows)

    def check(self) -> None:
        """Raise if the dataset has no protocol, or its folder or its flow does not exist; nothing is opened."""
        protocol_for(self.name)
        check_root(check_split(self.name, None), self.root)
        if self.flows is not None:
            _check_flow(self.name, self.root, self.flows)


def split_places(text: str) -> tuple[str, Path, str | None]:
    """Parse `NAME=ROOT` or `NAME=ROOT:FLOWS`: a video dataset, its folder, and the place of its flow.

    Raises:
        SegmentationError: the text has another form.
    """
    name, _, places = text.partition("=")
    root, _, flows = places.partition(":")
    if not name or not root:
        raise SegmentationError(
            f"{text!r} names no videos; expected NAME=ROOT or NAME=ROOT:FLOWS, such as davis16=DAVIS"
        )
    return name, Path(root), flows or None


def _split_weight(text: str) -> tuple[str, float | None]:
    """Split a text at its last colon into a rest and a number; without a number, return the whole text and None."""
    rest, colon, last = text.rpartition(":")
    try:
        weight = float(last) if colon else None
    except ValueError:
        weight = None
    if weight is None:
        return text, None
    if not 0 < weight < float("inf"):
        raise SegmentationError(f"the weight of {text!r} is {last}; expected a positive number")
    return rest, weight


def _check_flow(dataset: str, root: Path, flows: str) -> None:
    if not _may_exist(flows):
        raise SegmentationError(
            f"the flow {flows} does not exist; expected what `segmentation flows --dataset {dataset} --root "
            f"{quote(str(root))} --output {quote(flows)}` makes, or the root of a JPEGFlows tree"
        )


def _may_exist(url: str) -> bool:
    return "://" in url or Path(url).exists()
