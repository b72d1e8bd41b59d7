"""What stands between the network and the application: hosts, origins, the token, sizes of bodies, headers.

Each is plain ASGI, so that streams stay streams.
"""

import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, Counter

from layerfusion.serve.settings import LOOPBACK, Settings

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# What shows nothing of anyone: probes call by the machine's number, and the page itself asks for the token.
PROBES = ("/healthz", "/readyz")
WITH_TOKEN = ("/v1/", "/metrics", "/openapi.json")
# Nothing from outside, nothing in a frame, no address sent along.
HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
JSON_BYTES = 1 << 20
KINDS = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error"}
KINDS |= {429: "rate_limit_error", 500: "server_error", 503: "server_error"}


class TooLarge(Exception):
    """A body goes on beyond what is taken."""


def error_body(status: int, message: str, code: str | None = None, param: str | None = None) -> dict[str, Any]:
    """An error as every client reads it."""
    kind = KINDS.get(status, "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


class Guard:
    """Wraps the application.

    Args:
        app: What is guarded.
        settings: Of the service.
        registry: Where answers are counted.
    """

    def __init__(self, app: App, settings: Settings, registry: CollectorRegistry) -> None:
        self.app, self.settings = app, settings
        self.answers = Counter("layerfusion_http_answers", "Answers, by status.", ["status"], registry=registry)
        self.hosts = {*LOOPBACK, *(host.lower() for host in settings.hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.answers.labels(str(message["status"])).inc()
                own = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                given = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(pair for pair in own if pair[0] not in given)]
            await send(message)

        refusal = self._refusal(scope, headers)
        if refusal is not None:
            return await _answer(send_guarded, *refusal)
        most = self.settings.upload_bytes + JSON_BYTES if _takes_pictures(scope["path"]) else JSON_BYTES
        if int(headers.get("content-length", "0")) > most:
            return await _answer(send_guarded, 413, f"the body is larger than {most} bytes; send less.")
        started, taken = False, 0

        async def receive_counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > most:
                raise TooLarge
            return message

        async def send_noted(message: Message) -> None:
            nonlocal started
            started = True
            await send_guarded(message)

        try:
            await self.app(scope, receive_counted, send_noted)
        except TooLarge:
            if started:
                raise
            await _answer(send_guarded, 413, f"the body is larger than {most} bytes; send less.")

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        """Why a request is not let in, if it is not."""
        length = headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > 15:
            return 400, "the length of the body is no number."
        if scope["path"] in PROBES:
            return None
        # A page elsewhere may have its own name point to this machine: the browser then says that name.
        host = headers.get("host", "")
        if _name_of(host) not in self.hosts:
            return 403, "this server does not go by that name; add it with --allow-host."
        # Pages of other sites may send requests here, but their browser says from where.
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return 403, "requests from pages of other sites are not taken."
        if scope["path"].startswith(WITH_TOKEN) and not self._shows_token(headers):
            return 401, "the token is missing or wrong; send it as 'Authorization: Bearer …'."
        return None

    def _shows_token(self, headers: dict[str, str]) -> bool:
        if self.settings.token is None:
            return True
        kind, _, shown = headers.get("authorization", "").partition(" ")
        return kind.lower() == "bearer" and hmac.compare_digest(shown.strip().encode(), self.settings.token.encode())


def _name_of(host: str) -> str:
    """Without the port: [::1]:8000 → ::1"""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _takes_pictures(path: str) -> bool:
    return path in ("/v1/uploads", "/v1/images/edits")


async def _answer(send: Send, status: int, message: str) -> None:
    body = json.dumps(error_body(status, message)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if status == 413:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
