"""The service on this machine: for which user, whether systemd can run it, and the steps carried out."""

import os
import pwd
import shutil
import subprocess
import sys
from argparse import Namespace
from collections.abc import Iterable, Mapping
from pathlib import Path

import breakglass
from breakglass.cli import screen
from breakglass.cli.unit import DATA, SEARCHED, Service, Step
from breakglass.config import DEFAULT_DATA, Config
from breakglass.errors import BadConfig, BadInput, BreakglassError, Conflict, NotFound
from breakglass.settings_file import OWN_DIRECTORY, SYSTEM_DIRECTORY
from breakglass.trusted_path import check_trusted

SYSTEM_UNITS = Path("/etc/systemd/system")
AGENT = "claude"
"""The program that is looked for in the installer's PATH, because a version manager may put it anywhere."""


def find_service(config: Config, args: Namespace) -> Service:
    """Return the service that this user would install: as root a system service, else a user service.

    Its data root is the setting, if that has another value than the default. Raises BadInput.
    """
    user = _account(args.user if "user" in args else None)
    home, program = Path(user.pw_dir), Path(sys.executable).with_name("breakglass")
    # systemd looks there for units. Settings are read below the home directory only.
    own_units = Path(config.environ.get("XDG_CONFIG_HOME") or home / ".config", "systemd", "user")
    is_system = os.geteuid() == 0
    usual = DATA if is_system else home / ".local/state/breakglass"
    service = Service(
        user=user.pw_name,
        home=home,
        is_system=is_system,
        program=program,
        data=usual if config.data == DEFAULT_DATA else config.data.absolute(),
        config=Path(args.config).absolute() if args.config else None,
        first_path=_agent_directory(config.environ, user),
        units=SYSTEM_UNITS if is_system else own_units,
        configuration=SYSTEM_DIRECTORY if is_system else home / OWN_DIRECTORY,
    )
    for text in (service.program, service.data, service.config, *service.first_path):
        if not str(text).isprintable():
            raise BadInput(f"a unit can only name paths of printable characters, got {str(text)!r}")
    return service


def _account(name: str | None) -> pwd.struct_passwd:
    """Return the named user, or this one. Raises BadInput."""
    own = pwd.getpwuid(os.geteuid())
    if name is None or name == own.pw_name:
        return own
    if own.pw_uid != 0:
        raise BadInput(f"--user {name}: only root can install for another user, and you are {own.pw_name}")
    try:
        return pwd.getpwnam(name)
    except KeyError:
        raise BadInput(f"--user {name}: there is no such user; do: useradd --create-home {name}") from None


def _agent_directory(environ: Mapping[str, str], user: pwd.struct_passwd) -> tuple[str, ...]:
    """Return the directory of the agent's program if a service would not find it, and may trust it."""
    found = shutil.which(AGENT, path=environ.get("PATH", ""))
    directory = os.path.dirname(os.path.abspath(found)) if found else ""
    if not found or directory in (*SEARCHED.split(":"), f"{user.pw_dir}/.local/bin"):
        return ()
    try:
        check_trusted(Path(found), user=user.pw_uid)
    except (BadConfig, OSError):
        return ()
    return (directory,)


def obstacle(service: Service) -> BreakglassError | None:
    """Return the error why the service cannot be installed here, None if it can."""
    if not service.program.exists():
        return NotFound(f"there is no {service.program}: install the package with pip first")
    uid = pwd.getpwnam(service.user).pw_uid
    for path in (service.program, Path(sys.executable), Path(breakglass.__file__)):
        try:
            check_trusted(path, user=uid)
        except (BadConfig, OSError) as error:
            return BadConfig(f"{path}, which the service of {service.user} would run, is {error}")
    return _cannot_run(service) or no_manager(service)


def _cannot_run(service: Service) -> BreakglassError | None:
    """Return the error why the service's user cannot run the program, None if the user can."""
    user = pwd.getpwnam(service.user)
    if user.pw_uid == os.geteuid():
        return None
    groups = os.getgrouplist(user.pw_name, user.pw_gid)
    words = (service.program, "--version")
    try:
        done = subprocess.run(
            words,
            user=user.pw_uid,
            group=user.pw_gid,
            extra_groups=groups,
            cwd="/",
            env={},
            capture_output=True,
            check=False,
        )
        why = done.stderr.decode(errors="replace").strip() if done.returncode else ""
    except OSError as error:
        why = str(error.strerror)
    return NotFound(f"{user.pw_name} cannot run {service.program}: {why}") if why else None


def no_manager(service: Service) -> BreakglassError | None:
    """Return the error why no service manager can be asked, None if one can."""
    if not os.path.isdir("/run/systemd/system"):  # sd_booted(3)
        return NotFound(
            "this machine was not booted with systemd; --dry-run prints the unit and the commands"
        )
    if not service.is_system and not os.path.exists(f"{_runtime_directory()}/systemd/private"):
        return NotFound(
            f"{service.user} has no service manager: log in as {service.user}, or as root do: "
            f"loginctl enable-linger {service.user}"
        )
    return None


def _runtime_directory() -> str:
    return os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}"


def lingers(user: str) -> bool:
    """Return whether a user's services run while the user is not logged in (loginctl(1))."""
    return os.path.exists(f"/var/lib/systemd/linger/{user}")


def read_file(path: Path) -> str | None:
    """Return the text of a file, None if it does not exist. A link that leads nowhere is an empty file."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return "" if os.path.lexists(path) else None


def print_steps(steps: Iterable[Step]) -> None:
    """Print the steps as a shell script."""
    print("\n".join(step.as_shell() for step in steps))


def carry_out(steps: Iterable[Step]) -> None:
    """Run the steps, each one shown before. Raises Conflict for the first one that fails."""
    environ = {**os.environ, "XDG_RUNTIME_DIR": _runtime_directory()}
    for step in steps:
        command = Step(step.words).as_shell()
        screen.say(f"+ {command}")
        try:
            done = subprocess.run(step.words, input=step.text.encode(), env=environ, check=False)
        except OSError as error:
            raise Conflict(f"{command}: {error.strerror}") from error
        if done.returncode:
            raise Conflict(
                f"{command} failed with exit status {done.returncode}; the steps after it were not done"
            )
