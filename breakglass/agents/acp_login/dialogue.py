"""A login of an ACP agent over its own protocol: the user chooses one of the ways that it offers. Pure.

How this works. `initialize` and `session/new` show whether the agent is logged in, and which ways it offers. The user
chooses one (`permission` with `choices`). A way that the agent does itself is sent as `authenticate`. A way that needs
a terminal or a variable cannot be done from here: the output says what to do instead. After `authenticate`, another
`session/new` decides whether the agent is logged in.

The output of the one tool has everything that the agent prints besides messages, its standard error too: some agents
print there the address that the user must open.
"""

import shlex
from typing import Any

from breakglass import __version__
from breakglass.agents import Exit, TurnInput
from breakglass.agents.acp import elicitation, messages
from breakglass.agents.acp.messages import Message
from breakglass.agents.acp.requests import SentRequests
from breakglass.agents.acp_login.ways import Way, read_ways
from breakglass.agents.line_dialogue import LineDialogue
from breakglass.agents.lines import (
    as_object,
    as_objects,
    as_short_text,
    as_text,
    cut_object,
    join_deltas,
    unreadable,
)
from breakglass.choices import NO_ANSWERS, Answers, Choice, Option
from breakglass.events import Draft, dumps

TOOL = "Log in"
_CHOICE = "way"
_CAPABILITIES: Message = {"auth": {"terminal": True}, "elicitation": {"form": {}, "url": {}}}
_QUIET_METHODS = ("session/update", "elicitation/complete", "_auth/status_update")
"""Notifications that hold nothing for a user who logs in: of the opened session, and of what is answered already."""
_KINDS = {
    "terminal": "needs a terminal on the machine",
    "missing": "needs {} in the agent's environment",
    "key": "the agent finds the key itself",
}


