"""Checks a target from here: whether ssh reaches it, its host key, its verbs, and sudo there."""

import subprocess
from collections.abc import Mapping
from typing import NamedTuple

from breakglass.targets import Target
from breakglass.targets.ssh_config import CONNECT_SECONDS
from breakglass.targets.verbs import LIST
from breakglass.text import one_line

_REFUSED = 126
"""The exit status of the script of verbs for everything else (targets/verbs.py)."""
_SSH_FAILED = 255


class Finding(NamedTuple):
    """The result of one check."""

    what: str
    is_good: bool | None
    """None if it could not be told, or is not needed."""
    text: str


def check(target: Target, config: str, environ: Mapping[str, str]) -> list[Finding]:
    """Return what is known about a target. `config` is the ssh configuration. Runs ssh up to three times."""
    answer = _ssh(target, config, environ, LIST)
    if answer.returncode == _SSH_FAILED:
        return _explain(target, answer.stderr.decode(errors="replace"))
    pinned = (
        "it is the one in the settings"
        if target.host_key
        else "accepted at the first use; pin it with host_key"
    )
    found = [Finding("reachable", True, target.ssh), Finding("key", True, pinned)]
    if answer.returncode == 0 and answer.stdout.split()[-1:] == [LIST.encode()]:
        verbs = one_line(answer.stdout.decode(errors="replace"), 200)
        escape = _ssh(target, config, environ, "id").returncode
        is_closed = escape == _REFUSED
        text = f"{verbs}; nothing else runs" if is_closed else "the far side runs other commands too"
        return [
            *found,
            Finding("sudo", None, "not needed: the far side has a list of verbs"),
            Finding("verbs", is_closed, text),
        ]
    sudo = _ssh(target, config, environ, "sudo -n true")
    text = (
        "without a password" if sudo.returncode == 0 else one_line(sudo.stderr.decode(errors="replace"), 100)
    )
    return [
        *found,
        Finding("sudo", sudo.returncode == 0, text),
        Finding("verbs", None, "none: this key may run everything"),
    ]


def _explain(target: Target, errors: str) -> list[Finding]:
    """Return why ssh could not connect."""
    if "HOST IDENTIFICATION HAS CHANGED" in errors or "Host key verification failed" in errors:
        text = (
            "the host key is not the one in the settings: it has changed, or another machine answers. Compare it on "
            f"the machine itself, then change [targets.{target.name}] host_key"
        )
        return [Finding("reachable", True, target.ssh), Finding("key", False, text)]
    if "no matching host key type" in errors:
        text = f"the machine has no host key of the type in [targets.{target.name}] host_key"
        return [Finding("reachable", True, target.ssh), Finding("key", False, text)]
    if "Permission denied" in errors:
        text = (
            "the machine does not accept our key; set identity, and add the line of: breakglass target verbs"
        )
        return [
            Finding("reachable", True, target.ssh),
            Finding("key", None, "ours was refused"),
            Finding("login", False, text),
        ]
    lines = [line for line in errors.splitlines() if line.strip()]
    return [Finding("reachable", False, one_line(lines[-1], 200) if lines else "ssh gave no reason")]


def _ssh(
    target: Target, config: str, environ: Mapping[str, str], command: str
) -> subprocess.CompletedProcess[bytes]:
    """Run a fixed command on the target. Returns ssh's own status 255 if it takes too long."""
    words = [
        "ssh",
        "-F",
        config,
        "-o",
        "ControlMaster=no",
        "-o",
        "ControlPath=none",
        "--",
        target.name,
        command,
    ]
    seconds = CONNECT_SECONDS + 20
    try:
        return subprocess.run(
            words,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(words, _SSH_FAILED, b"", f"no answer within {seconds} s".encode())
