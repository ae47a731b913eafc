"""A search for words in events: which lines can match, found by their bytes, and whether an event does match. Pure.

How this works
--------------
* A query has terms: words, and phrases in double quotes. An event matches if its texts contain every term. Case does
  not matter (Unicode case folding), nor how white space is written.
* `Query.candidates` finds the lines of a block that can match, without decoding any. It searches the block in lower
  case for the longest part of a term that every writer of JSON writes as it is.
* `Query.excerpt` decides, on the decoded event. So a candidate may be wrong, but none may be missing.

Rule for editors: `candidates` must find all that `fold` makes equal. `_JOINED` has the characters beyond ASCII that
fold to ASCII, such as `ß` to `ss`: every line with one of them is a candidate.
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import product
from typing import Any, NamedTuple

from breakglass.errors import BadInput
from breakglass.events import Event
from breakglass.kinds import KINDS
from breakglass.suggestion import suggestion
from breakglass.text import visible

MAX_QUERY = 1000
"""Characters of a query."""
AROUND = 80
"""Characters shown before and after a term in an excerpt."""
MAX_FORMS = 12
"""Forms of a part of a term that are searched: each costs a pass over the bytes."""
LAST_WITH_CASE = 0x1E944
"""The code points from here on fold to themselves (CaseFolding.txt of Unicode 16)."""
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_TERM = re.compile(r'"([^"]*)(?:"|$)|([^\s"]+)')
_BREAKS = re.compile('[ "\\\\/\x00-\x1f\x7f-\x9f\u2028\u2029\ufffd]|.[\u02bc\u02be\u0300-\u036f]')
"""Characters that a writer of JSON may escape, and those that may be one with a combining character after them. U+FFFD
stands for what is no text: a byte that is not UTF-8, or half of a pair."""
_JOINED = {
    "k": "\u212a",
    "s": "\u017f",
    "ss": "\u00df\u1e9e",
    "ff": "\ufb00\ufb03\ufb04",
    "fi": "\ufb01\ufb03",
    "fl": "\ufb02\ufb04",
    "st": "\ufb05\ufb06",
}
"""What folds to each of these texts."""


class Excerpt(NamedTuple):
    """The text around a term of the query in an event, on one line."""

    text: str
    begin: int
    """Where the term begins in `text`."""
    end: int

    def parts(self) -> tuple[str, str, str]:
        """Return the text before the term, the term, and the text after it. Hidden characters are visible."""
        text = self.text
        return visible(text[: self.begin]), visible(text[self.begin : self.end]), visible(text[self.end :])


class _Term(NamedTuple):
    """A folded word or phrase."""

    text: str
    length: int
    """Characters of the part that is searched in the bytes."""
    written: tuple[bytes, ...]
    """How a line in lower case may write that part in UTF-8, with the characters of `_JOINED`."""
    escaped: tuple[bytes, ...]
    """The same with the characters beyond ASCII escaped."""

    def forms(self, *, is_ascii: bool, has_escapes: bool) -> tuple[bytes, ...]:
        """Return the bytes one of which is in every line with this term."""
        forms = self.written + self.escaped if has_escapes else self.written
        return tuple(form for form in forms if form.isascii()) if is_ascii else forms


class Query:
    """A parsed query. `kind` and `since` select events further: by their kind, and from a time on."""

    def __init__(self, text: str, kind: str | None = None, since: str | None = None) -> None:
        """Raises BadInput for a text without a word, or one that is too long."""
        if len(text) > MAX_QUERY:
            raise BadInput(f"the search text has {len(text):,} characters; at most {MAX_QUERY:,} are taken")
        found = dict.fromkeys(fold(phrase or word) for phrase, word in _TERM.findall(text))
        self._terms = [_term(each) for each in found if each]
        if not self._terms:
            raise BadInput('expected words to search for, such as: disk "no space left"')
        self._longest_first = sorted(self._terms, key=lambda term: -term.length)
        if kind is not None and kind not in (*KINDS, "foreign"):
            instead = suggestion(kind, known := (*KINDS, "foreign"), f"expected one of {', '.join(known)}")
            raise BadInput(f"kind: there is no kind {kind[:40]!r}; {instead}")
        self.kind = kind
        self.since = since

    def candidates(self, block: bytes) -> list[int]:
        """Return where each line that can match begins in a block of whole lines, in their order."""
        lower = block.lower()
        is_ascii = lower.isascii()
        escaped = sum(len(term.escaped) for term in self._terms)
        has_escapes = escaped == 1 or (escaped > 1 and b"\\u" in lower)  # looking for one takes no longer
        rarest, *others = (
            term.forms(is_ascii=is_ascii, has_escapes=has_escapes) for term in self._longest_first
        )
        begins = {begin for form in rarest for begin in _lines_with(lower, form)}
        return sorted(begin for begin in begins if all(_has_one(lower, begin, forms) for forms in others))

    def excerpt(self, event: Event) -> Excerpt | None:
        """Return the text around the first term of the query in an event, None if the event does not match."""
        if self.kind and event["kind"] != self.kind:
            return None
        if self.since and event.get("ts", "") < self.since:
            return None
        texts = [_one_line(each) for each in texts_of(event)]
        folded = [each.casefold() for each in texts]
        places = [
            next(((n, at) for n, each in enumerate(folded) if (at := each.find(term.text)) >= 0), None)
            for term in self._terms
        ]
        if None in places or not places[0]:
            return None
        number, at = places[0]
        return _cut(texts[number], folded[number], at, at + len(self._terms[0].text))


def parse_since(text: str, seconds: float) -> str:
    """Return a time as events have it, from a date, a time or an age. `seconds` is now. Raises BadInput."""
    if match := re.fullmatch(r"([0-9]{1,6})([smhdw])", text):
        then = datetime.fromtimestamp(seconds, UTC) - timedelta(seconds=int(match[1]) * _UNITS[match[2]])
    else:
        try:
            then = datetime.fromisoformat(text)
        except ValueError:
            raise BadInput(
                f"expected a time such as 2026-11-29, 2026-11-29T03:00 or 12h, got {text[:40]!r}"
            ) from None
        then = then.astimezone(UTC) if then.tzinfo else then.replace(tzinfo=UTC)
    return then.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def texts_of(event: Event) -> Iterator[str]:
    """Yield the texts of an event: every value that is a text, also within its input, without its time and its kind."""
    for key, value in event.items():
        if key not in ("ts", "kind"):
            yield from _texts_in(value)


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts_in(each)


def fold(text: str) -> str:
    """Return a text as it is compared: composed (NFC), case folded, white space as single spaces."""
    return _one_line(text).casefold()


def _one_line(text: str) -> str:
    text = " ".join(text.split())
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _cut(text: str, folded: str, begin: int, end: int) -> Excerpt:
    """Return the part of `text` around a place in `folded`, which can have more characters than `text`."""
    if len(text) != len(folded):
        owners = [n for n, char in enumerate(text) for _ in char.casefold()]
        begin, end = owners[begin], owners[end - 1] + 1
    first, stop = max(0, begin - AROUND), end + AROUND
    before, after = "…" * (first > 0), "…" * (stop < len(text))
    shift = len(before) - first
    return Excerpt(f"{before}{text[first:stop]}{after}", begin + shift, end + shift)


# --- bytes --------------------------------------------------------------------------------------


def _term(text: str) -> _Term:
    """Return a term. The longest part with few forms is searched: `gr\u00f6` of `gr\u00f6\u00dfer`, for example."""
    parts = [part for piece in _BREAKS.split(text) for part in _parts(piece)]
    part = max(parts, key=len, default="")
    joined = [char for folded, chars in _JOINED.items() if folded in part for char in chars]
    written = ["".join(each) for each in product(*(_written(char) for char in part))]
    escaped = ["".join(each) for each in product(*(map(_escape, _written(char)) for char in part))]
    forms = [each.encode() for each in (*written, *joined)]
    return _Term(
        text, len(part), tuple(forms), tuple({*_encoded(escaped), *_encoded(map(_escape, joined))} - {*forms})
    )


def _encoded(texts: Iterable[str]) -> Iterator[bytes]:
    return (text.encode() for text in texts)


def _parts(text: str) -> Iterator[str]:
    """Yield for each character the longest part of `text` from there on that has few enough forms."""
    for begin in range(len(text)):
        number, end = 1, begin
        while end < len(text) and (number := number * len(_written(text[end]))) <= MAX_FORMS:
            end += 1
        yield text[begin:end]


@cache
def _sources(folded: str) -> tuple[str, ...]:
    """Return the characters that fold to this one, in lower case if they are ASCII."""
    if folded.isascii():
        return (folded,)
    return (folded, *_other_cases().get(folded, ()))


@cache
def _other_cases() -> dict[str, list[str]]:
    """Return the characters that fold to another one, by that one."""
    found: dict[str, list[str]] = {}
    for char in map(chr, range(0x80, LAST_WITH_CASE)):
        if (folded := char.casefold()) != char:
            found.setdefault(folded, []).append(char)
    return found


@cache
def _written(folded: str) -> tuple[str, ...]:
    """Return how UTF-8 in lower case may write a folded character: as one that folds to it, also decomposed."""
    forms = {form for each in _sources(folded) for form in (each, unicodedata.normalize("NFD", each))}
    return tuple(dict.fromkeys(form if len(form) == 1 else form[0].lower() + form[1:] for form in forms))


def _escape(text: str) -> str:
    """Return a text with what is beyond ASCII escaped as in JSON, in lower case."""
    return text if text.isascii() else json.dumps(text)[1:-1].lower()


def _lines_with(lower: bytes, part: bytes) -> Iterator[int]:
    """Yield where each line with these bytes begins. With no bytes, that is every line."""
    at = lower.find(part)
    while at >= 0:
        yield lower.rfind(b"\n", 0, at) + 1
        end = lower.find(b"\n", at)
        at = lower.find(part, end + 1) if 0 <= end < len(lower) - 1 else -1


def _has_one(lower: bytes, begin: int, parts: tuple[bytes, ...]) -> bool:
    end = lower.find(b"\n", begin)
    return any(lower.find(each, begin, end if end >= 0 else len(lower)) >= 0 for each in parts)
