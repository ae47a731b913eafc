"""The agent's process: its start, its pipes and its exit. It transfers bytes; the dialogue knows what they mean.

How this works: one selector watches five descriptors. `wait` blocks on all of them and calls a method for each that is
ready.

- Standard output and standard error are read as soon as they have data. An agent must never block on a full pipe.
- Standard input is written without blocking. What the pipe does not accept stays in `_input` and is written later.
- A pidfd becomes readable when the agent exits.
- The wakeup pipe becomes readable when this process receives a signal.

The invariant: `has_ended` is true only after the agent has exited and its output has been handed over. A process that
the agent left behind can hold the output open. So after the exit the runner waits at most `linger` seconds for its
end.

For editors:

- The runner imports this module at the start of every turn, so it imports nothing slow.
- The runner has one thread. This module is not thread-safe.
- The agent is reaped in `_on_exit` only. Until then its pid and its process group cannot belong to another process.
"""

import contextlib
import os
import selectors
import signal
import subprocess
import time

from breakglass.turns import processes

GATHER_SECONDS = 0.05
"""Seconds for which output is collected: short enough to look live, long enough to keep the log short."""
GATHER_BYTES = 256 << 10
"""Bytes of output that are returned at once, without waiting for `GATHER_SECONDS`."""
STDERR_KEPT = 4096
"""Bytes kept of the end of standard error."""


