"""Known secrets, masked in whatever an agent says before it is appended. Pure.

The runner is told of a secret its size, its first three characters (of a long one three more) and its SHA-256, and
nothing more: an agent of the same user could read the runner's memory, and would find there what was kept from it.
docs/security.md says what this cannot do: it is a net under accidents, no wall.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from breakglass.events import MAX_DEPTH, Draft

MASK = "[masked]"
SHORTEST = 8
"""Characters of the shortest secret that is looked for: a shorter one would be found everywhere."""
NAMES = re.compile("KEY|TOKEN|SECRET|PASSWORD", re.IGNORECASE)
"""What the name of a variable that holds a secret says."""
_HEAD = 3
_LONG = 64
"""Characters of a secret that nobody guesses though three more of them are known."""
_STREAMED = {"delta": "text", "tool_result": "output"}
"""Kinds that may hold a part of something, and where."""
_OURS = frozenset({"tool_id", "request", "parent"})
"""What other events refer to: never changed."""


class Print(NamedTuple):
    """What is known of a secret where it is only to be recognised."""

    size: int
    """Characters."""
    head: str
    digest: str
    """SHA-256 of its UTF-8, in hex."""
    middle: str
    """Of a long one, what stands in its middle: a digest of 2 KB at each `---` of a megabyte would take seconds."""


def prints_of(tokens: Iterable[str], *variables: Mapping[str, str]) -> list[Print]:
    """Return the prints of tokens, and of the values of variables whose name says that they are secret."""
    named = (value for each in variables for name, value in each.items() if NAMES.search(name))
    return sorted({_print(each) for each in (*tokens, *named) if len(each) >= SHORTEST}, reverse=True)


def _print(secret: str) -> Print:
    half = len(secret) // 2
    middle = secret[half : half + _HEAD] if len(secret) >= _LONG else ""
    return Print(len(secret), secret[:_HEAD], _digest(secret), middle)


def _digest(text: str) -> str:
    from hashlib import sha256  # 3 ms on 2026-11-23, and most turns find nothing that begins as a secret does

    return sha256(text.encode(errors="surrogatepass")).hexdigest()


def _masked(text: str, known: Print) -> str:
    pieces: list[str] = []
    start, last = 0, len(text) - known.size
    at = text.find(known.head)
    while 0 <= at <= last:
        if _is_at(text, at, known):
            pieces += text[start:at], MASK
            start = at + known.size
        at = text.find(known.head, max(start, at + 1))
    return "".join([*pieces, text[start:]])


def _is_at(text: str, at: int, known: Print) -> bool:
    has_middle = text.startswith(known.middle, at + known.size // 2)
    return has_middle and _digest(text[at : at + known.size]) == known.digest


class Masker:
    """What passes through it holds no known secret, not even one that was cut between two drafts in a row.

    A draft that may end within a secret is held back until the next one comes, or `flush` is called.
    """

    def __init__(self, prints: Iterable[Print]) -> None:
        self._prints = list(prints)  # the longest first: one may hold another
        self._held: Draft | None = None

    def take(self, drafts: Iterable[Draft]) -> list[Draft]:
        """Return what may be appended now."""
        if not self._prints:
            return list(drafts)
        return [masked for draft in drafts for masked in self._take(*draft)]

    def flush(self) -> list[Draft]:
        """Return what was held back."""
        held, self._held = self._held, None
        return [held] if held else []

    def text(self, text: str) -> str:
        """Return a text with every whole secret in it masked."""
        for each in self._prints:
            text = _masked(text, each)
        return text

    def _take(self, kind: str, fields: dict[str, Any]) -> Iterator[Draft]:
        field = _STREAMED.get(kind, "")
        if self._held and not self._goes_on(kind, fields):
            yield from self.flush()
        if self._held:
            before, self._held = self._held, None
            whole = before[1][field]
            cut = len(whole) - self._open_end(whole)
            if whole[:cut]:
                yield kind, {**before[1], field: whole[:cut]}
            fields = {**fields, field: whole[cut:] + fields[field]}
        masked = {key: value if key in _OURS else self._value(value) for key, value in fields.items()}
        if isinstance(masked.get(field), str) and self._open_end(masked[field]):
            self._held = kind, masked
        else:
            yield kind, masked

    def _goes_on(self, kind: str, fields: dict[str, Any]) -> bool:
        assert self._held
        held, before = self._held
        same = all(before.get(key) == fields.get(key) for key in ("tool_id", "parent"))
        return kind == held and same and isinstance(fields.get(_STREAMED[kind]), str)

    def _open_end(self, text: str) -> int:
        """Return how many characters at the end of a text may be the beginning of a secret."""
        return max((self._begun(text[-(each.size - 1) :], each.head) for each in self._prints), default=0)

    def _begun(self, tail: str, head: str) -> int:
        at = tail.find(head)
        if at >= 0:
            return len(tail) - at
        return next((size for size in (2, 1) if tail.endswith(head[:size])), 0)

    def _value(self, value: Any, depth: int = MAX_DEPTH) -> Any:
        """Return a value with the secrets in it masked; those below `depth` are not, for no event keeps them."""
        if isinstance(value, str):
            return self.text(value)
        if depth and isinstance(value, dict):
            return {self._value(key): self._value(each, depth - 1) for key, each in value.items()}
        if depth and isinstance(value, list):
            return [self._value(each, depth - 1) for each in value]
        return value
