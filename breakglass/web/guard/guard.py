"""The guard: ASGI middleware in front of the application. A refused request reaches no route.

How this works
--------------
Every request takes the same steps, and the first refusal ends it:

    request ─▶ rules.check ─▶ credential ─▶ rules.admit ─▶ whole body ─▶ application ─▶ GuardedResponse

* rules.py decides. It is pure: it sees a `Request`, which is a scope without body and query.
* This module acts: it reads the credential, counts wrong tokens, reads the body against a deadline, and writes
  the access log.
* responses.py adds the headers to every response, and sends refusals.
* streams.py counts open streams, and ends them when their credential ends.

The invariant: the application runs only after every rule has allowed the request and the whole body has arrived.
So no slow or oversized body reaches Quart, and an anonymous caller reaches public paths only.

Rules for editors:

1. A new check is a function and a row in rules.py, with a row in docs/security.md. It needs no change here.
2. Nothing bypasses `GuardedResponse`: every response, also a refusal, carries the security headers.
3. Compare a token first, and count it only if it is wrong. Guesses must never lock the user out.

Must not know Quart.
"""

import asyncio
import time
from collections.abc import Callable

from breakglass.access.credentials import Access, Credential, find_cookie
from breakglass.web.guard.cookies import cookie_name, cookies_named, set_cookie
from breakglass.web.guard.request import (
    CALLER,
    HEALTH,
    HOSTS,
    SAFE_METHODS,
    Caller,
    Refusal,
    Request,
    read_request,
)
from breakglass.web.guard.responses import GuardedResponse, refuse_websocket
from breakglass.web.guard.rules import admit, check, client_address, own_origin, proxy_user, refuse_size
from breakglass.web.guard.settings import GuardSettings
from breakglass.web.guard.streams import OpenResponse, OpenStreams, TooManyStreams
from breakglass.web.http.accesslog import Entry
from breakglass.web.http.asgi import App, Message, Receive, Scope, Send
from breakglass.web.http.clients import SHOW_CREDENTIAL, network_of


