"""An operator's own machine: what `breakglass enroll NAME --operator` gives it, and what it does not give."""

import asyncio
import subprocess
from collections.abc import Iterator

import pytest

from breakglass.relay import credentials
from breakglass.relay import engine as engines
from breakglass.relay.credentials import OPERATOR_FILE
from breakglass.relay.engine import Engine
from breakglass.relay.keys import public_half
from breakglass.store import sessions
from tests.cli.program import Data
from tests.help.fleet import Fleet, start
from tests.help.waiting import wait_until
from tests.relay.test_fleet import until_read


class Operators:
    """A fleet with db1, whose relay takes what alice signs, and the laptop of alice, which has no copies."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        fleet.folder.joinpath("laptop").mkdir()
        self.laptop = Data(fleet.folder / "laptop")
        self.laptop.root.mkdir(mode=0o700)
        self.give(self.laptop.root / OPERATOR_FILE)

    def give(self, path: object) -> None:
        """Enroll alice, and put her credentials into a file."""
        done = self.fleet.hub.run("enroll", "alice", "--operator")
        assert done.returncode == 0, done
        with open(str(path), "xb") as file:
            file.write(done.stdout)
        (self.laptop.root / OPERATOR_FILE).chmod(0o600)

    def on(self, host: str, *words: str) -> tuple[int, str, str]:
        """Run a command for a host on the laptop, and return its status, its output and its errors."""
        identity = ("--identity", str(self.fleet.folder / "alice"))
        done = self.laptop.run("--on", host, *identity, *words)
        return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operators]:
    fleet = Fleet(tmp_path_factory.mktemp("fleet"))
    host, _ = fleet.enroll("db1"), fleet.enroll("db2.example.com")
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(fleet.folder / "alice")]
    subprocess.run(command, check=True)
    signer = f'alice namespaces="*.breakglass@db1" {(fleet.folder / "alice.pub").read_text()}'
    (host.root / "allowed_signers").write_text(signer)
    (host.root / "breakglass.toml").write_text('[relay]\ncommands = "all"\n')
    operators = Operators(fleet)
    fleet.engine.start()
    assert fleet.hub.run("mirror", "--once").returncode == 0
    relay = start(host, "relay")
    wait_until(lambda: operators.on("db1", "cancel", "3f2a")[0] == 8, "the relay to take commands", 60)
    yield operators
    relay.kill()
    relay.wait()
    fleet.engine.kill()


def test_an_operator_sends_signed_commands_from_a_machine_without_copies(made: Operators) -> None:
    status, shown, said = made.on("db1", "send", "--agent", "shell", "echo from the laptop")
    session = made.fleet.hosts["db1"].only_session()
    assert (status, shown, said) == (0, f"{session} 2\n", "")
    log = made.fleet.hosts["db1"].log(session)
    wait_until(lambda: b'"turn_end"' in log.read_bytes(), "the turn to end")
    assert b'"by":"signed:alice"' in log.read_bytes()


def test_a_host_that_is_away_or_unknown_is_named(made: Operators) -> None:
    status, _, said = made.on("db2.example.com", "cancel", "3f2a")
    assert (status, said) == (
        7,
        "breakglass: the relay of host db2.example.com is not connected; nothing was done\n",
    )
    assert made.on("db9", "cancel", "3f2a")[0] == 7


async def _connect(made: Operators) -> Engine:
    return await engines.connect(credentials.read(made.laptop.root / OPERATOR_FILE), "test")


@pytest.mark.parametrize(
    ("subject", "reply"),
    [
        ("bg.log.evil", ""),
        ("bg.seen", ""),
        ("bg.cmd.hello", ""),
        ("_INBOX.of.another", ""),
        ("bg.cmd.db1.hello", "bg.log.evil"),
        ("bg.cmd.db1.hello", "$JS.API.STREAM.PURGE.BG"),
        ("$JS.API.DIRECT.GET.BG", "mine"),
        ("$JS.API.STREAM.INFO.BG", "mine"),
    ],
)
def test_an_operator_reaches_nothing_but_commands(subject: str, reply: str, made: Operators) -> None:
    async def forge() -> tuple[set[str], list[str]]:
        arrived: list[str] = []

        async def take(to: str, data: bytes) -> None:
            arrived.append(to)

        victim = await engines.connect(made.fleet.credentials("db1"), "victim")
        evil = await _connect(made)
        mine = f"_INBOX.{public_half(credentials.read(made.laptop.root / OPERATOR_FILE).seed)}.x"
        await evil.listen(mine, take)
        await evil._client.publish(subject, b"{}", mine if reply == "mine" else reply)
        await evil._client.flush(5)
        assert await evil.request("bg.cmd.db1.hello", b"", 5)  # what was sent before has arrived
        stored = {message.name async for message in until_read(victim)}
        await victim.close()
        await evil.close()
        return stored, arrived

    stored, arrived = asyncio.run(forge())
    assert stored - {"_claim"} <= set(sessions.ids(made.fleet.hosts["db1"].root))
    assert arrived == []


def test_an_operator_hears_nothing_of_a_host(made: Operators) -> None:
    async def listen() -> list[str]:
        heard: list[str] = []

        async def take(to: str, data: bytes) -> None:
            heard.append(to)

        evil = await _connect(made)
        for subject in ("bg.>", ">", "bg.log.*", "bg.seen", "$JS.>", "_INBOX.>", "bg.cmd.db1.*"):
            await evil.listen(subject, take)
        assert made.fleet.hosts["db1"].run("new", "--agent", "shell").returncode == 0
        host = await engines.connect(made.fleet.credentials("db1"), "host")
        await host.tell("bg.seen", b"{}")
        await host._client.flush(5)
        await evil._client.flush(5)
        await host.close()
        await evil.close()
        return heard

    assert asyncio.run(listen()) == []


def test_wrong_credentials_are_explained(made: Operators) -> None:
    laptop, hub = made.laptop, made.fleet.hub
    (laptop.root / "relay.creds").write_bytes((laptop.root / OPERATOR_FILE).read_bytes())
    (laptop.root / "relay.creds").chmod(0o600)
    done = laptop.run("relay", "--once")
    assert (done.returncode, b"credentials of operator alice, not those of a host" in done.stderr) == (
        2,
        True,
    )
    assert b"no host is enrolled in" in laptop.run("enroll", "alice", "--operator").stderr
    assert b"operator alice is enrolled already" in hub.run("enroll", "alice", "--operator").stderr
    assert b"operator bob is not enrolled" in hub.run("enroll", "bob", "--operator", "--revoke").stderr
    (laptop.root / OPERATOR_FILE).rename(laptop.root / "away")
    assert "breakglass enroll NAME --operator" in made.on("db1", "cancel", "3f2a")[2]
    (laptop.root / "away").rename(laptop.root / OPERATOR_FILE)


def test_an_operator_that_was_revoked_is_refused_and_can_be_enrolled_again(made: Operators) -> None:
    assert made.fleet.hub.run("enroll", "alice", "--operator", "--revoke").returncode == 0
    wait_until(lambda: made.on("db1", "cancel", "3f2a")[0] == 6, "the engine to refuse alice")
    (made.laptop.root / OPERATOR_FILE).unlink()
    made.give(made.laptop.root / OPERATOR_FILE)
    wait_until(lambda: made.on("db1", "cancel", "3f2a")[0] == 8, "the engine to know alice")
