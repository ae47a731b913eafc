"""The vital signs of the machine: what one is, and when a value is bad. Measures nothing.

A sign that could not be measured is `unknown` and never `ok`. On a machine in trouble a probe that hangs is a finding.
"""

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

Status = Literal["ok", "warn", "bad", "unknown"]


class Sign(NamedTuple):
    """One vital sign."""

    name: str
    label: str
    status: Status
    text: str
    """The value for a user, such as `78 % of 16.0 GB`."""
    value: float | None = None
    """The number that decides the status; None if there is none."""
    advice: str = ""
    """What to do about it; "" if the text says it, or nothing is to be done."""


class Vitals(NamedTuple):
    """All vital signs of one moment."""

    taken: str
    """RFC 3339, UTC."""
    signs: tuple[Sign, ...]

    def described(self) -> dict[str, Any]:
        """Return them as `GET /api/vitals` and `breakglass vitals --json` show them."""
        return {"taken": self.taken, "status": self.worst, "signs": self.by_name()}

    def by_name(self) -> dict[str, Any]:
        """Return the signs by name, as the event `vitals` has them."""
        return {
            each.name: {"label": each.label, "status": each.status, "text": each.text, "value": each.value}
            for each in self.signs
        }

    @property
    def worst(self) -> Status:
        """The status of the worst sign."""
        return worst(each.status for each in self.signs)


ORDER: tuple[Status, ...] = ("ok", "unknown", "warn", "bad")
"""From the best status to the worst."""


def worst(statuses: Iterable[Status]) -> Status:
    """Return the worst of some statuses, `ok` for none."""
    return max(statuses, key=ORDER.index, default="ok")


def by_limit(value: float, warn: float, bad: float) -> Status:
    """Return the status of a value that is worse the higher it is."""
    return "bad" if value >= bad else "warn" if value >= warn else "ok"


def unknown(name: str, label: str, why: str) -> Sign:
    """Return the sign that could not be measured."""
    return Sign(name, label, "unknown", f"unknown: {why}")


SIGNS: dict[Status, str] = {"ok": "\u2713", "warn": "!", "bad": "\u2717", "unknown": "?"}
"""The character that shows a status without colour."""
