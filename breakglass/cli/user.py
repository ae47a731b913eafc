"""The user at the command line: their name for the log, and the values they typed."""

import os
import pwd

from breakglass.errors import BadInput


def user_name() -> str:
    """Return the user's name for the `by` of events, such as `cli:root`."""
    uid = os.getuid()
    try:
        return f"cli:{pwd.getpwuid(uid).pw_name}"
    except KeyError:  # a container may run under a uid without a name
        return f"cli:{uid}"


def check_text(what: str, text: str) -> str:
    """Return a text from the command line. Raises BadInput if its bytes are not UTF-8: the log could not keep them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadInput(f"{what}: expected text in UTF-8") from None
    return text


def whole_number(text: str) -> int:
    """Return the value of an option that takes a whole number."""
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise BadInput(f"expected a whole number, got {text!r}")
    return int(text)
