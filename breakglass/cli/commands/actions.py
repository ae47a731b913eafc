"""List the actions: commands that need no model."""

import shlex
from argparse import Namespace

from breakglass.actions import Action
from breakglass.cli import screen
from breakglass.cli.command import Command, Option
from breakglass.cli.settings_help import keys_help
from breakglass.cli.style import paint
from breakglass.config import ACTION_SETTINGS, PARAM_SETTINGS, Config
from breakglass.text import one_line


def run(config: Config, args: Namespace) -> int:
    """List the actions: those that only read first, those that disrupt last."""
    effects = ("reads", "changes", "disrupts")
    found = sorted(config.actions.values(), key=lambda action: effects.index(action.effect))
    if args.json:
        targets = tuple(config.targets)
        screen.print_json(action.described(config.this_machine, targets) for action in found)
        return 0
    colours = screen.has_colours(config.environ)
    for action in found:
        effect = "" if action.effect == "reads" else f" [{action.effect}]"
        style = "failure" if action.effect == "disrupts" else "prompt"
        name = paint(f"{action.name}{effect}", style, colours=colours)
        print(f"{name}: {one_line(action.about or action.shown_label)}")
        print(f"  {one_line(shlex.join(action.command))}{_params(action, config)}")
    return 0


def _params(action: Action, config: Config) -> str:
    """Return what the values may be, as lines; "" without parameters."""
    return "".join(
        f"\n  {param.name}: {one_line(param.expected(tuple(config.targets)))}"
        f"{f' ({one_line(param.about)})' if param.about else ''}"
        for param in action.params.values()
    )


COMMAND = Command(
    run,
    options=(Option("--json", "print one JSON object an action, one a line"),),
    output="name, effect, what it does and its arguments; with --json one object an action, as in GET /api/actions",
    examples="""\
  breakglass actions
  breakglass actions --json | jq -r 'select(.effect == "reads").name'
  breakglass do failed-units                    runs one""",
    notes=f"""\
An action is a table [actions.NAME] in the settings file, with these keys:
{keys_help(ACTION_SETTINGS)}

A parameter is a table [actions.NAME.params.PARAM], with these keys:
{keys_help(PARAM_SETTINGS)}

For example:
  [actions.restart]
  label = "Restart a service"
  command = ["systemctl", "restart", "--", "{{unit}}"]
  effect = "changes"
  params.unit = {{ kind = "choice", choices = ["nginx", "postgresql"] }}""",
)