class Guard:
    """An ASGI application around another one. `log` gets one entry for each response."""

    def __init__(
        self,
        app: App,
        settings: GuardSettings,
        access: Access,
        *,
        log: Callable[[Entry], None] = lambda entry: None,
    ):
        self._app = app
        self._settings = settings
        self._access = access
        self._log = log
        self._streams = OpenStreams(access, settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._serve(scope, receive, send)
        elif scope["type"] == "websocket":
            peer = read_request(self._settings, {"method": "GET", **scope}).peer
            self._log(Entry(None, peer, "GET", scope["raw_path"], 403, 0))
            await refuse_websocket(scope, send)
        else:
            await self._app(scope, receive, send)

    def end_streams(self) -> None:
        """End every open stream now, as if its client had disconnected. For stopping the server."""
        self._streams.end_all()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        request = read_request(self._settings, scope)
        response = GuardedResponse(send, request, self._settings.drain_seconds)
        address, credential = client_address(self._settings, request), None
        try:
            refusal = check(self._settings, request)
            if refusal is None:
                credential = self._identify(request)
                has_wrong_token = credential is None and request.bearer is not None and request.path != HEALTH
                refusal = self._count_wrong_token(address) if has_wrong_token else None
                if credential is not None:
                    scope.get("state", {}).get(SHOW_CREDENTIAL, lambda: None)()
                refusal = refusal or admit(self._settings, request, credential)
            if refusal is not None:
                return await response.refuse(self._with_forgetting(request, credential, refusal), receive)
            if credential is not None and not request.is_public:
                await self._renew(request, credential, response)
            scope["root_path"] = self._settings.prefix + (f"{HOSTS}{request.host}" if request.host else "")
            scope[CALLER] = Caller(
                own_origin(self._settings, request).decode(), address, credential, request.host
            )
            await self._pass_on(scope, request, receive, response)
        except Exception:
            if not response.status:
                await response.refuse(
                    Refusal(500, "The server made a mistake. Its log has the details."), receive
                )
            raise
        finally:
            ms = (time.perf_counter() - began) * 1000
            by = credential.name if credential else None
            self._log(Entry(by, address, request.method, request.raw_path, response.status, ms))

    def _identify(self, request: Request) -> Credential | None:
        bearer = request.bearer
        credential = self._access.identify(bearer, self._cookies(request))
        if credential is None and bearer is None and (user := proxy_user(self._settings, request)):
            return self._access.credential_of_proxy_user(user.decode())
        return credential

    def _with_forgetting(self, request: Request, credential: Credential | None, refusal: Refusal) -> Refusal:
        """Let a browser whose login has ended drop its pages. Its storage has unsent prompts, and stays.

        Not with a redirect: WebKit then waits a minute for a navigation that a service worker handles. Our service
        worker drops its pages by itself.
        """
        has_ended = credential is None and refusal.status == 401 and self._cookies(request)
        if not has_ended:
            return refusal
        return refusal._replace(headers=(*refusal.headers, (b"clear-site-data", b'"cache"')))

    def _cookies(self, request: Request) -> list[bytes]:
        name = cookie_name(own_origin(self._settings, request).decode())
        return cookies_named(name, request.fields.get(b"cookie", b""))

    async def _renew(self, request: Request, credential: Credential, response: GuardedResponse) -> None:
        """Let a login in use last longer, and its cookie with it, if it would end for lack of use."""
        seconds = self._access.seconds_to_renew(credential)
        cookie = find_cookie(credential, self._cookies(request)) if seconds else None
        if cookie is not None:
            await asyncio.to_thread(self._access.renew, credential, seconds)
            origin = own_origin(self._settings, request).decode()
            response.cookie = set_cookie(origin, cookie.decode("latin-1"), seconds=seconds).encode()

    def _count_wrong_token(self, address: str) -> Refusal | None:
        """Count on every path. Otherwise the response of a public path would show whether a token is right."""
        seconds = self._access.throttle.count_wrong_token(network_of(address))
        if not seconds:
            return None
        return Refusal(429, "Too many wrong tokens.", ((b"retry-after", b"%d" % seconds),))

    async def _pass_on(
        self, scope: Scope, request: Request, receive: Receive, response: GuardedResponse
    ) -> None:
        body = await read_body(self._settings, request, receive)
        if isinstance(body, Refusal):
            await response.refuse(body, receive)
        elif body is not None and request.method in SAFE_METHODS:
            await self._pass_on_read(scope, _receive_again(body, receive), response)
        elif body is not None:
            await self._app(scope, _receive_again(body, receive), response)

    async def _pass_on_read(self, scope: Scope, receive: Receive, response: GuardedResponse) -> None:
        """Pass on a request that changes nothing. If its response is a stream, count it and check it again."""
        caller: Caller = scope[CALLER]
        open_response = OpenResponse(receive, caller.credential)
        response.on_stream = lambda: self._streams.add(open_response, caller.address)
        try:
            await self._app(scope, open_response.receive, response)
            if not response.has_length:  # with a length, the client can see that the rest is missing
                await response.finish()
        except TooManyStreams:
            busy = Refusal(503, "Too many streams are open.", ((b"retry-after", b"5"),))
            await response.refuse(busy, _receive_again(b"", receive))  # the application has read the body
        finally:
            self._streams.discard(open_response)


async def read_body(settings: GuardSettings, request: Request, receive: Receive) -> bytes | Refusal | None:
    """Return the whole body, a refusal of it, or None if the client disconnected."""
    parts, size = [], 0
    seconds = settings.upload_seconds if request.has_files else settings.body_seconds
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                if refusal := refuse_size(settings, request, size):
                    return refusal
                if not message.get("more_body"):
                    return b"".join(parts)
    except TimeoutError:
        return Refusal(408, f"The body was not complete after {seconds:.0f} s.")


def _receive_again(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives a body that was read already, then what follows."""
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return first.pop() if first else await receive()

    return next_message
