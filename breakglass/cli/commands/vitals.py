"""Show the vital signs of this machine, and whether each agent is ready."""

from argparse import Namespace

from breakglass.cli import screen
from breakglass.cli.command import Command, Option
from breakglass.cli.style import SIGN_STYLES, paint
from breakglass.config import Config
from breakglass.text import one_line
from breakglass.vitals import SIGNS
from breakglass.vitals.agents import agent_probes
from breakglass.vitals.measure import measure
from breakglass.vitals.probes import Place


def run(config: Config, args: Namespace) -> int:
    """Measure, and print a line for each sign."""
    found = measure(Place(config.data, config.environ), agent_probes(config))
    if args.json:
        screen.print_json([found.described()])
        return 0
    colours = screen.has_colours(config.environ)
    width = max(len(each.label) for each in found.signs)
    for each in found.signs:
        sign = paint(SIGNS[each.status], SIGN_STYLES[each.status], colours=colours)
        print(f"{sign} {each.label:<{width}}  {one_line(each.text)}")
    return 0


COMMAND = Command(
    run,
    options=(Option("--json", "print the object of GET /api/vitals"),),
    output="a line for each sign, with ✓ good, ! warning, ✗ bad or ? unknown before it",
    examples="""\
  breakglass vitals
  breakglass vitals --json | jq -r '.signs[] | select(.status != "ok") | "\\(.label): \\(.text)"'""",
    notes="Each probe has two seconds. One that hangs is unknown, which is never a good sign.",
)
