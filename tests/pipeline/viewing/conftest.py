"""A running viewer and a real browser; tests that need the browser are skipped where no Chromium is installed."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright

from pipeline.viewing.application import make_application
from pipeline.viewing.catalogue import Catalogue

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENCE_MS = 60_000
"""Time for what a page shows in the end; machines that run tests are slow."""

Serve = Callable[[str | Path], str]
OpenPage = Callable[..., Page]


@contextmanager
def served(url: str) -> Iterator[str]:
    """Serve a dataset from a thread; yield the address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(
            uvicorn.Config(make_application(Catalogue(url)), log_config=None, timeout_graceful_shutdown=1)
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.02)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Return a function that serves a dataset until the end of the test."""
    with ExitStack() as stack:
        yield lambda url: stack.enter_context(served(str(url)))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start the system's Chromium."""
    if CHROMIUM is None:
        pytest.skip("needs chromium, which is not installed")
    os.environ.setdefault("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


class Watched:
    """What a page asked for and complained about."""

    def __init__(self) -> None:
        self.requested: list[str] = []
        self.given_up: list[str] = []
        self.complaints: list[str] = []


@pytest.fixture
def watched() -> Watched:
    """Return the record of the pages of a test."""
    return Watched()


@pytest.fixture
def open_page(browser: Browser, watched: Watched) -> Iterator[OpenPage]:
    """Return a function that opens an address; the page may ask for nothing elsewhere and complain about nothing."""
    contexts, origins = [], set()

    def open_page(address: str, width: int = 1400, height: int = 900, **options: Any) -> Page:
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        origins.add("/".join(address.split("/")[:3]) + "/")
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("request", lambda request: watched.requested.append(request.url))
        page.on("requestfailed", lambda request: watched.given_up.append(request.url))
        page.on("console", lambda message: watched.complaints.append(message.text))
        page.on("pageerror", lambda error: watched.complaints.append(str(error)))
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert watched.complaints == []
    assert [url for url in watched.requested if not url.startswith((*origins, "blob:"))] == []
