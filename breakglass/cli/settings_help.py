"""The text about the settings in `--help`, made from the declarations in `config`."""

import textwrap
from collections.abc import Mapping

from breakglass.config import SETTINGS, variable
from breakglass.settings import Setting

_COLUMN = 41
"""The column in which the meanings begin: behind the longest variable."""
_WIDTH = 110


def settings_help() -> str:
    """Return every setting with its variable, meaning and default, as lines of at most 110 columns."""
    rows = [_row(variable(name), row) for name, row in SETTINGS.items()]
    return "\n".join(
        (
            "settings, from the environment or a TOML file, where BREAKGLASS_PORT is called port. The file is that of",
            "--config or BREAKGLASS_CONFIG, or the first breakglass.toml in the data root, ~/.config/breakglass,",
            "/etc/breakglass or here. No other user may be able to change it.",
            *rows,
            _wrapped("[agents.NAME]", "an agent; only in the file; see: breakglass agents --help"),
            _wrapped(
                "[actions.NAME]",
                "a command without a model; only in the file; see: breakglass actions --help",
            ),
            _wrapped(
                "[targets.NAME]",
                "another machine; only in the file; see docs/settings.md",
            ),
            _wrapped("[[presets]]", "ready prompts: label, text, agent; only in the file"),
            _wrapped("[[notify]]", "where notifications go; only in the file; see: breakglass notify --help"),
            _wrapped(
                "[relay]", "the relay, and commands for other hosts; only in the file; see docs/settings.md"
            ),
            _wrapped("NO_COLOR", "any value turns colours off; only in the environment"),
        )
    )


def keys_help(rows: Mapping[str, Setting]) -> str:
    """Return the keys of a table with their meanings, as indented lines."""
    width = max(map(len, rows)) + 2
    return "\n".join(
        textwrap.fill(
            row.meaning, _WIDTH, initial_indent=f"  {key:<{width}}", subsequent_indent=" " * (width + 2)
        )
        for key, row in rows.items()
    )


def default_help(row: Setting) -> str:
    """Return a setting's default for its help; "" if there is none."""
    return "" if row.default in ("", "none") else f" (default {row.default})"


def _row(name: str, row: Setting) -> str:
    only = "" if row.in_file else "; only in the environment"
    return _wrapped(name, f"{row.meaning}{default_help(row)}{only}")


def _wrapped(name: str, text: str) -> str:
    first = f"  {name:<{_COLUMN - 2}}"
    return textwrap.fill(text, _WIDTH, initial_indent=first, subsequent_indent=" " * _COLUMN)
