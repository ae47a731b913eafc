"""The ssh configuration of targets, and the script of verbs for the far side, without a network."""

import os
import subprocess
from pathlib import Path

import pytest

from breakglass.errors import BadConfig, BadInput
from breakglass.targets import Target, ssh_config, verbs

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
TARGETS = {
    "pve1": Target("pve1", "ops@10.0.10.10:2222", KEY, "jump@10.0.0.1:22", "/etc/a key"),
    "db1": Target("db1", "[fe80::1]"),
}


def resolved(text: str, name: str, folder: Path) -> dict[str, str]:
    """Return how ssh itself reads the configuration for one alias."""
    path = folder / "config"
    path.write_text(text)
    shown = subprocess.run(["ssh", "-G", "-F", path, name], capture_output=True, text=True, check=True).stdout
    return dict(line.split(" ", 1) for line in shown.splitlines() if " " in line)


def test_ssh_reads_the_configuration_as_it_is_meant(tmp_path: Path) -> None:
    text = ssh_config.render(TARGETS.values(), "/var/lib/breakglass/ssh")
    pve = resolved(text, "pve1", tmp_path)
    assert (pve["hostname"], pve["port"], pve["user"]) == ("10.0.10.10", "2222", "ops")
    assert pve["proxyjump"] in ("jump@10.0.0.1:22", "jump@[10.0.0.1]:22")
    assert (pve["batchmode"], pve["connecttimeout"], pve["controlmaster"]) == ("yes", "10", "auto")
    assert (pve["serveraliveinterval"], pve["serveralivecountmax"]) == ("5", "3")
    assert (pve["stricthostkeychecking"], pve["hostkeyalias"]) == ("true", "pve1")
    assert pve["hostkeyalgorithms"] == "ssh-ed25519"
    assert pve["identityfile"] == "/etc/a key"
    assert pve["userknownhostsfile"] == "/var/lib/breakglass/ssh/known_hosts"
    db = resolved(text, "db1", tmp_path)
    assert (db["hostname"], db["stricthostkeychecking"]) == ("fe80::1", "accept-new")


def test_known_hosts_have_the_pinned_keys_and_keep_only_what_was_accepted_for_others() -> None:
    present = f"db1 ssh-rsa AAAA\npve1 ssh-ed25519 OLD\ngone ssh-rsa AAAA\n{KEY}\n"
    assert ssh_config.known_hosts(TARGETS, present) == f"pve1 {KEY}\ndb1 ssh-rsa AAAA\n"


@pytest.mark.parametrize(("length", "is_shared"), [(48, True), (49, True), (50, False), (90, False)])
def test_a_connection_is_shared_only_where_the_path_of_its_socket_fits(length: int, is_shared: bool) -> None:
    text = ssh_config.render(TARGETS.values(), "/" + "d" * (length - 1))
    assert ("ControlMaster auto" in text) == ("ControlPath" in text) == is_shared


def test_a_path_that_ssh_cannot_read_is_refused() -> None:
    with pytest.raises(BadConfig, match="quotation mark"):
        ssh_config.render([Target("a", "b", identity='/x"y')], "/ssh")


# --- the script -------------------------------------------------------------------------------------


def run(folder: Path, script: str, command: str | None) -> subprocess.CompletedProcess[str]:
    """Run the script as sshd does, with `command` as what the client asked for."""
    path = folder / "verbs"
    path.write_text(script)
    env = {"BREAKGLASS_VERBS_LOG": str(folder / "log"), "PATH": os.environ["PATH"]}
    if command is not None:
        env["SSH_ORIGINAL_COMMAND"] = command
    return subprocess.run(["sh", path], env=env, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def script() -> str:
    return verbs.script("pve1", verbs.read_verbs(["say=/bin/echo 'a  b' $HOME \"it's\"", "fail=/bin/false"]))


def test_a_verb_runs_its_command_and_only_that(tmp_path: Path, script: str) -> None:
    done = run(tmp_path, script, "say")
    assert (done.returncode, done.stdout) == (0, "a  b $HOME it's\n")
    assert run(tmp_path, script, "fail").returncode == 1
    assert run(tmp_path, script, "list").stdout == "say fail list\n"
    assert [line.split(" ", 2)[2] for line in (tmp_path / "log").read_text().splitlines()] == [
        "run say",
        "run fail",
    ]
    assert "== uptime" in (tmp_path / "log.forensics").read_text()


@pytest.mark.parametrize(
    "command",
    [
        *(
            None,
            "",
            " ",
            "say ",
            " say",
            "say x",
            "say;id",
            "say\nid",
            "sayx",
            "sa",
            "SAY",
            "*",
            "s*",
            "?ay",
            "[s]ay",
        ),
        *(
            "$(id)",
            "`id`",
            "id",
            "'say'",
            '"say"',
            "say&&id",
            "sh -c say",
            "/bin/echo",
            "-n",
            "--help",
            "esac",
            "é",
        ),
    ],
)
def test_everything_else_is_refused_and_noted(tmp_path: Path, script: str, command: str | None) -> None:
    done = run(tmp_path, script, command)
    assert (done.returncode, done.stdout) == (126, "")
    assert done.stderr == "refused; expected one of: say fail list\n"
    (line,) = (tmp_path / "log").read_text().splitlines()
    assert " refused: " in line


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("say", "expected VERB=COMMAND"),
        ("Say=/bin/true", "expected VERB=COMMAND"),
        ("a b=/bin/true", "expected VERB=COMMAND"),
        ("list=/bin/true", "but not list"),
        ("say=", "say: expected the whole path of a program"),
        ("say=echo", "say: expected the whole path of a program"),
        ("say=/bin/echo 'a", "say: No closing quotation"),
    ],
)
def test_a_bad_verb_is_refused(pair: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        verbs.read_verbs([pair])
    with pytest.raises(BadInput, match="say: this verb is given twice"):
        verbs.read_verbs(["say=/bin/true", "say=/bin/true"])


def test_the_line_for_authorized_keys_restricts_the_key() -> None:
    assert verbs.authorized_key("ssh-ed25519 AAAA me", "10.0.0.2") == (
        'restrict,command="/usr/local/sbin/breakglass-verbs",from="10.0.0.2" ssh-ed25519 AAAA me'
    )
