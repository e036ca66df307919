"""The server of the viewer, on loopback alone."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable
from contextlib import closing, suppress
from importlib.util import find_spec

from pipeline.errors import PipelineError, installation_of

LOOPBACK = "127.0.0.1"
_SECONDS_FOR_LAST_ANSWERS = 2
_NEEDED = ("starlette", "uvicorn")


def view(dataset: str, photos: str | None, port: int, tell: Callable[[str], None]) -> None:
    """Show a dataset in the browser until the process is interrupted.

    Args:
        dataset: folder or URL of the dataset.
        photos: folder or URL of the photos of a dataset without images; None = what shows them is left out.
        port: port on loopback; 0 = any that is free.
        tell: called with the sentence that names the address, when it answers.

    Raises:
        PipelineError: there is no dataset, it cannot be read, the port is taken, or the web framework is not installed.
    """
    from pipeline.viewing.catalogue import Catalogue

    with closing(_listen(port)) as listener:
        catalogue = Catalogue(dataset, photos)
        _refuse_missing_framework()
        import uvicorn

        from pipeline.viewing.application import make_application

        settings = uvicorn.Config(
            make_application(catalogue),
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=_SECONDS_FOR_LAST_ANSWERS,
        )
        logging.getLogger("uvicorn.error").addFilter(_is_worth_saying)
        address = f"http://{LOOPBACK}:{listener.getsockname()[1]}/"
        tell(f"{catalogue.store.name}: look at it at {address} (end with Ctrl-C)")
        with suppress(KeyboardInterrupt):  # the way to end it
            uvicorn.Server(settings).run(sockets=[listener])


def _refuse_missing_framework() -> None:
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        raise PipelineError(
            f"`pipeline view` needs {' and '.join(missing)}, which this installation lacks. {installation_of('view')}"
        )


def _listen(port: int) -> socket.socket:
    """Return a socket that listens on loopback."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, port))
        listener.listen()
    except (OSError, OverflowError) as error:
        listener.close()
        is_taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        what = "is in use" if is_taken else f"cannot be used ({getattr(error, 'strerror', None) or error})"
        raise PipelineError(
            f"Port {port} of this machine {what}. Choose another one with --port, or --port 0 for any that is free."
        ) from None
    return listener


def _is_worth_saying(record: logging.LogRecord) -> bool:
    """Return whether a line of the server's log is more than the news that answers were broken off at the end."""
    return "timeout graceful shutdown exceeded" not in record.getMessage()
