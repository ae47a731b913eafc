"""List the configured agents and whether each can start."""

from argparse import Namespace

from breakglass.cli import screen
from breakglass.cli.command import Command, Option
from breakglass.cli.settings_help import keys_help
from breakglass.cli.style import paint, status_style
from breakglass.config import AGENT_SETTINGS, Config
from breakglass.text import one_line, status_sign
from breakglass.vitals.examine import examine


def run(config: Config, args: Namespace) -> int:
    """List the agents, and for one that cannot start what to do about it. Tries each sandbox."""
    found = [examine(config, agent) for agent in config.agents.values()]
    if args.json:
        screen.print_json(found)
        return 0
    colours = screen.has_colours(config.environ)
    for agent in found:
        status = "error" if agent["problem"] else "ok"
        sign = paint(status_sign(status).sign, status_style(status), colours=colours)
        default = " (default)" if agent["default"] else ""
        facts = [
            f"{key} {one_line(str(agent[key]))}"
            for key in ("protocol", "permissions", "version")
            if agent[key]
        ]
        if agent["sandbox"] != "none":
            facts.append(
                f"sandbox {agent['sandbox']}{'' if agent['landlock'] else ', the kernel has no Landlock'}"
            )
        print(f"{sign} {agent['name']}{default}: {' · '.join(facts)}")
        print(f"  {one_line(agent['problem'] or agent['program'])}")
    return 0


COMMAND = Command(
    run,
    options=(Option("--json", "print one JSON object an agent, one a line"),),
    output="with --json: name, can_start, logged_in (null if unknown), version, problem, sandbox, landlock and more",
    examples="""\
  breakglass agents
  breakglass agents --json | jq -r 'select(.can_start).name'""",
    notes=f"""\
An agent is a table [agents.NAME] in the settings file, with these keys:
{keys_help(AGENT_SETTINGS)}

For example:
  [agents.claude]
  command = ["/opt/claude/bin/claude"]
  permissions = "ask"
  allow = ["Edit"]
  env = {{ IS_SANDBOX = "1" }}       # as root, Claude Code acts without asking only if this is set
  sandbox = "bwrap"                # it writes only its workspace, and does not see the data root
  readable = ["~/.local"]          # where claude is installed, because the sandbox hides home directories""",
)
