"""Masking of known secrets in an agent's events, before they are appended. Pure.

The runner never gets a secret itself. It gets a fingerprint: the size, the first three characters, for a long secret
three more characters, and the SHA-256. The runner's memory is closed to other processes of its user, but not to root.
A short secret could be computed from its fingerprint, so it has none. It is masked only after its variable's name, as
in `NAME=value`, and the runner gets that name and the size. All this prevents accidents and does not stop an attacker:
an agent can print a secret in another encoding (docs/security.md).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from breakglass.events import MAX_DEPTH, Draft

MASK = "[masked]"
"""The text that replaces a secret."""
SHORTEST = 8
"""Characters of the shortest secret that is masked. A shorter one would match ordinary text."""
SHORTEST_DIGESTED = 12
"""Characters of the shortest secret that has a digest. A shorter one can be found by trying."""
SECRET_NAMES = re.compile("KEY|TOKEN|SECRET|PASSWORD", re.IGNORECASE)
"""The value of a variable whose name matches is a secret."""
_HEAD = 3
"""The number of characters in `head` and in `middle` of a fingerprint."""
_LONG = 64
"""Characters from which a secret is long: three more known characters do not make it possible to guess."""
_STREAMED = {"delta": "text", "tool_result": "output"}
"""The kinds that stream a text in pieces, and the key of the piece. A secret may be split between two pieces."""
_REFERENCES = frozenset({"tool_id", "request", "parent"})
"""Keys whose values refer to other events. They are never changed."""


class Fingerprint(NamedTuple):
    """Enough of a secret to recognise it, and too little to use it."""

    size: int
    """Characters."""
    head: str
    """The first characters. Of a short secret it is `NAME=`, which `size` includes."""
    digest: str
    """The SHA-256 of its UTF-8, in hexadecimal; "" of a short secret."""
    middle: str
    """The characters in the middle of a long secret, else "".

    They make most digests unnecessary. Without them a private key, which begins with `---`, would need a digest of 2 KB
    for each `---` in the output. For a megabyte of dashes that takes seconds.
    """


def fingerprints(tokens: Iterable[str], *variables: Mapping[str, str]) -> tuple[Fingerprint, ...]:
    """Return the fingerprints of the tokens, and of the values of all variables with a secret name, longest first."""
    named = {item for each in variables for item in each.items() if SECRET_NAMES.search(item[0])}
    long = {value for value in (*tokens, *(value for _, value in named)) if len(value) >= SHORTEST_DIGESTED}
    short = {(name, len(value)) for name, value in named if SHORTEST <= len(value) < SHORTEST_DIGESTED}
    heads = {(f"{name}={quote}", size) for name, size in short for quote in ("", '"', "'")}
    assigned = {Fingerprint(len(head) + size, head, "", "") for head, size in heads}
    return tuple(sorted({*map(_fingerprint, long), *assigned}, reverse=True))


def _fingerprint(secret: str) -> Fingerprint:
    half = len(secret) // 2
    middle = secret[half : half + _HEAD] if len(secret) >= _LONG else ""
    return Fingerprint(len(secret), secret[:_HEAD], _digest(secret), middle)


def _digest(text: str) -> str:
    from hashlib import sha256  # slow to import, and most turns print nothing that begins like a secret

    return sha256(text.encode(errors="surrogatepass")).hexdigest()


class Masker:
    """Masks every known secret in a sequence of drafts, even if it is split between two consecutive drafts.

    A draft whose end may be the beginning of a secret is held back until the next `take` or `flush`.
    """

    def __init__(self, known: Iterable[Fingerprint]) -> None:
        self._known = list(known)  # the longest first, because a secret may contain another one
        self._held: Draft | None = None

    def add(self, secrets: Iterable[str]) -> None:
        """Mask these secrets too, from now on."""
        self._known = sorted({*self._known, *fingerprints(secrets)}, reverse=True)

    def take(self, drafts: Iterable[Draft]) -> list[Draft]:
        """Return the masked drafts that may be appended now."""
        if not self._known:
            return list(drafts)
        return [masked for draft in drafts for masked in self._take(*draft)]

    def flush(self) -> list[Draft]:
        """Return the draft that was held back, if any."""
        held, self._held = self._held, None
        return [held] if held else []

    def text(self, text: str) -> str:
        """Return a text in which every complete secret is masked."""
        for each in self._known:
            text = _mask_one(text, each)
        return text

    def _take(self, kind: str, fields: dict[str, Any]) -> Iterator[Draft]:
        key = _STREAMED.get(kind, "")
        if self._held and not self._continues(kind, fields):
            yield from self.flush()
        if self._held:
            before, self._held = self._held, None
            whole = before[1][key]
            cut = len(whole) - self._open_end(whole)
            if whole[:cut]:
                yield kind, {**before[1], key: whole[:cut]}
            fields = {**fields, key: whole[cut:] + fields[key]}
        masked = {
            name: value if name in _REFERENCES else self._value(value) for name, value in fields.items()
        }
        if isinstance(masked.get(key), str) and self._open_end(masked[key]):
            self._held = kind, masked
        else:
            yield kind, masked

    def _continues(self, kind: str, fields: dict[str, Any]) -> bool:
        """Return whether a draft continues the text of the draft that is held back."""
        assert self._held
        held, before = self._held
        is_same = all(before.get(key) == fields.get(key) for key in ("tool_id", "parent"))
        return kind == held and is_same and isinstance(fields.get(_STREAMED[kind]), str)

    def _open_end(self, text: str) -> int:
        """Return how many characters at the end of a text may be the beginning of a secret."""
        return max((_count_open(text[-(each.size - 1) :], each.head) for each in self._known), default=0)

    def _value(self, value: Any, depth: int = MAX_DEPTH) -> Any:
        """Return a value with its secrets masked. Values below `depth` levels are left, because no event keeps them."""
        if isinstance(value, str):
            return self.text(value)
        if depth and isinstance(value, dict):
            return {self._value(key): self._value(each, depth - 1) for key, each in value.items()}
        if depth and isinstance(value, list):
            return [self._value(each, depth - 1) for each in value]
        return value


def _mask_one(text: str, known: Fingerprint) -> str:
    pieces: list[str] = []
    start, last = 0, len(text) - known.size
    at = text.find(known.head)
    while 0 <= at <= last:
        if _is_at(text, at, known):
            pieces += text[start : at + (0 if known.digest else len(known.head))], MASK
            start = at + known.size
        at = text.find(known.head, max(start, at + 1))
    return "".join([*pieces, text[start:]])


def _is_at(text: str, at: int, known: Fingerprint) -> bool:
    if not known.digest:  # the value must end where it would: `KEY=$(cat file)` is none
        value, end = at + len(known.head), at + known.size
        is_other = text.startswith((MASK, "'", '"'), value)  # masked already, or by the quoted form
        return not is_other and not text[end : end + 1].isalnum() and "\n" not in text[value:end]
    has_middle = text.startswith(known.middle, at + known.size // 2)
    return has_middle and _digest(text[at : at + known.size]) == known.digest


def _count_open(tail: str, head: str) -> int:
    """Return how many characters at the end of `tail` may be the beginning of a secret that begins with `head`."""
    at = tail.find(head)
    if at >= 0:
        return len(tail) - at
    return next((size for size in range(len(head) - 1, 0, -1) if tail.endswith(head[:size])), 0)
