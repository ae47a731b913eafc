"""Kills of server, runners and the process that sends: each cause is told at least once, and at most twice.

The causes: turns that fail, or whose runner is killed, questions of agents, and questions that wait for five minutes.
The destinations: two webhooks, an ntfy server and a browser.

`KILLS` in the environment sets how many kills the long test makes; without it, 1,000.
"""

import os
import random
import re
import signal
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import pytest

from breakglass.events import Event
from breakglass.notify.causes import AGAIN_SECONDS
from breakglass.notify.message import HEADLINES
from breakglass.store import sessions, untold
from breakglass.store.sessions import Session
from breakglass.store.turnlock import read_runner
from breakglass.turns import processes
from tests.help import push_services, scripted_agent, services
from tests.help.devices import Device
from tests.help.questions import OldQuestion
from tests.help.senders import find_senders
from tests.help.servers import Server
from tests.help.session_logs import events_of
from tests.help.waiting import DEADLINE, wait_until
from tests.torture.random_kills import DISCONNECTED

KILLS = int(os.environ.get("KILLS", "1000"))
CAUSES = {"error": "failed", "lost": "lost"}
PROMPTS = ("exit 3", "sleep 0.3; exit 4", "sleep 1; exit 5")
KINDS = ("fail", "ask", "old")
"""What a cause comes from: a turn that fails, an agent that asks, and a question that is five minutes old."""
QUESTIONS = ("question", "question_again")
MAX_OPEN = 6
"""How many questions of agents wait at a time. Each one is a runner and an agent."""
TOLD_SECONDS = 600
Key = tuple[str, str, str]
"""A session, a destination and a kind of cause."""


def find_runners(root: Path) -> set[int]:
    """Return the pids of the runners that live. This process holds the locks of old questions, as a runner does."""
    runners = (read_runner(Session(root, each)) for each in sessions.ids(root))
    return {each.pid for each in runners if each and processes.is_alive(each.pid, each.started)} - {
        os.getpid()
    }


class Destinations:
    """The services and the browser that are told, and what they took."""

    def __init__(self, stack: ExitStack) -> None:
        self.hooks = stack.enter_context(services.serve())
        self.push = stack.enter_context(push_services.serve())
        self.names = ["notify[0]", "notify[1]", "notify[2]"]

    def settings(self) -> str:
        """Return the settings file."""
        addresses = (f"{self.hooks.webhook}-0", f"{self.hooks.webhook}-1")
        return (
            f'push_services = ["{self.push.origin}"]\n'
            '[agents.actor]\nprotocol = "claude"\npermissions = "ask"\n'
            f'command = ["{sys.executable}", "{scripted_agent.__file__}"]\n'
            + "".join(f'[[notify]]\nurl = "{address}"\n' for address in addresses)
            # apprise pauses between two notifications to this service, so it is told little.
            + f'[[notify]]\nurl = "{self.hooks.ntfy}-2"\non = ["question"]\n'
        )

    def subscribe(self, server: Server) -> None:
        """Turn notifications on in a browser."""
        device = Device(server)
        assert device.push("GET")[1]["key"]  # makes the key that the browser subscribes with
        assert device.push("POST", self.push.subscription())[0] == 200
        line = (server.data / "logins.jsonl").read_text()
        found = re.search(r'"id": ?"([^"]+)"', line)
        assert found
        self.names.append(f"push[{found[1]}]")

    @staticmethod
    def must_tell(to: str, kind: str, *, is_old: bool) -> bool:
        """Return whether a destination must be told a cause. `is_old`: an `OldQuestion` of the session has it.

        A browser is not told what happened before it subscribed, as such a question may have.
        """
        if to == "notify[2]":
            return kind in QUESTIONS
        return not (is_old and kind == "question" and to.startswith("push"))

    def taken(self) -> Counter[Key]:
        """Return how often each cause of a session was taken."""
        kinds = {headline: kind for kind, headline in HEADLINES.items()}
        texts = [
            (f"notify[{(each.get('topic') or path)[-1]}]", each["title"], each["message"])
            for path, each in self.hooks.taken
        ]
        for number in range(len(self.push.received)):
            plain = self.push.decrypted(number)
            texts.append((self.names[3], plain["title"], plain["body"]))
        return Counter(
            (match[1], to, kinds[title.partition(": ")[2].partition(" after ")[0]])
            for to, title, text in texts
            if (match := re.search(r"/sessions/([0-9a-f-]{36})\n", text))
        )


