"""Faults between a host and its hub: cut links, an engine that is away, a full disk, a wrong clock, two mirrors."""

import os
import random
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cli.program import Data
from tests.help import warm
from tests.help.fleet import Fleet, add_session, append, free_port, start
from tests.help.waiting import wait_until

pytestmark = pytest.mark.torture


class Cable:
    """Forwards connections to the engine. It can be cut with a reset, or so that neither side notices."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = free_port()
        self._is_silent = False
        self.accepted = 0
        """The connections that were made."""
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._ends = False
        self._thread = threading.Thread(target=self._forward)
        self._thread.start()

    def cut(self) -> None:
        """Close all connections."""
        with self._lock:
            for each in [*self._pairs]:
                self._close(each)

    def vanish(self) -> None:
        """Forward nothing from now on. No side gets a reset."""
        with self._lock:
            self._is_silent = True
            for each in self._pairs:
                self._selector.unregister(each)

    def restore(self) -> None:
        """Forward again. What was cut silently stays lost, as after a change of the route."""
        self.cut()
        self._is_silent = False

    def close(self) -> None:
        """End the thread and all connections."""
        self._ends = True
        self._thread.join()
        self.cut()
        self._listener.close()
        self._selector.close()

    def _close(self, one: socket.socket) -> None:
        other = self._pairs.pop(one, None)
        for each in filter(None, (one, other)):
            self._pairs.pop(each, None)
            with suppress(KeyError, ValueError):
                self._selector.unregister(each)
            each.close()

    def _forward(self) -> None:
        self._selector.register(self._listener, selectors.EVENT_READ)
        while not self._ends:
            for key, _ in self._selector.select(0.05):
                with self._lock:
                    self._take(key.fileobj)  # type: ignore[arg-type]

    def _take(self, ready: socket.socket) -> None:
        if ready is self._listener:
            near = self._listener.accept()[0]
            self.accepted += 1
            try:
                far = socket.create_connection(("127.0.0.1", self.target), 5)
            except OSError:
                near.close()
                return
            self._pairs |= {near: far, far: near}
            for each in () if self._is_silent else (near, far):
                self._selector.register(each, selectors.EVENT_READ)
        elif ready in self._pairs:
            try:
                data = ready.recv(1 << 16)
                if data:
                    self._pairs[ready].sendall(data)
                    return
            except OSError:
                pass
            self._close(ready)


@pytest.fixture
def programs() -> Iterator[list[warm.Process]]:
    """The programs of a test, which end with it."""
    started: list[warm.Process] = []
    yield started
    for each in started:
        each.kill()
        each.wait()


def link(fleet: Fleet) -> str:
    """Return what `breakglass hosts` says of the link to db1."""
    return str(fleet.hub.json("hosts")[0]["link"])


def test_nothing_is_lost_or_doubled_when_the_link_is_cut_twenty_times(
    fleet: Fleet, programs: list[warm.Process]
) -> None:
    chance, host, cable = random.Random(20), fleet.hosts["db1"], Cable(fleet.port)
    logs = [add_session(host, f"cut {number}") for number in range(3)]
    (host.root / "breakglass.toml").write_text(f'[relay]\nurl = "nats://127.0.0.1:{cable.port}"\n')
    programs += [start(host, "relay"), start(fleet.hub, "mirror")]
    try:
        wait_until(lambda: fleet.differences() == [], "the first copies")
        for number in range(20):
            for log in logs:
                append(
                    log,
                    *(f"{number} " + "y" * chance.randrange(3000) for _ in range(chance.randrange(1, 30))),
                )
            if number % 5 == 4:
                cable.vanish()
                append(logs[0], "while the link is away")
                began = time.monotonic()
                before = cable.accepted
                wait_until(lambda: cable.accepted > before, "the relay to notice, and to connect again")  # noqa: B023
                assert (
                    time.monotonic() - began < 60
                )  # three pings of five seconds; this machine may be loaded
                cable.restore()
            else:
                cable.cut()
            if number % 3 == 0:
                wait_until(lambda: fleet.differences() == [], "the copies to equal the logs")
        wait_until(lambda: fleet.differences() == [], "the copies to equal the logs")
    finally:
        cable.close()
    (host.root / "breakglass.toml").unlink()
    fleet.agree()


def test_the_engine_may_be_away_while_the_host_works(fleet: Fleet, programs: list[warm.Process]) -> None:
    """An hour of it differs from a minute only in the length of the logs: no side keeps anything meanwhile."""
    host = fleet.hosts["db1"]
    session = add_session(host, "before")
    programs += [start(host, "relay"), start(fleet.hub, "mirror")]
    wait_until(lambda: link(fleet) == "live", "the link")
    fleet.engine.kill()
    wait_until(lambda: link(fleet) == "lost", "the hub to notice")
    append(session, *("z" * 1000 for _ in range(20_000)))
    assert host.ok("new", "--agent", "shell")
    assert all(each.poll() is None for each in programs)
    assert fleet.hub.ok("ls", "--host", "db1").count("\n") == 1, "the copy can be read"
    done = fleet.hub.run("--on", "db1", "cancel", "3f2a")
    assert (done.returncode, b"nothing was done" in done.stderr) == (7, True)
    fleet.engine.start()
    fleet.agree()
    wait_until(lambda: link(fleet) == "live", "the link")


def test_a_clock_that_is_a_year_wrong_changes_nothing(fleet: Fleet, programs: list[warm.Process]) -> None:
    host = fleet.hosts["db1"]
    session = add_session(host, "now")
    programs.append(start(fleet.hub, "mirror"))
    command = ["faketime", "-f", "+1y", sys.executable, "-m", "breakglass", "relay"]
    relay = subprocess.Popen(
        command, env=host.env, cwd=host.folder, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        append(session, "a year later")
        fleet.agree()
        wait_until(lambda: link(fleet) == "live", "the link")
    finally:
        os.killpg(relay.pid, signal.SIGKILL)  # faketime starts the relay as a child
        relay.wait()


def test_two_mirrors_write_the_same_copies(
    fleet: Fleet, programs: list[warm.Process], tmp_path: Path
) -> None:
    (tmp_path / "second").mkdir()
    second = Data(tmp_path / "second")
    second.root.mkdir(mode=0o700)
    shutil.copytree(
        fleet.hub.root / "engine", second.root / "engine", ignore=shutil.ignore_patterns("jetstream")
    )
    host = fleet.hosts["db1"]
    session = add_session(host, "for both")
    programs += [start(host, "relay"), start(fleet.hub, "mirror"), start(second, "mirror")]
    for number in range(20):
        append(session, f"{number}")
    fleet.agree()
    copy = second.root / "hosts" / "db1" / "sessions" / session.id / "events.jsonl"
    wait_until(
        lambda: copy.exists() and copy.read_bytes() == host.log(session.id).read_bytes(), "the second copy"
    )
    assert os.stat(copy).st_mode & 0o222 == 0


def test_an_engine_that_is_an_older_copy_or_empty_gets_what_it_lacks_and_nothing_is_doubled(
    fleet: Fleet, programs: list[warm.Process]
) -> None:
    host, store = fleet.hosts["db1"], fleet.hub.root / "engine" / "jetstream"
    session = add_session(host, "before")
    programs += [start(host, "relay"), start(fleet.hub, "mirror")]
    fleet.agree()
    fleet.engine.kill(signal.SIGTERM)
    shutil.copytree(store, fleet.folder / "older")
    fleet.engine.start()
    append(session, *("y" * 1000 for _ in range(1000)))
    add_session(host, "made after the backup")
    fleet.agree()
    for older in (fleet.folder / "older", None):
        fleet.engine.kill()
        shutil.rmtree(store)
        if older:
            shutil.copytree(older, store)
        append(session, "while the engine is away")
        fleet.engine.start()
        append(session, "afterwards")
        fleet.agree()
    copies = fleet.copy("db1", session.id).parent
    assert [path.name for path in copies.iterdir()] == ["events.jsonl"], "no generation began"


def test_a_host_that_deletes_cuts_or_reinstalls_takes_nothing_from_the_record(
    fleet: Fleet, programs: list[warm.Process]
) -> None:
    host = fleet.hosts["db1"]
    deleted, cut, old = (
        add_session(host, text, "b", "c") for text in ("deleted", "cut", "of the old machine")
    )
    programs += [start(host, "relay"), start(fleet.hub, "mirror")]
    fleet.agree()
    before = {each.id: host.log(each.id).read_bytes() for each in (deleted, cut, old)}
    shutil.rmtree(deleted.directory)
    os.truncate(host.log(cut.id), before[cut.id].index(b"\n") + 1)
    append(cut, "again")
    fleet.agree()
    programs[0].kill()
    programs[0].wait()
    shutil.rmtree(host.root / "sessions")  # only the credentials are brought back to the new machine
    fresh = add_session(host, "of the new machine")
    programs[0] = start(host, "relay")
    append(fresh, "more")
    fleet.agree()
    for each in (deleted, old):
        assert fleet.copy("db1", each.id).read_bytes() == before[each.id]
    assert fleet.copy("db1", cut.id).with_suffix(".jsonl.1").read_bytes() == before[cut.id]


def test_lines_that_are_no_events_are_copied_byte_for_byte(
    fleet: Fleet, programs: list[warm.Process]
) -> None:
    host = fleet.hosts["db1"]
    session = add_session(host, "hostile")
    programs += [start(host, "relay"), start(fleet.hub, "mirror")]
    for hostile in (b"x" * 5_000_000 + b"\n", b"\xff\x00\r\n\n\n", b'{"id": 2}\n', b"half a line"):
        with host.log(session.id).open("ab") as file:
            file.write(hostile)
        fleet.agree()
    append(session, "after the half line")  # it is repaired in place
    fleet.agree()
