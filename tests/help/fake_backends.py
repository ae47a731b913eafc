"""Two more APIs in front of the scripts of the fake model: OpenAI's Responses and Gemini's generateContent. Pure.

A request is read into the form of the Messages API, which `fake_script` understands. Its reply is written as the
events that the client expects. Only what codex 0.166.0 and gemini-cli 0.61.0 use is here.
Sources: platform.openai.com/docs/api-reference/responses-streaming, ai.google.dev/api/generate-content.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from tests.help.fake_script import HOLD, Json, Part

RESPONSES = "/v1/responses"
GEMINI = re.compile(r"/v1beta/models/[^/:]+:(streamGenerateContent|generateContent)")

_ADDED_BY_AGENTS = ("<environment_context>", "<session_context>", "<permissions", "<user_instructions>")
"""How texts begin that an agent adds to the user's prompts."""


def as_messages(path: str, body: Json) -> Json:
    """Return the body of a request of any of the APIs in the form of the Messages API."""
    if path == RESPONSES:
        said = [_from_responses(item) for item in body.get("input", ())]
    elif GEMINI.fullmatch(path):
        said = [_from_gemini(content) for content in body.get("contents", ())]
    else:
        return body
    return {"tools": body.get("tools"), "messages": _joined(said), "model": body.get("model", "gemini")}


def _joined(said: list[tuple[str, list[Json]]]) -> list[Json]:
    """Return messages, with the blocks of one role that follow each other in one message."""
    messages: list[Json] = []
    for role, blocks in said:
        if not blocks:
            continue
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += blocks
        else:
            messages.append({"role": role, "content": blocks})
    return messages


def _text(text: str) -> list[Json]:
    return [] if text.lstrip().startswith(_ADDED_BY_AGENTS) else [{"type": "text", "text": text}]


def _result(ident: str, output: Any) -> Json:
    text = output if isinstance(output, str) else json.dumps(output)
    return {"type": "tool_result", "tool_use_id": ident, "content": text}


def _from_responses(item: Json) -> tuple[str, list[Json]]:
    if item["type"] == "message":
        blocks = [block for each in item["content"] for block in _text(each.get("text", ""))]
        return item["role"], blocks if item["role"] in ("user", "assistant") else []
    if item["type"] == "function_call":
        return "assistant", [{"type": "tool_use", "id": item["call_id"], "name": item["name"]}]
    if item["type"] == "function_call_output":
        return "user", [_result(item["call_id"], item["output"])]
    return "assistant", []


def _from_gemini(content: Json) -> tuple[str, list[Json]]:
    blocks: list[Json] = []
    for part in content["parts"]:
        if "functionResponse" in part:
            blocks.append(_result(part["functionResponse"]["name"], part["functionResponse"]["response"]))
        elif "functionCall" in part:
            blocks.append({"type": "tool_use", "name": part["functionCall"]["name"]})
        elif not part.get("thought"):
            blocks += _text(part.get("text", ""))
    return "assistant" if content.get("role") == "model" else "user", blocks


# --- replies --------------------------------------------------------------------------------------


def stream(path: str, parts: list[Part], ident: str) -> Iterator[Any]:
    """Yield the reply as the events of the API of `path`, and HOLD between them."""
    return _responses_stream(parts, ident) if path == RESPONSES else _gemini_stream(parts, ident)


def error(path: str, status: int, kind: str) -> Json:
    """Return an error body of the API of `path`."""
    if path == RESPONSES:
        return {"error": {"message": f"fake {kind}", "type": kind, "code": None, "param": None}}
    return {"error": {"code": status, "message": f"fake {kind}", "status": "INVALID_ARGUMENT"}}


def _responses_stream(parts: list[Part], ident: str) -> Iterator[Any]:
    yield {"type": "response.created", "response": {"id": f"resp_{ident}"}}
    for at, part in enumerate(parts):
        if part.kind == "hold":
            yield HOLD
        elif part.kind == "text":
            item = {"type": "message", "role": "assistant", "id": f"msg_{ident}_{at}"}
            yield {"type": "response.output_item.added", "output_index": at, "item": {**item, "content": []}}
            for piece in _pieces(part.text):
                delta = {"item_id": item["id"], "output_index": at, "content_index": 0, "delta": piece}
                yield {"type": "response.output_text.delta", **delta}
            content = [{"type": "output_text", "text": part.text, "annotations": []}]
            yield {
                "type": "response.output_item.done",
                "output_index": at,
                "item": {**item, "content": content},
            }
        elif part.kind == "tool_use":
            call = {"type": "function_call", "id": f"fc_{ident}_{at}", "call_id": f"call_{ident}_{at}"}
            call |= {"name": part.text, "arguments": json.dumps(part.data or {})}
            yield {"type": "response.output_item.done", "output_index": at, "item": call}
    usage = {"input_tokens": 10, "output_tokens": 7, "total_tokens": 17}
    yield {"type": "response.completed", "response": {"id": f"resp_{ident}", "usage": usage}}


def _gemini_stream(parts: list[Part], ident: str) -> Iterator[Any]:
    for at, part in enumerate(parts):
        if part.kind == "hold":
            yield HOLD
        elif part.kind == "text":
            for piece in _pieces(part.text):
                yield gemini_message([{"text": piece}])
        elif part.kind == "tool_use":
            call = {"id": f"call_{ident}_{at}", "name": part.text, "args": part.data or {}}
            yield gemini_message([{"functionCall": call}])
    yield gemini_message([{"text": ""}], "STOP")


def gemini_message(parts: list[Json], reason: str | None = None) -> Json:
    """Return one message of Gemini's API, with the reason why it is the last."""
    candidate = {"index": 0, "content": {"role": "model", "parts": parts}}
    usage = {"promptTokenCount": 10, "candidatesTokenCount": 7, "totalTokenCount": 17}
    return {"candidates": [candidate | ({"finishReason": reason} if reason else {})], "usageMetadata": usage}


def _pieces(text: str) -> list[str]:
    return re.findall(r"(?s).{1,12}", text)
