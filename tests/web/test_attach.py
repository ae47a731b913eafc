"""Attaching over HTTP, with a real server and real turns."""

import json
import os
import random
import signal
import socket
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from tests.help.logs import line
from tests.help.servers import TOKEN, Attached, Server, assert_is_the_log, serving
from tests.help.waiting import wait_until

AGENT = Path(__file__).parents[1] / "help" / "many_events.py"


def settings_with_many_events(tmp_path: Path) -> dict[str, str]:
    """Return settings with an agent that writes many events."""
    config = tmp_path / "breakglass.toml"
    config.write_text(f'[agents.many]\nprotocol = "claude"\ncommand = ["{sys.executable}", "{AGENT}"]\n')
    return {"BREAKGLASS_CONFIG": str(config), "BREAKGLASS_AGENT": "many"}


def check_clients_through_kills(tmp_path: Path, events: int, seconds: float, kills: int) -> None:
    """Kill the server at random moments of a turn. Fail unless every client received exactly the file."""
    chance = random.Random(kills)
    server = Server(tmp_path / "var", **settings_with_many_events(tmp_path))
    try:
        session = server.new_session()
        clients = [Attached(server, session) for _ in range(3)]
        turn = server.prompt(session, f"{events} {seconds}")
        for kill in range(kills):
            goal = int(events * (kill + chance.random()) / kills)
            wait_until(partial(clients[0].has, goal), f"event {goal}")
            server.kill()
            server.start()
        assert server.wait_for_end(session, 120) == "ok"
        last = server.state(session)["last_event_id"]
        assert last >= events + turn
        for client in clients:
            wait_until(partial(client.has, last), "the last event")
            client.disconnect()
            assert_is_the_log(client.received, server.log(session))
            assert client.attachments > 1
    finally:
        server.kill()


def test_clients_receive_exactly_the_file_though_the_server_is_killed(
    tmp_path: Path,
) -> None:
    check_clients_through_kills(tmp_path, events=2000, seconds=2, kills=3)


@pytest.mark.torture
def test_clients_receive_exactly_the_file_through_20_kills_and_20000_events(tmp_path: Path) -> None:
    check_clients_through_kills(tmp_path, events=20_000, seconds=20, kills=20)


def test_a_turn_goes_on_when_the_server_is_killed(tmp_path: Path) -> None:
    with serving(tmp_path / "var") as server:
        session = server.new_session()
        server.prompt(session, "echo before; read -t 1 < <(sleep 5); echo after")
        wait_until(lambda: b"before\\n" in server.log(session).read_bytes(), "the first output")
        server.kill()
        wait_until(
            lambda: b"turn_end" in server.log(session).read_bytes(), "the turn to end without a server"
        )
        server.start()
        assert server.state(session)["status"] == "ok"
        assert b'"output":"after' in server.log(session).read_bytes()


def test_sigterm_ends_the_server_within_5_s_with_clients_attached(tmp_path: Path) -> None:
    with serving(tmp_path / "var") as server:
        session = server.new_session()
        clients = [Attached(server, session) for _ in range(3)]
        for client in clients:
            wait_until(partial(client.signals.count, "caught-up"), "the replay")
        server.process.terminate()
        assert server.process.wait(5) == 0
        assert "Traceback" not in server.printed


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_stream_is_chunked_in_http_1_1_and_ends_by_closing_in_http_1_0(
    tmp_path: Path, version: str
) -> None:
    with serving(tmp_path / "var") as server:
        session = server.new_session()
        with socket.create_connection(("127.0.0.1", server.port), 10) as sock:
            asked = (
                f"GET /api/sessions/{session}/events HTTP/{version}",
                f"Host: 127.0.0.1:{server.port}",
                f"Authorization: Bearer {TOKEN}",
                "Accept: text/event-stream",
            )
            sock.sendall("\r\n".join([*asked, "", ""]).encode())
            got = b""
            while b"caught-up" not in got:
                got += sock.recv(65536)
            server.process.terminate()
            while more := sock.recv(65536):
                got += more
    head, _, body = got.partition(b"\r\n\r\n")
    if version == "1.1":
        assert b"transfer-encoding: chunked" in head.lower()
        assert body.endswith(b"\r\n0\r\n\r\n")
        body = unchunked(body)
    assert body.startswith(b'id: 1\ndata: {"id":1,')
    assert body.endswith(b'event: caught-up\ndata: {"id":1}\n\n')


