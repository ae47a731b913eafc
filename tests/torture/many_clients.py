"""Thousands of stream clients in one process, to load a server and to check what each client receives.

How this works: `StreamClient` is one client; it counts the lines it receives and their checksum. `ManyClients`
runs them all in one thread, with one epoll over plain sockets. A client whose connection breaks connects again
and asks for the lines after the last one that it received.
"""

import select
import socket
import threading
import time
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from tests.help.servers import TOKEN, Server
from tests.help.waiting import DEADLINE, wait_until

CLIENTS_PER_ADDRESS = 500
"""The server limits the connections of one source address."""
CONNECTS_AT_ONCE = 100
"""Clients that connect before the first answers are read. More could overflow a listen queue."""
SLOW_READ_SECONDS = 0.5
"""Time between two reads of a slow client."""
RETRY_SECONDS = 0.2
SILENT_SECONDS = 45.0
"""After this time without a byte a client connects again: more than two heartbeats of the server.

Stalled clients need this, because they get no event when the kernel closes their connection.
"""
BUFFER_BYTES = 256 << 10


class StreamClient:
    """One client. `read_size` is how many bytes it reads at a time: None for all there are, 0 for none (stalled)."""

    def __init__(self, session: str, address: str, read_size: int | None = None) -> None:
        self.session = session
        self.read_size = read_size
        self.last_id = 0
        self.checksum = 0
        """The CRC-32 of all lines received."""
        self.misnumbered = 0
        """Lines whose id was not the one after the line before."""
        self.last_byte_at = 0.0
        self.attached = 0
        """Connections answered with 200."""
        self.dropped = 0
        """Connections that broke."""
        self.sock: socket.socket | None = None
        self._address = address
        self._rest = b""
        self._raw = b""
        self._in_head = True

    def connect(self, port: int) -> socket.socket:
        """Connect and ask for the lines after the last one received."""
        sock = socket.socket()
        if self.read_size is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(DEADLINE)
        sock.bind((self._address, 0))
        sock.connect(("127.0.0.1", port))
        last = f"Last-Event-ID: {self.last_id}\r\n" if self.last_id else ""
        sock.sendall(
            f"GET /api/sessions/{self.session}/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{last}"
            f"Accept: text/event-stream\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
        )
        sock.setblocking(False)
        self.sock, self._rest, self._raw, self._in_head = sock, b"", b"", True
        self.last_byte_at = time.monotonic()
        return sock

    def read(self) -> bool:
        """Read once, as much as this client reads at a time. Return whether the connection is still open."""
        assert self.sock
        try:
            data = self.sock.recv(BUFFER_BYTES if self.read_size is None else self.read_size)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self.last_byte_at = time.monotonic()
        self._take(data)
        return bool(data)

    def _take(self, data: bytes) -> None:
        self._raw += data
        if self._in_head:
            head, found, body = self._raw.partition(b"\r\n\r\n")
            if not found:
                return
            self._in_head, self._raw = False, body
            self.attached += b" 200 " in head
        rest = self._rest + self._unchunked()
        *frames, self._rest = rest.split(b"\n\n")
        for frame in frames:
            if frame.startswith(b"id: "):
                number, _, line = frame[4:].partition(b"\ndata: ")
                self.misnumbered += int(number) != self.last_id + 1
                self.last_id, self.checksum = int(number), zlib.crc32(line + b"\n", self.checksum)

    def _unchunked(self) -> bytes:
        """Remove the complete chunks (RFC 9112, 7.1) from what was received, and return their content."""
        found, at = [], 0
        while (end := self._raw.find(b"\r\n", at)) >= 0:
            begin, size = end + 2, int(self._raw[at:end], 16)
            if len(self._raw) < begin + size + 2:
                break
            found.append(self._raw[begin : begin + size])
            at = begin + size + 2
        self._raw = self._raw[at:]
        return b"".join(found)


