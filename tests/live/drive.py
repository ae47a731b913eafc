"""Runs one agent process with one dialogue as a runner does, and records all input and output.

There is no log and no lock. Tests of a dialogue with the real program use it, and the recording of captures.
"""

import os
import selectors
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from breakglass.agents import Dialogue, Exit
from breakglass.events import Draft
from breakglass.turn_limits import TurnLimits

React = Callable[[Dialogue, Draft], bool]
"""Called for each event. May answer a question. Returns whether to cancel the turn now."""


class AgentRun(NamedTuple):
    """The result of a run."""

    drafts: list[Draft]
    stdout: bytes
    stdin: bytes
    end: Exit
    dialogue: Dialogue

    def of(self, kind: str) -> list[Draft]:
        """Return the events of one kind."""
        return [draft for draft in self.drafts if draft[0] == kind]

    def only(self, kind: str, key: str) -> object:
        """Return the value under `key` of the only event of a kind. Fails if there are several, or none."""
        ((_, fields),) = self.of(kind)
        return fields[key]


def passive(dialogue: Dialogue, draft: Draft) -> bool:
    """React to nothing."""
    return False


def run_dialogue(
    dialogue: Dialogue,
    environ: Mapping[str, str],
    cwd: Path,
    react: React = passive,
    edit: Callable[[bytes], bytes] = bytes,
    seconds: float = 120,
) -> AgentRun:
    """Run `dialogue` to the end of its agent. Raises TimeoutError, with the agent killed, after `seconds`.

    `edit` changes lines of the agent before they are used.
    """
    began = time.monotonic()
    with tempfile.TemporaryFile() as errors:
        agent = subprocess.Popen(
            dialogue.argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**environ, **dialogue.environ},
            cwd=cwd,
            process_group=0,
        )
        try:
            drafts, stdout, stdin, is_cancelled = _exchange(agent, dialogue, react, edit, began + seconds)
            code = agent.wait(max(0.1, began + seconds - time.monotonic()))
        finally:
            if agent.poll() is None:
                agent.kill()
                agent.wait()
            for pipe in (agent.stdin, agent.stdout):
                if pipe:
                    pipe.close()
        errors.seek(0)
        stderr = errors.read()[-4096:].decode(errors="replace")
    end = Exit(code, stderr, is_cancelled, int((time.monotonic() - began) * 1000))
    return AgentRun(drafts + dialogue.close(end), stdout, stdin, end, dialogue)


def _exchange(
    agent: subprocess.Popen[bytes],
    dialogue: Dialogue,
    react: React,
    edit: Callable[[bytes], bytes],
    deadline: float,
) -> tuple[list[Draft], bytes, bytes, bool]:
    """Pass bytes both ways until the agent closes its output. Return events, output, input, and whether cancelled."""
    assert agent.stdin
    assert agent.stdout
    drafts, stdout = dialogue.begin(), b""
    stdin = _write(agent, dialogue, dialogue.open())
    incomplete, is_cancelled = b"", False
    with selectors.DefaultSelector() as ready:
        ready.register(agent.stdout, selectors.EVENT_READ)
        while time.monotonic() < deadline:
            left = max(0.0, deadline - time.monotonic())
            if not ready.select(TurnLimits().replay_quiet if dialogue.waits_for_quiet else left):
                drafts += dialogue.after_quiet()
                stdin += _write(agent, dialogue, dialogue.reply())
                continue
            data = os.read(agent.stdout.fileno(), 1 << 16)
            *ended, incomplete = (incomplete + data).split(b"\n")
            for line in [edit(line + b"\n") for line in ended] if data else [incomplete]:
                stdout += line
                for draft in dialogue.translate(line):
                    drafts.append(draft)
                    if react(dialogue, draft) and not is_cancelled:
                        is_cancelled = True
                        stdin += _write(agent, dialogue, dialogue.interrupt())
                stdin += _write(agent, dialogue, dialogue.reply())
            if not data:
                return drafts, stdout, stdin, is_cancelled
    raise TimeoutError(f"{dialogue.argv[0]} did not end; it printed: {stdout[-2000:]!r}")


def _write(agent: subprocess.Popen[bytes], dialogue: Dialogue, data: bytes) -> bytes:
    assert agent.stdin
    if data and not agent.stdin.closed:
        agent.stdin.write(data)
        agent.stdin.flush()
    if dialogue.finished and not agent.stdin.closed:
        agent.stdin.close()
    return data
