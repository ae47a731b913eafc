"""The replies of the fake model: markers in a prompt are a script, which becomes events of the Messages API. Pure.

A marker is `[[name argument]]`. Brackets inside an argument must balance, so the prompt for a subagent may hold
markers too. The markers of a prompt make one reply, in their order:

    [[text TEXT]]             a text, in small deltas         [[max]]           stop: the token limit
    [[think TEXT]]            a thinking block                [[refuse]]        stop: a refusal
    [[bash COMMAND]]          a call of the Bash tool         [[sseerr TYPE]]   an error within the stream
    [[tool NAME JSON]]        a call of any tool              [[cut N]]         the connection breaks, N attempts
    [[slow N SECONDS]]        N deltas with that pause        [[err STATUS TYPE N]]   an error status, N attempts
    [[hold]]                  no output until the release     [[then]]          what follows is the next reply
    [[uni]]                   characters that break parsers

Without N, or with -1, every attempt fails. After tool calls the reply is what follows `[[then]]`, or a summary of
the tool results. The reply to a prompt without markers lists the user texts of the request, which shows a test
whether a resumed session has its history.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

Json = dict[str, Any]

ODD = "a\u2028b\u2029c\x85d\x7fe\u202ef\u200bg\U0001f512h\ufeffi"
"""Line separators, C1 controls, bidi override, zero width, astral, BOM: each has broken a parser of lines."""

ALWAYS = -1
_NAME = re.compile(r"\[\[([a-z]+)(?:\s|(?=\]\]))")
_BRACKETS = re.compile(r"\[\[|\]\]")


class Part(NamedTuple):
    """One part of a reply: a content block of the API, or an event in the stream such as a failure."""

    kind: str
    """`text`, `thinking`, `tool_use`, `hold`, `sseerr`, `stop`; `cut` and `err` concern the whole reply."""
    text: str = ""
    data: Json | None = None
    pause: float = 0.0
    """Seconds between two deltas."""
    status: int = 0
    attempts: int = ALWAYS
    """How many attempts of the same request fail."""


class Pause(NamedTuple):
    """In a stream of events: a pause before the next one."""

    seconds: float


HOLD, CUT = object(), object()
"""In a stream of events: wait for the release; break the connection."""


# --- the script in a request ----------------------------------------------------------------------


def user_texts(body: Json) -> list[str]:
    """Return the prompts in a request, oldest first, without the reminders that agents add."""
    said = (_texts(message) for message in body.get("messages", ()) if message.get("role") == "user")
    return [text for texts in said for text in texts]


def _texts(message: Json) -> list[str]:
    content = message["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    texts = (block["text"] for block in blocks if block["type"] == "text")
    return [text for text in texts if not text.lstrip().startswith("<system-reminder>")]


def tool_results(body: Json) -> list[Json]:
    """Return the tool results in the newest message of the user's role."""
    newest: Json = next((m for m in reversed(body["messages"]) if m["role"] == "user"), {"content": ""})
    if isinstance(newest["content"], str):
        return []
    return [block for block in newest["content"] if block["type"] == "tool_result"]


def reply(body: Json) -> list[Part]:
    """Return the reply to a request, as the newest prompt's script says. Raises KeyError for an unknown marker."""
    messages = body.get("messages", [])
    spoken = [at for at, message in enumerate(messages) if message.get("role") == "user" and _texts(message)]
    if not spoken:
        return [Part("text", "echo: 0 user texts: []")]
    # The last text. Claude Code 2.1.330 puts a prompt without an answer before it in the same message.
    script = _rounds(_texts(messages[spoken[-1]])[-1])
    answered = sum(message.get("role") == "assistant" for message in messages[spoken[-1] :])
    if answered < len(script):
        return script[answered]
    if results := tool_results(body):
        return [Part("text", _summary(results))]
    texts = user_texts(body)
    return [Part("text", f"echo: {len(texts)} user texts: {[text[:40] for text in texts]}")]


def _summary(results: list[Json]) -> str:
    content = results[-1].get("content", "")
    text = content if isinstance(content, str) else "".join(block.get("text", "") for block in content)
    failed = any(result.get("is_error") for result in results)
    return f"done: {len(results)} result(s), is_error={failed}, {len(text)} chars, starts {text[:60]!r}"


def _rounds(prompt: str) -> list[list[Part]]:
    rounds: list[list[Part]] = [[]]
    for name, argument in markers(prompt):
        if name == "then":
            rounds.append([])
        else:
            rounds[-1].append(_PARTS[name](argument))
    return [parts for parts in rounds if parts]


def markers(prompt: str) -> Iterator[tuple[str, str]]:
    """Yield the name and the argument of each outermost marker."""
    at = 0
    while found := _NAME.search(prompt, at):
        depth = 1
        for bracket in _BRACKETS.finditer(prompt, found.end()):
            depth += 1 if bracket[0] == "[[" else -1
            if depth == 0:
                yield found[1], prompt[found.end() : bracket.start()]
                at = bracket.end()
                break
        else:
            return


