"""Messages of an ACP agent, made by hand, and dialogues that have read some."""

import json
from typing import Any

from breakglass.agents import TurnInput
from breakglass.agents.acp.dialogue import Dialogue
from breakglass.events import Draft

MODES = {
    "modes": {"currentModeId": "auto", "availableModes": [{"id": "default"}, {"id": "auto"}, {"id": "Yolo"}]}
}
MODE_OPTION = {
    "configOptions": [
        {
            "id": "m",
            "category": "mode",
            "type": "select",
            "currentValue": "build",
            "options": [{"value": "ask"}, {"value": "build"}],
        }
    ]
}
MODEL_OPTION = {"configOptions": [{"id": "llm", "category": "model", "type": "select", "options": []}]}
OPTIONS = [
    {"optionId": "yes", "kind": "allow_once"},
    {"optionId": "always", "kind": "allow_always"},
    {"optionId": "no", "kind": "reject_once"},
]
ASKED = {"toolCallId": "t", "name": "Bash", "rawInput": {"command": "ls"}}


def begun(session: dict[str, Any] | None = None, **given: Any) -> Dialogue:
    """Return a dialogue that has sent its prompt. `session` is what the agent offers besides the session's id."""
    dialogue = Dialogue(TurnInput("hi", ("agent",), turn=7, **given))
    dialogue.open()
    say(dialogue, id=1, result={"protocolVersion": 1, "agentCapabilities": {}})
    say(dialogue, id=2, result={"sessionId": "s", **(session or {})})
    return dialogue


def say(dialogue: Dialogue, **message: Any) -> list[Draft]:
    """Return the events in one message of the agent."""
    return dialogue.translate(encoded(message))


def encoded(message: dict[str, Any]) -> bytes:
    """Return the line of a message."""
    return json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n"


def update(dialogue: Dialogue, kind: str, /, session: str = "s", **fields: Any) -> list[Draft]:
    """Return the events in one `session/update`."""
    return dialogue.translate(update_line(kind, session, **fields))


def update_line(kind: str, /, session: str = "s", **fields: Any) -> bytes:
    """Return the line of one `session/update`."""
    params = {"sessionId": session, "update": {"sessionUpdate": kind, **fields}}
    return encoded({"method": "session/update", "params": params})


def not_understood(text: str) -> Draft:
    """Return the notice of something that the dialogue does not understand."""
    return "notice", {"text": f"The agent printed something that Breakglass does not understand: {text}"}


def question(dialogue: Dialogue, number: int = 0, options: list[dict[str, str]] = OPTIONS) -> list[Draft]:
    """Return the events in a request for permission."""
    params = {"sessionId": "s", "toolCall": ASKED, "options": options}
    return say(dialogue, id=number, method="session/request_permission", params=params)


def written(dialogue: Dialogue) -> list[dict[str, Any]]:
    """Return the messages that are to be written now."""
    return [json.loads(line) for line in dialogue.reply().splitlines()]


def outcome(dialogue: Dialogue) -> Any:
    """Return the id of the option that the one written answer selects, or its outcome if it selects none."""
    (answer,) = written(dialogue)
    return answer["result"]["outcome"].get("optionId", answer["result"]["outcome"]["outcome"])


def text_block(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}
