"""What a relay tells the hub besides the logs, and what the hub takes of it."""

import subprocess
import time
from pathlib import Path

from breakglass.relay import fleet, local_log, signing
from breakglass.relay.heartbeat import Activity, describe
from breakglass.relay.piece import NOTHING
from breakglass.store import sessions
from breakglass.store.turnlock import TurnLock
from tests.cli.program import Data
from tests.help.fleet import add_session, append


def test_a_heartbeat_counts_what_waits_and_what_runs_and_asks(tmp_path: Path) -> None:
    host = Data(tmp_path)
    idle = add_session(host, "a", "b")
    running = sessions.create(host.root, "shell")
    lock = TurnLock(running)
    lock.take()
    with running.open_log() as log:
        log.append("user", text="go", by="ann")
        until = "2126-01-01T00:00:00.000Z"
        log.append("permission", turn=2, request="r", name="Bash", input={}, expires=until)
    lock.release()
    activity = Activity()
    for session in (idle, running):
        activity.note(session)
    size = (Path(idle.directory) / "events.jsonl").stat().st_size
    told = describe(host.root, activity, {idle.id: size, running.id: 0}, {idle.id: NOTHING})
    assert (told["behind"], told["behind_lines"], told["running"], told["asking"]) == (size, 3, 1, 1)
    assert told["free"] > 0
    with running.open_log() as log:
        log.append("turn_end", turn=2, status="ok", duration_ms=1)
    activity.note(running)
    assert activity.numbers() == {"running": 0, "asking": 0}


def test_lines_are_counted_after_an_offset(tmp_path: Path) -> None:
    session = add_session(Data(tmp_path), "a")
    size = (Path(session.directory) / "events.jsonl").stat().st_size
    append(session, "b", "c")
    assert local_log.count_lines(session, size, 1 << 20) == 2
    assert local_log.count_lines(sessions.Session(tmp_path, "0" * 8), 0, 1) == 0


def test_the_hub_takes_only_sound_values_of_a_heartbeat() -> None:
    link = fleet.Link()
    link.note({"behind": -1, "behind_lines": True, "running": "9", "asking": 2, "signers": "x"}, time.time())
    assert (link.behind, link.behind_lines, link.running, link.asking, link.signers) == (0, 0, None, 2, [])
    link.note({"version": "b" * 99, "signers": ["s" * 99] * 200}, time.time())
    assert (len(link.version), len(link.signers), len(link.signers[0])) == (64, 100, 64)


def test_a_relay_that_does_not_say_how_many_sessions_ask_says_nothing_about_it() -> None:
    link = fleet.Link()
    link.note({"running": 1, "asking": 1}, time.time())
    link.note({"version": "1"}, time.time())
    assert (link.running, link.asking) == (None, None)


def test_lines_are_not_counted_if_much_waits(tmp_path: Path) -> None:
    session = add_session(Data(tmp_path), "a")
    told = describe(tmp_path / "var", Activity(), {session.id: (64 << 20) + 1}, {})
    assert (told["behind"], told["behind_lines"]) == ((64 << 20) + 1, 0)


def test_the_fingerprints_of_the_signers_are_those_of_ssh_keygen(tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    shown = subprocess.check_output(["ssh-keygen", "-lf", f"{key}.pub"], text=True).split()[1]
    signers = tmp_path / "allowed_signers"
    public = key.with_suffix(".pub").read_text()
    signers.write_text(f'alice namespaces="*" {public}# old {public}bob ssh-ed25519 AAAA!\n')
    assert signing.fingerprints(signers) == [shown]
    assert signing.fingerprints(tmp_path / "none") == []


def test_a_heartbeat_of_an_older_claim_says_that_two_machines_use_one_name() -> None:
    link = fleet.Link(epoch=7)
    link.note({"epoch": 7, "machine": "db1", "running": 1}, 100.0)
    assert (link.fenced, link.heard) == ("", 100.0)
    link.note({"epoch": 3, "machine": "db1-clone", "running": 5}, 101.0)
    assert (link.fenced, link.fenced_at, link.heard, link.running) == ("db1-clone", 101.0, 100.0, 1)
