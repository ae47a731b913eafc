"""Values derived from the states of sessions, and derived again only if a state has changed.

An unchanged log has the same state, as the same object (state_cache.py). So the comparison costs nothing.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Generic, TypeVar

from breakglass.state import SessionState
from breakglass.store.sessions import Session

T = TypeVar("T")


class Derived(Generic[T]):
    """The values of one function of a session and its state. They may depend on the log, and on nothing else."""

    def __init__(self, derive: Callable[[Session, SessionState], T]) -> None:
        self._derive = derive
        self._kept: dict[Path, dict[str, tuple[SessionState, T]]] = {}

    def of_all(self, root: Path, found: Iterable[tuple[Session, SessionState]]) -> list[T]:
        """Return the values of sessions of one data root, in their order. Drops those of all others of this root."""
        before, now = self._kept.get(root, {}), {}
        for session, state in found:
            kept = before.get(session.id)
            now[session.id] = kept if kept and kept[0] is state else (state, self._derive(session, state))
        self._kept[root] = now  # one assignment: other threads may do the same
        return [value for _, value in now.values()]