class Causes:
    """A thread that makes causes until `over`: each in a session of its own."""

    def __init__(self, server: Server, rng: random.Random) -> None:
        self.over = threading.Event()
        self.old: list[OldQuestion] = []
        self.required: set[str] = set()
        """The sessions whose question waited until everything was told."""
        self._open: list[str] = []
        self._server, self._rng = server, rng
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        left = [*KINDS]  # a short storm has one of each
        while left or not self.over.is_set():
            with suppress(*DISCONNECTED, AssertionError):
                self._make_one(left[0] if left else self._rng.choices(KINDS, (6, 3, 1))[0])
                del left[:1]
            self.over.wait(self._rng.random() * 2)

    def _make_one(self, kind: str) -> None:
        if kind == "old":
            age = AGAIN_SECONDS - self._rng.random() * 20
            self.old.append(OldQuestion(self._server.data, "old", age))
        elif kind == "fail":
            session = self._server.new_session(agent="shell")
            self._server.prompt(session, self._rng.choice(PROMPTS))
        elif len(self._open) < MAX_OPEN:
            session = self._server.new_session(agent="actor")
            self._open.append(session)
            self._server.prompt(session, "ask Bash rm x")
        else:
            self._answer(self._open.pop(0))

    def _answer(self, session: str) -> None:
        state = Session(self._server.data, session).state()
        for question in state.asking:
            body = {"request": question.request, "allow": True}
            wait_until(partial(self._is_answered, session, body), "the question to be answered")

    def _is_answered(self, session: str, body: dict[str, object]) -> bool:
        """Answer it. A server that is killed takes no answer; a killed runner ends the question."""
        with suppress(*DISCONNECTED):
            status = self._server.ask("POST", f"/api/sessions/{session}/answers", body)[0]
            return status < 300 or status in (404, 409)
        return False

    def finish(self, names: list[str]) -> None:
        """Make no more causes, wait until each question that still waits is told, and answer it."""
        self.over.set()
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()
        waiting = [each for each in self._open if wait_until(partial(self._has_asked, each), each) == "asks"]
        old = [each.session.id for each in self.old]
        for session in (*waiting, *old):
            is_old = session in old
            kinds = QUESTIONS if is_old else QUESTIONS[:1]
            pairs = {(kind, name) for kind in kinds for name in names}
            wanted = {each for each in pairs if Destinations.must_tell(each[1], each[0], is_old=is_old)}
            wait_until(partial(self._is_told, session, wanted), f"{session} to be told", TOLD_SECONDS)
        self.required = {*waiting, *old}
        for each in waiting:
            self._answer(each)
        for question in self.old:
            question.answer()

    def _has_asked(self, session: str) -> str:
        """Return `asks`, or `ended` without a running turn; "" while the agent starts."""
        state = Session(self._server.data, session).state()
        return "asks" if state.asking else "ended" if state.turn is None else ""

    def _is_told(self, session: str, wanted: set[tuple[str, str]]) -> bool:
        events = events_of(Session(self._server.data, session))
        return wanted <= {(each["cause"], each["to"]) for each in events if each["kind"] == "notified"}


