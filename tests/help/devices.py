"""Browsers that have logged in, as the server sees them."""

import json
from contextlib import closing
from typing import Any
from urllib.parse import urlencode

from tests.help.servers import TOKEN, Server


class Device:
    """A browser that has logged in."""

    def __init__(self, server: Server, token: str = TOKEN) -> None:
        self._server = server
        status, _, headers = self._send("POST", "/login", urlencode({"token": token}), "")
        assert status == 303
        self._cookie = headers["set-cookie"].partition(";")[0]

    def _send(self, method: str, path: str, body: str | None, cookie: str) -> tuple[int, Any, dict[str, str]]:
        kind = "application/json" if path.startswith("/api") else "application/x-www-form-urlencoded"
        headers = {"Cookie": cookie, "Content-Type": kind, "Origin": self._server.address}
        with closing(self._server.connection()) as connection:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            text = response.read()
            found = {name.lower(): value for name, value in response.getheaders()}
            return response.status, json.loads(text) if text[:1] == b"{" else text, found

    def push(self, method: str, body: Any = None) -> tuple[int, Any]:
        """Send a request to /api/push."""
        sent = None if method == "GET" else json.dumps(body or {})
        status, answer, _ = self._send(method, "/api/push", sent, self._cookie)
        return status, answer
