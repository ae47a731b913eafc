"""A push service on the loopback interface. It has the keys of a browser, so it can decrypt what it received."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple

import http_ece
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.help import loopback

AUTH = b"sixteen bytes ok"


class Pushed(NamedTuple):
    """A request that the push service received."""

    path: str
    headers: dict[str, str]
    """By lower-case name."""
    body: bytes


class PushService:
    """The requests that a push service received, and how it answers."""

    def __init__(self) -> None:
        self.status = 201
        self.location = ""
        self.received: list[Pushed] = []
        self.hangs = threading.Event()
        """Set: requests are read and never answered, until the service stops."""
        self.port = 0
        self._stopped = threading.Event()
        self._key = ec.generate_private_key(ec.SECP256R1())

    @property
    def origin(self) -> str:
        """Its origin, for the setting push_services."""
        return f"http://127.0.0.1:{self.port}"

    def subscription(self, name: str = "device-5ecret") -> dict[str, Any]:
        """Return what a browser's `PushSubscription.toJSON()` returns."""
        public = self._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        keys = {"p256dh": encode(public), "auth": encode(AUTH)}
        return {"endpoint": f"{self.origin}/push/{name}", "expirationTime": None, "keys": keys}

    def decrypted(self, index: int = -1) -> dict[str, Any]:
        """Return the payload of a request, as the service worker gets it."""
        body = self.received[index].body
        plain = http_ece.decrypt(body, private_key=self._key, auth_secret=AUTH, version="aes128gcm")
        found: dict[str, Any] = json.loads(plain)
        return found

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Receive a request and answer it."""
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.received.append(Pushed(request.path, headers, body))
        if self.hangs.is_set():
            self._stopped.wait()
            return
        request.send_response(self.status)
        if self.location:
            request.send_header("Location", self.location)
        request.send_header("Content-Length", "0")
        request.end_headers()

    def stop(self) -> None:
        """End the requests that hang."""
        self._stopped.set()


def encode(data: bytes) -> str:
    """Return bytes in base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@contextmanager
def serve() -> Iterator[PushService]:
    """Run a push service while in the context."""
    service = PushService()
    with loopback.serve(service.answer) as service.port:
        try:
            yield service
        finally:
            service.stop()
