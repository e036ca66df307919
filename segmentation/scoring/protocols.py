"""Protocols of scoring: the frames that count, the treatment of empty ground truth, and the order of means.

Every result names its protocol, so that two numbers with the same name are comparable.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from segmentation.errors import SegmentationError

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A named way to score a dataset. Every mean is over frames first, then over sequences.

    Attributes:
        name: name of the protocol, printed with every result.
        dataset: name of the dataset in `segmentation.videos.table.DATASETS`.
        with_boundaries: whether F is measured as well as J.
        leaves_out_ends: whether the first and the last annotated frame of a sequence are left out.
        skips_empty_truth: whether frames without any object in the ground truth are left out; otherwise J and F of such
            a frame are 1 if the prediction is empty as well, and 0 if it is not.
        has_classes: whether there are also means per class, and the mean of these.
        source: publications or code whose numbers are made by this protocol.
    """

    name: str
    dataset: str
    with_boundaries: bool = False
    leaves_out_ends: bool = False
    skips_empty_truth: bool = True
    has_classes: bool = False
    source: str

    def counted(self, frames: Sequence[T]) -> Sequence[T]:
        """Select the frames to score among the annotated frames of a sequence, in order.

        `skips_empty_truth` leaves out further frames once their ground truth is read.
        """
        return frames[1:-1] if self.leaves_out_ends else frames

    @property
    def definition(self) -> dict[str, str]:
        """Definition of the protocol in words, by subject."""
        means = "over frames, then over sequences"
        return {
            "measures": "J and F" if self.with_boundaries else "J",
            "frames": f"all annotated frames{' but the first and the last' if self.leaves_out_ends else ''}",
            "empty ground truth": "frame left out"
            if self.skips_empty_truth
            else "1 if the prediction is empty, else 0",
            "means": f"{means}; also over the sequences of each class, then over classes"
            if self.has_classes
            else means,
            "source": self.source,
        }


_PUBLISHED = "evaluation of the published TMO, FakeFlow and DepthFlow code"

PROTOCOLS: Mapping[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name="davis16",
            dataset="davis16",
            with_boundaries=True,
            leaves_out_ends=True,
            skips_empty_truth=False,
            source="official evaluation of DAVIS-2016",
        ),
        Protocol(
            name="davis16-all-frames",
            dataset="davis16",
            with_boundaries=True,
            leaves_out_ends=False,
            skips_empty_truth=False,
            source="davis2017 evaluation, unsupervised",
        ),
        Protocol(name="fbms", dataset="fbms", source=_PUBLISHED),
        Protocol(
            name="ytobj",
            dataset="ytobj",
            has_classes=True,
            source=f"{_PUBLISHED}; others publish the mean over classes",
        ),
        Protocol(name="lvid", dataset="lvid", source=_PUBLISHED),
        Protocol(name="segtrackv2", dataset="segtrackv2", source="as fbms, all objects of a sequence united"),
    )
}


def protocol_for(dataset: str, name: str | None = None) -> Protocol:
    """Return a protocol of a dataset: the one of that name, or the dataset's usual one.

    Raises:
        SegmentationError: there is no such protocol, or it is another dataset's.
    """
    known = [protocol for protocol in PROTOCOLS.values() if protocol.dataset == dataset]
    if not known:
        scored = ", ".join(dict.fromkeys(protocol.dataset for protocol in PROTOCOLS.values()))
        raise SegmentationError(f"--dataset {dataset} has no protocol to score it by; expected one of {scored}")
    for protocol in known:
        if name in (None, protocol.name):
            return protocol
    expected = " or ".join(protocol.name for protocol in known)
    raise SegmentationError(f"--protocol {name} does not fit --dataset {dataset}; expected {expected}")
