"""Create a session and print its id."""

from argparse import Namespace

from breakglass.cli import on_host, screen
from breakglass.cli.command import Command, Option
from breakglass.cli.user import check_text, user_name
from breakglass.config import Config
from breakglass.errors import BadInput
from breakglass.settings import check_model
from breakglass.store import sessions
from breakglass.store.sessions import Session


def run(config: Config, args: Namespace) -> int:
    """Create a session and print its id."""
    made = create_session(config, args.agent, args.model, args.title, args.target, is_local=args.local)
    print(made.id)
    return 0


def create_session(
    config: Config,
    agent: str | None,
    model: str | None,
    title: str | None,
    target: str | None = None,
    *,
    is_local: bool = False,
) -> Session:
    """Create a session and return it. None means the default. Warns if the agent's program is missing."""
    chosen = config.agent_named(agent or config.agent)
    if model is not None:
        check_model("--model", model)
    if target is not None:
        config.target_named(target)
    if not chosen.program(config.environ):
        screen.say(f"note: {chosen.command[0]} was not found, so its turns will fail; see: breakglass agents")
    title = check_text("--title", title or "")
    by = user_name()
    return sessions.create(config.data, chosen.name, model, title, by, target=target, is_local=is_local)


def run_on_host(config: Config, args: Namespace) -> int:
    """Create a session on another host and print its id."""
    if args.local:
        raise BadInput("--local: a session that stays on its host is begun there: leave out --on")
    print(create_on_host(config, args, args.model, args.target))
    return 0


def create_on_host(
    config: Config, args: Namespace, model: str | None = None, target: str | None = None
) -> str:
    """Create a session on the host `args.on` and return its id. Its settings say which agents it has."""
    title = None if args.title is None else check_text("--title", args.title)
    values = {"agent": args.agent, "model": model, "title": title, "target": target}
    done = on_host.act(config, args, "new", None, values)
    return on_host.session_in(done)


COMMAND = Command(
    run,
    writes=True,
    on_host=run_on_host,
    options=(
        Option("--agent A", "the agent that works in it; breakglass agents lists them"),
        Option("--model M", "the agent's model"),
        Option("--title T", "the title in lists"),
        Option("--target NAME", "the machine that it is about, a table [targets.NAME] of the settings"),
        Option("--local", "the session stays on this machine: breakglass relay never ships it to a hub"),
    ),
    examples="""\
  breakglass new --title "disk full on db1"
  breakglass new --target db1 --title "disk full"              reached by ssh: breakglass target --help
  breakglass new --local --agent shell                          no hub gets it
  breakglass --on db1 new --agent shell                         on the host db1: docs/fleet.md
  id=$(breakglass new --agent shell) && breakglass send $id 'df -h'""",
)
