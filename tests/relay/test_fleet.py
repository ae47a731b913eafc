"""A host, the engine and the hub together: real programs and a real nats-server, compared byte by byte."""

import asyncio
import fcntl
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from breakglass.relay import engine as engines
from breakglass.relay.enroll import Hub
from breakglass.relay.piece import NOTHING, divide
from breakglass.store.sessions import Session
from tests.cli.program import Data
from tests.help.fleet import Fleet, add_session, append, start
from tests.help.fleet_storm import end, run_storm
from tests.help.waiting import wait_until


def run(data: Data, *words: str) -> str:
    """Run a command that must succeed, and return what it said."""
    done = data.run(*words)
    assert done.returncode == 0, done
    return done.stderr.decode()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A hub with a running engine, and the hosts db1 and db2."""
    made = Fleet(tmp_path_factory.mktemp("fleet"))
    made.enroll("db1")
    made.engine.start()
    made.enroll("db2")  # the running engine reads its configuration again
    run(made.hub, "mirror", "--once")  # makes the streams
    yield made
    made.engine.kill()


def test_once_ships_and_copies_everything_byte_for_byte(fleet: Fleet) -> None:
    db1, db2 = fleet.hosts["db1"], fleet.hosts["db2"]
    session = add_session(db1, "one", "x" * 600_000)
    with db1.log(session.id).open("ab") as file:
        file.write(b"not JSON \xff\n" + b"torn")
    add_session(db2, "other")
    for _ in range(2):
        run(db1, "relay", "--once")
        run(db2, "relay", "--once")
        run(fleet.hub, "mirror", "--once")
        assert fleet.differences() == []
        append(session, "more")  # repairs the torn line in place
    checked = db1.run("relay", "--check")
    assert (checked.returncode, b"1 sessions, 1 of them differ" in checked.stderr) == (1, True)
    run(db1, "relay", "--once")
    assert "1 sessions, 0 of them differ" in run(db1, "relay", "--check")
    assert fleet.hub.run("ls", "--host", "db1", "--json").stdout.count(b"\n") == 1


def test_a_local_session_never_leaves_its_host(fleet: Fleet) -> None:
    db1 = fleet.hosts["db1"]
    session = Session(db1.root, db1.new("--local", "--agent", "shell", "--title", "kept here"))
    assert db1.events(session.id)[0]["local"] is True
    run(db1, "relay", "--once")
    append(session, "and what comes later")
    run(db1, "relay", "--once")
    run(fleet.hub, "mirror", "--once")
    assert fleet.differences() == [f"db1/{session.id}"]
    assert " 0 of them differ" in run(db1, "relay", "--check")
    assert "stays on this machine" in db1.ok("attach", session.id[:8], "--speed", "1000")
    shutil.rmtree(session.directory)


def test_a_log_that_another_process_keeps_locked_delays_no_other(fleet: Fleet) -> None:
    db2 = fleet.hosts["db2"]
    locked = add_session(db2, "locked")
    add_session(db2, "other")
    with db2.log(locked.id).open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        done = db2.run("relay", "--once")
    assert (done.returncode, b"1 log could not be read; all others are stored" in done.stderr) == (1, True)
    run(fleet.hub, "mirror", "--once")
    assert fleet.differences() == [f"db2/{locked.id}"]
    run(db2, "relay", "--once")
    run(fleet.hub, "mirror", "--once")
    assert fleet.differences() == []


def test_a_log_from_a_backup_begins_a_new_generation_and_the_old_one_is_kept(fleet: Fleet) -> None:
    db2 = fleet.hosts["db2"]
    session = add_session(db2, "before")
    log = db2.log(session.id)
    backup = log.read_bytes()
    append(session, "lost by the restore")
    lost = log.read_bytes()
    run(db2, "relay", "--once")
    log.write_bytes(backup)
    append(session, "after the restore, and longer than what was lost")
    run(db2, "relay", "--once")
    run(fleet.hub, "mirror", "--once")
    copy = fleet.hub.root / "hosts" / "db2" / "sessions" / session.id
    assert (copy / "events.jsonl").read_bytes() == log.read_bytes()
    assert (copy / "events.jsonl.1").read_bytes() == lost


def test_a_second_relay_with_the_same_credentials_takes_over_and_the_first_stops(fleet: Fleet) -> None:
    db1 = fleet.hosts["db1"]
    before = claims(fleet, "db1")
    first, mirror = start(db1, "relay"), start(fleet.hub, "mirror")
    session = add_session(db1, "first")
    wait_until(lambda: claims(fleet, "db1") == before + 1, "the first claim")
    second = start(db1, "relay")
    try:
        wait_until(lambda: claims(fleet, "db1") == before + 2, "the second claim")
        append(session, "who ships this?")
        assert first.wait(30) == 4
        assert b"has taken over, on " in (db1.folder / "relay.err").read_bytes()
        assert second.poll() is None
        wait_until(lambda: ("db1", "fenced") in links(fleet), "the hub to say it")
    finally:
        for each in (first, second, mirror):
            each.kill()
            each.wait()


def links(fleet: Fleet) -> list[tuple[str, str]]:
    """Return the hosts, and what the hub says of the link to each."""
    return [(row["host"], row["link"]) for row in fleet.hub.json("hosts")]


def claims(fleet: Fleet, host: str) -> int:
    """Return how many relays have claimed the stream of a host."""

    async def ask() -> int:
        engine = await engines.connect(fleet.credentials(host), "test")
        try:
            return len({m.headers["Bg-Relay"] async for m in until_read(engine) if m.name == "_claim"})
        finally:
            await engine.close()

    return asyncio.run(ask())


async def until_read(engine: engines.Engine) -> AsyncIterator[engines.Message]:
    """Yield all messages that the stream has now."""
    async for message in engine.read(0):
        yield message
        if not message.pending:
            return


def test_the_commands_of_the_page_lead_from_nothing_to_three_hosts_over_tls(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "fleet.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```bash\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    hub_block, host_block, look_block, *_ = blocks  # the others act on hosts: test_on_host.py
    made = Fleet(tmp_path)
    enrol = [line for line in hub_block.splitlines() if line.startswith("breakglass enroll")]
    script = "\n".join(enrol).replace("hub.example.com:4222", f"127.0.0.1:{made.port}")
    done = made.hub.sh(f"set -e\n{script}")
    assert done.returncode == 0, done
    assert "nats-server -c var/engine/nats-server.conf &\nbreakglass mirror &\n" in hub_block
    made.engine.start()
    mirror, relays = start(made.hub, "mirror"), []
    try:
        assert host_block.splitlines()[-1] == "breakglass relay &"
        for name in ("db1", "db2", "db3"):
            host = made.add_host(name, (made.hub.folder / f"{name}.creds").read_bytes())
            add_session(host, f"on {name}")
            relays.append(start(host, "relay"))
        wait_until(lambda: are_live(made, "db1", "db2", "db3"), "three hosts that are live")
        wait_until(lambda: made.differences() == [], "the copies to equal the logs")
        shown = made.hub.sh(f"set -e\n{look_block}")
        assert [shown.stdout.count(b"on " + name) for name in (b"db1", b"db2", b"db3")] == [1, 1, 1]
        end(relays[0])
    finally:
        for each in (mirror, *relays):
            end(each)
        made.engine.kill()


def test_the_units_of_the_page_are_valid(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "fleet.md").read_text(encoding="utf-8")
    units = re.findall(r"^```ini\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    paths = [tmp_path / f"breakglass-{name}.service" for name in ("mirror", "relay", "commands")]
    for path, unit in zip(paths, units, strict=True):
        path.write_text(unit.replace("/opt/breakglass/bin/breakglass", "/bin/true"))
    command = ["systemd-analyze", "verify", "--man=no", *map(str, paths)]
    done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    inherited = ("Memory", "Protect", "ReadOnly", "NoNew", "Nice", "Private")
    assert not [line for line in units[2].splitlines() if line.startswith(inherited)]
    assert "KillMode=process" in units[2]


def are_live(fleet: Fleet, *names: str) -> bool:
    """Return whether `breakglass hosts` says so of all these hosts."""
    rows = fleet.hub.run("hosts", "--json").stdout.decode().splitlines()
    return {row["host"] for row in map(json.loads, rows) if row["link"] == "live"} == set(names)


@pytest.mark.parametrize(
    ("subject", "reply"),
    [
        ("bg.cmd.send", ""),
        ("bg.cmd.hello", "bg.log.victim"),
        ("$JS.API.DIRECT.GET.BG", "bg.log.victim"),
        ("bg.log.evil", "bg.log.victim"),
        ("bg.log.evil", "bg.cmd.send"),
        ("$JS.API.STREAM.INFO.BG", "bg.seen"),
    ],
)
def test_what_a_host_forges_arrives_at_no_other_host(subject: str, reply: str, fleet: Fleet) -> None:
    """The account of db1 is used as a program that was taken over would: any subject, any subject for the answer."""

    async def forge() -> tuple[int, int, list[str]]:
        arrived: list[str] = []

        async def take(to: str, data: bytes) -> bytes | None:
            arrived.append(to)
            return b"{}"

        victim = await engines.connect(fleet.credentials("db2"), "victim")
        evil = await engines.connect(fleet.credentials("db1"), "evil")
        await victim.listen("bg.cmd.*", take)
        before = (await victim.ask()).sequence
        await evil._client.publish(subject, b'{"last_by_subj": "bg.log.evil"}', reply)
        await evil._client.flush(5)
        after = (await victim.ask()).sequence
        await victim.close()
        await evil.close()
        return before, after, arrived

    before, after, arrived = asyncio.run(forge())
    assert (after - before, arrived) == (0, [])


@pytest.mark.parametrize(
    ("deed", "data"),
    [
        ("PURGE", b""),
        ("DELETE", b""),
        ("MSG.DELETE", b'{"seq": 1}'),
        ("UPDATE", b'{"name": "BG", "subjects": ["x"]}'),
        ("CREATE", b'{"name": "BG", "subjects": ["x"]}'),
    ],
)
def test_a_host_cannot_take_back_what_it_has_shipped(deed: str, data: bytes, fleet: Fleet) -> None:
    add_session(fleet.hosts["db1"], "kept")
    run(fleet.hosts["db1"], "relay", "--once")

    async def try_it() -> tuple[int, int]:
        evil = await engines.connect(fleet.credentials("db1"), "evil")
        before = (await evil.ask()).sequence
        await evil._client.publish(f"$JS.API.STREAM.{deed}.BG", data, "_INBOX.x")
        await evil._client.flush(5)
        found = (await evil.ask()).sequence
        messages = [message async for message in until_read(evil)]
        await evil.close()
        return found - before, len(messages) - found

    assert asyncio.run(asyncio.wait_for(try_it(), 30)) == (0, 0)  # an emptied stream is read for ever


def test_a_piece_with_a_name_that_is_a_path_is_refused_and_shown(fleet: Fleet) -> None:
    async def send(name: str) -> None:
        evil = await engines.connect(fleet.credentials("db1"), "evil")
        asked = await evil.ask()
        (one,) = divide(NOTHING, b"x\n")
        await (await evil.publish(name, one.data, one.headers, asked.sequence))
        await evil.close()

    asyncio.run(send("%2e%2e"))
    said = run(fleet.hub, "mirror", "--once")
    assert "db1: refused a piece of '%2e%2e'" in said
    kept = {each.name for each in (fleet.hub.root / "hosts" / "db1").iterdir()}
    assert kept - {"heads.jsonl"} == {"sessions", "mirror.json"}  # heads: if the host has signed some


def test_revoked_credentials_are_refused_and_the_record_stays(fleet: Fleet) -> None:
    host = fleet.enroll("db3")
    wait_until(lambda: host.run("relay", "--once").returncode != 6, "the engine to know db3")
    run(fleet.hub, "mirror", "--once")
    session = add_session(host, "kept")
    run(host, "relay", "--once")
    run(fleet.hub, "mirror", "--once")
    assert "the copies of its sessions stay" in run(fleet.hub, "enroll", "db3", "--revoke")
    wait_until(lambda: host.run("relay", "--once").returncode == 6, "the engine to refuse db3")
    assert b"refuses these credentials" in host.run("relay", "--once").stderr
    assert fleet.hub.run("enroll", "db1").returncode == 1
    run(fleet.hub, "enroll", "db3", "--retire")
    assert [each.host for each in Hub(fleet.hub.root).enrolled()] == ["db1", "db2"]
    assert (fleet.hub.root / "hosts" / "db3" / "sessions" / session.id / "events.jsonl").exists()
    del fleet.hosts["db3"]


def test_nothing_is_lost_or_doubled_in_a_short_storm(fleet: Fleet) -> None:
    run_storm(fleet, kills=8, stops=3)


@pytest.mark.torture
def test_nothing_is_lost_or_doubled_in_a_long_storm(fleet: Fleet) -> None:
    run_storm(fleet, kills=200, stops=50)
