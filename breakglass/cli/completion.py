"""The completions of bash, zsh and fish, made from the table of commands. Runs no command."""

import re
from typing import NamedTuple

from breakglass.cli import arguments, commands
from breakglass.cli.command import Command

FILES = ("FILE", "DIR", "PATH")
"""The metavars of options that take a path."""
OTHERS = {"help": "Explain a command", "version": "Print the version"}
"""The commands without a file of their own."""
_IDS = "breakglass ls --archived 2>/dev/null"
"""Lists the sessions, one a line, each with the beginning of its id that is enough."""


class Flag(NamedTuple):
    """An option as a shell completes it."""

    name: str
    metavar: str
    """"" for one without a value."""
    help: str


class Row(NamedTuple):
    """A command as a shell completes it."""

    name: str
    summary: str
    flags: tuple[Flag, ...]
    choices: tuple[str, ...]
    """The fixed texts that a word may be, such as `show` and `rotate`."""
    takes_id: bool


def rows() -> list[Row]:
    """Return every command."""
    return [_row(name, commands.command(name)) for name in commands.NAMES]


def _row(name: str, command: Command) -> Row:
    usages = [word.usage.strip("[]") for word in command.words]
    choices = [choice for usage in usages if "|" in usage for choice in usage.split("|")]
    return Row(name, commands.summary(name), flags_of(name, command), tuple(choices), "ID" in usages)


def flags_of(name: str, command: Command) -> tuple[Flag, ...]:
    """Return the options of a command, those of every command too."""
    return tuple(
        Flag(action.option_strings[-1], str(action.metavar or ""), (action.help or "").replace("%%", "%"))
        for action in arguments.build_parser(name, command)._actions
        if action.option_strings
    )


# --- bash -----------------------------------------------------------------------------------------


def bash() -> str:
    """Return the completion of bash: a function for `complete`."""
    cases = "\n".join(map(_bash_case, rows()))
    flags = [flag for row in rows() for flag in row.flags if flag.metavar]
    paths = "|".join(sorted({flag.name for flag in flags if flag.metavar in FILES}))
    ids = "|".join(sorted({flag.name for flag in flags if flag.metavar == "ID"}))
    others = "|".join(sorted({flag.name for flag in flags if flag.metavar not in ("ID", *FILES)}))
    return f"""\
# bash completion of breakglass, made by: breakglass completion bash
_breakglass() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} name= flags= words= ids= i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case ${{COMP_WORDS[i]}} in
      {"|".join(arguments.BEFORE)}) ((i++)) ;;
      -*) ;;
      *) name=${{COMP_WORDS[i]}}; break ;;
    esac
  done
  COMPREPLY=()
  case $prev in
    {paths}) compopt -o filenames 2>/dev/null || :; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
    {ids}) flags= ids=1 prev=id ;;
    {others}) return ;;
  esac
  [ "$prev" = id ] || case $name in
    '') words={_quoted(" ".join((*commands.NAMES, *OTHERS)))} flags='--data --config --help --version' ;;
    help) words={_quoted(" ".join(commands.NAMES))} ;;
{cases}
  esac
  case $cur in
    -*) mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$cur") ;;
    *) [ -z "$ids" ] || words="$words $({_IDS} | cut -d' ' -f1)"
       mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur") ;;
  esac
}}
complete -F _breakglass breakglass
"""


def _bash_case(row: Row) -> str:
    flags, words = " ".join(flag.name for flag in row.flags), " ".join(row.choices)
    return (
        f"    {row.name}) flags={_quoted(flags)} words={_quoted(words)} ids={'1' if row.takes_id else ''} ;;"
    )


def _quoted(text: str) -> str:
    """Return `text` in single quotes, as every shell reads it."""
    return "'" + text.replace("'", "'\\''") + "'"


# --- zsh ------------------------------------------------------------------------------------------


