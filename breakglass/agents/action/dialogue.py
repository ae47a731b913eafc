"""One program of an action: it gets an empty standard input, and its output is the result of one tool. Pure."""

import shlex

from breakglass.agents import TurnInput
from breakglass.agents.shell import dialogue as shell
from breakglass.events import Draft


class Dialogue(shell.Dialogue):
    """A program with its arguments. The prompt is the name of the action."""

    def __init__(self, turn_input: TurnInput) -> None:
        super().__init__(turn_input)
        self.argv = list(turn_input.command)
        self._id = f"action-{turn_input.turn}-{turn_input.prompt}"

    def begin(self) -> list[Draft]:
        """Return the call: the arguments as a list, and quoted as a shell would need them."""
        called = {"command": shlex.join(self.argv), "argv": self.argv}
        return [("tool", {"tool_id": self._id, "name": self._prompt, "input": called})]

    def open(self) -> bytes:
        """Return nothing: the program reads the end of its input at once."""
        return b""