class Child:
    """A running agent. Raises OSError if it cannot be started.

    A byte in the pipe `wakeup` ends a wait. With `merge_stderr`, standard error is part of the output. With
    `is_sandbox`, the first program confines the agent and does not react to the signals that are for the agent.
    """

    def __init__(
        self,
        argv: list[str],
        environ: dict[str, str],
        wakeup: int,
        *,
        linger: float,
        merge_stderr: bool,
        cwd: str | None = None,
        is_sandbox: bool = False,
    ) -> None:
        self._process = _start(argv, environ, cwd, merge_stderr=merge_stderr, is_sandbox=is_sandbox)
        self._is_sandbox = is_sandbox
        self.exited_at = 0.0
        self.printed = 0
        """Bytes of output so far."""
        self.printed_at = 0.0
        """When output was read last, on the monotonic clock; 0 if there was none."""
        self.closed_at = 0.0
        """When the agent closed its output, 0 if it is open."""
        self._pidfd = os.pidfd_open(self._process.pid)
        self._input, self._input_ends = bytearray(), False
        self._output = bytearray()
        self._returned_at = 0.0
        self._stderr, self._stderr_closed = b"", merge_stderr
        self._linger = linger
        self._selector = selectors.DefaultSelector()
        self._selector.register(wakeup, selectors.EVENT_READ, lambda: _empty(wakeup))
        self._selector.register(self._pidfd, selectors.EVENT_READ, self._on_exit)
        assert self._process.stdin and self._process.stdout
        self._stdin, self._stdout = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._stdin, False)
        self._selector.register(self._stdout, selectors.EVENT_READ, self._on_output)
        if self._process.stderr:
            self._selector.register(self._process.stderr.fileno(), selectors.EVENT_READ, self._on_stderr)

    def close(self) -> None:
        """Close the pipes."""
        self._selector.close()
        os.close(self._pidfd)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()

    @property
    def code(self) -> int:
        """The exit status, negative for a signal. It is -9 for an agent that could not be killed."""
        return self._process.returncode if self._process.returncode is not None else -signal.SIGKILL

    @property
    def stderr(self) -> str:
        """The last bytes that the agent wrote to standard error, unless that is merged into the output."""
        return self._stderr.decode(errors="replace")

    def write(self, data: bytes, *, ends: bool) -> None:
        """Write to the agent's standard input as soon as it accepts data, and with `ends` close it afterwards."""
        self._input += data
        self._input_ends = self._input_ends or ends
        self._on_input()

    def interrupt(self) -> None:
        """Send SIGINT to the agent and all of its process group, or to all processes in the sandbox."""
        if self._is_sandbox:
            processes.send_all(lambda: processes.descendants(self._process.pid), signal.SIGINT)
        elif not self.exited_at:  # the agent is not reaped yet, so no other group can have its number
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGINT)

    def has_ended(self) -> bool:
        """Return whether the agent has exited and all of its output was returned by `wait`."""
        return self._is_drained() and not self._output

    def _is_drained(self) -> bool:
        """Return whether the agent has exited and no more output is expected."""
        if not self.exited_at:
            return False
        closed = self.closed_at and self._stderr_closed
        return bool(closed) or time.monotonic() - self.exited_at > self._linger

    def reap_orphans(self) -> None:
        """Reap dead processes that the agent left behind. The agent itself stays unreaped until `_on_exit`."""
        processes.reap(0 if self.exited_at else self._process.pid)

    def wait(self, seconds: float) -> bytes:
        """Wait at most `seconds` for any event, and return the output that is due, b"" if there is none yet."""
        if self._output:
            seconds = min(seconds, max(0.0, self._returned_at + GATHER_SECONDS - time.monotonic()))
        if self.exited_at:
            seconds = min(seconds, self._linger / 10)
        for key, _ in self._selector.select(seconds):
            key.data()
        now = time.monotonic()
        is_collected = len(self._output) >= GATHER_BYTES or now - self._returned_at >= GATHER_SECONDS
        if not self._output or not (is_collected or self._is_drained()):
            return b""
        self._returned_at = now
        output, self._output = bytes(self._output), bytearray()
        return output

    def _on_exit(self) -> None:
        self._selector.unregister(self._pidfd)
        self._process.wait()
        self.exited_at = time.monotonic()

    def _on_output(self) -> None:
        data = os.read(self._stdout, GATHER_BYTES)
        if not data:
            self._selector.unregister(self._stdout)
            self.closed_at = time.monotonic()
        else:
            self.printed_at = time.monotonic()
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
        """Write what the pipe accepts now. Write the rest when the selector reports that the pipe is writable."""
        if self._stdin < 0:
            return
        try:
            while self._input:
                del self._input[: os.write(self._stdin, self._input)]
        except BlockingIOError:
            if self._stdin not in self._selector.get_map():
                self._selector.register(self._stdin, selectors.EVENT_WRITE, self._on_input)
            return
        except BrokenPipeError:  # the agent closed its input; its exit status will show the reason
            self._input.clear()
            self._input_ends = True
        if self._stdin in self._selector.get_map():
            self._selector.unregister(self._stdin)
        if self._input_ends:
            assert self._process.stdin
            self._process.stdin.close()
            self._stdin = -1


def _start(
    argv: list[str], environ: dict[str, str], cwd: str | None, *, merge_stderr: bool, is_sandbox: bool
) -> subprocess.Popen[bytes]:
    """Start the agent or its sandbox in a process group of its own. It ends with this process. Raises OSError."""
    parent = os.getpid()
    return subprocess.Popen(
        # Not in the encoding of this process's locale: the arguments arrive as they are in the log.
        [argument.encode(errors="surrogateescape") for argument in argv],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if merge_stderr else subprocess.PIPE,
        env=environ,
        cwd=cwd,
        start_new_session=True,
        preexec_fn=lambda: _prepare(parent, is_sandbox=is_sandbox),  # noqa: PLW1509 — a runner has one thread
    )


def _prepare(parent: int, *, is_sandbox: bool) -> None:
    """Prepare a new process before it becomes the agent or the sandbox."""
    processes.die_with_parent(parent)
    if is_sandbox:
        processes.ignore_stop_signals()


def _empty(pipe: int) -> None:
    """Read all that a non-blocking pipe holds."""
    with contextlib.suppress(BlockingIOError):
        while os.read(pipe, 512):
            pass