def test_a_head_request_for_a_stream_ends_without_a_body(tmp_path: Path) -> None:
    with serving(tmp_path / "var") as server:
        path = f"/api/sessions/{server.new_session()}/events"
        for accept in ("text/event-stream", "*/*"):
            status, body, headers = server.ask("HEAD", path, headers={"Accept": accept})
            assert (status, body) == (200, b"")
            assert headers["content-type"].startswith(accept.replace("*/*", "application/x-ndjson"))


def test_a_head_request_for_a_log_does_not_read_it(tmp_path: Path) -> None:
    with serving(tmp_path / "var") as server:
        session = server.new_session()
        with server.log(session).open("ab") as log:
            log.writelines(line(number, "text", text="x" * 1000) for number in range(2, 20_000))
        path, size = f"/api/sessions/{session}/events", server.log(session).stat().st_size
        process = Path(f"/proc/{server.process.pid}")
        before = int((process / "io").read_text().split()[1])
        assert server.ask("HEAD", path)[2]["content-length"] == str(size)
        assert int((process / "io").read_text().split()[1]) - before < size / 4
        wait_until(lambda: not is_open(process, server.log(session)), "the log to be closed")


def is_open(process: Path, file: Path) -> bool:
    for each in (process / "fd").iterdir():
        with suppress(FileNotFoundError):  # it was closed in the meantime
            if os.readlink(each) == str(file):
                return True
    return False


def test_an_aborted_download_logs_no_error(tmp_path: Path) -> None:
    with serving(tmp_path / "var") as server:
        session = server.new_session()
        with server.log(session).open("ab") as log:
            log.write(b"x" * 99 + b"\n" * 1)
            for _ in range(64):
                log.write((b"y" * 1023 + b"\n") * 1024)
        for _ in range(3):
            connection = server.connection()
            headers = {"Authorization": f"Bearer {TOKEN}"}
            connection.request("GET", f"/api/sessions/{session}/events", headers=headers)
            assert connection.getresponse().read(1000)
            connection.sock.close()
            connection.close()
        assert server.stop() == 0
        assert "Error" not in server.printed


def unchunked(body: bytes) -> bytes:
    """Return the content of a chunked body (RFC 9112, section 7.1)."""
    found = b""
    while True:
        size, _, rest = body.partition(b"\r\n")
        if not int(size, 16):
            assert rest == b"\r\n"
            return found
        found += rest[: int(size, 16)]
        assert rest[int(size, 16) :].startswith(b"\r\n")
        body = rest[int(size, 16) + 2 :]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_every_worker_serves_the_same_sessions(tmp_path: Path, workers: str) -> None:
    with serving(tmp_path / "var", "--workers", workers) as server:
        session = server.new_session(title="one")
        clients = [Attached(server, session) for _ in range(8)]
        server.prompt(session, "seq 5")
        assert server.wait_for_end(session) == "ok"
        last = server.state(session)["last_event_id"]
        for client in clients:
            wait_until(partial(client.has, last), "the last event")
            client.disconnect()
            assert_is_the_log(client.received, server.log(session))
        assert server.stop() == 0


def test_a_lost_turn_is_ended_when_a_server_starts_and_while_a_client_is_attached(
    tmp_path: Path,
) -> None:
    with serving(tmp_path / "var") as server:
        sessions = [server.new_session() for _ in range(2)]
        for session in sessions:
            server.prompt(session, "echo begun; sleep 600")
            wait_until(partial(has_output, server, session), "the first output")
        server.kill()
        kill_runner(server, sessions[0])
        server.start()
        lost = b'"status":"lost"'
        wait_until(lambda: lost in server.log(sessions[0]).read_bytes(), "the lost turn to be ended", 5)
        client = Attached(server, sessions[1])
        wait_until(partial(client.signals.count, "caught-up"), "the replay")
        kill_runner(server, sessions[1])
        wait_until(
            lambda: any(lost in data for _, data in client.received),
            "the client to receive the end of the lost turn",
            10,
        )
        client.disconnect()


def has_output(server: Server, session: str) -> bool:
    return b'"output":"begun' in server.log(session).read_bytes()


def kill_runner(server: Server, session: str) -> None:
    runner = json.loads(server.log(session).with_name("turn.lock").read_text())
    os.kill(runner["pid"], signal.SIGKILL)


def test_workers_end_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    with serving(tmp_path / "var", "--workers", "2") as server:
        wait_until(lambda: server.ask("GET", "/health")[0] == 200, "the workers to serve")
        server.kill()
        wait_until(lambda: not is_listening(server), "the workers to end")


def is_listening(server: Server) -> bool:
    try:
        server.connection(1).connect()
    except OSError:
        return False
    return True
