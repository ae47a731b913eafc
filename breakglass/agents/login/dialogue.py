"""A program that logs an agent in: it prints an address, and takes a code on its standard input. Pure.

The code is a secret. The question for it says so (`choices`, `secret`), so the log never has it. The program gets it on
its standard input, because `ps` shows arguments.
"""

import re

from breakglass.agents import TurnInput
from breakglass.agents.action import dialogue as action
from breakglass.choices import NO_ANSWERS, Answers, Choice
from breakglass.events import Draft

TOOL = "Log in"
"""The name of the tool that asks for the code."""
_ID = "code"
_ADDRESS = re.compile(r"https://[!-~]+")
_PROMPT = re.compile(r"[>:?] ?\Z")
"""The end of the output of a program that waits for a line: a prompt without a newline."""
_KEPT = 8 << 10
"""Characters of the output that are searched for the address and the prompt."""


class Dialogue(action.Dialogue):
    """A program of an action that asks the user for one secret line, perhaps several times."""

    def __init__(self, turn_input: TurnInput) -> None:
        super().__init__(turn_input)
        self.finished = self.answered = False
        self._turn = turn_input.turn
        self._text = ""  # what was printed since the last answer
        self._asked = 0
        self._is_open = False
        self._unwritten = b""

    def translate(self, data: bytes) -> list[Draft]:
        """Return the pieces of output, and the question for the code when the program waits for it."""
        drafts = super().translate(data)
        self._text = (self._text + "".join(fields["output"] for _, fields in drafts))[-_KEPT:]
        addresses = _ADDRESS.findall(self._text)
        if self._is_open or not (addresses or self._asked) or not _PROMPT.search(self._text):
            return drafts
        self._asked += 1
        self._is_open = True
        link = addresses[-1] if addresses else ""
        wanted = Choice(
            _ID, "Open the address, log in there, and paste the code here.", secret=True, link=link
        )
        asked = {"request": self._request, "name": TOOL, "input": {"address": link}, "tool_id": self._id}
        return [*drafts, ("permission", {**asked, "choices": [wanted.as_json()]})]

    @property
    def _request(self) -> str:
        return f"login-{self._turn}-{self._asked}"

    def answer(self, request: str, *, allow: bool, message: str = "", answers: Answers = NO_ANSWERS) -> bool:
        """Give the program the code. After a refusal it must end."""
        if not self._is_open or request != self._request:
            return False
        self._is_open, self._text = False, ""
        code = next(iter(answers.get(_ID, ())), "") if allow else ""
        if code:
            self._unwritten = code.splitlines()[0].strip().encode(errors="replace") + b"\n"
        else:
            self.finished = self.answered = True
        return True

    def reply(self) -> bytes:
        """Return the code, once."""
        data, self._unwritten = self._unwritten, b""
        return data
