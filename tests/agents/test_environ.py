"""The environments of programs that are not the server. Other processes of its user can read them."""

import ast
from collections.abc import Iterator
from pathlib import Path

from breakglass.agents.environ import helper_environment

PACKAGE = Path(__file__).parents[2] / "breakglass"
STARTS = {"subprocess.run", "subprocess.Popen", "asyncio.create_subprocess_exec"}
ENVIRONMENTS = {
    ("cli/service.py", "environ"): "systemctl and others, from the terminal of a user who installs",
    ("cli/service.py", "{}"): "only `--version`",
    ("cli/target_check.py", "dict(environ)"): "ssh, from the terminal of a user",
    ("doctor/service.py", "{**helper_environment(place.environ), 'LC_ALL': 'C'}"): "systemctl",
    ("relay/certificate.py", "PATH_ONLY"): "openssl",
    (
        "relay/signing.py",
        "None",
    ): "ssh-keygen asks the user at the terminal for a passphrase, or ssh-agent signs",
    ("relay/signing.py", "PATH_ONLY"): "ssh-keygen checks a signature",
    ("turns/adopt_acp.py", "variables"): "an agent, with its own environment",
    ("turns/child.py", "environ"): "an agent, with its own environment",
    ("turns/start.py", "job.environ"): "the runner",
    ("vitals/examine.py", "place.environ"): "an agent, with its own environment",
    ("vitals/probes.py", "{**helper_environment(place.environ), 'LC_ALL': 'C'}"): "systemctl",
    ("web/hub_forms.py", "helper_environment(config.environ)"): "a command of ours",
    ("web/searching.py", "{}"): "a search",
    ("web/stats_pages.py", "{}"): "counting",
}
"""A module and the `env` with which it starts a program, and which program it is."""


def test_a_helper_gets_no_secret_of_the_server() -> None:
    server = {
        "PATH": "/bin",
        "XDG_RUNTIME_DIR": "/run/user/0",
        "BREAKGLASS_DATA": "/data",
        "BREAKGLASS_TOKEN": "the token",
        "BREAKGLASS_TURN": "session/1/2:3",
        "DB_PASSWORD": "of a database",
        "HOOK_URL": "https://hooks.example/secret",
    }
    allowed = {"PATH": "/bin", "XDG_RUNTIME_DIR": "/run/user/0", "BREAKGLASS_DATA": "/data"}
    assert helper_environment(server) == allowed
    assert helper_environment(server, ["HOOK_URL", "UNSET"]) == {**allowed, "HOOK_URL": server["HOOK_URL"]}


def started_programs() -> Iterator[tuple[str, str]]:
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in STARTS:
                given = {word.arg: ast.unparse(word.value) for word in node.keywords}
                yield str(path.relative_to(PACKAGE)), given.get("env", "None")


def test_every_program_gets_an_environment_that_was_chosen_for_it() -> None:
    assert set(started_programs()) == ENVIRONMENTS.keys()