class ManyClients:
    """Clients that attach and stay attached while in the context. They run in a thread."""

    def __init__(self, server: Server, clients: Iterable[StreamClient]) -> None:
        self.clients = [*clients]
        self._server = server
        self._poll = select.epoll()
        self._by_descriptor: dict[int, StreamClient] = {}
        self._connect_at: dict[StreamClient, float] = dict.fromkeys(self.clients, 0.0)
        self._over = threading.Event()
        self._next_slow_read = 0.0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "ManyClients":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(DEADLINE)
        for client in self.clients:
            if client.sock:
                client.sock.close()
        self._poll.close()

    def wait_until_attached(self) -> None:
        """Return when every client that reads has been answered."""
        reading = [client for client in self.clients if client.read_size != 0]
        wait_until(lambda: all(client.attached for client in reading), "all clients to be attached")

    def catch_up(self, logs: dict[str, Path]) -> None:
        """Let every client read at full speed until it has the whole log, and fail unless it received exactly that.

        `logs` are the sessions' logs by session id.
        """
        for client in self.clients:
            client.read_size, client.last_byte_at = None, time.monotonic()
        for session, path in logs.items():
            data = path.read_bytes()
            lines, checksum = data.count(b"\n"), zlib.crc32(data)
            clients = [client for client in self.clients if client.session == session]
            _wait_for_lines(clients, lines)
            found = {(client.last_id, client.checksum, client.misnumbered) for client in clients}
            assert found == {(lines, checksum, 0)}

    def _run(self) -> None:
        while not self._over.is_set():
            self._connect()
            for descriptor, events in self._poll.poll(0.02, 4096):
                client = self._by_descriptor[descriptor]
                is_closed = bool(events & (select.EPOLLHUP | select.EPOLLERR))
                if not client.read() if client.read_size is None else is_closed:
                    self._drop(client)
            if time.monotonic() > self._next_slow_read:
                self._next_slow_read = time.monotonic() + SLOW_READ_SECONDS
                self._read_slow_and_reconnect_silent()

    def _read_slow_and_reconnect_silent(self) -> None:
        for client in self.clients:
            if client.sock and client.read_size is not None:
                if client.read_size and not client.read():
                    self._drop(client)
            elif client.sock and time.monotonic() - client.last_byte_at > SILENT_SECONDS:
                self._drop(client)
            elif client.sock:  # `catch_up` may have made a slow client read at full speed
                with suppress(OSError):
                    self._poll.modify(client.sock, select.EPOLLIN | select.EPOLLRDHUP)

    def _connect(self) -> None:
        now = time.monotonic()
        due = [client for client, at in self._connect_at.items() if at <= now][:CONNECTS_AT_ONCE]
        for client in due:
            try:
                sock = client.connect(self._server.port)
            except OSError:
                self._connect_at[client] = now + RETRY_SECONDS
                continue
            del self._connect_at[client]
            self._by_descriptor[sock.fileno()] = client
            self._poll.register(sock, select.EPOLLIN if client.read_size is None else 0)

    def _drop(self, client: StreamClient) -> None:
        assert client.sock
        self._poll.unregister(client.sock)
        del self._by_descriptor[client.sock.fileno()]
        client.sock.close()
        client.sock = None
        client.dropped += 1
        self._connect_at[client] = time.monotonic() + RETRY_SECONDS


def _wait_for_lines(clients: list[StreamClient], lines: int) -> None:
    wait_until(
        lambda: all(client.last_id >= lines for client in clients), f"all clients to have {lines} lines"
    )


def make_clients(
    sessions: list[str], per_session: int, *, slow: int = 0, stalled: int = 0
) -> list[StreamClient]:
    """Return `per_session` clients of each session. The first `stalled` of all are stalled, the next `slow` slow."""
    found = [
        StreamClient(session, f"127.0.1.{1 + (index * len(sessions) + at) // CLIENTS_PER_ADDRESS}")
        for index in range(per_session)
        for at, session in enumerate(sessions)
    ]
    for client in found[:stalled]:
        client.read_size = 0
    for client in found[stalled : stalled + slow]:
        client.read_size = 64
    return found