def _tool(argument: str) -> Part:
    name, _, data = argument.partition(" ")
    return Part("tool_use", name, json.loads(data or "{}"))


def _bash(argument: str) -> Part:
    return Part("tool_use", "Bash", {"command": argument, "description": "Run it"})


def _slow(argument: str) -> Part:
    count, pause = argument.split()
    return Part("text", "".join(f"w{n} " for n in range(int(count))), pause=float(pause))


def _err(argument: str) -> Part:
    status, kind, attempts = (argument + f" {ALWAYS}").split()[:3]
    return Part("err", kind, status=int(status), attempts=int(attempts))


_PARTS: dict[str, Callable[[str], Part]] = {
    "text": lambda argument: Part("text", argument),
    "think": lambda argument: Part("thinking", argument),
    "bash": _bash,
    "tool": _tool,
    "slow": _slow,
    "hold": lambda _: Part("hold"),
    "uni": lambda _: Part("text", ODD),
    "max": lambda _: Part("stop", "max_tokens"),
    "refuse": lambda _: Part("stop", "refusal"),
    "sseerr": lambda argument: Part("sseerr", argument or "overloaded_error"),
    "cut": lambda argument: Part("cut", attempts=int(argument or ALWAYS)),
    "err": _err,
}


# --- the reply in the form of the API -------------------------------------------------------------


def error(kind: str, text: str) -> Json:
    """Return an error body (docs.anthropic.com, "Errors")."""
    return {"type": "error", "error": {"type": kind, "message": text}, "request_id": "req_fake"}


def message(parts: list[Part], model: str, ident: str) -> Json:
    """Return the reply as one Message object. Its ids contain `ident`."""
    blocks = [_block(part, f"{ident}_{at}") for at, part in enumerate(parts) if part.kind in _DELTAS]
    stops = [part.text for part in parts if part.kind == "stop"]
    calls = any(block["type"] == "tool_use" for block in blocks)
    return {
        "id": f"msg_{ident}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": blocks,
        "stop_reason": stops[-1] if stops else "tool_use" if calls else "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 10,
            "output_tokens": 7,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
        },
    }


def _block(part: Part, ident: str) -> Json:
    if part.kind == "tool_use":
        return {"type": "tool_use", "id": f"toolu_{ident}", "name": part.text, "input": part.data or {}}
    if part.kind == "thinking":
        return {"type": "thinking", "thinking": part.text, "signature": "c2ln"}
    return {"type": "text", "text": part.text}


def stream(parts: list[Part], model: str, ident: str) -> Iterator[Any]:
    """Yield the reply as the events of a stream. Between them: a Pause, HOLD or CUT of the script."""
    whole = message(parts, model, ident)
    yield {"type": "message_start", "message": whole | {"content": [], "stop_reason": None}}
    blocks = enumerate(whole["content"])
    for part in parts:
        if part.kind in _DELTAS:
            yield from _block_events(*next(blocks), part.pause)
        elif part.kind == "hold":
            yield HOLD
        elif part.kind == "sseerr":
            yield error(part.text, f"fake {part.text}")
            return
        elif part.kind == "cut":
            yield CUT
    stop = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": stop, "usage": {"output_tokens": 7}}
    yield {"type": "message_stop"}


def _block_events(index: int, block: Json, pause: float) -> Iterator[Any]:
    empty = {"text": "", "thinking": "", "signature": "", "input": {}}
    start = {key: empty.get(key, value) for key, value in block.items()}
    yield {"type": "content_block_start", "index": index, "content_block": start}
    for delta in _DELTAS[block["type"]](block):
        yield {"type": "content_block_delta", "index": index, "delta": delta}
        if pause:
            yield Pause(pause)
    yield {"type": "content_block_stop", "index": index}


def _text_deltas(block: Json) -> Iterator[Json]:
    for piece in re.findall(r"(?s)w[0-9]+ |.{1,12}", block["text"]):
        yield {"type": "text_delta", "text": piece}


def _thinking_deltas(block: Json) -> Iterator[Json]:
    for piece in re.findall(r"(?s).{1,12}", block["thinking"]):
        yield {"type": "thinking_delta", "thinking": piece}
    yield {"type": "signature_delta", "signature": block["signature"]}


def _input_deltas(block: Json) -> Iterator[Json]:
    whole = json.dumps(block["input"])
    for half in (whole[: len(whole) // 2], whole[len(whole) // 2 :]):
        yield {"type": "input_json_delta", "partial_json": half}


_DELTAS: dict[str, Callable[[Json], Iterator[Json]]] = {
    "text": _text_deltas,
    "thinking": _thinking_deltas,
    "tool_use": _input_deltas,
}
