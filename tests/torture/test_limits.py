"""A machine that runs out of file watches or descriptors, and one whose clock jumps back."""

import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.help import warm
from tests.help.servers import TOKEN, Attached, RealServer, environment, killed_later
from tests.help.validator import Ack, validate
from tests.help.waiting import DEADLINE, wait_until
from tests.torture.faults import serving_under, ulimit_prefix
from tests.torture.measure import open_descriptors

pytestmark = pytest.mark.torture

NO_WATCHES = ("unshare", "-Ur", "sh", "-c", 'echo 0 > /proc/sys/user/max_inotify_$0; exec "$@"')
"""Starts a program in a user namespace in which the kernel grants no inotify instances, or no watches."""


def receives(sock: socket.socket, wanted: bytes) -> bool:
    """Return whether the next bytes of the socket contain this."""
    return wanted in sock.recv(1 << 16)


@pytest.mark.parametrize("resource", ["instances", "watches"])
def test_without_inotify_streams_still_deliver_events_and_the_server_prints_a_warning(
    resource: str, tmp_path: Path
) -> None:
    with serving_under(tmp_path / "var", *NO_WATCHES, resource) as server:
        session = server.new_session()
        clients = [Attached(server, session) for _ in range(3)]
        for client in clients:
            wait_until(partial(client.has, 1), "the replay")
        script = "for i in 1 2 3; do echo $i; sleep 0.3; done"
        turn = server.prompt(session, script)
        assert server.wait_for_end(session) == "ok"
        validate(server.log(session), [Ack(turn, "user", script)], clients)
        assert server.printed.count("files cannot be watched") >= 1


def attach(port: int, session: str) -> tuple[socket.socket, bytes]:
    """Return a stream and the first bytes of the answer; b"" if the connection was reset."""
    sock = socket.create_connection(("127.0.0.1", port), DEADLINE)
    sock.sendall(
        f"GET /api/sessions/{session}/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Accept: text/event-stream\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
    )
    try:
        return sock, sock.recv(12)
    except ConnectionResetError:
        return sock, b""


def test_a_server_with_64_descriptors_refuses_new_clients_and_keeps_the_old(tmp_path: Path) -> None:
    with serving_under(tmp_path / "var", *ulimit_prefix("-n 64")) as server, ExitStack() as stack:
        pid = server.process.pid
        session = server.new_session()
        old = Attached(server, session)
        wait_until(lambda: old.has(1), "the replay")
        streams = [attach(server.port, session) for _ in range(100)]
        for sock, _ in streams:
            stack.enter_context(sock)
        answers = [answer for _, answer in streams]
        served = answers.count(b"HTTP/1.1 200")
        assert 16 <= served < 64
        assert answers.count(b"HTTP/1.1 503") == len(streams) - served
        full = open_descriptors(pid)
        for sock, _ in streams[served // 2 :]:
            sock.close()
        wait_until(lambda: open_descriptors(pid) < full - served // 4, "free descriptors")
        wait_until(lambda: server.ask("GET", "/health")[0] == 200, "connections to be accepted again")
        turn = server.prompt(session, "echo still here")
        assert server.wait_for_end(session) == "ok"
        kept = [sock for sock, _ in streams[: served // 2]]
        for sock in kept:
            wait_until(partial(receives, sock, b"turn_end"), "live events at an old client")
            sock.close()
        print(f"64 descriptors: {served} streams served, {len(streams) - served} refused with 503")
        validate(server.log(session), [Ack(turn, "user", "echo still here")], [old])
        wait_until(lambda: open_descriptors(pid) < 32, "the connections to be closed")
        assert "Traceback" not in server.printed


def faketime_library() -> str:
    """Return the path of faketime's library, which changes the time that a program sees."""
    script = "faketime now printenv LD_PRELOAD"
    printed = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    name = printed.strip().split(":")[-1]
    return name if os.path.isabs(name) else f"/usr/lib/x86_64-linux-gnu/faketime/{name}"


class FakedServer(RealServer):
    """A server whose clock is faked, and that of everything that it starts."""

    def _process(self, output: int) -> warm.Process:
        return subprocess.Popen(
            [sys.executable, Path(__file__).with_name("faked_clock.py"), "serve"],
            env={**self._env, "BREAKGLASS_PORT": str(self.port)},
            stdout=output,
            stderr=output,
            cwd=self.data.parent,
        )


def test_a_clock_that_jumps_back_a_year_changes_no_id_no_order_and_no_timeout(tmp_path: Path) -> None:
    offset = tmp_path / "offset"
    offset.write_text("+0")
    faketime = {
        "LD_PRELOAD": faketime_library(),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with killed_later(FakedServer(tmp_path / "var", **faketime)) as server:
        session = server.new_session()
        client = Attached(server, session)
        turn = server.prompt(session, "date +%Y; until [ -e go ]; do sleep 0.05; done; date +%Y; echo over")
        wait_until(lambda: client.has(turn + 2), "the first output")
        offset.write_text("-366d")
        time.sleep(1.5)  # longer than a runner waits between two checks of its log
        assert server.state(session)["turn_active"]
        (server.data / "workspaces" / session / "go").touch()
        assert server.wait_for_end(session) == "ok"
        again = server.prompt(session, "true")
        assert server.wait_for_end(session) == "ok"
        events = validate(server.log(session), [Ack(turn, "user"), Ack(again, "user")], [client])
        prompt, *_, end = [event for event in events if event.get("turn") == turn]
        assert end["ts"] < prompt["ts"]  # the clock of the runner jumped
        assert events[-1]["ts"] < prompt["ts"]
        ends = [event for event in events if event["kind"] == "turn_end"]
        assert len(ends) == 2
        assert all(event["duration_ms"] < DEADLINE * 1000 for event in ends)
        listed = subprocess.run(
            [sys.executable, "-m", "breakglass", "ls"],
            env=environment(server.data),
            capture_output=True,
            text=True,
            check=True,
        )
        assert session[:8] in listed.stdout
