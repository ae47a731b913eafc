"""Show where notifications go, or send a test."""

import socket
import time
from argparse import Namespace

from breakglass.cli import screen
from breakglass.cli.command import Command, Option
from breakglass.config import Config
from breakglass.errors import BadConfig, NotFound
from breakglass.notify import Notify
from breakglass.store import root, untold
from breakglass.text import one_line


def run(config: Config, args: Namespace) -> int:
    """Print a line for each destination. With `--test`, send to each, and return 1 if one did not take it."""
    if not config.notify:
        raise NotFound("no notification is set; write [[notify]] in the settings file: see docs/operate.md")
    if args.test:
        failures = [_test(config, each, as_json=args.json) for each in config.notify]
        return 1 if any(failures) else 0
    results = untold.results(config.data)
    for each in config.notify:
        result = results.get(each.name, {})
        _show(each, result.get("error", "") if result else None, as_json=args.json)
    return 0


def _test(config: Config, notify: Notify, *, as_json: bool) -> str:
    from breakglass.notifier.send import Service, find_address
    from breakglass.notifier.subjects import base_address
    from breakglass.notify.causes import Cause
    from breakglass.notify.message import Subject, write

    address = base_address(config) or "no server runs, and origins names no address"
    message = write(Cause("test", 0, 0.0), Subject(socket.gethostname(), address), notify.detail)
    try:
        error = Service(find_address(notify, config.environ)).send(message)
    except BadConfig as bad:
        error = str(bad)
    if not root.read_only_message(config.data) and config.data.is_dir():
        untold.note_result(config.data, notify.name, time.time(), error)
    _show(notify, error, as_json=as_json)
    return error


def _show(notify: Notify, error: str | None, *, as_json: bool) -> None:
    """Print a line. `error` is "" if the last one was sent, and None if there was none."""
    if as_json:
        sent = None if error is None else not error
        row = {"to": notify.name, "service": notify.service, "on": list(notify.on), "sent": sent}
        screen.print_json([row | ({"error": error} if error else {})])
        return
    outcome = "nothing sent yet" if error is None else f"\u2717 {one_line(error)}" if error else "\u2713 sent"
    print(f"{notify.name} {notify.service}: {', '.join(notify.on)}: {outcome}", flush=True)


COMMAND = Command(
    run,
    options=(
        Option("--test", "send a test to each destination, and say whether its service took it"),
        Option("--json", "print one JSON object a line: to, service, on, sent, error"),
    ),
    output="a line for each destination: its service, what it is told, and how the last one went",
    examples="""\
  breakglass notify                    where notifications go, and whether the last ones were sent
  breakglass notify --test             after each change of the settings, and from time to time""",
    notes="""\
Notifications are set by [[notify]] in the settings file. They need: pip install 'breakglass[notify]'. The address of a
service is a secret, so only its scheme is shown.""",
    exits={1: "a test was not sent, or no notification is set"},
)
