"""Starts `breakglass` by a fork of a process that has imported it. So a start does not take the time of the imports.

How this works. The first start in a test process starts a *parent*, `python -m tests.help.warm`. It imports the whole
program and renders each page once, which compiles the templates. For each start it receives the words, the
environment, the directory and three descriptors, and forks. The child takes them over and runs the program's `main`.
Only the parent gets the exit status, and reports it.

In /proc, such a process differs from one that Python has started: its command line and its first environment are the
parent's. So tests of these start a real process, as do tests of a terminal or of a program that wraps ours, and the
contract suite.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import io
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "breakglass")
KEPT = ("PATH", "HOME", "TMPDIR", "LANG")
"""The variables of this process that a program under test has too."""
LONGEST = 1 << 16
"""Bytes of a request, at most. Longer ones start a real process."""
UNUSUAL = ("breakglass.__main__", "breakglass.notifier")
"""What the parent does not import: a module that runs when imported, and slow modules that few tests use."""


class Request(NamedTuple):
    """A request to start `breakglass`."""

    words: Sequence[str]
    env: dict[str, str]
    cwd: str


class WarmProcess:
    """A child of the parent, with the part of `subprocess.Popen` that tests use."""

    def __init__(self, request: Request, fds: Sequence[int]) -> None:
        self.args = [*COMMAND, *request.words]
        self.returncode: int | None = None
        self._status, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            socket.send_fds(_parent(), [json.dumps(request).encode()], [theirs.fileno(), *fds])
        self.pid = int(self._status.recv(20))

    def poll(self) -> int | None:
        """Return the exit status, negative for a signal, or None while the process runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit status. Raises TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self.returncode = int(self._status.recv(20))
            self._status.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


Process = WarmProcess | subprocess.Popen[bytes]


def start(
    words: Sequence[str | bytes],
    env: Mapping[str, str],
    cwd: Path,
    *,
    stdin: int,
    stdout: int,
    stderr: int,
) -> Process:
    """Start `breakglass` with these descriptors. The process is a real one if a variable changes how Python works."""
    request = Request([os.fsdecode(word) for word in words], dict(env), str(cwd))
    changed = [name for name in env if name.startswith(("PYTHON", "LC_", "LANG")) and env[name] != _own(name)]
    if changed or len(json.dumps(request)) > LONGEST:
        return subprocess.Popen(
            [*COMMAND, *words], env=env, cwd=cwd, stdin=stdin, stdout=stdout, stderr=stderr
        )
    return WarmProcess(request, (stdin, stdout, stderr))


def run(
    words: Sequence[str | bytes],
    env: Mapping[str, str],
    cwd: Path,
    *,
    stdin: bytes = b"",
    timeout: float | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run `breakglass` until it has ended and its output is closed. After a timeout it is killed: TimeoutExpired."""
    with contextlib.ExitStack() as stack:
        given = stack.enter_context(tempfile.TemporaryFile())
        given.write(stdin)
        given.seek(0)
        pipes = [os.pipe() for _ in range(2)]
        outputs = [stack.enter_context(open(reader, "rb")) for reader, _ in pipes]
        out, err = (writer for _, writer in pipes)
        process = start(words, env, cwd, stdin=given.fileno(), stdout=out, stderr=err)
        os.close(out)
        os.close(err)
        read: dict[int, bytes] = {}
        threads = [
            threading.Thread(target=lambda number=number, file=file: read.update({number: file.read()}))
            for number, file in enumerate(outputs)
        ]
        for thread in threads:
            thread.start()
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        finally:
            for thread in threads:
                thread.join(timeout)
        return subprocess.CompletedProcess([*COMMAND, *words], status, read[0], read[1])


def _own(name: str) -> str | None:
    return os.environ.get(name) if name in KEPT else None


@functools.cache
def _parent() -> socket.socket:
    """Start the parent, and return the socket for requests."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.help.warm", str(theirs.fileno())],
            env={name: os.environ[name] for name in KEPT if name in os.environ},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


# --- the parent ---------------------------------------------------------------------------------------


def main() -> None:
    """Import the program, and fork for each request, until the test process has closed the socket."""
    import breakglass
    from tests.help import preview

    for module in pkgutil.walk_packages(breakglass.__path__, "breakglass."):
        if not module.name.startswith(UNUSUAL):
            importlib.import_module(module.name)
    preview.pages()
    gc.freeze()
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C in the terminal must end the tests, not this process
    if request := _serve(socket.socket(fileno=int(sys.argv[1]))):
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _exit(_run(request))


def _serve(requests: socket.socket) -> tuple[Request, list[int]] | None:
    """Serve all requests. Returns once in each child, with its request, and at the end in the parent, with None."""
    running: dict[int, tuple[int, socket.socket]] = {}
    while True:
        ready = select.select([requests.fileno(), *running], [], [])[0]
        for fd in ready:
            if fd == requests.fileno():
                data, fds, _, _ = socket.recv_fds(requests, 2 * LONGEST, 4)
                if not data:
                    return None
                if not (pid := os.fork()):
                    return Request(*json.loads(data)), fds[1:]
                status = socket.socket(fileno=fds[0])
                status.send(str(pid).encode())
                running[os.pidfd_open(pid)] = pid, status
                for given in fds[1:]:
                    os.close(given)
            else:
                pid, status = running.pop(fd)
                os.close(fd)
                with status, contextlib.suppress(OSError):  # the test may not wait for the status
                    status.send(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())


def _run(started: tuple[Request, list[int]]) -> int:
    """Run the program as the request says, and return its exit status."""
    request, fds = started
    os.environ.clear()
    os.environ.update(request.env)
    os.chdir(request.cwd)
    for number, fd in enumerate(fds):
        os.dup2(fd, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        old = getattr(sys, name)
        raw = io.FileIO(number, "w" if number else "r", closefd=False)
        buffer = io.BufferedWriter(raw) if number else io.BufferedReader(raw)
        new = io.TextIOWrapper(buffer, encoding=old.encoding, errors=old.errors, line_buffering=number == 2)
        setattr(sys, name, new)
        setattr(sys, f"__{name}__", new)
    sys.argv = [str(ROOT / "breakglass" / "__main__.py"), *request.words]
    from breakglass.cli import main as program

    return program()


def _exit(status: int) -> NoReturn:
    """End this process as Python does, but free no objects, because that takes time."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        status = 120
    os._exit(status)


if __name__ == "__main__":
    main()
