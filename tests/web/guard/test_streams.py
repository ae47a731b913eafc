"""Open streams: their limits, and their end when the credential or the server ends."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Literal
from unittest.mock import Mock

import pytest
import quart

from breakglass.access.credentials import Access, Credential
from breakglass.access.tokens import rotate_token
from breakglass.web.guard.streams import OpenResponse, OpenStreams
from breakglass.web.http.asgi import App, Message, Receive, Scope, Send
from tests.help.clock import Clock
from tests.help.guarded import SETTINGS, Client, Guarded, Pair, Response, receive_of, run, scope_of
from tests.help.waiting import wait_until_async


def streaming(closed: list[str]) -> App:
    """Return a Quart application: no task of Quart may outlive a stream."""
    app = quart.Quart("streaming")

    @app.get("/api/events")
    @app.get("/sessions/x/stream")
    async def events() -> quart.Response:
        async def lines() -> AsyncIterator[bytes]:
            try:
                yield b": hello\n\n"
                await asyncio.get_running_loop().create_future()
            finally:
                closed.append("closed")

        return quart.Response(lines(), content_type="text/event-stream")

    return app  # type: ignore[return-value]


KINDS: tuple[Literal["proxy"], Literal["token"]] = ("proxy", "token")


class Streams:
    """Several clients, each with an open stream."""

    def __init__(self, client: Client):
        self.client = client
        self.tasks: list[asyncio.Task[Response]] = []

    async def open(self, *pairs: Pair, peer: str = "127.0.0.1", path: str = "/api/events") -> Response:
        response = Response()
        scope = scope_of("GET", path, *pairs, peer=peer, query_string=b"")
        work = self.client.guard(scope, receive_of(()), response)
        self.tasks.append(asyncio.ensure_future(work))  # type: ignore[arg-type]
        await wait_until_async(lambda: bool(response.body), "the application")
        return response

    async def wait(self) -> None:
        await asyncio.gather(*self.tasks)


async def rotate(guarded: Guarded) -> None:
    rotate_token(guarded.root)


async def revoke(guarded: Guarded) -> None:
    for login in guarded.access.logins():
        Access(guarded.root).revoke(login.id)


@pytest.mark.parametrize(("kind", "end"), [("bearer", rotate), ("cookie", rotate), ("cookie", revoke)])
def test_a_stream_ends_soon_after_its_credential(
    guarded: Guarded, kind: str, end: Callable[[Guarded], Awaitable[None]]
) -> None:
    async def scenario() -> None:
        closed: list[str] = []
        streams = Streams(guarded.client(streaming(closed), recheck_seconds=0.01))
        response = await streams.open(guarded.bearer if kind == "bearer" else guarded.cookie())
        before = len(asyncio.all_tasks())
        await end(guarded)
        await streams.wait()
        assert (closed, response.is_complete) == (["closed"], True)
        assert len(asyncio.all_tasks()) < before, "a task of the application is still running"

    run(scenario())


def test_a_stream_of_a_proxy_user_ends_after_12_hours() -> None:
    """Only the proxy knows whether the user may still read. It is asked when the client attaches again."""
    clock, ended = Clock(), []

    class Recorded(OpenResponse):
        def end(self) -> None:
            ended.append(self)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def scenario() -> None:
        streams = OpenStreams(Mock(still_valid=lambda credential: True), SETTINGS, monotonic=clock)
        by_proxy, by_token = (
            Recorded(receive, Credential("ann", may_act=True, kind=kind, key=b"k")) for kind in KINDS
        )
        streams.add(by_proxy, "-")
        streams.add(by_token, "-")
        for hours, expected in ((11.99, []), (12, [by_proxy])):
            clock.now = 1_000_000.0 + hours * 3600
            streams.recheck()
            assert ended == expected

    run(scenario())


def test_the_application_sees_an_ended_stream_as_a_disconnect(guarded: Guarded) -> None:
    received: list[str] = []

    async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b".", "more_body": True})
        received.append((await receive())["type"])
        received.append((await receive())["type"])

    async def scenario() -> None:
        streams = Streams(guarded.client(waiting))
        response = await streams.open(guarded.bearer)
        streams.client.guard.end_streams()
        await streams.wait()
        assert (received, response.is_complete) == (["http.disconnect"] * 2, True)

    run(scenario())


def test_a_stream_goes_on_while_its_credential_is_valid(guarded: Guarded) -> None:
    async def scenario() -> None:
        closed: list[str] = []
        streams = Streams(guarded.client(streaming(closed), recheck_seconds=0.001))
        kept = await streams.open(guarded.bearer)
        ended = await streams.open(guarded.cookie())
        await revoke(guarded)
        await wait_until_async(lambda: ended.is_complete, "the application")
        assert not kept.is_complete
        streams.client.guard.end_streams()
        await streams.wait()
        assert kept.is_complete

    run(scenario())


@pytest.mark.parametrize("accept", [b"*/*", b"text/event-stream", b"text/html"])
@pytest.mark.parametrize("path", ["/api/events", "/sessions/x/stream"])
def test_the_response_decides_whether_it_is_a_stream(guarded: Guarded, path: str, accept: bytes) -> None:
    async def scenario() -> None:
        closed: list[str] = []
        streams = Streams(guarded.client(streaming(closed), recheck_seconds=0.01, max_streams_per_address=1))
        response = await streams.open(guarded.bearer, (b"accept", accept), path=path)
        refused = await streams.open(guarded.bearer, (b"accept", accept), path=path)
        assert (response.status, refused.status) == (200, 503)
        await rotate(guarded)
        await streams.wait()
        assert response.is_complete
        assert "closed" in closed

    run(scenario())


def test_streams_are_limited_per_address_and_in_total(guarded: Guarded) -> None:
    async def scenario() -> None:
        streams = Streams(guarded.client(streaming([]), max_streams=3, max_streams_per_address=2))
        tries = ["192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.3"]
        responses = [await streams.open(guarded.bearer, peer=peer) for peer in tries]
        assert [response.status for response in responses] == [200, 200, 503, 200, 503]
        assert responses[2][b"retry-after"] == b"5"
        other = await streams.client.request(scope_of("GET", "/health", query_string=b""))
        assert other.status == 404, "no stream, so no limit. This application has no such route"
        streams.client.guard.end_streams()
        await streams.wait()
        again = await streams.open(guarded.bearer, peer="192.0.2.3")
        assert again.status == 200
        streams.client.guard.end_streams()
        await streams.wait()

    run(scenario())
