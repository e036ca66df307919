"""A repository of the Hugging Face Hub over HTTP on loopback: what its client needs to list, read and commit."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from werkzeug import Request, Response
from werkzeug.serving import make_server

from tests.pipeline.faulty_s3 import _Quiet

REPOSITORY = "datasets/someone/triplets"


class Hub:
    """One repository of small files.

    Args:
        repository: `datasets/` or `models/` with owner and name.

    Attributes:
        files: as of the last commit.
        commits: of each, the paths that were added and those that were deleted.
        unknown: requests that it has no answer to.
        disturbed_at: number of commits after which somebody else makes one; None for never.
    """

    def __init__(self, repository: str = REPOSITORY) -> None:
        self.repository = repository
        self.files: dict[str, bytes] = {".gitattributes": b""}
        self.commits: list[tuple[list[str], list[str]]] = []
        self.unknown: list[str] = []
        self.disturbed_at: int | None = None

    @Request.application
    def __call__(self, request: Request) -> Response:
        api = f"/api/{self.repository}"
        path = request.path
        if path.startswith(f"/{self.repository.removeprefix('models/')}/resolve/"):
            return self._file(request, path.partition("/resolve/")[2].partition("/")[2])
        if path.startswith(f"{api}/tree/"):
            folder = path.removeprefix(f"{api}/tree/").partition("/")[2].strip("/")
            return self._tree(folder, "recursive=true" in request.url.lower())
        if path == f"{api}/preupload/main":
            names = [file["path"] for file in request.get_json()["files"]]
            return _json({"files": [{"path": n, "uploadMode": "regular", "shouldIgnore": False} for n in names]})
        if path == f"{api}/commit/main":
            return self._commit(request.host_url, [json.loads(line) for line in request.get_data().splitlines()])
        name = self.repository.partition("/")[2]
        if path in (api, f"{api}/revision/main"):
            siblings = [{"rfilename": key} for key in self.files]
            return _json({"id": name, "sha": self.sha, "siblings": siblings, "tags": []})
        if path == "/api/repos/create":
            return _json({"url": f"{request.host_url}{name}", "name": name})
        if path == "/api/validate-yaml":  # the card's front matter
            return _json({"errors": [], "warnings": []})
        if path == "/api/agent-harnesses":
            return _json({})
        if path.startswith(("/api/datasets/someone/", "/datasets/someone/")):
            return _json({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        self.unknown.append(f"{request.method} {request.url}")
        return _json({"error": "not found"}, 404)

    @property
    def sha(self) -> str:
        return hashlib.sha1(str(len(self.commits)).encode()).hexdigest()

    def _file(self, request: Request, key: str) -> Response:
        if key not in self.files:
            return _json({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
        headers = {"ETag": f'"{hashlib.sha1(self.files[key]).hexdigest()}"', "X-Repo-Commit": self.sha}
        answer = Response(self.files[key], headers=headers)
        return answer.make_conditional(request, accept_ranges=True, complete_length=len(self.files[key]))

    def _tree(self, folder: str, is_recursive: bool) -> Response:
        prefix = f"{folder}/" if folder else ""
        below = [key for key in self.files if key.startswith(prefix)]
        if folder and not below:
            return _json({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
        folders = {
            prefix + "/".join(key.removeprefix(prefix).split("/")[:depth])
            for key in below
            for depth in range(1, key.removeprefix(prefix).count("/") + 1)
        }
        entries = [{"type": "file", "path": key, "size": len(self.files[key]), "oid": "0" * 40} for key in below]
        entries += [{"type": "directory", "path": key, "oid": "0" * 40} for key in sorted(folders)]
        return _json([e for e in entries if is_recursive or "/" not in str(e["path"]).removeprefix(prefix)])

    def _commit(self, host: str, lines: list[dict[str, object]]) -> Response:
        added, deleted = [], []
        for line in lines:
            value = line["value"]
            assert isinstance(value, dict)
            if line["key"] == "header" and value.get("parentCommit", self.sha) != self.sha:
                return _json({"error": "A commit has happened since. Please refresh and try again."}, 412)
            if line["key"] == "file":
                self.files[value["path"]] = base64.b64decode(value["content"])
                added.append(value["path"])
            elif line["key"] == "deletedFile":
                del self.files[value["path"]]
                deleted.append(value["path"])
        self.commits.append((added, deleted))
        sha = self.sha
        if len(self.commits) == self.disturbed_at:
            self.commits.append((["theirs"], []))
        return _json({"success": True, "commitOid": sha, "commitUrl": f"{host}{self.repository}/commit/{sha}"})


def _json(values: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps(values), status, headers, content_type="application/json")


@contextmanager
def hub_standin(repository: str = REPOSITORY) -> Iterator[tuple[Hub, str]]:
    """Serve a repository that is empty; yield it and the address for `HF_ENDPOINT`."""
    hub = Hub(repository)
    server = make_server("127.0.0.1", 0, hub, threaded=True, request_handler=_Quiet)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
