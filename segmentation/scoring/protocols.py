"""Protocols of scoring: the frames that count, the treatment of empty ground truth, and the order of means.

Every result names its protocol, so that two numbers with the same name are comparable.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from segmentation.errors import SegmentationError

T = TypeVar("T")


@dataclass(frozen=True)
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
    with_boundaries: bool
    leaves_out_ends: bool
    skips_empty_truth: bool
    has_classes: bool
    source: str

    def counted(self, frames: Sequence[T]) -> Sequence[T]:
        """Select the frames that count among the annotated frames of a sequence, in order."""
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
        Protocol("davis16", "davis16", True, True, False, False, "official evaluation of DAVIS-2016"),
        Protocol("davis16-all-frames", "davis16", True, False, False, False, "davis2017 evaluation, unsupervised"),
        Protocol("fbms", "fbms", False, False, True, False, _PUBLISHED),
        Protocol("ytobj", "ytobj", False, False, True, True, f"{_PUBLISHED}; others publish the mean over classes"),
        Protocol("lvid", "lvid", False, False, True, False, _PUBLISHED),
        Protocol("segtrackv2", "segtrackv2", False, False, True, False, "as fbms, all objects of a sequence united"),
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
