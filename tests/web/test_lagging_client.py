"""A client that lags gets everything later, and keeps nothing from the others, which share one task."""

import socket
from functools import partial
from pathlib import Path

from tests.help.logs import line
from tests.help.servers import TOKEN, Attached, Server, assert_is_the_log, serving
from tests.help.waiting import wait_until
from tests.web.test_attach import unchunked

ROUNDS = 40
END = b"the last line"


def test_a_client_that_lags_gets_every_line_once_and_in_order_over_one_connection(tmp_path: Path) -> None:
    with serving(tmp_path / "var") as server:
        session = server.new_session()
        quick = Attached(server, session)
        with connect(server, session) as slow:
            wait_until(partial(quick.signals.count, "caught-up"), "the replay")
            number = 1
            for round_ in range(ROUNDS):  # far more than the sockets hold, so the server must keep a position
                size = (9, 50_000, 300_000)[round_ % 3]
                with server.log(session).open("ab", buffering=0) as log:
                    log.write(b"".join(line(number + i, "text", text="x" * size) for i in range(1, 4)))
                number += 3
                wait_until(partial(quick.has, number), f"line {number}")
            with server.log(session).open("ab", buffering=0) as log:
                log.write(line(number + 1, "text", text=END.decode()))
            wait_until(partial(quick.has, number + 1), "the last line")
            got = bytearray()
            while END not in got[-1000:]:
                got += slow.recv(1 << 20)
        quick.disconnect()
        assert_is_the_log(quick.received, server.log(session))
        body = unchunked(bytes(got.partition(b"\r\n\r\n")[2]) + b"0\r\n\r\n")
        frames = [each for each in body.split(b"\n\n") if each.startswith(b"id: ")]
        sent = [each.partition(b"\ndata: ")[2] for each in frames]
        assert [each.partition(b"\n")[0] for each in frames] == [b"id: %d" % i for i in range(1, number + 2)]
        assert b"\n".join(sent) + b"\n" == server.log(session).read_bytes()


def connect(server: Server, session: str) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(30)
    sock.connect(("127.0.0.1", server.port))
    head = (
        f"GET /api/sessions/{session}/events HTTP/1.1",
        f"Host: 127.0.0.1:{server.port}",
        f"Authorization: Bearer {TOKEN}",
        "Accept: text/event-stream",
    )
    sock.sendall("\r\n".join([*head, "", ""]).encode())
    return sock
