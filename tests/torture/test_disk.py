"""A disk that is full, fails or loses power: what was acknowledged stays, and what cannot be recorded is not done."""

import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from breakglass import verify
from breakglass.store import log as logs
from breakglass.turns import processes
from tests.help.servers import Attached, Server, serving, wait_until
from tests.help.validator import Ack, validate
from tests.torture.faults import Disk, clear, confined, do, limited, send, small_disk, traced

pytestmark = pytest.mark.torture

FLOOD = "echo $$; exec 2>/dev/null; while true; do head -c 9000 /dev/zero | tr '\\0' x; sleep 0.01; done"
FSTAT = "?fstat,?newfstatat"
"""The same call; which of them there is depends on the processor."""
SAYS = "for i in 1 2 3 4; do echo $i; sleep 0.12; done"


def refused(server: Server, session: str, prompt: str) -> int:
    """Return the status of a prompt that is to be refused."""
    status, _, _ = server.ask("POST", f"/api/sessions/{session}/turns", {"prompt": prompt})
    return status


def fills(server: Server, session: str) -> None:
    """Fill a session's room from the inside, and see all the promises kept and everything readable."""
    client = Attached(server, session)
    turn = server.prompt(session, FLOOD)
    wait_until(lambda: not server.state(session)["turn_active"], "the turn to be ended")
    assert server.state(session)["status"] == "error"
    events = validate(server.log(session), [Ack(turn, "user", FLOOD)])
    assert [event["kind"] for event in events[-2:]] == ["error", "turn_end"]
    assert "notice" not in [event["kind"] for event in events], "it left nothing running: it was stopped"
    while refused(server, session, "true " + "x" * 8_000) == 202:
        server.ended(session)
    assert refused(server, session, "true " + "x" * 8_000) == 507
    assert server.ask("GET", "/api/sessions")[0] == 200
    validate(server.log(session), [Ack(turn, "user", FLOOD)], [client])


def test_a_full_disk_ends_the_turn_refuses_prompts_and_lets_everybody_read(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "512k") as disk, serving(disk / "var") as server:
        session = server.new_session()
        fills(server, session)
        do("mount", "-o", "remount,size=4m", disk)
        server.prompt(session, "echo room again")
        assert server.ended(session) == "ok"
        validate(server.log(session))


def test_a_limit_on_the_size_of_files_is_as_a_full_disk(tmp_path: Path) -> None:
    with confined(tmp_path / "var", *limited("-f 128")) as server:
        fills(server, server.new_session())


INJECTED = {
    "write:error=EIO:when=4": ("error", True),
    "write:error=ENOSPC:when=4": ("error", False),
    "write:error=ENOSPC:when=4+": ("lost", False),
    "write:error=EINTR:when=4..9": ("ok", False),
    "fdatasync:error=EIO:when=2": ("error", True),
    "fdatasync:error=EIO:when=2+": ("error", True),
    "flock:error=EINTR:when=3": ("ok", False),
    "flock:error=ENOLCK:when=3": ("error", False),
    "pread64:error=EIO:when=3": ("error", False),
}
"""A system call of the runner's that fails, to how its turn ends and whether the session is degraded then."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serving(tmp_path / "var") as started:
        yield started


@pytest.mark.parametrize("fault", INJECTED)
def test_a_system_call_of_a_running_turn_that_fails(fault: str, server: Server) -> None:
    status, degraded = INJECTED[fault]
    session = server.new_session()
    client = Attached(server, session)
    done = send(server.data, session, SAYS, runner=traced(server.log(session), fault))
    assert done.returncode == 0, done.stderr
    server.ended(session)
    events = validate(server.log(session), acks_of(done.stdout), [client])
    assert events[-1]["status"] == status
    assert logs.is_degraded(str(server.log(session).parent)) == degraded
    assert server.state(session)["status"] == ("degraded" if degraded else status)
    assert refused(server, session, "true") == (507 if degraded else 202)


def acks_of(printed: str) -> list[Ack]:
    """Return the prompt that `send` says it began, if it came to say so."""
    return [Ack(int(turn), "user", SAYS) for turn in re.findall(r"^\S+ ([0-9]+)$", printed, re.MULTILINE)]


@pytest.mark.parametrize("call", ["write", "fdatasync", "flock", FSTAT, "pread64"])
def test_whoever_dies_at_a_system_call_of_a_turn_leaves_every_promise_kept(call: str, server: Server) -> None:
    """The n-th such call on the log kills: first whoever prompts, then the runner, at each of its appends."""
    session = server.new_session()
    client = Attached(server, session)
    acks = [Ack(1, "created")]
    for number in range(1, 13):
        strace = traced(server.log(session), f"{call}:signal=SIGKILL:when={number}")
        for before, runner in ((strace, []), ([], strace)):
            done = send(server.data, session, SAYS, *before, runner=runner)
            acks += acks_of(done.stdout)
            server.ended(session)
            validate(server.log(session), acks)
    events = validate(server.log(session), acks, [client])
    assert "lost" in [event.get("status") for event in events]


# --- one writer, killed at each call of an append, a repair among them -----------------------------

WRITER = """
import sys
from breakglass.store import log
with log.open_log(sys.argv[1]) as mine:
    mine.reserve_space()
    for text in "abcd":
        print(mine.append("renamed", title=text, by="ann"), text, flush=True)
        print(mine.append("archived", archived=True, by="ann"), flush=True)
    mine.sync()
