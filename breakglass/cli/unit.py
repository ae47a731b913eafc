"""What a systemd service of Breakglass consists of, and the steps that install and remove it. Runs nothing.

How this works. `breakglass.service`, beside this module, is a complete unit for root. Other places and users replace
single lines of it. What is done is a list of steps, each a command with its input. So `--dry-run` prints exactly what
would run. The first line of an installed unit has the SHA-256 of the others. A unit without it was changed.
"""

import hashlib
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from breakglass.errors import Conflict

NAME = "breakglass.service"
SHIPPED = Path(__file__).with_name(NAME)
DATA = Path("/var/lib/breakglass")
"""The data root of the shipped unit. StateDirectory= can make directories of /var/lib only."""
SEARCHED = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = """\
# Environment variables of the Breakglass service, one a line (EnvironmentFile= in systemd.exec(5)). For example:
# ANTHROPIC_API_KEY=...
"""
"""The environment file of a new installation."""
_WRITTEN_BY = "# Written by breakglass install."


class Step(NamedTuple):
    """A command, and the text of its standard input."""

    words: tuple[str, ...]
    text: str = ""

    def as_shell(self) -> str:
        """Return the step as shell script."""
        return shlex.join(self.words) + (f" <<'END'\n{self.text}END" if self.text else "")


@dataclass(frozen=True, kw_only=True)
class Service:
    """A system service, which root installs, or a user service, which its user installs."""

    user: str
    """The user that it runs as."""
    home: Path
    is_system: bool
    program: Path
    data: Path
    config: Path | None = None
    """The settings file, if it is not at a default place."""
    first_path: tuple[str, ...] = ()
    """Directories that its PATH has before all others."""
    units: Path
    """The directory of the unit."""
    configuration: Path
    """The directory of the environment file and of the settings file."""

    @property
    def unit(self) -> Path:
        """The installed unit file."""
        return self.units / NAME

    @property
    def environment(self) -> Path:
        """The file with its environment variables."""
        return self.configuration / "environment"

    def systemctl(self, *words: str) -> Step:
        """Return the step that asks its service manager."""
        return Step(("systemctl", *(() if self.is_system else ("--user",)), *words))


def unit_text(service: Service) -> str:
    """Return the unit file of a service."""
    replaced = _replaced(service)
    lines = SHIPPED.read_text(encoding="utf-8").split("\n")
    new = [replaced.get(line.partition("=")[0], line) for line in lines]
    body = "\n".join(line for line in new if line is not None)
    edit = shlex.join(service.systemctl("edit", "breakglass").words)
    return f"{_WRITTEN_BY} To change it: {edit}. SHA-256 of the other lines: {_digest(body)}\n{body}"


def _replaced(service: Service) -> dict[str, str | None]:
    """Return the lines that differ from the shipped unit, by the key of the line that they replace. None removes it."""
    options = ["--data", str(service.data), *(["--config", str(service.config)] if service.config else [])]
    path = ":".join((*service.first_path, f"{service.home}/.local/bin", SEARCHED))
    lines: dict[str, str | None] = {
        "ExecStart": f"ExecStart={_quoted(str(service.program), 'serve', *options)}",
        "User": f"User={service.user}" if service.is_system else None,
        "Environment": f"Environment={_quoted_word(f'PATH={path}')}",
        "EnvironmentFile": f"EnvironmentFile=-{service.environment}".replace("%", "%%"),
        "WantedBy": f"WantedBy={'multi-user' if service.is_system else 'default'}.target",
    }
    if not service.is_system or service.data != DATA:
        owner = ("-o", service.user) if service.is_system else ()
        make = _quoted("install", "-d", "-m", "0700", *owner, str(service.data))
        lines["StateDirectory"] = f"ExecStartPre={'+' if service.is_system else ''}{make}"
        lines["StateDirectoryMode"] = None
    return lines


def _quoted(*words: str) -> str:
    """Return a command line as systemd reads it, with `$` doubled (systemd.service(5), "Command lines")."""
    return " ".join(_quoted_word(word.replace("$", "$$")) for word in words)


def _quoted_word(word: str) -> str:
    """Return a word as systemd reads it, with `%` doubled (systemd.syntax(7), systemd.unit(5), "Specifiers")."""
    word = word.replace("%", "%%")
    if re.fullmatch(r"[\w/.:=@%$+~-]+", word):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def data_of(unit: str) -> Path | None:
    """Return the data root that a unit names, None if it names none."""
    found = re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    try:
        words = shlex.split(found[1].replace("%%", "%").replace("$$", "$")) if found else []
        return Path(words[words.index("--data") + 1])
    except (ValueError, IndexError):
        return None


def is_as_written(unit: str) -> bool:
    """Return whether `install` wrote a unit, in this version or another one, and no one changed it since."""
    head, _, body = unit.partition("\n")
    return head.startswith(_WRITTEN_BY) and head.endswith(f" {_digest(body)}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def installation(
    service: Service, installed: str | None, *, has_environment: bool, force: bool
) -> list[Step]:
    """Return the steps that install a service. `installed` is the unit that is there, None if there is none.

    Raises Conflict for a unit that was changed. With `force` it is kept under another name instead.
    """
    new = unit_text(service)
    return [
        *([] if has_environment else [_write(service.environment, "0600", ENVIRONMENT)]),
        *(
            []
            if new == installed
            else [*_keep(service, installed, force=force), _write(service.unit, "0644", new)]
        ),
        service.systemctl("daemon-reload"),
        service.systemctl("enable", NAME),
        service.systemctl("start" if new == installed else "restart", NAME),
    ]


def removal(service: Service, installed: str, environment: str | None, *, force: bool) -> list[Step]:
    """Return the steps that remove a service, but no data. Raises Conflict as `installation` does.

    `environment` is the text of the environment file. The file stays if a user wrote something into it.
    """
    kept = _keep(service, installed, force=force)
    own = (
        Step(("rm", str(service.environment))),
        Step(("rmdir", "--ignore-fail-on-non-empty", str(service.configuration))),
    )
    return [
        service.systemctl("disable", "--now", NAME),
        *(kept or [Step(("rm", str(service.unit)))]),
        *(own if environment == ENVIRONMENT else ()),
        service.systemctl("daemon-reload"),
    ]


def _write(path: Path, mode: str, text: str) -> Step:
    return Step(("install", "-D", "-m", mode, "/dev/stdin", str(path)), text)


def _keep(service: Service, installed: str | None, *, force: bool) -> list[Step]:
    """Return the steps that keep a unit which was changed: none if there is no such unit. Raises Conflict."""
    if installed is None or is_as_written(installed):
        return []
    old = f"{service.unit}.old"
    if not force:
        raise Conflict(
            f"{service.unit} was changed, or breakglass install did not write it; nothing was done. "
            f"With --force it is kept as {old}"
        )
    return [Step(("mv", str(service.unit), old))]
