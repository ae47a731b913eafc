"""A machine that has no more of something: watches, descriptors, time that runs forwards."""

import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.help.servers import TOKEN, Attached, environment, serving
from tests.help.validator import Ack, validate
from tests.help.waiting import wait_until
from tests.torture.faults import confined, limited
from tests.torture.machine import descriptors

pytestmark = pytest.mark.torture

NO_WATCHES = ("unshare", "-Ur", "sh", "-c", 'echo 0 > /proc/sys/user/max_inotify_$0; exec "$@"')
"""Starts a program where the kernel grants no inotify instances, or no watches, and nobody else notices."""


@pytest.mark.parametrize("what", ["instances", "watches"])
def test_where_the_kernel_watches_nothing_streams_go_on_and_the_log_says_so(
    what: str, tmp_path: Path
) -> None:
    with confined(tmp_path / "var", *NO_WATCHES, what) as server:
        session = server.new_session()
        clients = [Attached(server, session) for _ in range(3)]
        for client in clients:
            wait_until(lambda client=client: client.has(1), "the replay")  # type: ignore[misc]
        script = "for i in 1 2 3; do echo $i; sleep 0.3; done"
        turn = server.prompt(session, script)
        assert server.ended(session) == "ok"
        validate(server.log(session), [Ack(turn, "user", script)], clients)
        assert server.printed.count("files cannot be watched") >= 1


def attach(port: int, session: str) -> tuple[socket.socket, bytes]:
    """Return a stream and the first bytes of its answer, b"" where there is none."""
    sock = socket.create_connection(("127.0.0.1", port), 10)
    sock.sendall(
        f"GET /api/sessions/{session}/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Accept: text/event-stream\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
    )
    try:
        return sock, sock.recv(12)
    except ConnectionResetError:
        return sock, b""


def test_a_server_of_64_descriptors_refuses_new_clients_and_keeps_the_old(tmp_path: Path) -> None:
    with confined(tmp_path / "var", *limited("-n 64")) as server, ExitStack() as stack:
        session = server.new_session()
        old = Attached(server, session)
        wait_until(lambda: old.has(1), "the replay")
        crowd = [attach(server.port, session) for _ in range(100)]
        for sock, _ in crowd:
            stack.enter_context(sock)
        answers = [answer for _, answer in crowd]
        served = answers.count(b"HTTP/1.1 200")
        assert 16 <= served < 64
        assert answers.count(b"HTTP/1.1 503") == len(crowd) - served
        full = descriptors(server.process.pid)
        for sock, _ in crowd[served // 2 :]:
            sock.close()
        wait_until(lambda: descriptors(server.process.pid) < full - served // 4, "room for others")
        wait_until(lambda: server.ask("GET", "/health")[0] == 200, "connections to be taken again")
        turn = server.prompt(session, "echo still here")
        assert server.ended(session) == "ok"
        kept = [sock for sock, _ in crowd[: served // 2]]
        for sock in kept:
            wait_until(lambda sock=sock: b"turn_end" in sock.recv(1 << 16), "news for an old client")  # type: ignore[misc]
            sock.close()
        print(f"64 descriptors: {served} streams served, {len(crowd) - served} refused with 503")
        validate(server.log(session), [Ack(turn, "user", "echo still here")], [old])
        wait_until(lambda: descriptors(server.process.pid) < 32, "their descriptors to be closed")
        assert "Traceback" not in server.printed


def faketime() -> str:
    """Return the path of the library that lies about the time, wherever it was installed."""
    script = "faketime now printenv LD_PRELOAD"
    printed = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    name = printed.strip().split(":")[-1]
    return name if os.path.isabs(name) else f"/usr/lib/x86_64-linux-gnu/faketime/{name}"


def test_a_clock_that_jumps_back_a_year_changes_no_id_no_order_and_no_timeout(tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0")
    lies = {
        "LD_PRELOAD": faketime(),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    config = tmp_path / "breakglass.toml"
    config.write_text(f"[agents.shell]\npass_env = {[*lies]}\n".replace("'", '"'))
    with serving(tmp_path / "var", BREAKGLASS_CONFIG=str(config), **lies) as server:
        session = server.new_session()
        client = Attached(server, session)
        turn = server.prompt(session, "date +%Y; until [ -e go ]; do sleep 0.05; done; date +%Y; echo over")
        wait_until(lambda: client.has(turn + 2), "the first words")
        clock.write_text("-366d")
        time.sleep(1.5)  # more than the runner's look at its log, and than any wait in milliseconds
        assert server.state(session)["turn_active"]
        (server.data / "workspaces" / session / "go").touch()
        assert server.ended(session) == "ok"
        again = server.prompt(session, "true")
        assert server.ended(session) == "ok"
        events = validate(server.log(session), [Ack(turn, "user"), Ack(again, "user")], [client])
        assert events[-1]["ts"] < events[1]["ts"]
        assert [event["duration_ms"] < 60_000 for event in events if event["kind"] == "turn_end"] == [
            True,
            True,
        ]
        listed = subprocess.run(
            [sys.executable, "-m", "breakglass", "ls"],
            env=environment(server.data),
            capture_output=True,
            text=True,
            check=True,
        )
        assert session[:8] in listed.stdout
