"""Prompts that the Claude Code CLI gets while it runs a tool. It reads them at the tool's end, in the same turn. Pure.

How this works. The main agent's calls and results say whether a tool runs. Each prompt has a `uuid`, and for that the
CLI prints `command_lifecycle` lines: `queued` when it has received the prompt, `started` when the model gets it. A
prompt that arrives just after the tool's end begins a round of its own, in the same process.
Format: as printed by 2.1.330.
"""

import hashlib
from collections.abc import Sequence

from breakglass.agents import TurnInput
from breakglass.agents.claude import control
from breakglass.agents.claude.messages import Line
from breakglass.agents.claude.rounds import Rounds
from breakglass.agents.line_dialogue import LineDialogue
from breakglass.agents.lines import as_text
from breakglass.events import Draft

_READ = ("started", "completed")


class Steering:
    """What is known about the tools that run, and about the prompts that were given while they did."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._tools: set[str] = set()
        self._unread: dict[str, int] = {}

    @property
    def is_tool_running(self) -> bool:
        return bool(self._tools)

    @property
    def unread(self) -> tuple[int, ...]:
        """The numbers of the prompts that the model has not got."""
        return tuple(self._unread.values())

    def note(self, drafts: list[Draft]) -> list[Draft]:
        """Note the calls and results of the main agent, and return all events."""
        for kind, fields in drafts:
            if kind == "tool" and "parent" not in fields:
                self._tools.add(fields["tool_id"])
            elif kind == "tool_result":
                self._tools.discard(fields["tool_id"])
        return drafts

    def end_round(self) -> None:
        """Note that a round has ended, and every tool with it."""
        self._tools.clear()

    def message(self, number: int, prompt: str) -> bytes:
        """Return the line with a further prompt."""
        name = self._uuid(number)
        self._unread[name] = number
        return control.user_message(prompt, uuid=name)

    def note_lifecycle(self, line: Line) -> bool:
        """Note a `command_lifecycle` line. Return whether the model gets one of these prompts."""
        is_read = as_text(line.get("state")) in _READ
        return is_read and self._unread.pop(as_text(line.get("command_uuid")), None) is not None

    def _uuid(self, number: int) -> str:
        """Return the UUID of a prompt. The CLI ignores one that it had before, so it differs in each session."""
        digits = hashlib.sha256(f"{self._place} {number}".encode(errors="replace")).hexdigest()
        return f"{digits[:8]}-{digits[8:12]}-8{digits[13:16]}-8{digits[17:20]}-{digits[20:32]}"


class SteeredDialogue(LineDialogue):
    """The part of the dialogue that gives the agent further prompts. A subclass reads the agent's messages."""

    def __init__(self, turn_input: TurnInput, argv: list[str]) -> None:
        super().__init__(turn_input, argv)
        self.finished = False
        self._is_interrupted = False
        self._rounds = Rounds()
        self._steering = Steering(turn_input.cwd)

    @property
    def can_steer(self) -> bool:
        """Whether a tool runs: the agent reads a prompt at its end."""
        return self._steering.is_tool_running and not self.finished and not self._is_interrupted

    def steer(self, number: int, prompt: str) -> None:
        """Give the agent a further prompt."""
        self._unwritten += self._steering.message(number, control.escape_command(prompt))

    @property
    def unread(self) -> Sequence[int]:
        """The prompts given by `steer` that the model has not got."""
        return self._steering.unread

    def _lifecycle(self, line: Line) -> list[Draft]:
        if self._steering.note_lifecycle(line):
            self._rounds.begin()
        return []
