"""One agent process driven through one dialogue, as a runner does it, and everything that was said on both sides.

Without a log, a lock or a mark: for tests of a dialogue alone against the real program, and for recording it.
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

React = Callable[[Dialogue, Draft], bool]
"""Asked about each event: may answer a question, and returns whether the turn is to be cancelled now."""


class Talk(NamedTuple):
    """What came of a run."""

    drafts: list[Draft]
    stdout: bytes
    stdin: bytes
    end: Exit
    dialogue: Dialogue

    def of(self, kind: str) -> list[Draft]:
        """Return the events of one kind."""
        return [draft for draft in self.drafts if draft[0] == kind]

    def only(self, kind: str, key: str) -> object:
        """Return what the one event of a kind holds under `key`. Fails if there are more, or none."""
        ((_, fields),) = self.of(kind)
        return fields[key]


def passive(dialogue: Dialogue, draft: Draft) -> bool:
    """React to nothing."""
    return False


def converse(
    dialogue: Dialogue,
    environ: Mapping[str, str],
    cwd: Path,
    react: React = passive,
    edit: Callable[[bytes], bytes] = bytes,
    seconds: float = 120,
) -> Talk:
    """Run `dialogue` to the end of its agent. Raises TimeoutError, with the agent killed, after `seconds`.

    `edit` changes lines of the agent before anybody sees them.
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
            drafts, stdout, stdin, is_cancelled = _carry(agent, dialogue, react, edit, began + seconds)
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
    return Talk(drafts + dialogue.close(end), stdout, stdin, end, dialogue)


def _carry(
    agent: subprocess.Popen[bytes],
    dialogue: Dialogue,
    react: React,
    edit: Callable[[bytes], bytes],
    deadline: float,
) -> tuple[list[Draft], bytes, bytes, bool]:
    """Carry words to and fro until the agent closes its output. Return events, output, input, whether cancelled."""
    assert agent.stdin
    assert agent.stdout
    drafts, stdout = dialogue.begin(), b""
    stdin = _say(agent, dialogue, dialogue.open())
    torn, is_cancelled = b"", False
    with selectors.DefaultSelector() as ready:
        ready.register(agent.stdout, selectors.EVENT_READ)
        while ready.select(max(0.0, deadline - time.monotonic())):
            data = os.read(agent.stdout.fileno(), 1 << 16)
            *ended, torn = (torn + data).split(b"\n")
            for line in [edit(line + b"\n") for line in ended] if data else [torn]:
                stdout += line
                for draft in dialogue.translate(line):
                    drafts.append(draft)
                    if react(dialogue, draft) and not is_cancelled:
                        is_cancelled = True
                        stdin += _say(agent, dialogue, dialogue.interrupt())
                stdin += _say(agent, dialogue, dialogue.reply())
            if not data:
                return drafts, stdout, stdin, is_cancelled
    raise TimeoutError(f"{dialogue.argv[0]} did not end; it said: {stdout[-2000:]!r}")


def _say(agent: subprocess.Popen[bytes], dialogue: Dialogue, words: bytes) -> bytes:
    assert agent.stdin
    if words and not agent.stdin.closed:
        agent.stdin.write(words)
        agent.stdin.flush()
    if dialogue.finished and not agent.stdin.closed:
        agent.stdin.close()
    return words
