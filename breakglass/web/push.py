"""Web Push for the page: turns the notifications of a login on and off. `notifier` sends them.

Everything here blocks: call it in a thread.
"""

import importlib.util
import time
from typing import Any

from breakglass.access import subscriptions
from breakglass.access.credentials import Credential
from breakglass.access.logins import Push
from breakglass.access.push_key import open_push_key
from breakglass.errors import BreakglassError, Conflict, ReadOnly
from breakglass.notify import CAUSES, Notify
from breakglass.notify.push import check_subscription, settings_of
from breakglass.store import root
from breakglass.turns.notifying import mark_running_turns
from breakglass.web import bodies
from breakglass.web.console import Console

MISSING = "the package pywebpush is not installed on the server; do: pip install 'breakglass[notify]'"


def describe(console: Console, credential: Credential | None) -> dict[str, Any]:
    """Return the response of `read_push`."""
    login = console.access.login_of(credential) if credential else None
    told = _sentences(settings_of(console.config.notify))
    described = {"on": bool(login and login.push), "told": told, "key": None, "reason": None}
    try:
        _refuse(console)
        if login is None:
            raise Conflict(subscriptions.NO_LOGIN)
        return described | {"key": open_push_key(console.config.data).public}
    except BreakglassError as error:
        return described | {"reason": str(error)}


def subscribe(console: Console, credential: Credential | None, given: bodies.Subscription) -> None:
    """Let the caller's browser take notifications. Raises BadInput, Conflict, ReadOnly and CannotRecord."""
    _refuse(console)
    data = console.config.data
    p256dh, auth = given.keys.get("p256dh", ""), given.keys.get("auth", "")
    check_subscription(given.endpoint, p256dh, auth, console.config.push_services)
    open_push_key(data)  # a client may subscribe without having read the key
    push = Push(given.endpoint, p256dh, auth, int(time.time()))
    subscriptions.subscribe(console.access, credential, push)
    mark_running_turns(data)


def unsubscribe(console: Console, credential: Credential | None) -> None:
    """End the notifications of the caller's login. Raises ReadOnly and CannotRecord."""
    if message := root.read_only_message(console.config.data):
        raise ReadOnly(message)
    if credential:
        subscriptions.unsubscribe(console.access, credential, int(time.time()))


def _sentences(notify: Notify) -> list[str]:
    """Return what a browser is told, for a user."""
    seconds = f"{notify.after_seconds:g} seconds"
    found = [CAUSES[each].replace("after_seconds", seconds) for each in notify.on]
    if hours := notify.quiet_hours:
        found.append(f"{hours}: only questions; the rest at the end of these hours")
    return found


def _refuse(console: Console) -> None:
    if message := root.read_only_message(console.config.data):
        raise ReadOnly(message)
    if importlib.util.find_spec("pywebpush") is None:
        raise Conflict(MISSING)
