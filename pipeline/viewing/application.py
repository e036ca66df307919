"""The web application of the viewer: the page, the list of samples, and pictures and flow of single samples."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from flowsim import FlowsimError
from pipeline.dataset.schema import USABLE
from pipeline.errors import PipelineError
from pipeline.redaction import redact
from pipeline.showing.preview import color_wheel_png
from pipeline.viewing.bounded_cache import BoundedCache
from pipeline.viewing.catalogue import Catalogue
from pipeline.viewing.facts import check_made, facts_of_dataset, facts_of_sample
from pipeline.viewing.measuring import Measurement
from pipeline.viewing.pictures import NoSuchPicture, RowPictures
from pipeline.viewing.protection import HOSTS, Protection

CACHE_BYTES = 64 << 20
READERS = 4
"""Number of samples that are read at the same time; requests beyond it wait, and end if the page gives them up."""
SECONDS_BETWEEN_LOOKS = 1.0
_GIVEN_UP, _NOT_FOUND, _FAILED = 499, 404, 500


def make_application(catalogue: Catalogue) -> Starlette:
    """Return the application that shows a dataset."""
    viewer = _Viewer(catalogue)
    routes = [
        Route("/", viewer.page),
        Route("/api/dataset", viewer.dataset),
        Route("/api/index", viewer.index),
        Route("/api/state", viewer.state),
        Route("/api/measure", viewer.measure, methods=["POST"]),
        Route("/api/sample/{row:int}", viewer.sample),
        Route("/thumbnail/{row:int}/{layer}", viewer.thumbnail),
        Route("/picture/{row:int}/{layer}", viewer.picture),
        Route("/flow/{row:int}", viewer.flow),
        Route("/wheel.png", viewer.wheel),
        Mount("/page", StaticFiles(packages=[("pipeline.viewing", "page")])),
    ]
    return Starlette(
        routes=routes,
        middleware=[
            Middleware(Protection),
            Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS, www_redirect=False),
        ],
        exception_handlers=dict.fromkeys((PipelineError, OSError, FlowsimError), _explain),
        lifespan=viewer.lifespan,
    )


class _Viewer:
    """Answers to the requests of the page."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.measurement = Measurement(catalogue)
        self.thumbnails = BoundedCache(CACHE_BYTES)
        self._looking = threading.Lock()
        self._looked = float("-inf")

    @asynccontextmanager
    async def lifespan(self, application: Starlette) -> AsyncIterator[None]:
        """Limit the readers while the application runs, and end the measurement after it."""
        self.readers = CapacityLimiter(READERS)
        try:
            yield
        finally:
            self.measurement.end()

    async def page(self, request: Request) -> Response:
        """Answer with the page."""
        return await StaticFiles(packages=[("pipeline.viewing", "page")]).get_response("index.html", request.scope)

    async def dataset(self, request: Request) -> Response:
        """Say what the dataset is."""
        return await self._plain(request, lambda: facts_of_dataset(self._look()))

    async def index(self, request: Request) -> Response:
        """List the rows."""
        return await self._plain(request, lambda: self._look().index())

    async def state(self, request: Request) -> Response:
        """Say how much is made and measured, with the measurements from number `first` on."""
        first = _number(request, "first")
        return await self._plain(request, lambda: self._state(first))

    async def measure(self, request: Request) -> Response:
        """Begin to measure all samples."""
        self.measurement.begin()
        return _json({})

    async def sample(self, request: Request) -> Response:
        """Describe one sample."""
        row = request.path_params["row"]
        return await self._plain(request, lambda: facts_of_sample(self.catalogue, row))

    async def thumbnail(self, request: Request) -> Response:
        """Answer with a small JPEG of a sample, unless the page has scrolled on."""
        row, layer = request.path_params["row"], request.path_params["layer"]
        key = self.catalogue.generation, row, layer
        return await self._read(
            request, "image/jpeg", lambda: self.thumbnails.get(key, lambda: self._pictures(row).thumbnail(layer))
        )

    async def picture(self, request: Request) -> Response:
        """Answer with a PNG of one kind of picture of a sample."""
        row, layer = request.path_params["row"], request.path_params["layer"]
        motion, step = _number(request, "motion"), _number(request, "step")
        return await self._read(request, "image/png", lambda: self._pictures(row).png(layer, motion, step))

    async def flow(self, request: Request) -> Response:
        """Answer with the stored flow of a step: rows of (u, v) in little-endian int16."""
        row, motion, step = request.path_params["row"], _number(request, "motion"), _number(request, "step")
        kind = "application/octet-stream"
        return await self._read(request, kind, lambda: self._pictures(row).flow_steps(motion, step).tobytes())

    async def wheel(self, request: Request) -> Response:
        """Answer with the colours of the directions of flow."""
        return await self._read(request, "image/png", color_wheel_png)

    def _look(self) -> Catalogue:
        """Return the catalogue as it is now, or was a moment ago."""
        with self._looking:
            if time.monotonic() - self._looked > SECONDS_BETWEEN_LOOKS:
                self.catalogue.refresh()
                self._looked = time.monotonic()
        return self.catalogue

    def _state(self, first: int) -> dict[str, Any]:
        catalogue = self._look()
        self.measurement.go_on()
        state = {"revision": catalogue.revision, **catalogue.counts(), "complete": catalogue.is_complete()}
        return state | self.measurement.since(first)

    def _pictures(self, row: int) -> RowPictures:
        catalogue = self.catalogue
        check_made(catalogue, row)
        if catalogue.states[row] != USABLE:
            raise NoSuchPicture(f"The photo of row {row} could not be used, so there is no picture of it.")
        return RowPictures(catalogue.store, catalogue.reader, row, catalogue.sizes[row])

    async def _plain(self, request: Request, make: Callable[[], Any]) -> Response:
        return _json(await to_thread.run_sync(make))

    async def _read(self, request: Request, kind: str, make: Callable[[], bytes]) -> Response:
        async with self.readers:
            if await request.is_disconnected():
                return Response(status_code=_GIVEN_UP)
            content = await to_thread.run_sync(make)
        return Response(content, media_type=kind)


def _json(values: Any, status: int = 200) -> Response:
    # ASCII alone, because ids may hold what UTF-8 cannot encode.
    return Response(json.dumps(values, allow_nan=False), status, media_type="application/json")


async def _explain(request: Request, error: Exception) -> Response:
    """Answer with the sentence of an error."""
    return _json({"error": redact(str(error))}, _NOT_FOUND if isinstance(error, NoSuchPicture) else _FAILED)


def _number(request: Request, name: str) -> int:
    """Return a whole number of the query; 0 if it is absent."""
    value = request.query_params.get(name, "0")
    if not (value.isascii() and value.isdecimal() and len(value) < 10):
        raise NoSuchPicture(f"{name} is {value[:20]!r}; expected a whole number from 0 on.")
    return int(value)
