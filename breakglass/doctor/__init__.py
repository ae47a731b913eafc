"""The examination of an installation: what would fail in an emergency, and what to do about it before.

A check is a probe of `vitals`, whose sign has advice. A check changes nothing. It is `bad` if something will fail, and
`warn` if something may.
"""

from collections.abc import Iterable
from functools import partial

from breakglass.config import Config
from breakglass.doctor import files, machine, network, notifications, service
from breakglass.vitals import Sign, Vitals
from breakglass.vitals.agents import agent_probes
from breakglass.vitals.measure import run_probes
from breakglass.vitals.probes import Place, Probe

SECONDS = 15.0
"""Seconds that all checks together may take. They run at the same time."""
KEEP_SECONDS = 300.0
"""For how long the pages show the result of a check again."""

CHECKS = (
    ("data_root_access", "Data root", files.data_root),
    ("file_system", "File system", files.file_system),
    ("free_space", "Free space", files.free_space),
    ("free_inodes", "Free inodes", files.free_inodes),
    ("clock_set", "Clock", machine.clock),
    ("service", "Service", service.unit),
    ("kill_mode", "Turns at a restart", service.kill_mode),
    ("linger", "After log-out", service.linger),
    ("oom_score", "When memory is short", service.oom_score),
    ("certificate", "TLS certificate", network.certificate),
    ("notifications", "Notifications", notifications.notifications),
)
"""The checks that ask no server and no other machine: name, label and function."""
ASKING = (
    ("server", "Server", network.server),
    ("public_address", "Public address", network.public_address),
    ("proxy_user", "User named by the proxy", network.proxy_user),
)
"""The checks that ask the server itself. The pages leave them out: they are of that server."""


def quiet_probes(config: Config) -> list[Probe]:
    """Return the checks that ask no server and no other machine."""
    return [Probe(name, label, partial(check, config), KEEP_SECONDS) for name, label, check in CHECKS]


def only_red_checks(found: Vitals) -> Vitals:
    """Return the signs without the results of `CHECKS` that are not bad: a page shows only the red ones."""
    names = {name for name, _, _ in CHECKS}
    return found._replace(
        signs=tuple(each for each in found.signs if each.name not in names or each.status == "bad")
    )


def examine_all(config: Config, more: Iterable[Probe] = ()) -> tuple[Sign, ...]:
    """Return the result of every check that concerns this installation. `more`: checks of higher layers."""
    asking = [Probe(name, label, partial(check, config)) for name, label, check in ASKING]
    targets = [
        Probe(f"target_{target.name}", f"Target {target.name}", partial(machine.target, target))
        for target in config.targets.values()
    ]
    probes = [*quiet_probes(config), *asking, *agent_probes(config), *targets, *more]
    found = run_probes(probes, Place(config.data, config.environ), SECONDS)
    return tuple(_with_advice(sign) for sign in found if sign.text != NOT_HERE)


def _with_advice(sign: Sign) -> Sign:
    if sign.name.startswith("agent_") and sign.status != "ok":
        return sign._replace(advice="see: breakglass agents")
    if sign.status == "unknown" and not sign.advice:
        return sign._replace(advice="it could not be checked; check it yourself")
    return sign


NOT_HERE = files.NOT_HERE
"""The text of a sign that does not concern this installation."""
