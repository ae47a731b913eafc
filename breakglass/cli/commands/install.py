"""Install the server as a systemd service, which starts at boot."""

import difflib
from argparse import Namespace

from breakglass.cli import screen, service, unit
from breakglass.cli.command import Command, Option
from breakglass.config import Config


def run(config: Config, args: Namespace) -> int:
    """Write the unit, then enable and start the service."""
    found = service.find_service(config, args)
    if error := service.obstacle(found):
        if not args.dry_run:
            raise error
        screen.say(f"breakglass: it could not be installed here now: {error}")
    installed, new = service.read_file(found.unit), unit.unit_text(found)
    if installed is not None and not (args.force or unit.is_as_written(installed)):
        files = (str(found.unit), "breakglass install")
        diff = difflib.unified_diff(installed.split("\n"), new.split("\n"), *files, n=0, lineterm="")
        screen.say("\n".join(diff))
    has_environment = service.read_file(found.environment) is not None
    steps = unit.installation(found, installed, has_environment=has_environment, force=args.force)
    if args.dry_run:
        service.print_steps(steps)
        return 0
    service.carry_out(steps)
    _say_what_next(found)
    return 0


def _say_what_next(found: unit.Service) -> None:
    prefix = "" if found.user == "root" or not found.is_system else f"runuser -u {found.user} -- "
    print(f"The service runs as {found.user}. Its sessions are in {found.data}.")
    print(
        f"Keys of agents belong into {found.environment}, settings into {found.configuration}/breakglass.toml."
    )
    print(f"To log in: {prefix}{found.program} login --data {found.data}")
    if not found.is_system and not service.lingers(found.user):
        print(
            f"It ends when {found.user} logs out. To keep it, and to start it at boot: "
            f"loginctl enable-linger {found.user}"
        )


COMMAND = Command(
    run,
    options=(
        Option("--user NAME", "as root: the user that the server and its agents run as (default root)"),
        Option("--dry-run", "only print what would be written and run, as a shell script"),
        Option("--force", "replace a unit that was changed; it is kept as breakglass.service.old"),
    ),
    output="how to log in; with --dry-run a shell script with all files and commands",
    examples="""\
  breakglass install --dry-run              look at it first
  breakglass install                        as root: a system service; its agents may do everything
  breakglass install --user ops             as root: a system service, whose agents may do what ops may
  breakglass install                        as another user: a service of that user, without root""",
    notes="""\
The system service keeps its data in /var/lib/breakglass, the service of a user in ~/.local/state/breakglass, unless
the setting data names another place. A second installation changes nothing, or updates the unit. Running turns go on
in each case. To change the unit: systemctl edit breakglass. breakglass uninstall removes the service, not the data.""",
    exits={1: "the unit was changed, systemd cannot be reached, or a step failed"},
)
