"""Estimated flow of a dataset of pairs, opened to learn from."""

from __future__ import annotations

from pipeline.dataset.pair_flows import PairFlowStore
from pipeline.dataset.store import DatasetStore
from pipeline.errors import PipelineError
from segmentation.errors import DatasetError, FlowError
from segmentation.flow.frame_flows import FlowOrigin


def check_pair_flows(url: str, photos: DatasetStore) -> FlowOrigin:
    """Raise unless there is estimated flow of every row of a dataset; return its origin.

    Args:
        url: dataset of `segmentation flows --pairs`.
        photos: dataset of the pairs.

    Raises:
        DatasetError: there is no flow, it is unfinished, or it belongs to another dataset.
        FlowError: the dataset has no second frames.
    """
    check_has_pairs(photos)
    try:
        store = PairFlowStore.open(url)
    except PipelineError as error:
        raise DatasetError(f"{url} cannot be learnt from as estimated flow. {error}") from error
    try:
        store.refuse_other_photos(photos)
    except PipelineError as error:
        raise DatasetError(str(error)) from error
    weights_sha256 = store.attributes["settings"]["weights_sha256"]
    return FlowOrigin(photos.name, url, store.attributes["weights"], weights_sha256, 1, None)


def check_has_pairs(photos: DatasetStore) -> None:
    """Raise if a dataset has photos without a second frame.

    Raises:
        FlowError: it has, so that no flow can be estimated.
    """
    if photos.layout.frames == 1:
        raise FlowError(
            f"{photos.name} has photos without a second frame, so no flow can be estimated. Make pairs of the same "
            "photos with `pipeline run --frames 2 --output PAIRS.zarr`"
        )
