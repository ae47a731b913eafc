"""A fake of the Anthropic Messages API on the loopback interface, for the real agents in live tests.

This is the HTTP side: streams of server-sent events, complete messages, token counts and probes. It also fails the
first N attempts of a request, and records all requests. fake_script.py decides the replies.
The APIs of other agents are answered too, by the same scripts (fake_backends.py).
Sources: docs.anthropic.com, "Messages", "Streaming Messages", "Errors" (2023-06-01).
"""

import json
import secrets
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple, Self

from tests.help import fake_backends
from tests.help.fake_script import (
    CUT,
    HOLD,
    Json,
    Part,
    Pause,
    error,
    message,
    reply,
    stream,
    tool_results,
    user_texts,
)
from tests.help.waiting import DEADLINE

KNOWN_MODELS = "claude-"
"""The start of every model name. Other models get 404, as from the real API."""

PING_SECONDS = 0.05
"""Seconds between two pings of a reply on hold. A client that disconnects is noticed within this time."""


def is_model(path: str) -> bool:
    """Return whether requests to `path` want a reply of the model."""
    return path in ("/v1/messages", fake_backends.RESPONSES) or bool(fake_backends.GEMINI.fullmatch(path))


class Request(NamedTuple):
    """One request, as it was received."""

    method: str
    path: str
    headers: dict[str, str]
    """The names are in lower case."""
    body: Json
    """In the form of the Messages API."""

    @property
    def texts(self) -> list[str]:
        """The prompts in it, oldest first."""
        return user_texts(self.body)

    @property
    def results(self) -> list[Json]:
        """The tool results in its newest message."""
        return tool_results(self.body)

    @property
    def is_turn(self) -> bool:
        """Whether it belongs to a turn: it offers tools. Requests for titles, quotas and token counts do not.

        After a turn Claude Code asks for a suggestion of the next prompt. That request offers tools too.
        """
        if not is_model(self.path) or not self.body.get("tools"):
            return False
        return not (self.texts and self.texts[-1].startswith("[SUGGESTION MODE"))


