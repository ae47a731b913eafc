"""List the hosts whose sessions are copied here, and how true each copy is."""

import time
from argparse import Namespace

from breakglass.cli import screen
from breakglass.cli.command import Command, Option
from breakglass.cli.style import paint
from breakglass.config import Config
from breakglass.store.fleet import LINK_SIGNS, Host, list_hosts
from breakglass.text import one_line, plural

SIGNS = {"ok": ("✓", "success"), "warn": ("!", "question"), "bad": ("✗", "failure"), "unknown": ("·", "note")}
"""How a terminal shows each vital sign of a link, with its style."""


def run(config: Config, args: Namespace) -> int:
    """Print a line for each host."""
    found = list_hosts(config.data, time.time())
    if args.json:
        screen.print_json(host.described() for host in found)
        return 0
    if not found:
        screen.say(f"no hosts in {config.data.absolute()}/hosts; docs/fleet.md says how to begin")
    width = max((len(host.name) for host in found), default=0)
    colours = screen.has_colours(config.environ)
    for host in found:
        print(_row(host, width, colours=colours))
    return 0


def _row(host: Host, width: int, *, colours: bool) -> str:
    sign, style = SIGNS[LINK_SIGNS[host.link.state]]
    shown = paint(sign, style, colours=colours)
    counts = [plural(len(host.sessions), "session")]
    counts += [f"{host.running:,} running"] if host.running else []
    counts += [f"{host.asking:,} asking"] if host.asking else []
    counts += [f"generation {host.link.generation}"] if (host.link.generation or 1) > 1 else []
    problem = f"  {one_line(host.link.problem, 120)}" if host.link.problem else ""
    return f"{shown} {host.name:<{width}}  {host.link.told:<34}  {', '.join(counts)}{problem}"


COMMAND = Command(
    run,
    options=(Option("--json", "print one JSON object a host, one a line, as GET /api/hosts"),),
    output="a line for each host, those that ask first: how true its copy is, and the number of its sessions",
    examples="""\
  breakglass hosts
  breakglass hosts --json | jq -r 'select(.link != "live").host'
  breakglass ls --host db1""",
    notes="""\
Live: the hub heard the host's relay within 25 seconds, and nothing waits. Behind: some lines are still on the host. Not
heard: everything of the host is as of that time. Diverged: the host sent something else than before; it was refused,
and what was copied stays. Copy: another program, such as rsync, writes it.""",
)
