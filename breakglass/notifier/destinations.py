"""Where notifications go: the services of the settings, and the browsers of logins."""

from typing import NamedTuple, Protocol

from breakglass.access.logins import Login
from breakglass.access.subscriptions import Subscribers
from breakglass.config import Config
from breakglass.notifier.send import Service, find_address
from breakglass.notify import Notify
from breakglass.notify.causes import Cause, is_wanted
from breakglass.notify.message import Message
from breakglass.notify.push import host_of, settings_of


class Destination(NamedTuple):
    """A service of the settings, or the browser of a login."""

    name: str
    """Its name in logs and for users. It contains no part of an address."""
    notify: Notify
    """What it is told."""
    login: Login | None = None
    """The login of a browser."""

    @property
    def service(self) -> str:
        """Which service it is, without the secret part of its address."""
        return host_of(self.login.push.endpoint) if self.login and self.login.push else self.notify.service

    def wants(self, cause: Cause) -> bool:
        """Return whether it is told a cause. A browser is not told what happened before it subscribed."""
        is_earlier = self.login and self.login.push and 0 < cause.at < self.login.push.at
        return not is_earlier and is_wanted(cause, self.notify)


class Sender(Protocol):
    """Something that sends to one destination."""

    def send(self, message: Message, path: str) -> str:
        """Send a notification. Return "" if it was taken, else why not, without any part of the address."""


def find_destinations(config: Config, subscribers: Subscribers) -> list[Destination]:
    """Return all destinations: those of the settings first."""
    services = [Destination(each.name, each) for each in config.notify if not each.push]
    pushed = settings_of(config.notify)
    return [*services, *(Destination(f"push[{each.id}]", pushed, each) for each in subscribers.all())]


def open_service(config: Config, destination: Destination) -> Sender:
    """Return the sender for a destination. Slow, because it imports a library. Raises BadConfig."""
    if destination.login is None:
        return Service(find_address(destination.notify, config.environ))
    from breakglass.notifier.push import PushService

    return PushService(config, destination.login)
