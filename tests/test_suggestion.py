"""A mistyped name: the error names the one that looks most like it. Each kind of name is tried from outside."""

import os
from pathlib import Path

import pytest

from breakglass.store import sessions
from breakglass.suggestion import suggestion
from tests.help import warm

SETTINGS = """
agent = "shell"
[targets.database]
ssh = "ann@10.0.0.9"
[actions.restart]
command = ["systemctl", "restart", "--", "{unit}"]
effect = "changes"
params.unit = { kind = "choice", choices = ["nginx", "postgresql"] }
"""
MISTYPED = {
    "a command": ("vitlas", "there is no command 'vitlas'; did you mean vitals?"),
    "an option": ("do disks --sesion x", "unrecognized arguments: --sesion x; did you mean --session?"),
    "an agent": ("new --agent shlel", "agent: there is no agent 'shlel'; did you mean shell?"),
    "an action": ("do dsks", "there is no action 'dsks'; did you mean disks?"),
    "a parameter": ("do restart units=nginx", "units: no such parameter; did you mean unit?"),
    "a value": (
        "do restart unit=ngnix",
        "unit: expected one of nginx, postgresql, got 'ngnix'; did you mean nginx?",
    ),
    "a target": ("target check databse", "there is no target 'databse'; did you mean database?"),
    "a host": ("ls --host wbe1", "there is no copy of host wbe1 in {data}; did you mean web1?"),
    "a kind of event": ("grep --kind eror disk", "kind: there is no kind 'eror'; did you mean error?"),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with a session, and a copy of the host web1."""
    root = tmp_path_factory.mktemp("suggestion")
    (root / "settings.toml").write_text(SETTINGS)
    (root / "settings.toml").chmod(0o600)
    (root / "var" / "hosts" / "web1" / "sessions").mkdir(parents=True)
    sessions.create(root / "var", "shell")
    return root / "var"


@pytest.mark.parametrize("what", MISTYPED)
def test_a_mistyped_name_gets_the_name_that_looks_like_it(what: str, data: Path) -> None:
    (own,) = sessions.ids(data)
    named = {
        "data": data,
        "session": own[:8],
        "mistyped": own[:5] + ("0" if own[5] != "0" else "1") + own[6:8],
    }
    words, told = (text.format(**named) for text in MISTYPED[what])
    environ = {
        "PATH": os.environ["PATH"],
        "BREAKGLASS_DATA": str(data),
        "BREAKGLASS_CONFIG": f"{data}/../settings.toml",
    }
    done = warm.run(words.split(), environ, data.parent)
    assert told in done.stderr.decode()
    assert (done.returncode != 0, done.stdout) == (True, b"")


def test_a_name_that_looks_like_none_gets_the_list_or_the_given_text() -> None:
    assert suggestion("x", ["beta", "alpha"]) == "expected one of alpha, beta"
    assert suggestion("x", ["beta"], "nothing is set") == "nothing is set"
    assert suggestion("bets", ["beta"], shown=str.upper) == "did you mean BETA?"
    assert suggestion("b" * 100_000, ["beta"], "") == ""
