"""Services on the loopback interface that take notifications: a webhook, and one that speaks as ntfy does."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.help import loopback


class Service:
    """What a service received, and how it answers."""

    def __init__(self) -> None:
        self.status = 200
        self.taken: list[tuple[str, dict[str, Any]]] = []
        """The path and the decoded body of each request. apprise sends JSON to both kinds of services."""
        self.raw: list[bytes] = []
        self.hangs = threading.Event()
        """Set: requests are read and never answered, until the service stops."""
        self.port = 0
        self._stopped = threading.Event()

    @property
    def webhook(self) -> str:
        """Its address as a webhook. The last part is a secret."""
        return f"json://127.0.0.1:{self.port}/hook-5ecret"

    @property
    def ntfy(self) -> str:
        """Its address as an ntfy server."""
        return f"ntfy://127.0.0.1:{self.port}/topic-5ecret"

    @property
    def received(self) -> list[dict[str, Any]]:
        """The bodies."""
        return [body for _, body in self.taken]

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Receive a request and answer it."""
        body = request.rfile.read(int(request.headers["Content-Length"]))
        self.raw.append(body)
        if self.hangs.is_set():
            self._stopped.wait()
            return
        if self.status == 200:
            self.taken.append((request.path, json.loads(body)))
        request.send_response(self.status)
        request.send_header("Content-Length", "2")
        request.end_headers()
        request.wfile.write(b"{}")

    def stop(self) -> None:
        """End the requests that hang."""
        self._stopped.set()


@contextmanager
def serve() -> Iterator[Service]:
    """Run a service while in the context."""
    service = Service()
    with loopback.serve(service.answer) as service.port:
        try:
            yield service
        finally:
            service.stop()
