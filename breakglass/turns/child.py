"""The agent's process as the runner holds it: its pipes, drained all the while, and its end.

Bytes only: what they mean is the dialogue's business. Imported by the runner: nothing slow here.
"""

import contextlib
import os
import selectors
import signal
import subprocess
import time

from breakglass.turns import processes

GATHER = 0.05
"""Seconds between two handings-over of output that streams: live to the eye, and a log of a sane length."""
GATHER_BYTES = 256 << 10
"""Bytes of output handed over at once, however quickly they come."""
STDERR_KEPT = 4096


class Child:
    """A running agent. Raises OSError where it cannot be started.

    `wakeup` is a pipe that ends a wait; for `linger` seconds what the agent left behind may hold its output open.
    """

    def __init__(
        self, argv: list[str], environ: dict[str, str], wakeup: int, *, linger: float, merge_stderr: bool
    ) -> None:
        parent = os.getpid()
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merge_stderr else subprocess.PIPE,
            env=environ,
            start_new_session=True,
            preexec_fn=lambda: processes.die_with_parent(parent),  # noqa: PLW1509 — a runner has one thread
        )
        self.exited_at = 0.0
        self.printed = 0
        """Bytes of output so far."""
        self._pidfd = os.pidfd_open(self._process.pid)
        self._input = bytearray()
        self._input_ends = False
        self._output = bytearray()
        self._handed_at = 0.0
        self._closed_at = 0.0
        self._stderr = b""
        self._stderr_closed = merge_stderr
        self._linger = linger
        self._wakeup = wakeup
        self._selector = selectors.DefaultSelector()
        self._selector.register(wakeup, selectors.EVENT_READ, self._on_wakeup)
        self._selector.register(self._pidfd, selectors.EVENT_READ, self._on_exit)
        assert self._process.stdin and self._process.stdout
        self._stdin, self._stdout = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._stdin, False)
        self._selector.register(self._stdout, selectors.EVENT_READ, self._on_output)
        if self._process.stderr:
            self._selector.register(self._process.stderr.fileno(), selectors.EVENT_READ, self._on_stderr)

    def close(self) -> None:
        """Let go of the pipes."""
        self._selector.close()
        os.close(self._pidfd)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()

    @property
    def code(self) -> int:
        """The exit status, negative for a signal; of an agent that could not be killed, -9."""
        return self._process.returncode if self._process.returncode is not None else -signal.SIGKILL

    @property
    def stderr(self) -> str:
        """The end of what it wrote to standard error."""
        return self._stderr.decode(errors="replace")

    def say(self, data: bytes, *, ends: bool) -> None:
        """Write to the agent's standard input as it takes it, and close that after where `ends`."""
        self._input += data
        self._input_ends = self._input_ends or ends
        self._on_input()

    def interrupt(self) -> None:
        """Send SIGINT to the agent and what it has in its own group."""
        if not self.exited_at:  # it is not reaped, so the group is still its own
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGINT)

    def has_ended(self) -> bool:
        """Return whether it has exited and will print nothing more that is waited for."""
        return self._is_drained() and not self._output

    def _is_drained(self) -> bool:
        if not self.exited_at:
            return False
        closed = self._closed_at and self._stderr_closed
        return bool(closed) or time.monotonic() - self.exited_at > self._linger

    def is_silent(self, seconds: float) -> bool:
        """Return whether it closed its output so long ago and lives on."""
        return bool(self._closed_at) and not self.exited_at and time.monotonic() - self._closed_at > seconds

    def reap_orphans(self) -> None:
        """Collect what the agent left behind and has ended; the agent's own end is kept for `code`."""
        processes.reap(0 if self.exited_at else self._process.pid)

    def wait(self, seconds: float) -> bytes:
        """Wait at most so long for something to happen, and return the output that is due, b"" for none yet."""
        if self._output:
            seconds = min(seconds, max(0.0, self._handed_at + GATHER - time.monotonic()))
        if self.exited_at:
            seconds = min(seconds, self._linger / 10)
        for key, _ in self._selector.select(seconds):
            key.data()
        now = time.monotonic()
        is_due = self._is_drained() or len(self._output) >= GATHER_BYTES or now - self._handed_at >= GATHER
        if not self._output or not is_due:
            return b""
        self._handed_at = now
        output, self._output = bytes(self._output), bytearray()
        return output

    def _on_wakeup(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while os.read(self._wakeup, 512):
                pass

    def _on_exit(self) -> None:
        self._selector.unregister(self._pidfd)
        self._process.wait()
        self.exited_at = time.monotonic()

    def _on_output(self) -> None:
        data = os.read(self._stdout, GATHER_BYTES)
        if not data:
            self._selector.unregister(self._stdout)
            self._closed_at = time.monotonic()
        self._output += data
        self.printed += len(data)

    def _on_stderr(self) -> None:
        assert self._process.stderr
        data = os.read(self._process.stderr.fileno(), 64 << 10)
        if not data:
            self._selector.unregister(self._process.stderr)
            self._stderr_closed = True
        self._stderr = (self._stderr + data)[-STDERR_KEPT:]

    def _on_input(self) -> None:
        """Write what the pipe takes now; wait for room with the rest."""
        if self._stdin < 0:
            return
        try:
            while self._input:
                del self._input[: os.write(self._stdin, self._input)]
        except BlockingIOError:
            if self._stdin not in self._selector.get_map():
                self._selector.register(self._stdin, selectors.EVENT_WRITE, self._on_input)
            return
        except BrokenPipeError:  # it does not want to hear more; its exit will tell why
            self._input.clear()
            self._input_ends = True
        if self._stdin in self._selector.get_map():
            self._selector.unregister(self._stdin)
        if self._input_ends:
            assert self._process.stdin
            self._process.stdin.close()
            self._stdin = -1
