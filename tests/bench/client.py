"""The load: many readers in one process. They are cheap, so the server and not the load is measured.

How this works: all readers share one epoll and one buffer, and keep only the last few bytes of what they read. They
look for the mark in the last line of a log, and for time stamps in live lines. A read then costs little more than
the kernel's copies.
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
"""A smaller buffer is slower, a larger one no faster."""
TAIL = 512
"""Bytes kept of a stream, because the mark may be split between two reads."""
DELIVERY_SECONDS = 120.0
"""Events that a follower has not received this long after the last append are missing."""
READER_SECONDS = 300.0
"""A server that takes longer than this has failed."""
PER_ADDRESS = 1000
"""Readers with the same source address: servers may limit an address, and its ports run out."""
KIND = b'"kind":"'


class Request(NamedTuple):
    """A request for a stream, and the port to send it to."""

    port: int
    path: str
    headers: dict[str, str]

    def encode(self) -> bytes:
        """Return the bytes to send."""
        lines = [
            f"GET {self.path} HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            *map(": ".join, self.headers.items()),
        ]
        return "\r\n".join([*lines, "", ""]).encode()

    def connect(self, index: int = 0) -> socket.socket:
        """Return a socket on which the request was sent. The reader's `index` decides its source address."""
        source = (f"127.0.1.{1 + index // PER_ADDRESS}", 0)
        sock = socket.create_connection(("127.0.0.1", self.port), READER_SECONDS, source)
        sock.sendall(self.encode())
        return sock


class ReplayCost(NamedTuple):
    """The cost of a replay."""

    seconds: float
    """From before the first connection until the last reader has the mark."""
    first: float
    """Until any reader has the first byte."""
    size: int
    """Bytes read by all readers."""


class ServerFailed(Exception):
    """A server under test answered wrongly, closed a stream early or was too slow."""


def replay(request: Request, readers: int = 1) -> ReplayCost:
    """Let `readers` clients read at the same time until each has the mark. Raises ServerFailed."""
    began = time.perf_counter()
    sockets = [request.connect(index) for index in range(readers)]
    try:
        size, first = _read_until_mark(sockets)
        return ReplayCost(time.perf_counter() - began, first - began, size)
    finally:
        close(sockets)


def attach(request: Request, readers: int) -> list[socket.socket]:
    """Return `readers` open sockets, each of which has received the mark. Raises ServerFailed."""
    sockets: list[socket.socket] = []
    while len(sockets) < readers:  # a hundred at a time, so that no listen queue overflows
        more = [request.connect(index) for index in range(len(sockets), min(readers, len(sockets) + 100))]
        _read_until_mark(more)
        sockets += more
    return sockets


def close(sockets: list[socket.socket]) -> None:
    """Close all sockets."""
    for sock in sockets:
        sock.close()


def _read_until_mark(sockets: list[socket.socket]) -> tuple[int, float]:
    """Read until each socket has the mark. Return the bytes read by all, and when the first byte came."""
    view = memoryview(bytearray(BUFFER))
    waiting = {sock.fileno(): sock for sock in sockets}
    tails = dict.fromkeys(waiting, b"")
    size, first, deadline = 0, 0.0, time.perf_counter() + READER_SECONDS
    with select.epoll() as poll:
        for number, sock in waiting.items():
            sock.setblocking(False)
            poll.register(number, select.EPOLLIN)
        while waiting:
            ready = poll.poll(READER_SECONDS)
            first = first or time.perf_counter()
            if not ready or time.perf_counter() > deadline:
                raise ServerFailed(f"{len(waiting)} of {len(sockets)} readers did not receive the mark")
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
    """Read a replay once and count its lines. Raises ServerFailed unless there are exactly `count`."""
    connection = http.client.HTTPConnection("127.0.0.1", request.port, timeout=READER_SECONDS)
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


# --- followers of live events, in a process of their own, which a pipe controls ------------------


@dataclass
class _Followers:
    """Readers at the end of a log, and the delay of each stamped line they received."""

    sockets: list[socket.socket]
    delays: list[int] = field(default_factory=list)
    """Nanoseconds from stamp to arrival."""
    reached: set[int] = field(default_factory=set)
    """The sockets that received a stamped line."""

    def __post_init__(self) -> None:
        self._by_number = {sock.fileno(): sock for sock in self.sockets}
        self._buffer = bytearray(64 << 10)
        self._poll = select.epoll()
        for number, sock in self._by_number.items():
            sock.setblocking(False)
            self._poll.register(number, select.EPOLLIN)

    def take(self, seconds: float) -> None:
        """Read what has arrived; wait for it at most that long. Raises ServerFailed if a stream ends."""
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
    """Attach `readers` clients and measure the delays of stamped lines, until told to end. Runs in its own process.

    Sends `attached`, then `ready` when every client has received a stamped line. Receives pairs of a command and
    a number. `clear` forgets all delays and sends `cleared`. `report` waits for that number of delays and sends
    (sorted delays, own CPU seconds). `end` ends the process.
    """
    followers = _Followers(attach(request, readers))
    pipe.send("attached")
    sent_ready = False
    while True:
        followers.take(0.02)
        if not sent_ready and len(followers.reached) == readers:
            sent_ready = True
            pipe.send("ready")
        if pipe.poll():
            command, number = pipe.recv()
            if command == "end":
                break
            if command == "clear":
                followers.delays.clear()
                pipe.send("cleared")
            else:
                _wait_for(followers, number)
                pipe.send((sorted(followers.delays), time.process_time()))
    close(followers.sockets)


def _wait_for(followers: _Followers, number: int) -> None:
    deadline = time.monotonic() + DELIVERY_SECONDS
    while len(followers.delays) < number and time.monotonic() < deadline:
        followers.take(0.1)