def run_storm(folder: Path, kills: int, seed: int) -> str:
    """Kill that many processes while causes arise. Return what was done. Fails if one is told never or thrice."""
    rng = random.Random(seed)
    with ExitStack() as stack:
        destinations = Destinations(stack)
        file = folder / "breakglass.toml"
        file.write_text(destinations.settings())
        env = {"BREAKGLASS_CONFIG": str(file), "BREAKGLASS_ORIGINS": "https://ops.example.com"}
        server = Server(folder / "var", BREAKGLASS_VITALS="false", **env)
        stack.callback(kill_all, server)
        destinations.subscribe(server)
        causes = Causes(server, random.Random(seed))
        stack.callback(causes.over.set)
        killed = kill_at_random(server, rng, kills)
        began = time.monotonic()
        causes.finish(destinations.names)
        wait_until(partial(is_all_told, server), "everything to be told", TOLD_SECONDS)
        found = compare(server.data, destinations, causes.required)
        return f"{dict(killed)} kills: {found}; the rest {time.monotonic() - began:.0f} s after the last kill"


def kill_all(server: Server) -> None:
    """Kill every process of the storm."""
    server.kill()
    for pid in find_senders(server.data) | find_runners(server.data):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def kill_at_random(server: Server, rng: random.Random, kills: int) -> Counter[str]:
    """Kill servers, runners and senders, and start the server again."""
    done: Counter[str] = Counter()
    finders = {"server": lambda _: {server.process.pid}, "runner": find_runners, "sender": find_senders}
    while done.total() < kills:
        time.sleep(rng.random())  # the fault itself: when the next kill comes
        missing = [each for each in finders if not done[each]]  # a short storm kills one of each
        kind = rng.choice(missing) if missing else rng.choices([*finders], (1, 4, 5))[0]
        found = sorted(finders[kind](server.data))
        if not found:
            continue
        with suppress(ProcessLookupError):
            os.kill(rng.choice(found), signal.SIGKILL)
            done[kind] += 1
        if kind == "server":
            server.kill()
            server.start()
    return done


def is_all_told(server: Server) -> bool:
    """Return whether no turn runs and nothing is left to tell."""
    return not find_runners(server.data) and not untold.names(server.data)


def must_be_told(events: list[Event], *, waited: bool) -> Counter[str]:
    """Return the causes in a log that each destination must be told: questions only if they waited for that."""
    found: Counter[str] = Counter()
    for each in events:
        if each["kind"] == "turn_end":
            is_long = each["duration_ms"] >= 60_000
            found[CAUSES.get(each["status"], "ended" if is_long else "")] += 1
        elif each["kind"] == "permission" and waited:
            found["question"] += 1
            found["question_again"] += each["expires"].startswith("9999")  # an `OldQuestion`
    del found[""]
    return +found


def compare(root: Path, destinations: Destinations, waited: set[str]) -> str:
    """Compare what must be told with what was taken and what the logs say."""
    taken, wanted, twice = destinations.taken(), 0, 0
    for session_id in sessions.ids(root):
        events = events_of(Session(root, session_id))
        must = must_be_told(events, waited=session_id in waited)
        notified = Counter((each["to"], each["cause"]) for each in events if each["kind"] == "notified")
        assert all(number == 1 for number in notified.values()), (session_id, notified)
        for to in destinations.names:
            is_old = "question_again" in must
            of_it = {kind for kind in must if destinations.must_tell(to, kind, is_old=is_old)}
            for kind in of_it | {cause for name, cause in notified if name == to}:
                times = taken.pop((session_id, to, kind), 0)
                assert times <= 2, (session_id, to, kind, times)
                assert times or kind not in of_it, (session_id, to, kind, events)
                assert notified[to, kind] == 1, (session_id, to, kind, notified)
                wanted += kind in of_it
                twice += times == 2
    assert not taken, taken
    return f"{wanted} must be told and were, {twice} notifications came twice"


@pytest.mark.torture
def test_a_few_kills_of_server_runner_and_sender_lose_no_notification(tmp_path: Path) -> None:
    print(run_storm(tmp_path, 4, seed=4))


@pytest.mark.torture
def test_a_thousand_kills_of_server_runner_and_sender_lose_no_notification(tmp_path: Path) -> None:
    began = time.monotonic()
    print(f"notifications: {run_storm(tmp_path, KILLS, seed=1000)} ({time.monotonic() - began:.0f} s)")