class Dialogue(LineDialogue):
    """One process of the agent, from `initialize` to the end of the login."""

    merge_stderr = True

    def __init__(self, turn_input: TurnInput) -> None:
        super().__init__(turn_input, list(turn_input.command))
        self.finished = False
        self._tool_id = f"action-{turn_input.turn}-{turn_input.prompt}"
        self._sent = SentRequests()
        self._methods: list[Message] = []
        self._ways: dict[str, Way] = {}
        self._has_offered = False
        self._is_logged_in = False
        self._conclusion = ""
        self._questions_asked = 0
        self._open: dict[str, Message] = {}  # questions of the agent, and {} for our own

    @property
    def answered(self) -> bool:
        """Whether the login has ended, well or not."""
        return self.finished

    def begin(self) -> list[Draft]:
        """Return the call: the arguments as a list, and quoted as a shell would need them."""
        called = {"command": shlex.join(self.argv), "argv": self.argv}
        return [("tool", {"tool_id": self._tool_id, "name": self._input.prompt, "input": called})]

    def open(self) -> bytes:
        """Return the first request."""
        self._request("initialize", messages.initialize(__version__, _CAPABILITIES))
        return self.reply()

    def interrupt(self) -> bytes:
        """Return nothing: only a signal stops a login."""
        return b""

    def answer(self, request: str, *, allow: bool, message: str = "", answers: Answers = NO_ANSWERS) -> bool:
        """Go the way that the user chose, or answer the agent's own question."""
        if request not in self._open:
            return False
        question = self._open.pop(request)
        chosen = next(iter(answers.get(_CHOICE, ())), "")
        if question:
            self._write(_response(question, answers, allow=allow))
        elif allow and chosen in self._ways:
            self._go(self._ways[chosen])
        else:
            self._conclude("No way was chosen.", is_logged_in=self._is_logged_in)
        return True

    # --- what the agent prints ----------------------------------------------------------------

    def _is_message(self, value: Message) -> bool:
        return value.get("jsonrpc") == "2.0"

    def _read(self, message: Message) -> list[Draft]:
        if "method" in message:
            return self._read_request(message)
        response = self._sent.match(message)
        if self.finished or response is None:
            return _tell(message)
        if response.is_error:
            return self._read_error(response.method or "", message["error"])
        return self._read_response(response.method or "", as_object(message.get("result")))

    def _read_texts(self, texts: list[str]) -> list[Draft]:
        """Return what the agent printed besides messages, as output."""
        return [self._output("\n".join(texts) + "\n")] if texts else []

    def _read_response(self, method: str, result: Message) -> list[Draft]:
        if method == "initialize":
            self._methods = as_objects(result.get("authMethods"))
        if method != "session/new":
            self._request("session/new", {"cwd": self._input.cwd, "mcpServers": []})
            return [self._output("The agent accepted the login.\n")] if method == "authenticate" else []
        self._is_logged_in = True
        if self._has_offered or not self._methods:
            self._conclude("The agent is logged in: it opened a session.", is_logged_in=True)
            return []
        return self._ask("The agent opened a session, so it is logged in or needs no login.")

    def _read_error(self, method: str, refusal: Any) -> list[Draft]:
        self._methods = self._methods or as_objects(
            as_object(as_object(refusal).get("data")).get("authMethods")
        )
        reason = messages.error_text({**as_object(refusal), "code": None}, [])
        if method == "session/new" and not self._has_offered and self._methods:
            return self._ask(f"The agent is not logged in: {reason}")
        what = {"authenticate": "The agent refused the login", "session/new": "The agent opens no session"}
        self._conclude(f"{what.get(method, 'The agent cannot log in')}: {reason}")
        return []

    def _read_request(self, message: Message) -> list[Draft]:
        if self.finished or "id" not in message:  # after the end nothing can be written
            return _tell(message)
        if message["method"] != elicitation.METHOD:
            self._write(messages.not_offered(message))
            return [messages.not_offered_notice(message)]
        return [self._question(_choices(message), cut_object(as_object(message.get("params"))), message)]

    # --- the ways -----------------------------------------------------------------------------

    def _ask(self, state: str) -> list[Draft]:
        ways = read_ways(self._methods, self._input.command, self._input.variables)
        self._has_offered, self._ways = True, {way.name: way for way in ways}
        listed = "".join(f"* {': '.join(filter(None, (way.name, _about(way))))}\n" for way in ways)
        output = self._output(f"{state}\nIt offers these ways to log in:\n{listed}")
        options = tuple(Option(way.name, _about(way)) for way in ways)
        wanted = Choice(_CHOICE, "Choose how to log the agent in.", options=options, other=False)
        return [output, self._question((wanted,), {"ways": [way.name for way in ways]}, {})]

    def _go(self, way: Way) -> None:
        if obstacle := _obstacle(way):
            self._conclude(obstacle)
            return
        self._is_logged_in = False
        self._request("authenticate", {"methodId": way.id})

    def _question(self, asked: tuple[Choice, ...], given: Message, message: Message) -> Draft:
        self._questions_asked += 1
        request = f"login-{self._input.turn}-{self._questions_asked}"
        self._open[request] = message
        fields = {"request": request, "name": TOOL, "input": given, "tool_id": self._tool_id}
        return "permission", {**fields, "choices": [choice.as_json() for choice in asked]}

    # --- the end ------------------------------------------------------------------------------

    def _conclude(self, conclusion: str, *, is_logged_in: bool = False) -> None:
        self.finished, self._conclusion, self._is_logged_in = True, conclusion, is_logged_in

    def close(self, end: Exit) -> list[Draft]:
        """Return the last output, which says how the login ended, and the result."""
        drafts = self._read_rest()
        self.failed = not self._is_logged_in and not end.cancelled
        told = self._conclusion or f"The agent ended before the login did: {end.description}."
        drafts.append(self._output(f"{told}\n", is_error=not self._is_logged_in))
        first_line = told.partition("\n")[0]
        result = {"is_error": not self._is_logged_in, "result": first_line, "duration_ms": end.duration_ms}
        return join_deltas([*drafts, ("result", result)])

    def _output(self, text: str, *, is_error: bool = False) -> Draft:
        return "tool_result", {"tool_id": self._tool_id, "output": text, "is_error": is_error}

    def _request(self, method: str, params: Message) -> None:
        self._write(self._sent.add(method, params))

    def _write(self, message: Message) -> None:
        self._unwritten += messages.encode_line(message)


def _tell(message: Message) -> list[Draft]:
    """Return the event about a message that changes nothing, so that none is dropped in silence."""
    return [] if message.get("method") in _QUIET_METHODS else [unreadable([dumps(message)])]


def _about(way: Way) -> str:
    kind = ""
    if way.terminal:
        kind = _KINDS["terminal"]
    elif way.missing:
        kind = _KINDS["missing"].format(", ".join(way.missing))
    elif way.has_key:
        kind = _KINDS["key"]
    return "; ".join(filter(None, (way.about, kind)))


def _obstacle(way: Way) -> str:
    """Return why a way cannot be gone from here, and what to do instead; "" if it can."""
    if way.terminal:
        return (
            "This way needs a terminal on the machine. Run there, as the user that the server runs as:\n"
            f"  {way.terminal}"
        )
    if way.missing:
        return (
            f"The agent's environment has no {', '.join(way.missing)}. Set it for the server or in the agent's"
            " `env`, and restart the server."
        )
    return ""


def _choices(question: Message) -> tuple[Choice, ...]:
    """Return what an `elicitation/create` asks: the fields of a form, or to open an address."""
    params = as_object(question.get("params"))
    if params.get("mode") != "url":
        return elicitation.choices(question)
    text = as_short_text(params.get("message")) or "Open the address, and log in there."
    return (Choice("done", text, options=(Option("Done"),), other=False, link=as_text(params.get("url"))),)


def _response(question: Message, answers: Answers, *, allow: bool) -> Message:
    if as_object(question.get("params")).get("mode") == "url":
        return {"id": question.get("id"), "result": {"action": "accept" if allow else "decline"}}
    return elicitation.response(question, answers, allow=allow)
