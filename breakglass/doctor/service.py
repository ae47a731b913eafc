"""Checks of the systemd service, and of what the kernel does to the server when memory is short."""

import os
import pwd
import subprocess

from breakglass.agents.environ import helper_environment
from breakglass.config import Config
from breakglass.doctor.files import NOT_HERE
from breakglass.store import servers
from breakglass.vitals import Sign
from breakglass.vitals.probes import Place

UNIT = "breakglass.service"
SYSTEMCTL_SECONDS = 5.0
_RESTART = "do: breakglass install --force; it restarts the server, and turns go on"


def _is_system() -> bool:
    return os.geteuid() == 0


def _user() -> str:
    """Return the name of this process's user; its number if it has no name, as in a container."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _asked(place: Place) -> dict[str, str]:
    """Return properties of the unit, as systemd has loaded it; {} without systemd. Raises OSError and ValueError."""
    wanted = "LoadState,ActiveState,UnitFileState,KillMode"
    command = ["systemctl", *([] if _is_system() else ["--user"]), "show", UNIT, f"--property={wanted}"]
    try:
        shown = subprocess.run(
            command,
            env={**helper_environment(place.environ), "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SYSTEMCTL_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        return {}
    if b"not been booted with systemd" in shown.stderr:
        return {}
    if shown.returncode:
        raise ValueError(f"systemctl: exit status {shown.returncode}")
    rows = (line.partition("=") for line in shown.stdout.decode(errors="replace").splitlines())
    return {key: value for key, _, value in rows}


def unit(config: Config, place: Place) -> Sign:
    """Whether the server is started at boot, and again after it ended."""
    found = _asked(place)
    if not found:
        text, advice = (
            "systemd does not run here",
            "let what starts this machine or container start breakglass serve",
        )
        return Sign("service", "Service", "warn", text, advice=advice)
    if found.get("LoadState") != "loaded":
        text = "not installed: no server runs after a reboot"
        return Sign("service", "Service", "warn", text, advice="do: breakglass install")
    if found.get("ActiveState") != "active":
        state = found.get("ActiveState", "in an unknown state")
        return Sign(
            "service", "Service", "bad", f"installed, but {state}", advice="see: systemctl status breakglass"
        )
    if found.get("UnitFileState") not in ("enabled", "enabled-runtime"):
        text = "it runs, but is not enabled: it does not start at boot"
        return Sign("service", "Service", "bad", text, advice="do: systemctl enable breakglass")
    return Sign("service", "Service", "ok", "runs, and starts at boot")


def kill_mode(config: Config, place: Place) -> Sign:
    """Whether a restart of the service kills running turns."""
    found = _asked(place)
    if found.get("LoadState") != "loaded":
        return Sign("kill_mode", "Turns at a restart", "ok", NOT_HERE)
    mode = found.get("KillMode", "")
    if mode == "process":
        return Sign("kill_mode", "Turns at a restart", "ok", "they go on (KillMode=process)")
    text = f"a restart of the service kills every running turn (KillMode={mode})"
    return Sign("kill_mode", "Turns at a restart", "bad", text, advice=_RESTART)


def linger(config: Config, place: Place) -> Sign:
    """Whether a user's service runs while its user is not logged in (loginctl(1))."""
    if _is_system() or _asked(place).get("LoadState") != "loaded":
        return Sign("linger", "After log-out", "ok", NOT_HERE)
    user = _user()
    if os.path.exists(f"/var/lib/systemd/linger/{user}"):
        return Sign("linger", "After log-out", "ok", "the service goes on (lingering is on)")
    text = f"the service ends when {user} logs out, and does not start at boot"
    return Sign("linger", "After log-out", "bad", text, advice=f"as root do: loginctl enable-linger {user}")


def oom_score(config: Config, place: Place) -> Sign:
    """Whether the kernel spares the server when memory is short (proc_pid_oom_score_adj(5))."""
    label = "When memory is short"
    found = servers.find_servers(config.data)
    if not found:
        return Sign("oom_score", label, "ok", NOT_HERE)
    scores = []
    for pid in found:
        with open(f"/proc/{pid}/oom_score_adj", encoding="ascii") as file:
            scores.append(int(file.read()))
    score = max(scores)
    if score < 0:
        return Sign("oom_score", label, "ok", f"the kernel spares the server ({score})", score)
    advice = "run it as the service of root (breakglass install), which has OOMScoreAdjust=-900"
    if score == 0:
        text = "the kernel may kill the server like any other process (0)"
        return Sign("oom_score", label, "warn", text, score, advice)
    text = f"the kernel kills the server before other processes ({score})"
    return Sign("oom_score", label, "bad", text, score, advice)
