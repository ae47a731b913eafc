"""Disks of a host and its hub that are full, read-only, fail or lose power: the other side has all that was on disk."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from breakglass.errors import CannotRecord
from tests.cli.program import Data
from tests.help.fleet import Fleet, add_session, append, start
from tests.help.fleet_storm import end
from tests.help.small_disk import mount_small_disk
from tests.help.waiting import wait_until
from tests.torture.faults import Disk, run_command, strace_prefix

pytestmark = pytest.mark.torture


@contextmanager
def running(data: Data, *words: str, prefix: tuple[str, ...] = ()) -> Iterator[None]:
    """Run a command under another program while in the context."""
    command = [*prefix, sys.executable, "-m", "breakglass", *words]
    process = subprocess.Popen(
        command, env=data.env, cwd=data.folder, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


# --- the host


def test_a_host_whose_disk_is_full_ships_what_it_has_and_goes_on_with_space(fleet: Fleet) -> None:
    host, place = fleet.hosts["db1"], fleet.hosts["db1"].root / "sessions"
    with mount_small_disk(place, "512k"):
        relay, mirror = start(host, "relay"), start(fleet.hub, "mirror")
        try:
            session = add_session(host, "fills the disk")
            with pytest.raises(CannotRecord):
                append(session, *("z" * 1000 for _ in range(600)))
            fleet.agree()
            run_command("mount", "-o", "remount,size=4m", place)
            append(session, "space again")
            fleet.agree()
        finally:
            end(relay)
            end(mirror)


def test_a_host_whose_data_root_is_read_only_ships_all_of_it(fleet: Fleet) -> None:
    host = fleet.hosts["db1"]
    add_session(host, "before", *("z" * 1000 for _ in range(600)))
    run_command("mount", "--bind", host.root, host.root)
    try:
        run_command("mount", "-o", "remount,ro,bind", host.root)
        assert host.run("relay", "--once").returncode == 0
        assert fleet.hub.run("mirror", "--once").returncode == 0
        fleet.agree()
    finally:
        run_command("umount", host.root)


def test_a_log_that_the_disk_of_the_host_does_not_read_delays_no_other_and_the_hub_says_it(
    fleet: Fleet,
) -> None:
    host = fleet.hosts["db1"]
    bad, good = add_session(host, "on bad blocks"), add_session(host, "good")
    fault = tuple(strace_prefix(host.log(bad.id), "pread64:error=EIO:when=1+"))
    mirror = start(fleet.hub, "mirror")
    try:
        with running(host, "relay", prefix=fault):
            wait_until(lambda: fleet.differences() == [f"db1/{bad.id}"], "the good log")
            append(good, "more")
            wait_until(lambda: fleet.differences() == [f"db1/{bad.id}"], "what came later")
            told = "Behind · 1 log cannot be read there"
            wait_until(lambda: fleet.hub.json("hosts")[0]["told"] == told, told)
            done = subprocess.run(
                [*fault, sys.executable, "-m", "breakglass", "relay", "--once"],
                env=host.env,
                cwd=host.folder,
                capture_output=True,
                check=False,
            )
            assert (done.returncode, b"cannot be read: Input/output error" in done.stderr) == (1, True)
        with running(host, "relay"):
            fleet.agree()
    finally:
        end(mirror)


# --- the hub


def test_a_full_disk_of_the_hub_ends_the_mirror_and_nothing_is_lost(fleet: Fleet) -> None:
    host, place = fleet.hosts["db1"], fleet.hub.root / "hosts"
    session = add_session(host, "big", *("z" * 1000 for _ in range(3000)))
    assert host.run("relay", "--once").returncode == 0
    shutil.rmtree(place)
    with mount_small_disk(place, "1m"):
        done = fleet.hub.run("mirror", "--once")
        assert (done.returncode, b"could not be written" in done.stderr) == (5, True)
        copy = fleet.copy("db1", session.id)
        part = copy.read_bytes() if copy.exists() else b""
        assert host.log(session.id).read_bytes().startswith(part)
        assert part == b"" or part.endswith(b"\n")
        run_command("mount", "-o", "remount,size=64m", place)
        assert fleet.hub.run("mirror", "--once").returncode == 0
        fleet.agree()


@pytest.mark.parametrize(
    ("fault", "file"),
    [
        ("write:error=EIO:when=1", "events.jsonl"),
        ("fdatasync:error=EIO:when=1", "events.jsonl"),
        ("pread64:error=EIO:when=1", "events.jsonl"),
        ("write:error=ENOSPC:when=1", ".status.json.new"),
        ("write:error=EIO:when=1", ".mirror.json.new"),
    ],
)
def test_a_disk_of_the_hub_that_fails_ends_the_mirror_and_what_it_refused_is_fetched_again(
    fault: str, file: str, fleet: Fleet
) -> None:
    """A failure of one call only: a second attempt that succeeds proves nothing, because the kernel drops the data."""
    host, mirrored = fleet.hosts["db1"], fleet.hub.root / "hosts" / "db1"
    session = add_session(host, "before")
    for words, data in ((("relay", "--once"), host), (("mirror", "--once"), fleet.hub)):
        assert data.run(*words).returncode == 0
    on_disk = fleet.copy("db1", session.id).read_bytes()
    append(session, *("z" * 1000 for _ in range(600)))
    assert host.run("relay", "--once").returncode == 0
    (mirrored / "mirror.json").unlink()  # so it reads everything again, and compares
    place = {"events.jsonl": fleet.copy("db1", session.id), ".mirror.json.new": mirrored / file}
    path = place.get(file, mirrored.parent / file)
    path.touch()
    command = [*strace_prefix(path, fault), sys.executable, "-m", "breakglass", "mirror", "--once"]
    done = subprocess.run(command, env=fleet.hub.env, cwd=fleet.hub.folder, capture_output=True, check=False)
    assert done.returncode == 5, done
    if fault.startswith("fdatasync"):
        assert fleet.copy("db1", session.id).read_bytes() == on_disk
    assert host.log(session.id).read_bytes().startswith(fleet.copy("db1", session.id).read_bytes())
    assert fleet.hub.run("mirror", "--once").returncode == 0
    fleet.agree()


def test_a_power_loss_of_the_hub_loses_no_line_for_good(fleet: Fleet, tmp_path: Path) -> None:
    host, disk = fleet.hosts["db1"], Disk(tmp_path)
    hub = Data(disk.path)
    hub.root.mkdir(mode=0o700)
    shutil.copytree(
        fleet.hub.root / "engine", hub.root / "engine", ignore=shutil.ignore_patterns("jetstream")
    )
    os.sync()
    session = add_session(host, "while the power fails")
    copy = hub.root / "hosts" / "db1" / "sessions" / session.id / "events.jsonl"
    relay = start(host, "relay")
    try:
        for _ in range(5):
            size = copy.stat().st_size if copy.exists() else 0
            mirror = start(hub, "mirror")
            append(session, *("z" * 1000 for _ in range(1000)))
            wait_until(lambda: copy.exists() and copy.stat().st_size > size + 300_000, "some lines")  # noqa: B023
            disk.cut_power()
            end(mirror)
            disk.unmount()
            disk.mount()
        assert hub.run("mirror", "--once").returncode == 0
        assert copy.read_bytes() == host.log(session.id).read_bytes()
    finally:
        end(relay)
        disk.unmount()
