"""Configure ssh for the targets, make the script for one, or check them."""

import os
from argparse import Namespace
from pathlib import Path

from breakglass.cli import screen
from breakglass.cli.command import Command, Option, Word
from breakglass.cli.style import paint
from breakglass.config import Config
from breakglass.errors import BadInput, CannotRecord
from breakglass.store import root
from breakglass.targets import Target, ssh_config, verbs
from breakglass.text import one_line


def run(config: Config, args: Namespace) -> int:
    """Do what the first word says."""
    what, *rest = args.words
    if what == "config" and not rest:
        return _write_config(config)
    if what == "check" and len(rest) <= 1:
        return _check(config, rest)
    if what == "verbs" and len(rest) >= 2:
        return _print_verbs(config.target_named(rest[0]), rest[1:], args.address)
    raise BadInput(
        "expected breakglass target config, breakglass target check [NAME]"
        " or breakglass target verbs NAME VERB=COMMAND …"
    )


def _write_config(config: Config) -> int:
    """Write the files, and print how ssh and the agents use them."""
    path = _write_files(config)
    print(path)
    screen.say(f"To use the aliases, put this line at the beginning of ~/.ssh/config:\n  Include {path}")
    return 0


def _write_files(config: Config) -> Path:
    """Write the configuration and the known host keys, and return the path of the configuration."""
    root.refuse_read_only(config.data)
    directory = config.data.absolute() / ssh_config.DIRECTORY
    text = ssh_config.render(config.targets.values(), str(directory))
    try:
        root.create(config.data)
        directory.mkdir(0o700, exist_ok=True)
        hosts = directory / ssh_config.KNOWN_HOSTS
        present = hosts.read_text(encoding="utf-8", errors="replace") if hosts.exists() else ""
        _replace(hosts, ssh_config.known_hosts(config.targets, present))
        _replace(directory / ssh_config.CONFIG, text)
    except OSError as error:
        raise CannotRecord(f"the ssh configuration could not be written: {error.strerror}") from error
    return directory / ssh_config.CONFIG


def _replace(path: Path, text: str) -> None:
    """Write a file for its owner alone. A reader sees the old text or the new one."""
    temporary = path.with_name(f"{path.name}.new")
    temporary.unlink(missing_ok=True)
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(temporary, path)


def _check(config: Config, names: list[str]) -> int:
    """Check the targets, and print a line for each finding. Return 1 if something is wrong."""
    from breakglass.cli.target_check import check  # imported only here: no other command runs ssh

    targets = [config.target_named(name) for name in names] or list(config.targets.values())
    if not targets:
        screen.say("no targets: add [targets.NAME] to the settings")
    path = _write_files(config)
    colours = screen.has_colours(config.environ)
    all_good = True
    for target in targets:
        for found in check(target, str(path), config.environ):
            sign = {True: "✓", False: "✗", None: "·"}[found.is_good]
            style = {True: "success", False: "failure", None: "note"}[found.is_good]
            print(f"{paint(sign, style, colours=colours)} {target.name} {found.what}: {one_line(found.text)}")
            all_good = all_good and found.is_good is not False
    return 0 if all_good else 1


def _print_verbs(target: Target, pairs: list[str], address: str | None) -> int:
    """Print the script, and on standard error where it belongs and the line for authorized_keys."""
    print(verbs.script(target.name, verbs.read_verbs(pairs)), end="")
    line = verbs.authorized_key(_public_key(target), address)
    screen.say(
        f"Install it on {target.name} as {verbs.SCRIPT}, mode 0755. Then add this line to"
        f" ~/.ssh/authorized_keys there:\n{line}"
    )
    if address is None:
        screen.say("note: with --address ADDRESS only this machine can use the key")
    return 0


def _public_key(target: Target) -> str:
    """Return the public key of the target's identity, or a text that stands for it."""
    if target.identity is None:
        return "PUBLIC-KEY"
    try:
        return Path(f"{target.identity}.pub").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return f"PUBLIC-KEY-OF-{target.identity}"


COMMAND = Command(
    run,
    words=(
        Word("config|check|verbs", "what to do"),
        Word("[NAME [VERB=COMMAND …]]", "a target of the settings; for verbs each verb with its command"),
    ),
    any_number=True,
    options=(Option("--address ADDRESS", "for verbs: the only address that may use the key"),),
    output="config: the path of the file; check: a line for each finding; verbs: the script for the far side",
    examples="""\
  breakglass target config
  breakglass target check pve1
  breakglass target verbs pve1 --address 10.0.10.2 status='/usr/sbin/qm list' reset='/usr/sbin/qm reset 105'""",
    notes="""\
A target is a table [targets.NAME] in the settings file. Its name is the alias for ssh:
  [targets.pve1]
  ssh = "breakglass@10.0.10.10"
  host_key = "ssh-ed25519 AAAA…"       # from /etc/ssh/ssh_host_ed25519_key.pub there
  identity = "/etc/breakglass/id_ed25519"

The script for the far side runs one of its verbs and nothing else. It keeps its own log, and saves what a restart would
destroy before each verb.""",
    exits={1: "it failed; check: something is wrong with a target"},
)