def zsh() -> str:
    """Return the completion of zsh: a file `_breakglass` for a directory of `fpath`."""
    summaries = {row.name: row.summary for row in rows()} | OTHERS
    names = "\n".join(f"    {_quoted(f'{name}:{summary}')}" for name, summary in summaries.items())
    cases = "\n".join(_zsh_case(row) for row in rows())
    return f"""\
#compdef breakglass
# zsh completion of breakglass, made by: breakglass completion zsh
_breakglass_ids() {{
  local -a found
  found=(${{(f)"$({_IDS} | sed -E 's/^([^ ]+) +/\\1:/')"}})
  _describe 'session' found
}}
_breakglass() {{
  local -a names
  names=(
{names}
  )
  local curcontext=$curcontext state line
  _arguments -C '--data[the data root]:directory:_files -/' '--config[the settings file]:file:_files' \\
    '--on[the host of a copy]:host:' '--key[a key of the command]:key:' '--identity[an ssh key]:file:_files' \\
    '1: :->name' '*:: :->rest'
  case $state in
    name) _describe 'command' names ;;
    rest) case $line[1] in
      help) _describe 'command' names ;;
{cases}
    esac ;;
  esac
}}
_breakglass "$@"
"""


def _zsh_case(row: Row) -> str:
    parts = [_quoted(_zsh_flag(flag)) for flag in row.flags]
    if row.takes_id:
        parts.append("'1:session:_breakglass_ids'")
    if row.choices:
        parts.append(_quoted(f"*: :({' '.join(row.choices)})"))
    return f"      {row.name}) _arguments {' '.join(parts)} ;;"


def _zsh_flag(flag: Flag) -> str:
    text = re.sub(r"([\[\]:\\])", r"\\\1", flag.help)
    if not flag.metavar:
        return f"{flag.name}[{text}]"
    action = "_files" if flag.metavar in FILES else "_breakglass_ids" if flag.metavar == "ID" else ""
    return f"{flag.name}[{text}]:{flag.metavar}:{action}"


# --- fish -----------------------------------------------------------------------------------------


def fish() -> str:
    """Return the completion of fish."""
    lines = [_FISH_BEGIN.format(before=" ".join(arguments.BEFORE))]
    found = rows()
    lines += [_fish("", f"-a {row.name} -d {_fish_quoted(row.summary)}") for row in found]
    lines += [_fish("", f"-a {name} -d {_fish_quoted(summary)}") for name, summary in OTHERS.items()]
    lines += [_fish("help", f"-a {_fish_quoted(' '.join(commands.NAMES))}")]
    ids = _fish_quoted(rf"({_IDS} | string replace -r ' +' \t)")
    for row in found:
        lines += [_fish(row.name, f"{_fish_flag(flag)} -d {_fish_quoted(flag.help)}") for flag in row.flags]
        lines += [_fish(row.name, f"-a {_fish_quoted(' '.join(row.choices))}")] if row.choices else []
        lines += [_fish(row.name, f"-a {ids}")] if row.takes_id else []
    return "\n".join(lines) + "\n"


_FISH_BEGIN = """\
# fish completion of breakglass, made by: breakglass completion fish
function __breakglass_is -d 'Whether this is the command that was typed'
    set -l skips
    for word in (commandline -opc)[2..]
        if set -q skips[1]
            set -e skips
        else if contains -- $word {before}
            set skips 1
        else if not string match -q -- '-*' $word
            test $word = "$argv[1]"
            return
        end
    end
    test -z "$argv[1]"
end
complete -c breakglass -f"""


def _fish(command: str, what: str) -> str:
    """Return the line that offers something after a command, "" before there is one."""
    return f"complete -c breakglass -n '__breakglass_is {command}' {what}"


def _fish_flag(flag: Flag) -> str:
    value = "" if not flag.metavar else " -r -F" if flag.metavar in FILES else " -x"
    is_long = flag.name.startswith("--")
    return f"{'-l' if is_long else '-s'} {flag.name.lstrip('-')}{value}"


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


SHELLS = {"bash": bash, "zsh": zsh, "fish": fish}
"""The shells, and the functions that make their completions."""
