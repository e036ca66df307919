"""moto's S3 server over HTTP on loopback, behind a layer that fails now and then, as object stores do."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

ACCESS_KEY, SECRET_KEY, TOKEN = "AKIAIOSFODNN7FAKEKEY", "wJalrXUtnFEMIbPxRfiCYfakesecret", "fakesessiontoken123"
BUCKET = "bucket"
_ERROR = "<?xml version='1.0'?><Error><Code>{code}</Code><Message>injected</Message></Error>"


class Faults:
    """A WSGI layer; `share` of the requests fail in one of several ways, drawn from a seed."""

    def __init__(self, application: Any) -> None:
        self.application = application
        self.share = 0.0
        self.kinds = ("500", "503", "500 after it was done", "cut off", "slow", "no answer")
        self.injected: Counter[str] = Counter()
        self.silence_s = 2.5
        self._random = random.Random(0)
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        with self._lock:
            kind = self._random.choice(self.kinds) if self._random.random() < self.share else ""
            self.injected[kind] += 1
        if kind == "no answer":
            time.sleep(self.silence_s)
        elif kind == "slow":
            time.sleep(0.3)
        elif kind in ("500", "503"):
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            return _fail(start_response, kind)
        elif kind == "500 after it was done":
            b"".join(self.application(environ, lambda *_: None))
            return _fail(start_response, "500")
        elif kind == "cut off":
            return _cut_off(self.application(environ, start_response))
        answer: Iterable[bytes] = self.application(environ, start_response)
        return answer


def _fail(start_response: Any, status: str) -> list[bytes]:
    code, words = ("InternalError", "Internal Server Error") if status == "500" else ("SlowDown", "Slow Down")
    body = _ERROR.format(code=code).encode()
    start_response(f"{status} {words}", [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [body]


def _cut_off(answer: Iterable[bytes]) -> Iterator[bytes]:
    body = b"".join(answer)
    yield body[: len(body) // 2]
    if body:
        raise ConnectionAbortedError


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:
        pass


@contextmanager
def faulty_s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    """Serve one empty bucket, and point the environment at it as a user would."""
    import s3fs
    from moto.s3.models import s3_backends

    s3_backends.reset()
    faults = Faults(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, faults, threaded=True, request_handler=_Quiet)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr(s3fs.S3FileSystem, "read_timeout", 2)
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().mkdir(BUCKET)
    try:
        yield faults
    finally:
        faults.share = 0
        s3fs.S3FileSystem.clear_instance_cache()
        server.shutdown()
        server.server_close()