print("done")
"""


@pytest.mark.parametrize(
    "call", ["write", "pwrite64", "fcntl", FSTAT, "flock", "fallocate", "fsync", "fdatasync", "openat"]
)
def test_a_writer_killed_at_each_system_call_of_an_append_loses_nothing(call: str, tmp_path: Path) -> None:
    printed, number = "", 0
    while "done" not in printed:
        number += 1
        directory = tmp_path / str(number)
        directory.mkdir()
        with logs.create(str(directory)) as made:
            made.append("created", schema=1, agent="a", model=None, title="", by="ann", host="box")
        path = directory / logs.NAME
        aside = directory / f"{logs.NAME}.torn-{path.stat().st_size}"
        with path.open("ab") as file:
            file.write(b'{"id":2,"ki')
        command = traced(path, f"{call}:signal=SIGKILL:when={number}", also=aside)
        printed = subprocess.run(
            [*command, sys.executable, "-c", WRITER, str(directory)],
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        acks = [Ack(int(line), "") for line in re.findall(r"^([0-9]+)", printed, re.MULTILINE)]
        with logs.open_log(str(directory)) as after:
            after.append("renamed", title="after", by="ann")
        events = validate(path)
        assert all(ack.line < len(events) for ack in acks)
    assert number > 1


# --- power ----------------------------------------------------------------------------------------


def test_power_loss_keeps_what_was_acknowledged_and_clients_that_knew_more_start_afresh(
    tmp_path: Path,
) -> None:
    chance, disk = random.Random(5), Disk(tmp_path)
    resets = sum(lose_power(disk, chance.random() * 0.4) for _ in range(5))
    disk.unmount()
    assert resets


def lose_power(disk: Disk, seconds: float) -> bool:
    """Lose it so long into a turn's output, come back, and return whether the client was told to start afresh."""
    server = Server(disk.place / "var")
    session = server.new_session()
    client = Attached(server, session)
    prompt = "for i in $(seq 1000); do echo $i; sleep 0.005; done"
    acks = [Ack(1, "created"), Ack(server.prompt(session, prompt), "user", prompt)]
    wait_until(lambda: client.has(5), "some output")
    time.sleep(seconds)
    disk.cut()
    server.kill()
    clear(session)
    known, attachments = client.received[-1][0], client.attachments
    disk.unmount()
    disk.restore()
    held = server.log(session).read_bytes().count(b"\n")
    server.start()
    assert server.ended(session) == "lost"
    wait_until(lambda: client.attachments > attachments, "the client to be back")
    # Who knew no more lines than the lost turn's end adds has others under their numbers, and a number tells nobody.
    fooled = held < known <= server.state(session)["last_event_id"] and "reset" not in client.marks
    acks.append(Ack(server.prompt(session, "echo back"), "user", "echo back"))
    assert server.ended(session) == "ok"
    validate(server.log(session), acks, [] if fooled else [client])
    client.leave()
    server.kill()
    told = client.marks.count("reset")
    print(f"power loss: the client knew {known} lines, {held} were on disk, {told} resets")
    assert fooled or known <= held or told
    return bool(told)


def test_a_data_root_that_becomes_read_only_with_a_lost_turn_in_it_is_still_read(tmp_path: Path) -> None:
    with serving(tmp_path / "var") as server:
        place, session = tmp_path / "var", server.new_session()
        do("mount", "--bind", place, place)
        try:
            server.prompt(session, "echo up; sleep 1000")
            wait_until(lambda: b"up\\n" in server.log(session).read_bytes(), "the turn to be under way")
            assert processes.kill_all(lambda: processes.marked(session), 20)
            do("mount", "-o", "remount,ro,bind", place)
            assert server.state(session)["turn_active"] is True
            for path in ("/api/sessions", f"/sessions/{session}", "/"):
                assert server.ask("GET", path)[0] == 200
            do("mount", "-o", "remount,rw,bind", place)
            assert server.state(session)["status"] == "lost"
        finally:
            do("umount", place)


def test_a_read_only_data_root_is_refused_in_one_line(tmp_path: Path) -> None:
    with serving(tmp_path / "var") as server:
        session = server.new_session()
    place = tmp_path / "var"
    do("mount", "--bind", place, place)
    try:
        do("mount", "-o", "remount,ro,bind", place)
        command = [sys.executable, "-m", "breakglass", "serve", "--port", "0", "--data", str(place)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        assert done.returncode == 2
        assert re.fullmatch(r"breakglass: data: [^\n]+\n", done.stderr)
        assert send(place, session, "true").returncode == 1
        with (place / "sessions" / session / logs.NAME).open("rb") as file:
            assert [*verify.findings(file)] == []
    finally:
        do("umount", place)
