"""Show where notifications go, or send a test."""

import socket
import time
from argparse import Namespace
from typing import TYPE_CHECKING

from breakglass.cli import screen
from breakglass.cli.command import Command, Option
from breakglass.config import Config
from breakglass.errors import BadConfig, NotFound
from breakglass.store import root, untold
from breakglass.text import one_line

if TYPE_CHECKING:  # imported late at run time, because it delays other commands
    from breakglass.notifier.destinations import Destination


def run(config: Config, args: Namespace) -> int:
    """Print a line for each destination. With `--test`, send to each, and return 1 if one did not take it."""
    from breakglass.access.subscriptions import Subscribers
    from breakglass.notifier.destinations import find_destinations

    found = find_destinations(config, Subscribers(config.data))
    if not found:
        raise NotFound(
            "no notification is set; write [[notify]] in the settings file, or turn notifications on in the menu of the"
            " page: see docs/operate.md"
        )
    if args.test:
        failures = [_test(config, each, as_json=args.json) for each in found]
        return 1 if any(failures) else 0
    results = untold.results(config.data)
    for each in found:
        result = results.get(each.name, {})
        _show(each, result.get("error", "") if result else None, as_json=args.json)
    return 0


def _test(config: Config, to: "Destination", *, as_json: bool) -> str:
    from breakglass.notifier.destinations import open_service
    from breakglass.notifier.subjects import base_address
    from breakglass.notify.causes import Cause
    from breakglass.notify.message import Subject, write

    address = base_address(config) or "no server runs, and origins names no address"
    message = write(Cause("test", 0, 0.0), Subject(socket.gethostname(), address), to.notify.detail)
    try:
        error = open_service(config, to).send(message, f"{config.prefix}/")
    except BadConfig as bad:
        error = str(bad)
    if not root.read_only_message(config.data) and config.data.is_dir():
        untold.note_result(config.data, to.name, time.time(), error)
    _show(to, error, as_json=as_json)
    return error


def _show(to: "Destination", error: str | None, *, as_json: bool) -> None:
    """Print a line. `error` is "" if the last one was sent, and None if there was none."""
    if as_json:
        sent = None if error is None else not error
        row = {"to": to.name, "service": to.service, "on": list(to.notify.on), "sent": sent}
        screen.print_json([row | ({"error": error} if error else {})])
        return
    outcome = "nothing sent yet" if error is None else f"\u2717 {one_line(error)}" if error else "\u2713 sent"
    print(f"{to.name} {to.service}: {', '.join(to.notify.on)}: {outcome}", flush=True)


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
Notifications are set by [[notify]] in the settings file. A line push[LOGIN] is a browser in which a user turned them
on, in the menu of the page. They need: pip install 'breakglass[notify]'. An address is a secret, so only its scheme is
shown, or the host of the push service.""",
    exits={1: "a test was not sent, or no notification is set"},
)
