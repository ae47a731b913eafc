"""After random operations in random order, the log of a session equals a simple model: a list of lines in memory."""

import asyncio
import functools
import os
import signal
import tempfile
import threading
from collections.abc import Coroutine
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from breakglass import events, verify
from breakglass.errors import TurnRunning
from breakglass.events import Event
from breakglass.store import log, sessions
from breakglass.store.follow import Followers, FollowSignal
from breakglass.store.pieces import Piece
from breakglass.store.sessions import Session
from breakglass.store.turnlock import read_runner
from breakglass.store.watch import Watch
from breakglass.turns import processes
from breakglass.turns.begin import submit_prompt
from breakglass.turns.end import cancel_turn, end_if_lost, wait_for_stop
from tests.help import turns as real_turns
from tests.help.logs import fold_all
from tests.help.validator import Ack, Count, count, differences
from tests.help.waiting import DEADLINE, wait_until

SCRIPTS = [
    "true",
    "echo one; echo two",
    "exit 3",
    "sleep 0.05; echo late",
    "sleep 1000",
    "setsid sleep 1000 & true",
]
FOREIGN_LINES = [
    b"hello\n",
    b"\n",
    b'{"id":1,"ts":"x","kind":"user"}\n',
    b"\xff\0\r\n",
    "a\u2028b\n".encode(),
]


class Client:
    """One client, and the events that it has received since it connected first."""

    def __init__(self) -> None:
        self.received: list[tuple[int, bytes]] = []
        self.task: Any = None

    def has(self, number: int) -> bool:
        """Return whether line `number` is the last received one."""
        return bool(self.received) and self.received[-1][0] == number

    async def follow(self, followers: Followers, session: Session) -> None:
        """Receive the lines after the last received one."""
        after = self.received[-1][0] if self.received else 0
        async with aclosing(followers.follow(session.directory, after, _as_client)) as steps:
            async for step in steps:
                if isinstance(step, Piece):
                    lines = step.body.split(b"\n")[:-1]
                    self.received += enumerate(lines, step.begin.number + 1)
                else:
                    assert step in (FollowSignal.CAUGHT_UP, FollowSignal.QUIET)


def _as_client(lines: bytes, first: int) -> bytes:
    """Return each line as a client receives it."""
    each = enumerate(lines.split(b"\n")[:-1], first)
    return b"".join(
        (line if events.is_ours(line, n) else events.dumps(events.foreign(line, n)).encode()) + b"\n"
        for n, line in each
    )


