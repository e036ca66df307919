"""Protection of the viewer from other web pages that the same browser shows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

HOSTS = ["127.0.0.1", "localhost"]
"""Names of this machine. A page can point a name of its own at this machine; its requests then name that host."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class Protection:
    """Refuses requests of other pages, and forbids this page to load anything from elsewhere.

    Browsers tell which page a request comes from in `Sec-Fetch-Site`. A link to the start page may come from anywhere.

    Args:
        app: the application that gets the other requests.
    """

    def __init__(self, app: Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]) -> None:
        self._application = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return

        async def send_protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        if refusal := _refusal(scope):
            await PlainTextResponse(refusal, 403)(scope, receive, send_protected)
        else:
            await self._application(scope, receive, send_protected)


def _refusal(scope: MutableMapping[str, Any]) -> str:
    """Return why a request is refused; empty if it is not."""
    if scope["path"] != "/" and Headers(scope=scope).get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return "Another page asks for this. Open the address that `pipeline view` printed."
    return ""
