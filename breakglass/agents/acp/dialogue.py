"""Any agent that speaks the Agent Client Protocol: one process, one session, one prompt, over standard streams.

The conversation is a chain of requests of ours, each sent when the one before is answered:
`initialize`, `session/new` (or `session/resume`, or `session/load`), the model, the mode, `session/prompt`.
Meanwhile the agent sends updates, and requests of its own, whose ids share values with ours: what has a
`method` is a request. What it says before the prompt is sent, a loaded session's past above all, is no news.
"""

from collections.abc import Callable
from typing import Any

from breakglass import __version__
from breakglass.agents import Exit, Task
from breakglass.agents.acp import messages as read
from breakglass.agents.acp.messages import Message
from breakglass.agents.acp.updates import Story
from breakglass.agents.lines import (
    MAX_LINE,
    Lines,
    gather,
    parse,
    session_id,
    short,
    string,
    table,
    tables,
    withdrawn,
)
from breakglass.events import Draft, clip

_MAX_TOLD = 4 << 10  # bytes of an error's text
_ALLOWING = ("allow_once", "allow_always")
_REFUSING = ("reject_once", "reject_always")
_FORGOTTEN = (
    "The agent did not open its earlier session {} again ({}): a new one is begun, which knows nothing of it."
)
_NO_ASKING = (
    'The agent is in its mode "{}", which asks nothing, and offers none that asks, though permissions = "ask": '
    "nothing was sent to it. Choose a mode in the agent's own settings."
)


