"""An agent for tests with the two-way protocol of Claude Code. Its prompt is a script: each line is one action.

say TEXT           print TEXT word by word, then print it as a finished block
begin TEXT         print TEXT word by word without an end; the next `say` continues the same block
call ID NAME INPUT call a tool; a second `call` line with the same ID gives its output
picture ID BASE64  give a picture as the output of a tool call
fail ID OUTPUT     give the output of a tool call that failed
sub ID             the following lines belong to the subagent that `call ID` started; `sub` alone ends that
ask NAME COMMAND   ask for permission to use a tool, wait for the answer, and print it
wait PATH          wait until that file exists
"""

import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any

SESSION = {"session_id": "11111111-2222-4333-8444-555555555555"}
numbers = itertools.count(1)


class ScriptedTurn:
    """One turn: the actions of a script, and what they have printed."""

    def __init__(self) -> None:
        self.parent: str | None = None
        self.unfinished_text = ""
        self.called_tools: set[str] = set()

    def run(self, action: str, rest: str) -> None:
        """Run one line of the script."""
        getattr(self, f"do_{action}")(rest)

    def do_begin(self, text: str) -> None:
        for piece in text.replace("\\n", "\n").split(" "):
            delta = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": piece + " "}}
            self.print("stream_event", event=delta)
            self.unfinished_text += piece + " "

    def do_say(self, text: str) -> None:
        self.do_begin(text)
        self.block("assistant", {"type": "text", "text": self.unfinished_text.rstrip(" ")})
        self.unfinished_text = ""

    def do_call(self, line: str) -> None:
        tool_id, _, rest = line.partition(" ")
        if tool_id in self.called_tools:
            return self.result(tool_id, rest, is_error=False)
        self.called_tools.add(tool_id)
        name, _, text = rest.partition(" ")
        value = json.loads(text) if text.startswith("{") else {"command": text}
        self.block("assistant", {"type": "tool_use", "id": tool_id, "name": name, "input": value})
        return None

    def do_picture(self, line: str) -> None:
        tool_id, _, data = line.partition(" ")
        source = {"type": "base64", "media_type": "image/svg+xml", "data": data}
        self.block(
            "user",
            {"type": "tool_result", "tool_use_id": tool_id, "content": [{"type": "image", "source": source}]},
        )

    def do_fail(self, line: str) -> None:
        tool_id, _, output = line.partition(" ")
        self.result(tool_id, output, is_error=True)

    def do_sub(self, tool_id: str) -> None:
        self.parent = tool_id or None

    def do_ask(self, line: str) -> None:
        name, _, command = line.partition(" ")
        request = {"subtype": "can_use_tool", "tool_name": name, "input": {"command": command}}
        number = f"ask-{next(numbers)}"
        write({"type": "control_request", "request_id": number, "request": request})
        answer = json.loads(sys.stdin.readline())["response"]["response"]
        self.do_say(f"The answer to {command} was {answer['behavior']}.")

    def do_wait(self, path: str) -> None:
        while not Path(path).exists():
            time.sleep(0.01)

    def result(self, tool_id: str, output: str, *, is_error: bool) -> None:
        content = output.replace("\\n", "\n")
        if content.startswith("bytes "):
            content = "".join(f"{n:>9}\n" for n in range(int(content[6:]) // 10))
        self.block(
            "user", {"type": "tool_result", "tool_use_id": tool_id, "content": content, "is_error": is_error}
        )

    def block(self, role: str, block: dict[str, Any]) -> None:
        self.print(role, message={"role": role, "content": [block]})

    def print(self, kind: str, **more: Any) -> None:
        write({"type": kind, **more, "parent_tool_use_id": self.parent, **SESSION})


def write(line: dict[str, Any]) -> None:
    """Print one line of the protocol."""
    print(json.dumps(line), flush=True)


def main() -> None:
    """Run the script on standard input."""
    script = json.loads(sys.stdin.readline())["message"]["content"]
    write({"type": "system", "subtype": "init", "model": "actor", **SESSION})
    turn = ScriptedTurn()
    for line in script.split("\n"):
        action, _, rest = line.strip().partition(" ")
        if action:
            turn.run(action, rest)
    usage = {"input_tokens": 1200, "output_tokens": 34}
    result = {"subtype": "success", "is_error": False, "result": "Played.", "total_cost_usd": 0.25}
    write({"type": "result", **result, "duration_ms": 5, "usage": usage, **SESSION})


if __name__ == "__main__":
    main()
