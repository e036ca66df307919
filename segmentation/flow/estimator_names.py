"""The names of estimators of flow, as users type them: `raft`, `dis` and `ptlflow:NAME`."""

from __future__ import annotations

from segmentation.errors import FlowError
from segmentation.flow.ptlflow_names import PTLFLOW, require_package
from segmentation.flow.raft_names import check_raft


def check_name(estimator: str) -> None:
    """Raise if a name is of no known form; nothing is loaded.

    Raises:
        FlowError: it is neither `raft` nor `dis` nor begins with `ptlflow:`.
    """
    if estimator not in ("raft", "dis") and not estimator.startswith(PTLFLOW):
        raise FlowError(
            f"--flow {estimator!r} is no estimator of optical flow; expected raft, dis, or ptlflow: and the name of a "
            "network of the package ptlflow, such as ptlflow:sea_raft_s"
        )


def check_estimator(estimator: str, raft: str) -> None:
    """Raise if an estimator does not exist or needs weights that are neither a file nor a known name.

    No file of weights is opened. Networks of ptlflow are known to that package alone, which is loaded for them.

    Args:
        estimator: name of the estimator.
        raft: name or path of the weights of RAFT.

    Raises:
        FlowError: there is no such estimator, its package is missing, or there are no such weights.
    """
    check_name(estimator)
    if estimator == "raft":
        check_raft(raft)
    elif estimator.startswith(PTLFLOW):
        require_package(estimator)
        from segmentation.flow.ptlflow_networks import find_network

        find_network(estimator)
