"""The remarks of a user that an agent could not get with an answer, because its protocol has no place for them.

They stand in the agent's last turn, in its `answer` events. The agent gets them before its next prompt, as a quotation,
so it gets each once. An agent that has lost its own session gets a record of all earlier turns instead (`brief`). The
runner imports this module, so it imports nothing slow.
"""

from breakglass.store import log, window
from breakglass.turns.brief import REACH, quoted

_HEAD = (
    "[In your last turn, a user answered your questions with these remarks. You did not get them then, because your "
    "protocol has no place for them.]\n"
)
_FOOT = "[End of the remarks.]\n\n"


def find(fd: int, seen: int) -> str:
    """Return the remarks in the turn that ended with line `seen`, as text before a prompt; "" if it has none."""
    turn = log.read_one(fd, seen).get("turn") if seen else None
    if not isinstance(turn, int):
        return ""
    own = [event for event in window.read(fd, REACH, before=seen).events if event.get("turn") == turn]
    text = "".join(quoted(event) for event in own if event["kind"] == "answer")
    return _HEAD + text + _FOOT if text else ""
