"""Finds the settings file, and reads it if no other user can change it."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from breakglass.errors import BadConfig
from breakglass.trusted_path import check_trusted

FILE_NAME = "breakglass.toml"
SYSTEM_DIRECTORY = Path("/etc/breakglass")
OWN_DIRECTORY = Path(".config", "breakglass")
"""The directory of a user's settings, below the home directory."""
MAX_BYTES = 1 << 20
"""Bytes of a settings file. A device may be endless."""


def find_file(
    environ: Mapping[str, str], data: str | None, default_data: Path, warn: Callable[[str], object]
) -> Path | None:
    """Return the settings file if none is named: the first that exists, None if there is none.

    `data` is the data root that the command line names. `warn` gets the reason why a file is ignored.
    Another user may have prepared the current directory. So a file there is ignored unless it is trusted.
    """
    data, home = data or environ.get("BREAKGLASS_DATA"), environ.get("HOME")
    for directory, is_current in (
        (Path(data or default_data), not data),
        *([(Path(home, OWN_DIRECTORY), False)] if home else []),
        (SYSTEM_DIRECTORY, False),
        (Path(), True),
    ):
        file = directory / FILE_NAME
        if not os.path.lexists(file):
            continue
        if is_current and (reason := _why_ignored(file)):
            warn(f"{file.absolute()} is ignored: {reason}")
            continue
        return file
    return None


def _why_ignored(file: Path) -> str:
    """Return why a file in the current directory is not read, "" if it is read."""
    for directory in (Path.cwd(), *Path.cwd().parents):
        if directory.name == "workspaces" and (directory.parent / "sessions").is_dir():
            return f"an agent may have written it, because it is below {directory}"
    try:
        check_trusted(file)
    except (BadConfig, OSError) as error:
        return str(error)
    return ""


def read_file(file: Path) -> dict[str, Any]:
    """Return the content of a settings file. Raises BadConfig, also if it is not trusted."""
    import tomllib  # it delays every command, and most machines have no settings file

    try:
        check_trusted(file)
        with file.open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise BadConfig(f"expected at most {MAX_BYTES >> 20} MiB of TOML")
        return tomllib.loads(data.decode())
    except OSError as error:
        raise BadConfig(f"could not be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadConfig(f"expected TOML: {error}") from error
