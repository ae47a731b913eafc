"""An agent for tests that speaks as Claude Code does, two-way, and plays the script that its prompt is: a line an act.

say TEXT           prose, word by word, and then the whole of it
begin TEXT         prose, word by word, and no end of it yet: the next `say` has it in front
call ID NAME WORDS a tool is called; a second line of the same ID gives what came of it
fail ID OUTPUT     the same, failed
sub ID             what follows is said and done by the subagent that call ID began; `sub` alone ends that
ask NAME WORDS     leave to use a tool is asked, and the answer waited for
wait PATH          until that file exists
"""

import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any

SESSION = {"session_id": "11111111-2222-4333-8444-555555555555"}
numbers = itertools.count(1)


class Play:
    """One turn."""

    def __init__(self) -> None:
        self.parent: str | None = None
        self.begun = ""
        self.called: set[str] = set()

    def act(self, word: str, rest: str) -> None:
        """Play one line."""
        getattr(self, f"do_{word}")(rest)

    def do_begin(self, text: str) -> None:
        for piece in text.split(" "):
            delta = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": piece + " "}}
            self.print("stream_event", event=delta)
            self.begun += piece + " "

    def do_say(self, text: str) -> None:
        self.do_begin(text.replace("\\n", "\n"))
        self.block("assistant", {"type": "text", "text": self.begun.rstrip(" ")})
        self.begun = ""

    def do_call(self, line: str) -> None:
        called, _, rest = line.partition(" ")
        if called in self.called:
            return self.result(called, rest, is_error=False)
        self.called.add(called)
        name, _, words = rest.partition(" ")
        given = json.loads(words) if words.startswith("{") else {"command": words}
        self.block("assistant", {"type": "tool_use", "id": called, "name": name, "input": given})
        return None

    def do_fail(self, line: str) -> None:
        called, _, output = line.partition(" ")
        self.result(called, output, is_error=True)

    def do_sub(self, called: str) -> None:
        self.parent = called or None

    def do_ask(self, line: str) -> None:
        name, _, words = line.partition(" ")
        request = {"subtype": "can_use_tool", "tool_name": name, "input": {"command": words}}
        number = f"ask-{next(numbers)}"
        write({"type": "control_request", "request_id": number, "request": request})
        answer = json.loads(sys.stdin.readline())["response"]["response"]
        self.do_say(f"The answer to {words} was {answer['behavior']}.")

    def do_wait(self, path: str) -> None:
        while not Path(path).exists():
            time.sleep(0.01)

    def result(self, called: str, output: str, *, is_error: bool) -> None:
        content = output.replace("\\n", "\n")
        if content.startswith("bytes "):
            content = "".join(f"{n:>9}\n" for n in range(int(content[6:]) // 10))
        self.block(
            "user", {"type": "tool_result", "tool_use_id": called, "content": content, "is_error": is_error}
        )

    def block(self, role: str, block: dict[str, Any]) -> None:
        self.print(role, message={"role": role, "content": [block]})

    def print(self, kind: str, **more: Any) -> None:
        write({"type": kind, **more, "parent_tool_use_id": self.parent, **SESSION})


def write(line: dict[str, Any]) -> None:
    """Print one line of the protocol."""
    print(json.dumps(line), flush=True)


def main() -> None:
    """Play the script on standard input."""
    script = json.loads(sys.stdin.readline())["message"]["content"]
    write({"type": "system", "subtype": "init", "model": "actor", **SESSION})
    play = Play()
    for line in script.split("\n"):
        word, _, rest = line.strip().partition(" ")
        if word:
            play.act(word, rest)
    usage = {"input_tokens": 1200, "output_tokens": 34}
    done = {"subtype": "success", "is_error": False, "result": "Played.", "total_cost_usd": 0.25}
    write({"type": "result", **done, "duration_ms": 5, "usage": usage, **SESSION})


if __name__ == "__main__":
    main()
