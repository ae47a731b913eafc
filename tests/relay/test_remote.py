"""Signed commands on the host that gets them: only what an allowed key has signed for it, once and in time, is done."""

import asyncio
import errno
import json
import os
import subprocess
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

import pytest

from breakglass.cli import on_host as cli_on_host
from breakglass.cli.commands import send
from breakglass.config import Config
from breakglass.errors import HostRefused
from breakglass.relay import on_host, order, signing
from breakglass.relay.engine import Engine
from breakglass.relay.operations import carry_out
from breakglass.relay.order import Order
from breakglass.relay.remote import NONCE_SECONDS, Remote
from breakglass.relay_settings import RelaySettings
from breakglass.store import sessions
from breakglass.store.sessions import Session
from breakglass.store.turnlock import TurnLock
from breakglass.turns import begin
from breakglass.turns.answer import question_digest

NEW: dict[str, Any] = {"agent": "shell", "model": None, "title": "from afar", "target": None}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the ssh keys of alice and of the hub."""
    directory = tmp_path_factory.mktemp("keys")
    for name in ("alice", "hub"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(directory / name)]
        subprocess.run(command, check=True)
    return directory


class Host:
    """The host db1, and a client that can do what a hub that was taken over can do: everything but sign as alice."""

    def __init__(self, root: Path, keys: Path, allowed: str = "alice") -> None:
        self.root = root
        self.keys = keys
        self.time = 0.0
        self.said: list[str] = []
        self.allow(f'alice@example.com namespaces="*.breakglass@db1" {(keys / f"{allowed}.pub").read_text()}')
        self.remote = self.new_remote("all")

    def allow(self, text: str) -> None:
        """Write the file of allowed signers."""
        (self.root / signing.NAME_OF_FILE).write_text(text)

    def new_remote(self, commands: Literal["none", "answers", "all"]) -> Remote:
        """Return what takes commands, with this setting."""
        config = replace(Config(), data=self.root, relay=RelaySettings(commands=commands))
        return Remote(config, "db1", self.said.append, lambda: self.time)

    async def nonce(self) -> str:
        """Return a nonce of the host."""
        return str(json.loads(await self.remote.take("hello", b""))["nonce"])

    async def order(self, **changed: Any) -> Order:
        """Return a command that makes a session."""
        return Order("new", "db1", await self.nonce(), None, "k1", NEW)._replace(**changed)

    def sign(self, wanted: Order, key: str = "alice", namespace: str = "") -> bytes:
        """Return a signed command as a message."""
        name = namespace or signing.namespace(wanted.verb, wanted.host)
        return order.pack(wanted.text(), signing.sign(wanted.text(), name, str(self.keys / key)))

    async def take(self, message: bytes, verb: str = "new") -> str:
        """Return the error of the answer, "" if the command was done."""
        return str(json.loads(await self.remote.take(verb, message)).get("error", ""))

    @property
    def sessions(self) -> list[str]:
        """The sessions that were made."""
        return list(sessions.ids(self.root))


@pytest.fixture
def host(tmp_path: Path, keys: Path) -> Host:
    """The host db1, which accepts everything that alice signs."""
    return Host(tmp_path, keys)


def test_what_an_allowed_key_has_signed_is_done_and_the_log_says_who(host: Host) -> None:
    async def act() -> str:
        return await host.take(host.sign(await host.order()))

    assert asyncio.run(act()) == ""
    (session,) = host.sessions
    log = (host.root / "sessions" / session / "events.jsonl").read_bytes()
    assert json.loads(log.split(b"\n")[0])["by"] == "signed:alice@example.com"
    assert host.said == [f"did new in session {session[:8]} for alice@example.com"]


def forged(host: Host, good: Order, message: bytes) -> bytes:
    return order.pack(good.text(), "-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n")


def unsigned(host: Host, good: Order, message: bytes) -> bytes:
    return json.dumps({"text": good.text().decode(), "signature": None}).encode()


def by_another_key(host: Host, good: Order, message: bytes) -> bytes:
    return host.sign(good, "hub")


def with_the_key_of_alice_on_another_signature(host: Host, good: Order, message: bytes) -> bytes:
    return host.sign(good, "alice", "file")


def changed_after_it_was_signed(host: Host, good: Order, message: bytes) -> bytes:
    found = json.loads(message)
    return json.dumps(found | {"text": found["text"].replace("from afar", "tampered!")}).encode()


def for_another_host(host: Host, good: Order, message: bytes) -> bytes:
    return host.sign(good._replace(host="db2"), namespace="new.breakglass@db1")


def with_a_nonce_of_the_signer(host: Host, good: Order, message: bytes) -> bytes:
    return host.sign(good._replace(nonce="0" * 32))


def with_a_value_of_the_wrong_type(host: Host, good: Order, message: bytes) -> bytes:
    return host.sign(good._replace(values=NEW | {"title": ["x"]}))


def that_is_no_json(host: Host, good: Order, message: bytes) -> bytes:
    return b"\xff{"


def that_is_too_deep(host: Host, good: Order, message: bytes) -> bytes:
    return b"[" * 100_000


@pytest.mark.parametrize(
    ("forge", "reason"),
    [
        (forged, "has no ssh signature"),
        (unsigned, "has no ssh signature"),
        (by_another_key, "may not sign new.breakglass@db1 here"),
        (with_the_key_of_alice_on_another_signature, "may not sign"),
        (changed_after_it_was_signed, "did not sign this text"),
        (for_another_host, "the command is new on db2"),
        (with_a_nonce_of_the_signer, "its nonce is not from this host"),
        (with_a_value_of_the_wrong_type, "title has the wrong type"),
        (that_is_no_json, "the message is no signed command"),
        (that_is_too_deep, "the message is no signed command"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_command_is_refused(forge: Callable[[Host, Order, bytes], bytes], reason: str, host: Host) -> None:
    async def act() -> str:
        good = await host.order()
        return await host.take(forge(host, good, host.sign(good)))

    assert reason in asyncio.run(act())
    assert host.sessions == []
    assert reason in host.said[0]


def test_a_command_is_done_once_also_if_two_arrive_at_the_same_time(host: Host) -> None:
    async def act() -> list[str]:
        message = host.sign(await host.order())
        both = await asyncio.gather(host.take(message), host.take(message))
        return sorted([*both, await host.take(message)])

    done, *refused = asyncio.run(act())
    assert done == ""
    assert refused == ["the command was used already, or its nonce is not from this host"] * 2
    assert len(host.sessions) == 1


def test_a_command_that_came_as_another_verb_is_refused(host: Host) -> None:
    async def act() -> str:
        return await host.take(host.sign(await host.order()), "send")

    assert asyncio.run(act()) == "the command is new on db1, and came as send to db1"


@pytest.mark.parametrize(("seconds", "is_done"), [(NONCE_SECONDS - 1, True), (NONCE_SECONDS + 1, False)])
def test_a_command_expires(seconds: float, is_done: bool, host: Host) -> None:
    async def act() -> str:
        message = host.sign(await host.order())
        host.time += seconds
        return await host.take(message)

    assert ("too old" not in asyncio.run(act())) == is_done
    assert len(host.sessions) == is_done


def test_the_same_key_again_gets_the_first_answer(host: Host) -> None:
    async def act() -> list[Any]:
        return [
            json.loads(await host.remote.take("new", host.sign(await host.order(key=key))))["done"]
            for key in ("k1", "k1", "k2")
        ]

    first, again, other = asyncio.run(act())
    assert first == again != other


@pytest.mark.parametrize(
    ("line", "is_done"),
    [
        ('alice namespaces="new.breakglass@*" {key}', True),
        ('alice namespaces="cancel.breakglass@*" {key}', False),
        ('alice namespaces="*.breakglass@db2" {key}', False),
        ('alice namespaces="cancel.breakglass@*" {key}\nalice namespaces="new.breakglass@db1" {key}', True),
        ('# alice namespaces="*" {key}', False),
        ('alice valid-before="20200101" {key}', False),
        ("", False),
    ],
)
def test_the_file_says_who_may_do_what_where(line: str, is_done: bool, host: Host) -> None:
    host.allow(line.replace("{key}", (host.keys / "alice.pub").read_text().strip()) + "\n")

    async def act() -> str:
        return await host.take(host.sign(await host.order()))

    assert (asyncio.run(act()) == "") == is_done


@pytest.mark.parametrize("setting", ["none", "answers"])
def test_a_host_does_only_what_its_setting_allows(setting: Literal["none", "answers"], host: Host) -> None:
    host.remote = host.new_remote(setting)

    async def act() -> str:
        return await host.take(host.sign(await host.order()))

    assert asyncio.run(act()) == "db1 does not accept this command; its setting is relay.commands"


def test_a_file_of_signers_that_others_may_write_counts_for_nothing(host: Host) -> None:
    (host.root / signing.NAME_OF_FILE).chmod(0o666)

    async def act() -> str:
        return await host.take(host.sign(await host.order()))

    assert "not trusted: others than its owner" in asyncio.run(act())


@pytest.fixture
def question(host: Host) -> Iterator[Session]:
    """A session whose running turn, that of this process, has asked a question."""
    session = sessions.create(host.root, "shell")
    lock = TurnLock(session)
    lock.take()
    with session.open_log() as opened:
        opened.append("user", turn=2, text="go", by="test")
        asked = {
            "request": "r1",
            "name": "Bash",
            "input": {"command": "df"},
            "expires": "2099-01-01T00:00:00.000Z",
        }
        opened.append("permission", turn=2, **asked)
    yield session
    lock.release()


@pytest.mark.parametrize("is_seen", [True, False])
def test_an_answer_counts_only_for_the_question_that_was_seen(
    is_seen: bool, question: Session, host: Host
) -> None:
    log = Path(question.directory, "events.jsonl")
    asked = json.loads(log.read_bytes().split(b"\n")[2])
    seen = question_digest(asked if is_seen else asked | {"input": {"command": "rm -rf /"}})
    values = {"request": "r1", "question": seen, "allow": True, "message": None}
    values |= {"for_session": False, "answers": {}}

    async def act() -> str:
        wanted = await host.order(verb="answer", session=question.id[:8], values=values)
        return await host.take(host.sign(wanted), "answer")

    said = asyncio.run(act())
    assert said == ("" if is_seen else "question r1 is not the one that was seen; nothing was answered")
    assert (b'"kind":"answer"' in log.read_bytes()) == is_seen


@pytest.mark.parametrize("said", [b'{"verbs": 5}', b'{"verbs": "new"}', b"[]", b"{}"])
def test_a_host_that_says_nonsense_refuses(said: bytes) -> None:
    class FakeEngine:
        async def request(self, *_: object) -> bytes:
            return said

    wanted = Order("new", "db1", "", None, "k1", NEW)
    with pytest.raises(HostRefused, match="db1 does not accept new"):
        asyncio.run(on_host._ask_for_nonce(cast(Engine, FakeEngine()), "bg.cmd.", wanted))


def test_the_answer_says_that_the_process_of_a_turn_could_not_start(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(job: object) -> None:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(begin, "start_runner", refuse)
    session = sessions.create(host.root, "shell")
    values = {
        "prompt": "go",
        "model": None,
        "agent": None,
        "queue": False,
        "steer": False,
        "over_budget": False,
    }
    order = Order("send", "db1", "", session.id, "k1", values)
    done = carry_out(replace(Config(), data=host.root), order, "signed:alice")
    failure = "The turn's process could not start: Resource temporarily unavailable."
    assert done == {"session": session.id, "what": "turn", "id": 2, "failure": failure}


@pytest.mark.parametrize(
    ("failure", "status", "said"),
    [("It could not start.\x1b[2J", 1, "db1: It could not start.␛[2J\n"), ("", 0, ""), (None, 0, "")],
)
def test_send_on_a_host_fails_if_the_process_of_the_turn_could_not_start(
    failure: str | None,
    status: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A host of an earlier version says nothing about it."""
    (tmp_path / "hosts").mkdir()
    session = sessions.create(tmp_path / "hosts" / "db1", "shell").id
    done = {"session": session, "what": "turn", "id": 2} | ({} if failure is None else {"failure": failure})
    monkeypatch.setattr(cli_on_host, "act", lambda *_: done)
    args = Namespace(on="db1", file=None, words=[session, "go"], wait=False)
    for name in ("model", "agent", "title", "queue", "steer", "over_budget"):
        setattr(args, name, None)
    assert send.run_on_host(replace(Config(), data=tmp_path), args) == status
    assert capsys.readouterr() == (f"{session} 2\n", said)
