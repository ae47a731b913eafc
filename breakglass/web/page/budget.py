"""The CPU time that formatting may take, for one event and for all events of a page. Beyond it, text is shown plain.

An agent chooses the text. Parsers of Markdown, lexers and comparisons take quadratic time for hostile text. Some hold
the interpreter's lock: meanwhile the server answers no request. Limits on lengths alone do not help a page of many
events.

How this works: `Budget.event` limits the work for one event, and `check` ends that work with `Spent`. The formatter
catches it and shows the text plain. Without a budget nothing is limited. CPU time of the thread counts, because wall
time depends on other work.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

EVENT_SECONDS = 0.1
"""The most for one event."""
PAGE_SECONDS = 0.5
"""The most for all events of a page, or of a piece of a stream."""
WHOLE_SECONDS = 2.5
"""The most for one long event that the user wants to see whole."""
FREE_SECONDS = 0.003
"""What an event may take without a charge to the page: a page has many short events, and a loaded machine is slow."""
CHECKED_EVERY = 32
"""Items of an iteration between two checks."""

_T = TypeVar("_T")
_deadline: ContextVar[float] = ContextVar("deadline", default=float("inf"))


class Spent(Exception):
    """The budget is spent."""


class Budget:
    """The budget of a page. Each event gets at most `of_event` of what is left, by default `EVENT_SECONDS`."""

    def __init__(self, seconds: float = PAGE_SECONDS, of_event: float | None = None):
        self._left = seconds
        self._of_event = EVENT_SECONDS if of_event is None else of_event

    @contextmanager
    def event(self) -> Iterator[None]:
        """Limit the formatting of one event, which must happen inside the context."""
        began = time.thread_time()
        before = _deadline.set(began + min(self._of_event, self._left))
        try:
            yield
        finally:
            _deadline.reset(before)
            self._left -= max(0.0, time.thread_time() - began - FREE_SECONDS)


def is_spent() -> bool:
    """Return whether the budget of the event is spent."""
    deadline = _deadline.get()
    return deadline != float("inf") and time.thread_time() > deadline


def check() -> None:
    """Raise Spent if the budget of the event is spent."""
    if is_spent():
        raise Spent


def checked(items: Iterable[_T]) -> Iterator[_T]:
    """Yield the items. Raises Spent if their computation spends the budget."""
    for number, item in enumerate(items):
        if number % CHECKED_EVERY == 0:
            check()
        yield item