class FakeModel:
    """A server on a free port of 127.0.0.1, as a context manager. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._requests: list[Request] = []
        self._aborted = 0
        self._attempts: Counter[str] = Counter()
        self._released = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.model = self
        self.name = secrets.token_hex(3)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def requests(self) -> list[Request]:
        """All requests so far, in the order of arrival."""
        with self._changed:
            return list(self._requests)

    @property
    def turns(self) -> list[Request]:
        """The requests that belong to turns."""
        return [request for request in self.requests if request.is_turn]

    @property
    def aborted(self) -> int:
        """The number of replies whose client disconnected before the end."""
        with self._changed:
            return self._aborted

    def wait_for(self, condition: Callable[["FakeModel"], bool], seconds: float = DEADLINE) -> None:
        """Return as soon as `condition` is true. Raises AssertionError after `seconds`, which lists the requests."""
        with self._changed:  # the lock is reentrant: `condition` may read the properties
            if not self._changed.wait_for(lambda: condition(self), seconds):
                asked = [(request.method, request.path, request.texts) for request in self._requests]
                raise AssertionError(f"waited {seconds:g} s for the condition; requests: {asked}")

    def release(self) -> None:
        """Let every reply on hold continue, and every later `[[hold]]` too."""
        self._released.set()

    # --- for the request handlers ---

    def record(self, request: Request) -> int:
        """Add a request to the record and return its number, from 1."""
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()
            return len(self._requests)

    def record_abort(self) -> None:
        """Count a reply whose client disconnected before the end."""
        with self._changed:
            self._aborted += 1
            self._changed.notify_all()

    def takes_effect(self, part: Part, request: Request) -> bool:
        """Return whether a failure in the script happens at this attempt of the request, and count the attempt."""
        with self._changed:
            key = json.dumps([part.kind, request.texts])
            self._attempts[key] += 1
            return part.attempts < 0 or self._attempts[key] <= part.attempts

    def wait_released(self, seconds: float) -> bool:
        """Wait at most `seconds`. Return whether replies on hold may continue."""
        return self._released.wait(seconds)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    model: FakeModel

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that was killed between two requests. Anything else is a mistake in the fake."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_HEAD(self) -> None:
        self._record({})
        self._send_json(200, {})

    def do_GET(self) -> None:
        self._record({})
        self._send_json(200, {"data": [], "has_more": False})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"] or 0)) or b"{}")
        request, number = self._record(body)
        if request.path == "/v1/messages/count_tokens":
            self._send_json(200, {"input_tokens": 10})
        elif is_model(request.path) and request.path != "/v1/messages":
            self._answer_other_api(request, number)
        elif request.path != "/v1/messages":
            self._send_json(404, error("not_found_error", f"fake: no {request.path}"))
        elif not body.get("model", "").startswith(KNOWN_MODELS):
            self._send_json(404, error("not_found_error", f"model: {body.get('model')}"))
        else:
            self._answer(request, number)

    def _answer_other_api(self, request: Request, number: int) -> None:
        parts = reply(request.body) if request.is_turn else [Part("text", "a side request")]
        failure = next((part for part in parts if part.kind == "err"), None)
        if failure and self.server.model.takes_effect(failure, request):
            self._send_json(failure.status, fake_backends.error(request.path, failure.status, failure.text))
        elif request.path.endswith(":generateContent"):
            self._send_json(200, fake_backends.gemini_message([{"text": parts[0].text}], "STOP"))
        else:
            ident = f"{self.server.model.name}{number}"
            try:
                self._send_events(fake_backends.stream(request.path, parts, ident))
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True
                self.server.model.record_abort()

    def _answer(self, request: Request, number: int) -> None:
        parts = reply(request.body) if request.is_turn else [Part("text", "a side request")]
        failures = [
            p for p in parts if p.kind in ("err", "cut") and self.server.model.takes_effect(p, request)
        ]
        parts = [part for part in parts if part.kind not in ("err", "cut") or part in failures]
        if failures and failures[0].kind == "err":
            self._send_json(failures[0].status, error(failures[0].text, f"fake {failures[0].text}"))
            return
        parts = parts or [Part("text", "recovered")]
        ident = f"{self.server.model.name}{number}"  # unique: a resumed session may talk to a second fake
        try:
            if request.body.get("stream"):
                self._send_stream(parts, request.body["model"], ident)
            else:
                self._send_message(parts, request.body["model"], ident)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
            self.server.model.record_abort()

    def _send_message(self, parts: list[Part], model: str, ident: str) -> None:
        failure = next((part for part in parts if part.kind in ("cut", "sseerr")), None)
        if failure is None:
            self._send_json(200, message(parts, model, ident))
        elif failure.kind == "sseerr":
            self._send_json(529, error(failure.text, f"fake {failure.text}"))
        else:
            self.close_connection = True

    def _send_stream(self, parts: list[Part], model: str, ident: str) -> None:
        self._send_events(stream(parts, model, ident))

    def _send_events(self, events: Iterable[Any]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for event in events:
            if event is CUT:
                self.close_connection = True  # without the last chunk, so the client sees a broken body
                return
            if event is HOLD:
                self._hold()
            elif isinstance(event, Pause):
                self.server.model.wait_released(event.seconds)
            else:
                self._send_event(event)
        self.wfile.write(b"0\r\n\r\n")

    def _hold(self) -> None:
        while not self.server.model.wait_released(PING_SECONDS):
            self._send_event({"type": "ping"})

    def _send_event(self, event: Json) -> None:
        name = f"event: {event['type']}\n" if "type" in event else ""
        data = f"{name}data: {json.dumps(event)}\n\n".encode()
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))

    def _send_json(self, status: int, body: Json) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.send_header("request-id", "req_fake")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _record(self, body: Json) -> tuple[Request, int]:
        headers = {name.lower(): value for name, value in self.headers.items()}
        path = self.path.partition("?")[0]
        request = Request(self.command, path, headers, fake_backends.as_messages(path, body))
        return request, self.server.model.record(request)

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing. The requests are in the record."""
