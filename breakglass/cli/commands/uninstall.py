"""Remove the systemd service. The data is kept."""

from argparse import Namespace

from breakglass.cli import service, unit
from breakglass.cli.command import Command, Option
from breakglass.config import Config


def run(config: Config, args: Namespace) -> int:
    """Stop and remove the service, and say where its data is."""
    found = service.find_service(config, args)
    installed = service.read_file(found.unit)
    if installed is None:
        print(f"There is no service to remove: {found.unit} does not exist.")
        return 0
    steps = unit.removal(found, installed, service.read_file(found.environment), force=args.force)
    if args.dry_run:
        service.print_steps(steps)
        return 0
    if error := service.no_manager(found):
        raise error
    service.carry_out(steps)
    print(f"The service was removed. The sessions are kept in {unit.data_of(installed) or found.data}.")
    print("Turns that run go on. To stop one: breakglass cancel.")
    for kept in (found.configuration, found.units / f"{unit.NAME}.d"):
        if kept.is_dir() and any(kept.iterdir()):
            print(f"Kept as well: {kept}")
    return 0


COMMAND = Command(
    run,
    options=(
        Option("--dry-run", "only print what would be run, as a shell script"),
        Option("--force", "remove also a unit that was changed; it is kept as breakglass.service.old"),
    ),
    output="where the data is; with --dry-run a shell script with all commands",
    examples="""\
  breakglass uninstall --dry-run            look at it first
  breakglass uninstall                      as root: the system service; as another user: that user's service""",
    notes="Running turns go on. Without a service it does nothing.",
    exits={1: "the unit was changed, systemd cannot be reached, or a step failed"},
)