class Dialogue:
    """One process of an ACP agent."""

    merge_stderr = False
    start_over = False  # a session that is gone is replaced within the same process

    def __init__(self, task: Task) -> None:
        self.argv = list(task.command)
        self.environ: dict[str, str] = {}
        self.failed = False
        self._task = task
        self._lines = Lines()
        self._to_say = b""
        self._sent: dict[int, str] = {}  # id of a request of ours to its method
        self._settings: list[tuple[str, Message]] = []  # requests to make before the prompt
        self._ways_in: list[Message] = []
        self._loads = ""  # the method that opens an earlier session, "" if there is none
        self._session = ""
        self._model = ""
        self._prompted = False
        self._finished = False
        self._result: dict[str, Any] | None = None
        self._spent = task.spent
        self._story = Story(thinking=task.thinking)
        self._questions: dict[str, Message] = {}
        self._dropped: list[str] = []  # questions that a cancellation withdrew
        self._unread = ""  # the end of what was no JSON: perhaps a complaint

    # --- what we say --------------------------------------------------------------------------

    def begin(self) -> list[Draft]:
        """Return nothing: no session is open yet."""
        return []

    def open(self) -> bytes:
        """Return the request that begins the conversation."""
        self._request("initialize", read.initialize(__version__))
        return self.reply()

    def answer(self, request: str, *, allow: bool, message: str = "") -> bool:
        """Answer an open question; False if there is none of that name. The protocol has no room for `message`."""
        question = self._questions.pop(request, None)
        if question is None:
            return False
        self._say(read.verdict(question, _ALLOWING if allow else _REFUSING))
        return True

    def reply(self) -> bytes:
        """Return what is to be written now, once."""
        data, self._to_say = self._to_say, b""
        return data

    @property
    def finished(self) -> bool:
        """Whether the prompt is answered, or never will be."""
        return self._finished

    def interrupt(self) -> bytes:
        """Return the cancellation of the turn, and of its questions; b"" where no prompt is running."""
        if not self._prompted or self._finished:
            return b""
        self._say({"method": "session/cancel", "params": {"sessionId": self._session}})
        for question in self._questions.values():
            self._say(read.verdict(question, ()))
        self._dropped += self._questions
        self._questions.clear()
        return self.reply()

    def _say(self, message: Message) -> None:
        self._to_say += read.line(message)

    def _request(self, method: str, params: Message) -> None:
        number = len(self._sent) + 1
        self._sent[number] = method
        self._say({"id": number, "method": method, "params": params})

    # --- what it says -------------------------------------------------------------------------

    def translate(self, data: bytes) -> list[Draft]:
        """Return the events in `data` and in what was held of the calls before."""
        return gather([draft for line in self._lines.feed(data) for draft in self._read(line)])

    def _read(self, raw: bytes | None) -> list[Draft]:
        if raw is None:
            return [_error(f"The agent printed a line of over {MAX_LINE >> 20} MiB; it is left out here.")]
        message = parse(raw)
        if message is None:
            if not raw.startswith(b"{"):  # else a message, torn by its sender's death
                self._unread = (self._unread + raw[-_MAX_TOLD:].decode(errors="replace") + "\n")[-_MAX_TOLD:]
            return []
        if self._finished:
            return []
        if "method" in message:
            return self._asked(message)
        number = message.get("id")
        method = self._sent.get(number) if type(number) is int else None
        if "error" in message and (method or number is None):  # without a number: it could not read us
            return self._refused(method, message["error"])
        return _ANSWERS[method](self, table(message.get("result"))) if method else []

    def _asked(self, message: Message) -> list[Draft]:
        method, params = message["method"], table(message.get("params"))
        if method == "session/update":
            update = table(params.get("update"))
            is_news = self._prompted and params.get("sessionId") == self._session
            return self._story.tell(update) if is_news else []
        if method == "$/cancel_request":
            return self._withdraw(self._name(params.get("requestId")))
        if "id" not in message:
            return []
        if method == "session/request_permission":
            return self._question(message, table(params.get("toolCall")))
        self._say(read.refusal(message))
        return []

    # --- the chain of our requests ----------------------------------------------------------------

    def _initialized(self, answer: Message) -> list[Draft]:
        self._ways_in = tables(answer.get("authMethods"))
        if answer.get("protocolVersion") != read.VERSION:
            version = answer.get("protocolVersion")
            return self._give_up(
                f"it speaks version {version} of the protocol, and {read.VERSION} is known here"
            )
        offered = table(answer.get("agentCapabilities"))
        if isinstance(table(offered.get("sessionCapabilities")).get("resume"), dict):
            self._loads = "session/resume"  # as session/load, without the past told once more
        elif offered.get("loadSession") is True:
            self._loads = "session/load"
        if self._task.session and not self._loads:
            return self._begin_anew("it cannot open any")
        self._open_session(self._loads if self._task.session else "session/new")
        return []

    def _open_session(self, method: str) -> None:
        params: Message = {"cwd": self._task.cwd, "mcpServers": []}
        if method != "session/new":
            params["sessionId"] = self._task.session
        self._request(method, params)

    def _begin_anew(self, reason: str) -> list[Draft]:
        self._spent = 0.0
        self._open_session("session/new")
        return [_error(_FORGOTTEN.format(self._task.session, reason))]

    def _opened(self, answer: Message) -> list[Draft]:
        self._session = session_id(answer.get("sessionId")) or self._task.session or ""
        if not self._session:
            return self._give_up("it opened a session and gave it no name in visible ASCII")
        self._model = self._task.model or read.model(answer)
        return self._choose_model(answer) or self._choose_mode(answer) or self._go_on({})

    def _choose_model(self, session: Message) -> list[Draft]:
        """Arrange for the model that was asked for; return the failure if none can be chosen."""
        if not self._task.model:
            return []
        option, _ = read.choices(session, "model")
        if option:
            params = {"configId": option, "value": self._task.model}
            self._settings.append(("session/set_config_option", params))
        elif table(session.get("models")):  # before schema 1.0: unstable, and still in use
            self._settings.append(("session/set_model", {"modelId": self._task.model}))
        else:
            return self._give_up("it offers no choice of models, and one was asked for")
        return []

    def _choose_mode(self, session: Message) -> list[Draft]:
        """Arrange for the mode that asks, or does not; return the failure if it would act though it must ask.

        An agent that offers no mode that never asks is put into one that does, and always gets leave: its
        own default may be one in which it refuses by itself.
        """
        current, offered = read.modes(session)
        wanted = read.ASKING if self._task.ask else (*read.ACTING, *read.ASKING)
        mode = read.pick(offered, wanted)
        if not mode and self._task.ask and current.lower() in read.ACTING:
            self.failed = self._finished = True
            return [_error(_NO_ASKING.format(current))]
        if mode and mode != current and table(session.get("modes")):
            self._settings.append(("session/set_mode", {"modeId": mode}))
        elif mode and mode != current:
            params = {"configId": read.choices(session, "mode")[0], "value": mode}
            self._settings.append(("session/set_config_option", params))
        return []

    def _go_on(self, _: Message) -> list[Draft]:
        """Make the next setting; when there is none left, send the prompt and tell of the session."""
        if self._settings:
            method, params = self._settings.pop(0)
            self._request(method, {"sessionId": self._session, **params})
            return []
        prompt = [{"type": "text", "text": self._task.prompt}]
        self._request("session/prompt", {"sessionId": self._session, "prompt": prompt})
        self._prompted = True
        return [("session", {"session_id": self._session, **({"model": self._model} if self._model else {})})]

    def _answered(self, answer: Message) -> list[Draft]:
        self._finished = True
        drafts = self._story.flush()
        failure = read.STOPS.get(string(answer.get("stopReason")), "")
        self._result = {"is_error": bool(failure), "result": failure or self._story.last_text}
        if usage := read.usage(answer):
            self._result["usage"] = usage
        return drafts

    def _refused(self, method: str | None, error: Any) -> list[Draft]:
        reason = read.complaint(error, self._ways_in)
        if method is not None and method == self._loads and table(error).get("code") != read.AUTH_REQUIRED:
            return self._begin_anew(reason)
        return self._story.flush() + self._give_up(reason)

    def _give_up(self, reason: str) -> list[Draft]:
        self.failed = self._finished = True
        return [_error(f"The agent failed: {reason}")]

    # --- leave ----------------------------------------------------------------------------------

    def _question(self, message: Message, asked: Message) -> list[Draft]:
        if not self._task.ask:
            self._say(read.verdict(message, _ALLOWING))
            return []
        call, drafts = self._story.ask(asked)
        request = self._name(message.get("id"))
        self._questions[request] = message
        fields = {"request": request, "name": call.name, "input": read.tool_input({**call.state, **asked})}
        return [*drafts, ("permission", {**fields, **({"parent": call.speaker} if call.speaker else {})})]

    def _name(self, number: Any) -> str:
        """Return a question's name within our session: the agent counts from 0 in each process."""
        return f"{self._task.turn}-{short(number) or number}"

    def _withdraw(self, request: str) -> list[Draft]:
        question = self._questions.pop(request, None)
        if question is None:
            return []
        self._say(read.verdict(question, ()))
        return [withdrawn(request)]

    # --- how it ended -------------------------------------------------------------------------

    def close(self, end: Exit) -> list[Draft]:
        """Return what was still held, the result, and the reason where the turn failed; sets `failed`."""
        last = self._lines.rest()
        drafts = (self._read(last) if last else []) + self._story.flush()
        drafts += [withdrawn(request) for request in (*self._dropped, *self._questions)]
        if self._result:
            drafts.append(("result", {**self._result, "duration_ms": end.duration_ms, **self._cost()}))
            if self._result["is_error"] and not end.cancelled:
                self.failed = True
                drafts.append(_error(self._result["result"]))
        elif not self.failed and not end.cancelled:
            self.failed = True
            complaint = end.stderr.strip() or self._unread.strip()
            drafts.append(_error(f"The agent failed without an answer: {end.how}. {complaint}".strip()))
        return gather(drafts)

    def _cost(self) -> dict[str, float]:
        """Return what the turn has cost. The agent's total runs on over the turns of its session."""
        total = self._story.dollars
        if total is None:
            return {}
        gained = total - self._spent
        return {"cost_usd": round(gained if gained >= 0 else total, 9)}


_ANSWERS: dict[str, Callable[[Dialogue, Message], list[Draft]]] = {
    "initialize": Dialogue._initialized,
    "session/new": Dialogue._opened,
    "session/load": Dialogue._opened,
    "session/resume": Dialogue._opened,
    "session/set_mode": Dialogue._go_on,
    "session/set_model": Dialogue._go_on,
    "session/set_config_option": Dialogue._go_on,
    "session/prompt": Dialogue._answered,
}
"""A request of ours, to what follows its answer."""


def _error(text: str) -> Draft:
    return "error", {"error": clip(text, _MAX_TOLD)[0]}
