"""Examine this installation: what would fail in an emergency, and what to do."""

from argparse import Namespace
from functools import partial

from breakglass.cli import screen
from breakglass.cli.command import Command, Option
from breakglass.cli.style import SIGN_STYLES, paint
from breakglass.config import Config
from breakglass.doctor import examine_all
from breakglass.text import one_line
from breakglass.vitals import SIGNS
from breakglass.vitals.probes import Probe


def run(config: Config, args: Namespace) -> int:
    """Print a line for each check, and what to do. Returns 1 if something will fail."""
    from breakglass.relay import examine  # imported only here: most data roots have no relay

    found = examine_all(config, [Probe("relay", examine.LABEL, partial(examine.relay, config))])
    status = 1 if any(each.status == "bad" for each in found) else 0
    if args.json:
        keys = ("name", "label", "status", "text", "advice")
        screen.print_json({key: getattr(each, key) for key in keys} for each in found)
        return status
    colours = screen.has_colours(config.environ)
    width = max(len(each.label) for each in found)
    for each in found:
        sign = paint(SIGNS[each.status], SIGN_STYLES[each.status], colours=colours)
        print(f"{sign} {each.label:<{width}}  {one_line(each.text)}")
        if each.advice and each.status != "ok":
            print(f"  {'':<{width}}  → {one_line(each.advice)}")
    return status


COMMAND = Command(
    run,
    options=(
        Option("--json", "print one JSON object a check, one a line: name, label, status, text, advice"),
    ),
    output="a line for each check, with ✓ good, ! warning, ✗ bad or ? unknown before it, and → what to do",
    examples="""\
  breakglass doctor                                   after the installation, and after each change
  breakglass doctor --json | jq -r 'select(.status == "bad") | "\\(.label): \\(.advice)"'""",
    notes="""\
It changes nothing, and asks the server without a token, also at its public addresses. Run it as the user of the
server, with the same --data and --config. It runs the programs of agents to ask whether they are logged in.""",
    exits={0: "nothing will fail; there may be warnings", 1: "something will fail in an emergency"},
)
