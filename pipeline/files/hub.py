"""Commits to a repository of the Hugging Face Hub: many files per commit, and none after a commit of somebody else.

`huggingface_hub.HfApi.upload_folder` is not used: it needs a local folder, cannot say which file is committed last, and
passes `parent_commit` with its first commit alone, so that a second writer goes unnoticed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.errors import PipelineError

_PRECONDITION_FAILED = 412


class HubRepository:
    """A folder of a repository on the Hugging Face Hub.

    Args:
        filesystem: file system of the Hub.
        root: path of the folder in that file system.
    """

    def __init__(self, filesystem: Any, root: str) -> None:
        self._filesystem, self._root = filesystem, root
        self._head: str | None = None

    def hold(self) -> None:
        """Remember the last commit; from now on, refuse to write after a commit of somebody else."""
        place = self._filesystem.resolve_path(self._root)
        self._head = self._api.repo_info(place.repo_id, repo_type=place.repo_type, revision=place.revision).sha

    def write(self, files: Mapping[str, bytes]) -> None:
        """Write files, key -> content, in one commit."""
        from huggingface_hub import CommitOperationAdd

        added = [CommitOperationAdd(self._path(key), content) for key, content in files.items()]
        self._commit(added, f"{len(files)} files, the last one {list(files)[-1]}")

    def delete(self, key: str) -> None:
        """Remove an existing file in one commit."""
        from huggingface_hub import CommitOperationDelete

        self._commit([CommitOperationDelete(self._path(key))], f"without {key}")

    @property
    def _api(self) -> Any:
        from huggingface_hub import HfApi

        return HfApi(endpoint=self._filesystem.endpoint, token=self._filesystem.token)

    def _path(self, key: str) -> str:
        folder = self._filesystem.resolve_path(self._root).path_in_repo
        return f"{folder}/{key}" if folder else key

    def _commit(self, operations: list[Any], message: str) -> None:
        from huggingface_hub.errors import HfHubHTTPError

        place = self._filesystem.resolve_path(self._root)
        try:
            done = self._api.create_commit(
                place.repo_id,
                operations,
                repo_type=place.repo_type,
                revision=place.revision,
                commit_message=message,
                parent_commit=self._head,
            )
        except HfHubHTTPError as error:
            if error.response is not None and error.response.status_code == _PRECONDITION_FAILED:
                raise PipelineError(
                    f"Another run has written to {place.repo_id} meanwhile. "
                    "Wait for it, then run the same command again."
                ) from error
            raise
        if self._head is not None:
            self._head = done.oid
        self._filesystem.invalidate_cache()
