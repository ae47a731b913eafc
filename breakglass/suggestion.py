"""What to write instead of a mistyped name. Pure."""

from collections.abc import Callable, Iterable

_MAX_COMPARED = 64
"""Characters of a mistyped name that are compared: the time grows with the square of them."""


def suggestion(
    name: str, known: Iterable[str], otherwise: str | None = None, *, shown: Callable[[str], str] = str
) -> str:
    """Return a question with the known name that looks most like `name`.

    If none does, return `otherwise`, by default the list of all names. `shown` turns a name into what the user writes.
    """
    from difflib import get_close_matches  # imported only for a mistake, because it delays the start

    names = sorted(known)
    if close := get_close_matches(name[:_MAX_COMPARED], names, n=1):
        return f"did you mean {shown(close[0])}?"
    return f"expected one of {', '.join(map(shown, names))}" if otherwise is None else otherwise
