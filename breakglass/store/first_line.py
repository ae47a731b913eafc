"""The first line of a log decides whether this version may write to the log: it must be a `created` of its schema.

A log of another schema may belong to a later version. Its lines may mean something else there, so nothing is added.
Lines before `created` that are `repaired` do not count: older versions repaired the torn line of an interrupted
creation in place.
"""

import json
import os

from breakglass import events
from breakglass.events import SCHEMA
from breakglass.state import SessionState, fold
from breakglass.store import log, seek
from breakglass.text import one_line

_SHOWN = 60
"""Characters of the line that a message quotes."""


def why_not_writable(directory: str) -> str:
    """Return why nothing may be added to the log in a session's directory, "" if something may.

    The text continues the words "the log". Raises NotFound and OSError.
    """
    fd = log.open_reader(directory)
    try:
        size = log.size(fd)
        block, _ = seek.read_lines(fd, seek.START, size, seek.TAIL_BLOCK)
    finally:
        os.close(fd)
    if not block:
        return "has no whole line" if size else "is empty"
    number, lines = 1, block[:-1].split(b"\n")
    while number < len(lines) and events.decode(lines[number - 1], number)["kind"] == "repaired":
        number += 1
    return _problem(lines[number - 1], number)


def _problem(line: bytes, number: int) -> str:
    event = events.decode(line, number)
    if event["kind"] != "created":
        return f"does not begin with `created`: {one_line(line.decode(errors='replace'), _SHOWN)!r}"
    if "schema" not in event:
        return f"names no schema; this version writes only schema {SCHEMA}"
    schema = event["schema"]
    if type(schema) is not int or schema != SCHEMA:
        return f"has schema {one_line(json.dumps(schema), _SHOWN)}; this version writes only schema {SCHEMA}"
    if not fold(SessionState(), event).agent:
        return "begins with a `created` without an agent, a model or a title"
    return ""
