"""Notifications: where they go, and what a user is told about. How one is declared. Pure.

How this works: `causes` finds in the events of a session what a user must be told, `message` says it. The package
`notifier` is the process that sends. Only that process imports the library that knows the services.
"""

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

from breakglass.errors import BadConfig
from breakglass.settings import expected, parse_boolean, parse_seconds, parse_text, setting

CAUSES = {
    "question": "an agent's question waits for an answer, and once more after 5 minutes",
    "failed": "a turn failed, or reached its time limit",
    "lost": "the process of a turn died",
    "ended": "a turn ended that took longer than after_seconds",
    "degraded": "the disk failed under the log of a session",
    "login": "a login from an address that no earlier login had",
    "first_action": "the first turn of a session began: a prompt or an action",
}
"""The values of `on`, with their meaning."""
BY_DEFAULT = tuple(name for name in CAUSES if name != "first_action")
_SCHEME = re.compile(r"[a-zA-Z0-9]{2,32}(?=://)")
_HOURS = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])")
Detail = Literal["none", "title", "full"]


def parse_url(name: str, value: object) -> str:
    """Return the address of a service as apprise takes it. The error does not show the value, which is a secret."""
    if not isinstance(value, str) or not scheme(value) or "\0" in value:
        raise BadConfig(
            f"{name}: expected an address such as ntfys://TOPIC, as https://appriseit.com lists them"
        )
    return value.strip()


def scheme(url: str) -> str:
    """Return the scheme of an address, "" if it has none. It names the service and is the only part that is shown."""
    found = _SCHEME.match(url.strip())
    return found[0].lower() if found else ""


def parse_causes(name: str, value: object) -> tuple[str, ...]:
    """Return causes, each once."""
    if not isinstance(value, list) or not value or not all(each in CAUSES for each in value):
        raise expected(name, value, f"a list of {', '.join(CAUSES)}")
    return tuple(dict.fromkeys(value))


def parse_detail(name: str, value: object) -> Detail:
    """Return how much a notification says."""
    if value == "none":
        return "none"
    if value == "title":
        return "title"
    if value == "full":
        return "full"
    raise expected(name, value, '"none", "title" or "full"')


class Hours(NamedTuple):
    """A part of each day, in minutes after midnight. It may go over midnight."""

    begin: int
    end: int

    def __str__(self) -> str:
        return "-".join(f"{minute // 60:02}:{minute % 60:02}" for minute in self)

    def seconds_left(self, minute: int, second: int = 0) -> int:
        """Return for how long it lasts from this minute of the day on; 0 outside of it."""
        length = (self.end - self.begin) % 1440
        since = (minute - self.begin) % 1440
        return (length - since) * 60 - second if since < length else 0


def parse_hours(name: str, value: object) -> Hours:
    """Return a part of the day, from `HH:MM-HH:MM`."""
    found = _HOURS.fullmatch(value) if isinstance(value, str) else None
    numbers = [int(part) for part in found.groups()] if found else [0, 0, 0, 0]
    hours = Hours(numbers[0] * 60 + numbers[1], numbers[2] * 60 + numbers[3])
    if hours.begin == hours.end:
        raise expected(name, value, "two different times of the day, such as 22:00-07:00")
    return hours


@dataclass(frozen=True, slots=True)
class Notify:
    """Where notifications go, and which: a table `[[notify]]`."""

    index: int
    url: str | None = setting(
        None,
        parse_url,
        "the address, as https://appriseit.com lists them, such as `ntfys://TOPIC`; a secret",
        is_secret=True,
    )
    url_file: str | None = setting(
        None, parse_text, "a file with the address, which only its owner may read; instead of url"
    )
    url_env: str | None = setting(
        None, parse_text, "the name of an environment variable with the address; instead of url"
    )
    push: bool = setting(
        default=False,
        parse=parse_boolean,
        meaning="instead of an address: the browsers whose users turned notifications on. Without such a table they are"
        " told by the defaults",
    )
    on: tuple[str, ...] = setting(
        BY_DEFAULT,
        parse_causes,
        "what to tell: " + "; ".join(f"`{name}`: {meaning}" for name, meaning in CAUSES.items()),
        default_words="all but first_action",
    )
    after_seconds: float = setting(60.0, parse_seconds, "the seconds that a turn takes at least for `ended`")
    detail: Detail = setting(
        "title",
        parse_detail,
        "none: only what happened; title: and the title of the session; full: and the tool, the error or the prompt."
        " Lock screens show it to everybody",
    )
    quiet_hours: Hours | None = setting(
        None,
        parse_hours,
        "a part of the day in local time, such as 22:00-07:00, in which only questions are told; the rest is told at"
        " its end",
    )

    @property
    def service(self) -> str:
        """The scheme of its address, or where the address is."""
        if self.push:
            return "push"
        return scheme(self.url) if self.url else "url_file" if self.url_file else f"${self.url_env}"

    @property
    def name(self) -> str:
        """How logs and users name it. It has no part of the address but the scheme."""
        return f"notify[{self.index}]"


def check_notify(key: str, notify: Notify) -> None:
    """Raise BadConfig unless exactly one key says where notifications go."""
    if [notify.url, notify.url_file, notify.url_env, notify.push or None].count(None) != 3:
        raise BadConfig(f"{key}: expected exactly one of url, url_file, url_env and push")
    if notify.after_seconds != 60.0 and "ended" not in notify.on:
        raise BadConfig(f'{key}.after_seconds: has an effect only with "ended" in on')
