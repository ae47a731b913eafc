"""Very many clients in one process: each checks what it gets, comes back when cut off, and is as slow as it is told.

One epoll over plain sockets.
"""

import os
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

PER_ADDRESS = 500
"""Clients a source address: the server limits each."""
AT_ONCE = 100
"""Clients that connect before the first answers are read: no listen queue overflows, and no SYN is sent twice."""
SLOW_SECONDS = 0.5
"""How often one reads that reads slowly."""
RETRY_SECONDS = 0.2
SILENT_SECONDS = 45.0
"""Two beats of the server and a little: a stalled client whose connection the kernel gave up is told nothing."""
BUFFER = 256 << 10


class Member:
    """One client. `takes` is how many bytes it reads at a time: None all there are, 0 nothing at all."""

    def __init__(self, session: str, address: str, takes: int | None = None) -> None:
        self.session = session
        self.takes = takes
        self.last = 0
        """The last id that came."""
        self.sum = 0
        """The checksum of the lines that came."""
        self.wrong = 0
        """Lines that came twice, too early or not at all."""
        self.heard = 0.0
        """When the last byte came."""
        self.attached = 0
        self.dropped = 0
        self.refused = 0
        self.sock: socket.socket | None = None
        self._address = address
        self._rest = b""
        self._raw = b""
        self._in_head = True

    def connect(self, port: int) -> socket.socket:
        """Ask for what follows the last line that came."""
        sock = socket.socket()
        if self.takes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(DEADLINE)
        sock.bind((self._address, 0))
        sock.connect(("127.0.0.1", port))
        last = f"Last-Event-ID: {self.last}\r\n" if self.last else ""
        sock.sendall(
            f"GET /api/sessions/{self.session}/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{last}"
            f"Accept: text/event-stream\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
        )
        sock.setblocking(False)
        self.sock, self._rest, self._raw, self._in_head = sock, b"", b"", True
        self.heard = time.monotonic()
        return sock

    def read(self) -> bool:
        """Take what this client takes, and return whether the connection still stands."""
        assert self.sock
        try:
            data = self.sock.recv(BUFFER if self.takes is None else self.takes)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self.heard = time.monotonic()
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
            self.refused += b" 200 " not in head
        rest = self._rest + self._unchunked()
        *frames, self._rest = rest.split(b"\n\n")
        for frame in frames:
            if frame.startswith(b"id: "):
                number, _, line = frame[4:].partition(b"\ndata: ")
                self.wrong += int(number) != self.last + 1
                self.last, self.sum = int(number), zlib.crc32(line + b"\n", self.sum)

    def _unchunked(self) -> bytes:
        """Take the whole chunks out of what came (RFC 9112, 7.1) and return what they say."""
        found, at = [], 0
        while (end := self._raw.find(b"\r\n", at)) >= 0:
            begin, size = end + 2, int(self._raw[at:end], 16)
            if len(self._raw) < begin + size + 2:
                break
            found.append(self._raw[begin : begin + size])
            at = begin + size + 2
        self._raw = self._raw[at:]
        return b"".join(found)


class Crowd:
    """Clients that attach and stay, in a thread of their own, while in the context."""

    def __init__(self, server: Server, members: Iterable[Member]) -> None:
        self.members = [*members]
        self._server = server
        self._poll = select.epoll()
        self._by_number: dict[int, Member] = {}
        self._waiting: dict[Member, float] = dict.fromkeys(self.members, 0.0)
        self._over = threading.Event()
        self._slow_at = 0.0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Crowd":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(DEADLINE)
        for member in self.members:
            if member.sock:
                member.sock.close()
        self._poll.close()

    def wait_until_attached(self) -> None:
        """Return when every client that reads has been answered."""
        reading = [member for member in self.members if member.takes != 0]
        wait_until(lambda: all(member.attached for member in reading), "everybody to be attached", 120)

    def catch_up(self, logs: dict[str, Path]) -> None:
        """Have everybody read again, wait until all have everything, and fail unless it is exactly the log."""
        for member in self.members:
            member.takes, member.heard = None, time.monotonic()
        for session, path in logs.items():
            data = path.read_bytes()
            lines, total = data.count(b"\n"), zlib.crc32(data)
            mine = [member for member in self.members if member.session == session]
            wait_until(
                lambda mine=mine, lines=lines: all(member.last >= lines for member in mine),  # type: ignore[misc]
                f"everybody to have {lines} lines",
                120,
            )
            assert {(member.last, member.sum, member.wrong) for member in mine} == {(lines, total, 0)}

    def _run(self) -> None:
        while not self._over.is_set():
            self._connect()
            for number, happened in self._poll.poll(0.02, 4096):
                member = self._by_number[number]
                is_cut = bool(happened & (select.EPOLLHUP | select.EPOLLERR))
                if not member.read() if member.takes is None else is_cut:
                    self._drop(member)
            if time.monotonic() > self._slow_at:
                self._slow_at = time.monotonic() + SLOW_SECONDS
                self._read_slowly()

    def _read_slowly(self) -> None:
        for member in self.members:
            if member.sock and member.takes is not None:
                if member.takes and not member.read():
                    self._drop(member)
            elif member.sock and time.monotonic() - member.heard > SILENT_SECONDS:
                self._drop(member)
            elif member.sock:  # it may have been woken from its stall
                with suppress(OSError):
                    self._poll.modify(member.sock, select.EPOLLIN | select.EPOLLRDHUP)

    def _connect(self) -> None:
        now = time.monotonic()
        due = [member for member, at in self._waiting.items() if at <= now][:AT_ONCE]
        for member in due:
            try:
                sock = member.connect(self._server.port)
            except OSError:
                self._waiting[member] = now + RETRY_SECONDS
                continue
            del self._waiting[member]
            self._by_number[sock.fileno()] = member
            self._poll.register(sock, select.EPOLLIN if member.takes is None else 0)

    def _drop(self, member: Member) -> None:
        assert member.sock
        self._poll.unregister(member.sock)
        del self._by_number[member.sock.fileno()]
        member.sock.close()
        member.sock = None
        member.dropped += 1
        self._waiting[member] = time.monotonic() + RETRY_SECONDS


def members(sessions: list[str], each: int, *, slow: int = 0, stalled: int = 0) -> list[Member]:
    """Return `each` clients a session; of all of them the first are stalled, and the next slow."""
    found = [
        Member(session, f"127.0.1.{1 + (index * len(sessions) + at) // PER_ADDRESS}")
        for index in range(each)
        for at, session in enumerate(sessions)
    ]
    for member in found[:stalled]:
        member.takes = 0
    for member in found[stalled : stalled + slow]:
        member.takes = 64
    return found


def load_seconds() -> float:
    """Return how long a load is to last: `BREAKGLASS_LOAD_SECONDS`, by default short."""
    return float(os.environ.get("BREAKGLASS_LOAD_SECONDS", "15"))
