"""The load: many readers in one process, cheap enough not to be what is measured.

One epoll over plain sockets, one buffer for all of them, and nothing kept of what was read but the last few
bytes. What a reader looks for is the mark in a log's last line, and stamps in live ones. Against nginx with a
static file it takes 2.5 GB/s on the machine of 2026-11-23: the kernel's two copies, and little besides.
"""

import http.client
import select
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import NamedTuple

from tests.bench import logs

BUFFER = 512 << 10
"""Between 128 KiB and 2 MiB made no difference on 2026-11-23; 64 KiB was slower by a third."""
TAIL = 512
"""Bytes kept of a stream: the mark may lie across two reads."""
PATIENCE = 300.0
"""Seconds after which a reader gives up: a server that takes longer has failed."""
PER_ADDRESS = 1000
"""Readers a source address. Servers may limit an address, and ports run out."""
KIND = b'"kind":"'


class Request(NamedTuple):
    """What a reader asks, and where."""

    port: int
    path: str
    headers: dict[str, str]

    def encode(self) -> bytes:
        """Return the request as it goes over the wire."""
        lines = [
            f"GET {self.path} HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            *map(": ".join, self.headers.items()),
        ]
        return "\r\n".join([*lines, "", ""]).encode()

    def connect(self, index: int = 0) -> socket.socket:
        """Return a socket on which it was asked; reader `index` comes from an address of its thousand."""
        source = (f"127.0.1.{1 + index // PER_ADDRESS}", 0)
        sock = socket.create_connection(("127.0.0.1", self.port), PATIENCE, source)
        sock.sendall(self.encode())
        return sock


class Taken(NamedTuple):
    """What a replay took."""

    seconds: float
    """From before the first connection to the mark at the last reader."""
    first: float
    """To the first byte at any reader."""
    size: int
    """Bytes read by all."""


class ServerFailed(Exception):
    """A server under test closed a stream early, or took longer than `PATIENCE`."""


def replay(request: Request, readers: int = 1) -> Taken:
    """Let `readers` read at once until each has seen the mark. Raises ServerFailed."""
    began = time.perf_counter()
    sockets = [request.connect(index) for index in range(readers)]
    try:
        size, first = _until_marked(sockets)
        return Taken(time.perf_counter() - began, first - began, size)
    finally:
        close(sockets)


def attach(request: Request, readers: int) -> list[socket.socket]:
    """Return `readers` sockets, each of which has seen the mark and stays open. Raises ServerFailed."""
    sockets: list[socket.socket] = []
    while len(sockets) < readers:  # a hundred at a time: no listen queue overflows, and no SYN is sent twice
        more = [request.connect(index) for index in range(len(sockets), min(readers, len(sockets) + 100))]
        _until_marked(more)
        sockets += more
    return sockets


def close(sockets: list[socket.socket]) -> None:
    """Close them all."""
    for sock in sockets:
        sock.close()


def _until_marked(sockets: list[socket.socket]) -> tuple[int, float]:
    """Return the bytes read by all until each had the mark, and when the first byte came."""
    view = memoryview(bytearray(BUFFER))
    waiting = {sock.fileno(): sock for sock in sockets}
    tails = dict.fromkeys(waiting, b"")
    size, first, deadline = 0, 0.0, time.perf_counter() + PATIENCE
    with select.epoll() as poll:
        for number, sock in waiting.items():
            sock.setblocking(False)
            poll.register(number, select.EPOLLIN)
        while waiting:
            ready = poll.poll(PATIENCE)
            first = first or time.perf_counter()
            if not ready or time.perf_counter() > deadline:
                raise ServerFailed(f"{len(waiting)} of {len(sockets)} readers saw no end")
            for number, _ in ready:
                if not (count := waiting[number].recv_into(view)):
                    raise ServerFailed(f"a stream was closed early, after {tails[number]!r}")
                size += count
                tail = bytes(view[max(0, count - TAIL) : count])
                tails[number] = tail if count >= TAIL else (tails[number] + tail)[-TAIL:]
                if logs.MARK in tails[number]:
                    poll.unregister(number)
                    del waiting[number]
    return size, first


def verify(request: Request, count: int) -> None:
    """Read a replay of `count` lines once, slowly, and raise ServerFailed unless just so many came."""
    connection = http.client.HTTPConnection("127.0.0.1", request.port, timeout=PATIENCE)
    try:
        connection.request("GET", request.path, headers=request.headers)
        response = connection.getresponse()
        found, tail = 0, b""
        while logs.MARK not in tail and (data := response.read1(BUFFER)):
            found += (tail[-len(KIND) + 1 :] + data).count(KIND)
            tail = (tail + data)[-TAIL:]
    finally:
        connection.close()
    if response.status != 200 or found != count:
        raise ServerFailed(f"{request.path}: expected {count} lines, got {found} (status {response.status})")


# --- live: in a process of its own, told what to do through a pipe ------------------------------


@dataclass
class _Followers:
    """Readers at the end of a log, and how late each stamped line reached them."""

    sockets: list[socket.socket]
    delays: list[int] = field(default_factory=list)
    """Nanoseconds from stamp to arrival."""
    reached: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._by_number = {sock.fileno(): sock for sock in self.sockets}
        self._buffer = bytearray(64 << 10)
        self._poll = select.epoll()
        for number, sock in self._by_number.items():
            sock.setblocking(False)
            self._poll.register(number, select.EPOLLIN)

    def take(self, seconds: float) -> None:
        """Read what is there, waiting for it so long at most."""
        for number, _ in self._poll.poll(seconds, 4096):
            count = self._by_number[number].recv_into(self._buffer)
            now = time.monotonic_ns()
            if not count:
                raise ServerFailed("a live stream was closed")
            for stamp in _stamps(self._buffer, count):
                self.delays.append(now - stamp)
                self.reached.add(number)


def _stamps(buffer: bytearray, count: int) -> Iterator[int]:
    at = buffer.find(logs.STAMP, 0, count)
    while 0 <= at <= count - len(logs.STAMP) - 20:
        at += len(logs.STAMP)
        yield int(buffer[at : at + 20])
        at = buffer.find(logs.STAMP, at, count)


def follow(pipe: Connection, request: Request, readers: int) -> None:
    """Attach `readers` and say so; then, until told to end, count what comes.

    Says `attached`, then `ready` when a stamped line has reached everybody. On `clear` forgets all delays and
    says `cleared`. On `report` returns (delays sorted, own CPU seconds), where the number that is expected
    comes with the word and is waited for. On `end`, or when the pipe breaks, it ends.
    """
    followers = _Followers(attach(request, readers))
    pipe.send("attached")
    said_ready = False
    while True:
        followers.take(0.02)
        if not said_ready and len(followers.reached) == readers:
            said_ready = True
            pipe.send("ready")
        if pipe.poll():
            word, number = pipe.recv()
            if word == "end":
                break
            if word == "clear":
                followers.delays.clear()
                pipe.send("cleared")
            else:
                _wait_for(followers, number)
                pipe.send((sorted(followers.delays), time.process_time()))
    close(followers.sockets)


def _wait_for(followers: _Followers, number: int) -> None:
    deadline = time.monotonic() + 20
    while len(followers.delays) < number and time.monotonic() < deadline:
        followers.take(0.1)
