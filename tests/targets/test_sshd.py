"""A real sshd on the loopback interface: aliases, the pinned host key, the forced command, and `target check`."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.program import Data
from tests.help.sshd import Sshd


class FarSide(Sshd):
    """A data root with one target, and the sshd of that target."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.data = Data(folder)
        self.write_settings("host")

    def write_settings(self, host_key: str) -> None:
        self.data.root.mkdir(0o700, exist_ok=True)
        user = subprocess.check_output(["id", "-un"], text=True).strip()
        key = (self.folder / f"{host_key}.pub").read_text().strip()
        (self.data.root / "breakglass.toml").write_text(
            f'[targets.far]\nssh = "{user}@127.0.0.1:{self.port}"\nhost_key = "{key}"\n'
            f'identity = "{self.folder / "client"}"\n'
            '[actions.far]\ncommand = ["ssh", "-F", "var/ssh/config", "--", "{host}", "{verb}"]\n'
            'effect = "reads"\nparams.host.kind = "target"\n'
            'params.verb = { kind = "choice", choices = ["say", "other"] }\n'.replace(
                "var/ssh/config", str(self.data.root / "ssh" / "config")
            )
        )


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FarSide]:
    made = FarSide(tmp_path_factory.mktemp("far"))
    process = made.start()
    yield made
    process.terminate()
    process.wait()


def test_verbs_run_and_all_else_is_refused(far: FarSide) -> None:
    done = far.data.run("target", "verbs", "far", "say=/bin/echo said", "--address", "127.0.0.1")
    script = far.folder / "breakglass-verbs"
    script.write_bytes(done.stdout)
    script.chmod(0o755)
    (line,) = [each for each in done.stderr.decode().splitlines() if each.startswith("restrict,")]
    assert ',from="127.0.0.1" ssh-ed25519 ' in line
    far.allow(line.replace("/usr/local/sbin/breakglass-verbs", str(script)))
    checked = far.data.ok("target", "check").splitlines()
    assert [each.split(":")[0] for each in checked] == [
        "✓ far reachable",
        "✓ far key",
        "· far sudo",
        "✓ far verbs",
    ]
    assert checked[-1] == "✓ far verbs: say list; nothing else runs"
    assert "│ said\n" in far.data.ok("do", "far", "host=far", "verb=say")
    refused = far.data.run("do", "far", "host=far", "verb=other")
    assert (refused.returncode, b"refused; expected one of: say list" in refused.stdout) == (1, True)
    config = far.data.root / "ssh" / "config"
    for command in ("id", "say; id", "$(id)"):
        answer = subprocess.run(["ssh", "-F", config, "far", command], capture_output=True, check=False)
        assert (answer.returncode, answer.stdout) == (126, b"")
    assert (far.folder / "log").read_text().count(" refused: ") >= 4


def test_a_key_that_may_run_everything_is_told(far: FarSide) -> None:
    far.allow((far.folder / "client.pub").read_text())
    checked = far.data.run("target", "check", "far").stdout.decode()
    assert "· far verbs: none: this key may run everything" in checked


def test_a_changed_host_key_is_an_error_that_says_so(far: FarSide) -> None:
    far.write_settings("other")
    try:
        done = far.data.run("target", "check")
        assert done.returncode == 1
        assert "✗ far key: the host key is not the one in the settings" in done.stdout.decode()
        assert far.data.run("do", "far", "host=far", "verb=say").returncode == 1
    finally:
        far.write_settings("host")


def test_a_refused_key_and_an_unreachable_machine_are_told_apart(far: FarSide) -> None:
    far.allow("")
    assert (
        "✗ far login: the machine does not accept our key" in far.data.run("target", "check").stdout.decode()
    )
    port, far.port = far.port, 1
    far.write_settings("host")
    try:
        checked = far.data.run("target", "check").stdout.decode()
        assert checked.startswith("✗ far reachable: ")
        assert "refused" in checked
    finally:
        far.port = port
        far.write_settings("host")
        far.allow((far.folder / "client.pub").read_text())


def test_the_files_are_for_the_owner_alone(far: FarSide) -> None:
    assert shutil.which("ssh")
    path = Path(far.data.run("target", "config").stdout.decode().strip())
    assert path == far.data.root / "ssh" / "config"
    assert {each.stat().st_mode & 0o777 for each in path.parent.iterdir() if each.is_file()} == {0o600}
