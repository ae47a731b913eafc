"""Closed standard streams, full ones and closed pipes harm no log and cause no traceback."""

import fcntl
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.cli.conftest import Gate
from tests.cli.program import COMMAND, Data
from tests.help.waiting import DEADLINE


def test_a_closed_pipe_ends_a_list_quietly(data: Data) -> None:
    for _ in range(3):
        data.new()
    done = data.sh("breakglass ls | true; echo ${PIPESTATUS[0]}")
    assert done.stderr == b""
    assert done.stdout in (b"141\n", b"0\n")  # 0 if everything was written before the pipe was closed
    assert data.sh("breakglass ls --json | head -n 1 | wc -l").stdout == b"1\n"


def test_a_closed_pipe_ends_attach_although_nothing_is_written(data: Data) -> None:
    session = data.new()
    for words in ("attach", "attach --json"):
        done = data.sh(f"breakglass {words} | head -n 1; echo ${{PIPESTATUS[0]}}")
        assert done.stderr == b""
        assert done.stdout.endswith(b"\n141\n")
    assert [event["kind"] for event in data.events(session)] == ["created"]


def test_a_turn_continues_if_the_pipe_of_its_waiting_send_is_closed(data: Data, gate: Gate) -> None:
    session = data.new()
    done = data.sh(f"breakglass send --wait '{gate.script}' | head -n 1; echo ${{PIPESTATUS[0]}}")
    assert (done.stdout, done.stderr) == (b"\n141\n", b"")
    gate.open()
    assert data.wait_for_end(session) == "ok"


def test_a_full_disk_behind_the_output_is_reported_in_one_line(data: Data) -> None:
    data.new()
    for words in ("ls", "ls --json", "attach", "attach --json", "agents", "--help"):
        done = data.sh(f"breakglass {words} > /dev/full")
        assert (done.returncode, done.stderr) == (1, b"breakglass: No space left on device\n"), words


def test_closed_standard_streams_harm_neither_the_log_nor_the_turn_lock(data: Data, gate: Gate) -> None:
    session = data.new()
    begun = data.sh(f"breakglass send '{gate.script}' <&- >&- 2>&-")
    assert begun.returncode == 0
    assert data.sh("breakglass send more <&- >&- 2>&-").returncode == 3
    gate.open()
    assert data.wait_for_end(session) == "ok"
    numbers = [json.loads(line)["id"] for line in data.log(session).read_bytes().splitlines()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert data.sh("breakglass ls >&-").returncode == 0
    assert data.sh("breakglass atach 2>&-").returncode == 2


def test_an_encoding_without_unicode_gets_replacement_characters(data: Data) -> None:
    data.new("--title", "Ångström ✓")
    done = data.run("ls", PYTHONIOENCODING="latin-1", PYTHONUTF8="0")
    assert done.returncode == 0
    assert "Ångström ?".encode("latin-1") in done.stdout


@pytest.mark.parametrize("env", [{}, pytest.param({"PYTHONUNBUFFERED": "1"}, marks=pytest.mark.torture)])
@pytest.mark.parametrize(
    "words", ["send --wait", "attach", "attach --json", "ls --json", "verify --all", "serve --help"]
)
def test_every_byte_reaches_a_slow_reader_of_a_nonblocking_pipe(
    data: Data, words: str, env: dict[str, str]
) -> None:
    script = "seq 1 30000"
    session = data.new("--title", "x" * 200)
    if words.startswith("attach"):
        data.run("send", session, "--wait", script)
    end = data.log(session).read_bytes().splitlines()[-1]
    last = end + b"\n" if "--json" in words else " ok · ".encode()
    with slow_reader(data, [*words.split(), *([script] if words.startswith("send") else [])], env) as reader:
        follows = words.startswith("attach")  # without end
        while piece := reader.read():
            if follows and last in reader.got[-len(piece) - len(last) :]:
                reader.interrupt()
                follows = False
        assert reader.errors() == (b"detached\n" if words.startswith("attach") else b"")
    if words == "attach --json":
        assert reader.got == data.log(session).read_bytes()
    elif words in ("send --wait", "attach"):
        text = reader.got.decode()
        numbers = [int(found) for found in re.findall(r"^(?: +\d* │ )?(\d+)$", text, re.MULTILINE)]
        assert [n for n in numbers if n] == list(range(1, 30001))
    else:
        assert reader.got == data.ok(*words.split()).encode()


class SlowReader:
    """Reads the non-blocking pipe of a command in small pieces."""

    def __init__(self, process: subprocess.Popen[bytes], pipe: int) -> None:
        self.got = b""
        self._process = process
        self._pipe = pipe

    def read(self) -> bytes:
        piece = os.read(self._pipe, 512)
        self.got += piece
        return piece

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def errors(self) -> bytes:
        """Return what it printed on standard error. Fails unless it ends with success."""
        assert self._process.wait(DEADLINE) == 0
        assert self._process.stderr
        return self._process.stderr.read()


@contextmanager
def slow_reader(data: Data, words: list[str], env: dict[str, str]) -> Iterator[SlowReader]:
    """Run a command with a small non-blocking pipe as its standard output."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 4096)
    environ = {**data.env, **env}
    with subprocess.Popen(
        [*COMMAND, *words], env=environ, cwd=data.folder, stdout=write_end, stderr=subprocess.PIPE
    ) as process:
        os.close(write_end)
        try:
            yield SlowReader(process, read_end)
        finally:
            os.close(read_end)