class LoopThread:
    """An event loop in its own thread, as in a web server."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine in the loop and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(DEADLINE)

    def close(self) -> None:
        """Stop the loop and its thread."""
        self.run(self.loop.shutdown_default_executor())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class Sessions(RuleBasedStateMachine):
    """The model: the lines that were seen, and the events that were acknowledged."""

    attached = Bundle("attached")

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.root = Path(self.folder.name) / "var"
        self.config = real_turns.make_config(self.root)
        self.session = sessions.create(self.root, "shell")
        self.lines: list[bytes] = []
        self.acks = [Ack(1, "created")]
        self.clients: list[Client] = []
        self.loop = LoopThread()
        self._serve()

    def _serve(self) -> None:
        async def new_followers() -> Followers:
            return Followers(Watch(tick=0.5))

        self.followers: Followers = self.loop.run(new_followers())

    # --- operations of users

    @rule(script=st.sampled_from(SCRIPTS))
    def prompt(self, script: str) -> None:
        with suppress(TurnRunning):
            self.acks.append(
                Ack(submit_prompt(self.config, self.session, script, by="ann").id, "user", script)
            )

    @rule()
    def cancel(self) -> None:
        if cancel_turn(self.session, by="ann"):
            wait_for_stop(self.session)

    @rule()
    def wait(self) -> None:
        wait_until(lambda: self._is_idle() or self._sleeps(), "the end of the turn")

    @rule(title=st.text(max_size=20))
    def rename(self, title: str) -> None:
        sessions.change(self.session, title=title, by="ann")

    # --- failures

    @rule()
    def kill_the_runner(self) -> None:
        runner = read_runner(self.session)
        if runner and processes.is_alive(*runner):
            os.kill(runner[0], signal.SIGKILL)
            wait_until(lambda: not processes.is_alive(*runner), "the death of the runner")

    @rule()
    def kill_the_agent(self) -> None:
        runner = read_runner(self.session)
        for pid in processes.descendants(runner[0]) if runner and processes.is_alive(*runner) else ():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    @rule(line=st.sampled_from(FOREIGN_LINES))
    def append_a_foreign_line(self, line: bytes) -> None:
        self._write(line)

    @rule(torn=st.sampled_from([b"x", b'{"id":', b'{"id":3,"ts":"2026', b"\xe2\x80"]))
    def append_a_torn_line(self, torn: bytes) -> None:
        if end_if_lost(self.session).turn is None:
            self._write(torn)

    def _write(self, data: bytes) -> None:
        with log.open_log(self.session.directory) as opened, opened.exclusive():
            os.write(opened.fd, data)

    @rule()
    def restart(self) -> None:
        """The web server restarts, and its clients connect again."""
        self.loop.run(self.followers.close())
        self._serve()
        for client in self.clients:
            if client.task:
                wait_until(client.task.done, "the end of the stream")
                self._attach(client)

    # --- clients

    @rule(target=attached)
    def attach(self) -> Client:
        client = Client()
        self.clients.append(client)
        self._attach(client)
        return client

    @rule(client=attached)
    def detach(self, client: Client) -> None:
        if client.task:
            client.task.cancel()
            client.task = None

    @rule(client=attached)
    def reconnect(self, client: Client) -> None:
        self.detach(client)
        self._attach(client)

    @rule(client=consumes(attached))
    def leave(self, client: Client) -> None:
        self.detach(client)
        self.clients.remove(client)

    def _attach(self, client: Client) -> None:
        client.task = asyncio.run_coroutine_threadsafe(
            client.follow(self.followers, self.session), self.loop.loop
        )

    # --- invariants

    def _raw(self) -> bytes:
        return Path(self.session.directory, log.NAME).read_bytes()

    def _is_idle(self) -> bool:
        return end_if_lost(self.session).turn is None

    def _sleeps(self) -> bool:
        return self.acks[-1].text == "sleep 1000"

    @invariant()
    def no_line_changes(self) -> None:
        if hasattr(self, "lines"):
            now = self._raw().split(b"\n")[:-1]
            assert now[: len(self.lines)] == self.lines
            self.lines = now

    @invariant()
    def every_acknowledged_event_is_in_the_log(self) -> None:
        if hasattr(self, "lines"):
            assert count(self._decoded(), self.acks) == Count()

    @invariant()
    def the_cached_state_equals_the_state_of_the_whole_log(self) -> None:
        if hasattr(self, "lines") and self._is_idle():
            assert self.session.state() == fold_all(self._decoded())

    def _decoded(self) -> list[Event]:
        return [events.decode(line + b"\n", n) for n, line in enumerate(self._raw().split(b"\n")[:-1], 1)]

    def teardown(self) -> None:
        if not hasattr(self, "lines"):
            return
        try:
            if not self._is_idle():
                cancel_turn(self.session, by="ann")
                wait_for_stop(self.session)
            sessions.change(self.session, archived=True, by="ann")
            self._check_the_end()
        finally:
            self.loop.run(self.followers.close())
            self.loop.close()
            real_turns.kill_turns(self.root)
            self.folder.cleanup()

    def _check_the_end(self) -> None:
        lines = [line + b"\n" for line in self._raw().split(b"\n")[:-1]]
        broken = [each for each in verify.findings(lines) if not each.is_note]
        assert [each for each in broken if "claims to be line 1" not in each.what] == []
        for client in self.clients:
            self.reconnect(client)
            wait_until(functools.partial(client.has, len(lines)), "the last line")
            assert [*differences(lines, client.received)] == []


ONE_IN = 10
"""One history runs for this many examples of the profile, because a history takes seconds."""


@pytest.mark.hypothesis
def test_the_log_equals_the_model_after_random_operations() -> None:
    """The hypothesis profile sets how many histories are tried and how many steps each has."""
    run_state_machine_as_test(
        Sessions,
        settings=settings(
            max_examples=settings().max_examples // ONE_IN,
            suppress_health_check=[*HealthCheck],
            database=None,
            phases=[Phase.generate],  # no shrinking: a step takes real time
            print_blob=True,
        ),
    )
