"""Lines as the Claude Code CLI prints them, made by hand, and dialogues that have read some."""

import json
from typing import Any

from breakglass.agents import Exit, TurnInput
from breakglass.agents.claude.dialogue import Dialogue
from breakglass.events import Draft

SESSION = "75520ec5-fc8d-4c8a-adcd-d54f3810d47f"


def line(**fields: Any) -> bytes:
    """Return one line in the format of the CLI."""
    return json.dumps(fields).encode() + b"\n"


def result(**fields: Any) -> bytes:
    return line(type="result", subtype="success", is_error=False, result="done", duration_ms=5, **fields)


INIT = line(type="system", subtype="init", session_id=SESSION, model="m")
ASKED = {
    "subtype": "can_use_tool",
    "tool_name": "Bash",
    "input": {"command": "ls"},
    "permission_suggestions": [
        {"type": "addRules", "rules": [{"toolName": "Bash", "ruleContent": "ls *"}], "behavior": "allow",
         "destination": "localSettings"},
        {"type": "addRules", "rules": [{"toolName": "Bash"}], "behavior": "deny", "destination": "session"},
        {"type": "setMode", "mode": "acceptEdits", "destination": "session"},
    ],
}  # fmt: skip


def assistant(*blocks: Any, **fields: Any) -> bytes:
    return line(type="assistant", message={"content": list(blocks)}, **fields)


def tool_result(content: Any, **fields: Any) -> bytes:
    block = {"type": "tool_result", "tool_use_id": "t1", "content": content}
    return line(type="user", message={"content": [block]}, **fields)


def delta(text: str, **fields: Any) -> bytes:
    change = {"type": "text_delta", "text": text}
    return line(type="stream_event", event={"type": "content_block_delta", "delta": change}, **fields)


def begun(**given: Any) -> Dialogue:
    """Return a dialogue whose turn input has these values."""
    return Dialogue(TurnInput(**{"prompt": "hi", "command": ("claude",), **given}))


def asking(**request: Any) -> Dialogue:
    """Return a dialogue whose agent has asked question `q1`."""
    dialogue = begun(ask=True)
    dialogue.translate(INIT + line(type="control_request", request_id="q1", request={**ASKED, **request}))
    return dialogue


def ended(data: bytes, end: Exit, **given: Any) -> tuple[list[Draft], Dialogue]:
    """Return the drafts of a whole dialogue, and the dialogue."""
    dialogue = begun(**given)
    return [*dialogue.translate(data), *dialogue.close(end)], dialogue
