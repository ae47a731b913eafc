"""The rules about single kinds of events, and the state that they need. Pure."""

import re
from collections.abc import Callable, Iterator

from breakglass.events import SCHEMA, Event
from breakglass.tally import END_STATUSES
from breakglass.uploads import is_picture, is_relative
from breakglass.verify.finding import SHOWN, Note

_SHA256 = re.compile("[0-9a-f]{64}")


class Turns:
    """The open turn of a log and the waiting prompts, according to its events."""

    def __init__(self) -> None:
        self.open: int | None = None
        """The number of the open turn."""
        self._questions: set[str] = set()
        """The open questions of the open turn."""
        self._tools: set[str] = set()
        """The calls of tools in the open turn."""
        self._is_cancelled = False
        """Whether a user stopped the open turn."""
        self._queue: set[int] = set()
        """The ids of the waiting prompts."""
        self.pictures: dict[str, int] = {}
        """The files of pictures, each with the first line that names it."""

    def check(self, event: Event) -> Iterator[str]:
        """Yield what is wrong with the number of the event's turn, and with an event of its kind at this place."""
        kind, turn = event["kind"], event.get("turn")
        if kind != "user" and turn is not None and turn != self.open:
            yield f"{kind} of turn {turn}, while {f'turn {self.open}' if self.open else 'none'} is open"
        for rule in RULES.get(kind, ()):
            yield from rule(self, event)

    def _check_turn(self, event: Event) -> Iterator[str]:
        """Yield what is wrong with the beginning or end of a turn, and remember which turn is open."""
        kind, turn = event["kind"], event.get("turn")
        if kind == "user":
            if self.open is not None:
                yield f"a turn begins within turn {self.open}"
            if turn != event["id"]:
                yield f"begins turn {turn}, expected {event['id']}"
            self.open, self._questions, self._tools = event["id"], set(), set()
            self._is_cancelled = False
        elif turn is not None and turn != self.open:
            return
        elif kind == "turn_end":
            if event.get("status") not in END_STATUSES:
                yield f"a turn cannot end with status {event.get('status')!r}"
            elif self._is_cancelled and event.get("status") != "cancelled":
                # A note: older versions could end such a turn as `lost`, `error` or `timeout`.
                yield Note(f"turn {turn} was stopped, but ends as {event.get('status')}")
            self.open = None
        elif kind == "cancelled":
            self._is_cancelled = True

    def _check_created(self, event: Event) -> Iterator[str]:
        """Yield a note on an unknown schema."""
        if not (type(event.get("schema")) is int and event["schema"] == SCHEMA):
            yield Note(f"a schema that this version does not know: {repr(event.get('schema'))[:SHOWN]}")

    def _check_tool(self, event: Event) -> Iterator[str]:
        """Yield a note on a result without its call, and remember the calls of the open turn."""
        tool = str(event.get("tool_id"))
        if event["kind"] == "tool":
            self._tools.add(tool)
        elif event["kind"] == "tool_result" and tool not in self._tools:
            # A note: the agent chooses the id, and a tool may go on after the turn that called it.
            yield Note(f"the result of a tool that its turn did not call: {tool[:SHOWN]!r}")

    def _check_pictures(self, event: Event) -> Iterator[str]:
        """Yield what is wrong with the pictures of a result, and remember their files."""
        given = event.get("pictures", [])
        for each in given if isinstance(given, list) else [given]:
            path = each.get("file") if isinstance(each, dict) else each
            if is_picture(path):
                self.pictures.setdefault(path, event["id"])
            else:
                yield f"names no picture of this session: {str(path)[:SHOWN]!r}"

    def _check_waiting(self, event: Event) -> Iterator[str]:
        """Yield what is wrong with questions and queued prompts, and remember which of them wait."""
        kind, request, queued = event["kind"], event.get("request"), event.get("queued")
        if kind == "permission":
            self._questions.add(str(request))
        elif kind == "answer":
            if str(request) not in self._questions:
                yield f"answers {request!r}, which is not an open question"
            self._questions.discard(str(request))
        elif kind == "queued":
            self._queue.add(event["id"])
        elif queued is not None and kind in ("user", "steered", "withdrawn"):
            if isinstance(queued, int) and queued in self._queue:
                self._queue.remove(queued)
            else:
                yield f"removes line {queued} from the queue, which does not contain it"


def _check_file(_: Turns, event: Event) -> Iterator[str]:
    """Yield what is wrong with a file, or with the files of a prompt."""
    if event["kind"] == "file":
        if not is_relative(event.get("path")):
            yield f"a path that is not in the workspace: {str(event.get('path'))[:SHOWN]!r}"
        if not _SHA256.fullmatch(str(event.get("sha256"))):
            yield f"has no valid sha256: {str(event.get('sha256'))[:SHOWN]!r}"
        if type(event.get("bytes")) is not int or event["bytes"] <= 0:
            yield f"has no valid number of bytes: {str(event.get('bytes'))[:SHOWN]!r}"
    elif event["kind"] in ("user", "queued") and "files" in event:
        paths = event["files"]
        if not isinstance(paths, list) or not all(map(is_relative, paths)):
            yield f"names files that are not in the workspace: {str(paths)[:SHOWN]!r}"


RULES: dict[str, tuple[Callable[[Turns, Event], Iterator[str]], ...]] = {
    "created": (Turns._check_created,),
    "repaired": (),
    "user": (Turns._check_turn, Turns._check_waiting, _check_file),
    "turn_end": (Turns._check_turn,),
    "cancelled": (Turns._check_turn,),
    "tool": (Turns._check_tool,),
    "tool_result": (Turns._check_tool, Turns._check_pictures),
    "permission": (Turns._check_waiting,),
    "answer": (Turns._check_waiting,),
    "queued": (Turns._check_waiting, _check_file),
    "steered": (Turns._check_waiting,),
    "withdrawn": (Turns._check_waiting,),
    "file": (_check_file,),
    "sealed": (),
}
"""The kinds with rules besides those about the time, the keys and the number of the turn. `Verifier` has those without
a rule here. Rules are called only from here, so a kind that is missing here has no rule.
"""
