"""`breakglass --on HOST`: real programs, a real nats-server and real ssh keys."""

import asyncio
import json
import subprocess
from collections.abc import Iterator

import pytest

from breakglass.cli import arguments
from breakglass.errors import BadInput
from breakglass.relay import engine as engines
from breakglass.relay.enroll import Hub
from tests.help.fleet import Fleet, start
from tests.help.waiting import wait_until

SETTINGS = """
[relay]
commands = "all"
[actions.say]
command = ["echo", "said-{what}"]
params.what = { kind = "choice", choices = ["hello"] }
effect = "reads"
"""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A hub with a mirror, and the host db1 with a relay that accepts what alice signs."""
    made = Fleet(tmp_path_factory.mktemp("fleet"))
    host, _ = made.enroll("db1"), made.enroll("db2")
    for name in ("alice", "hub-key"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(made.folder / name)]
        subprocess.run(command, check=True)
    signer = f'alice namespaces="*.breakglass@db1" {(made.folder / "alice.pub").read_text()}'
    (host.root / "allowed_signers").write_text(signer)
    (host.root / "breakglass.toml").write_text(SETTINGS)
    made.engine.start()
    mirror = start(made.hub, "mirror")
    wait_until((made.hub.root / "hosts" / "status.json").exists, "the mirror")
    relay = start(host, "relay")
    wait_until(lambda: asyncio.run(has_relay(made)), "the relay")
    yield made
    for each in (relay, mirror):
        each.kill()
        each.wait()
    made.engine.kill()


def on(fleet: Fleet, *words: str, key: str = "alice") -> tuple[int, str, str]:
    """Run a command for db1, and return its status, its output and its errors."""
    done = fleet.hub.run("--on", "db1", "--identity", str(fleet.folder / key), *words)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


async def has_relay(fleet: Fleet) -> bool:
    """Return whether the relay of db1 takes commands."""
    engine = await engines.connect(Hub(fleet.hub.root).hub_credentials()[0], "test")
    try:
        return await engine.request("bg.cmd.hello", b"", 5) is not None
    finally:
        await engine.close()


def test_a_prompt_is_sent_watched_and_repeated_safely(fleet: Fleet) -> None:
    status, shown, said = on(fleet, "send", "--agent", "shell", "echo from afar", "--wait", "--key", "k1")
    assert (status, said) == (0, "")
    assert "signed:alice" in shown
    assert "from afar" in shown
    session = fleet.hosts["db1"].only_session()
    again = on(fleet, "send", "--agent", "shell", "echo from afar", "--key", "k1")
    assert again == (0, f"{session} 2\n", "")
    assert on(fleet, "cancel") == (8, "", f"breakglass: db1: no turn is running in session {session[:8]}\n")


def test_a_hub_that_was_taken_over_cannot_act(fleet: Fleet) -> None:
    """The hub has the credentials of each account and an ssh key, but no host lists that key."""
    before = set(fleet.hosts["db1"].root.glob("sessions/*"))
    status, _, said = on(fleet, "new", "--agent", "shell", key="hub-key")
    assert (status, "may not sign new.breakglass@db1 here" in said) == (8, True)
    assert set(fleet.hosts["db1"].root.glob("sessions/*")) == before


def test_a_host_without_a_relay_is_away_and_nothing_was_done(fleet: Fleet) -> None:
    done = fleet.hub.run("--on", "db2", "--identity", str(fleet.folder / "alice"), "cancel", "3f2a")
    said = b"breakglass: the relay of host db2 is not connected; nothing was done\n"
    assert (done.returncode, done.stderr) == (7, said)


def test_an_action_of_the_host_is_done_there_and_shown(fleet: Fleet) -> None:
    status, shown, said = on(fleet, "do", "say", "what=hello", "--reason", "to see it")
    assert (status, said) == (0, "")
    assert "said-hello" in shown
    assert on(fleet, "do", "say", "what=other")[0] == 8
    assert "breakglass: db1: there is no action 'other'" in on(fleet, "do", "other")[2]
    assert "leave out --on" in on(fleet, "do", "say", "what=hello", "--show")[2]
    assert "leave out --on" in on(fleet, "new", "--local")[2]


@pytest.mark.parametrize(
    "answer",
    [b"", b"not JSON", b'{"done": 5}', b'{"done": {}}', pytest.param(None, marks=pytest.mark.torture)],
)
def test_an_answer_that_says_nothing_leaves_the_outcome_unknown(answer: bytes | None, fleet: Fleet) -> None:
    """A program answers in place of host db2: with nonsense, or not at all, and the command waits 30 seconds."""

    async def take(subject: str, data: bytes) -> bytes | None:
        return json.dumps({"nonce": "0" * 32, "verbs": ["new"]}).encode() if "hello" in subject else answer

    async def act() -> tuple[int, bytes]:
        evil = await engines.connect(fleet.credentials("db2"), "evil")
        await evil.listen("bg.cmd.*", take)
        words = ("--on", "db2", "--identity", str(fleet.folder / "alice"), "new", "--key", "k9")
        done = await asyncio.to_thread(fleet.hub.run, *words)
        await evil.close()
        return done.returncode, done.stderr

    status, said = asyncio.run(act())
    assert (status, said[:12]) == (9, b"breakglass: ")
    if answer is None:
        expected = b"host db2 did not say whether it was done; the same again with --key k9 is safe\n"
        assert said == b"breakglass: " + expected


def test_a_host_that_is_not_enrolled_is_an_error(fleet: Fleet) -> None:
    done = fleet.hub.run("--on", "db9", "--identity", str(fleet.folder / "alice"), "cancel", "3f2a")
    assert (done.returncode, b"host db9 is not enrolled" in done.stderr) == (1, True)


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("rename", ["--on", "db1", "3f2a", "title"], "rename cannot be done on another host: leave out --on"),
        (
            "send",
            ["--host=db1", "hi"],
            "send reads no copy; to do it on another host: --on instead of --host",
        ),
        ("do", ["reset", "--key", "k1"], "--key has an effect with --on only"),
    ],
)
def test_an_option_about_other_hosts_that_has_no_effect_is_refused(
    name: str, words: list[str], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        arguments.parse(name, words)
