"""What single lines of the Claude Code CLI hold, as values. Knows no history: claude.py does.

Format: as printed by 2.1.330 (tests/agents/captures); there is no specification of it.
"""

import re
from typing import Any

from breakglass.agents.lines import fit, fit_table, short, string, table, tables, whole
from breakglass.events import Draft

Line = dict[str, Any]

TOKENS = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")

_NO_SESSION = re.compile("No conversation found|does not match any session")
_DIAGNOSTIC = "[ede_diagnostic]"  # the CLI's note to its makers, of no use to anybody else

_ADVICE = {
    "authentication_failed": (
        "Log the agent in: set ANTHROPIC_API_KEY for the server or in [agents.claude.env], "
        "or run `claude` as this user and type /login."
    ),
    "billing_error": "The account of the agent's key has no credit left.",
    "model_not_found": "Choose another model for the next turn.",
}
"""The CLI's class of an API error, to what a person can do."""

_CAUSES = {
    "cannot be used with root": (
        "Claude Code refuses to act without asking while it runs as root. Where that is meant, set "
        'IS_SANDBOX = "1" in [agents.claude.env]; else set permissions = "ask" in [agents.claude], '
        "or run the server as another user."
    ),
    "unknown option": "This Claude Code is too old for Breakglass: update it (2.1.330 is known to work).",
}
"""What standard error says when the CLI does not even begin, to what a person can do."""


# --- prose and tools ------------------------------------------------------------------------------


def parent_of(line: Line) -> dict[str, str]:
    """Return the keys that mark what a subagent said or did."""
    parent = short(line.get("parent_tool_use_id"))
    return {"parent": parent} if parent else {}


def blocks(line: Line) -> list[Line]:
    """Return the content blocks of an `assistant` or `user` line."""
    return _blocks(table(line.get("message")).get("content"))


def text_delta(line: Line) -> str:
    """Return the prose in a `stream_event` line, "" where it is about anything else, thinking too."""
    delta = table(table(line.get("event")).get("delta"))
    return fit(string(delta.get("text")))[0] if delta.get("type") == "text_delta" else ""


def model(line: Line) -> str:
    """Return the model that an `assistant` line is from, "" where it is the CLI's own words."""
    name = short(table(line.get("message")).get("model"))
    return "" if name.startswith("<") else name


def said(line: Line, *, thinking: bool = False) -> list[Draft]:
    """Return the `text` and `tool` events in an `assistant` line; `thinking` ones too where they are wanted."""
    drafts: list[Draft] = []
    for block in blocks(line):
        if thinking and block.get("type") == "thinking" and string(block.get("thinking")):
            drafts.append(("thinking", {"text": fit(block["thinking"])[0], **parent_of(line)}))
        elif block.get("type") == "text" and string(block.get("text")):
            drafts.append(("text", {"text": fit(block["text"])[0], **parent_of(line)}))
        elif block.get("type") == "tool_use":
            call = {
                "tool_id": short(block.get("id")),
                "name": short(block.get("name")),
                "input": fit_table(table(block.get("input"))),
            }
            drafts.append(("tool", {**call, **parent_of(line)}))
    return drafts


def answered(line: Line) -> list[Draft]:
    """Return the `tool_result` events in a `user` line. Its text is the CLI's own and not an operator's."""
    results = [block for block in blocks(line) if block.get("type") == "tool_result"]
    drafts: list[Draft] = []
    for block in results:
        text = _output(block.get("content"))
        if len(results) == 1:
            text, saved = _unsaved(text, table(line.get("tool_use_result")))
        else:
            saved = 0
        output, left = fit(text)
        fields = {
            "tool_id": short(block.get("tool_use_id")),
            "output": output,
            "is_error": bool(block.get("is_error")),
        }
        if left + saved:
            fields["truncated"] = left + saved
        drafts.append(("tool_result", {**fields, **parent_of(line)}))
    return drafts


def _blocks(content: Any) -> list[Line]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else tables(content)


def _output(content: Any) -> str:
    return "\n".join(_part(block) for block in _blocks(content))


def _part(block: Line) -> str:
    if block.get("type") == "text":
        return string(block.get("text"))
    source = table(block.get("source"))
    if not source:
        return f"[{short(block.get('type'))}]"
    size = len(string(source.get("data"))) * 3 // 4  # base64
    return f"[{short(block.get('type'))}, {short(source.get('media_type'))}, {size} bytes]"


def _unsaved(text: str, result: Line) -> tuple[str, int]:
    """Return a tool's output and the bytes of it that are in neither.

    The model is shown 2 KB of an output beyond 30 KB, with the name of a file; beside it stands more of it.
    """
    stdout = string(result.get("stdout"))
    if not text.startswith("<persisted-output>") or len(stdout) <= len(text):
        return text, 0
    size = whole(result.get("persistedOutputSize")) or 0
    return stdout, max(0, size - len(stdout.encode(errors="replace")))


# --- the turn's course ------------------------------------------------------------------------------


def retry(line: Line) -> Draft:
    """Return the event for an `api_retry` line."""
    attempt = whole(line.get("attempt")) or 0
    status = whole(line.get("error_status"))
    text = short(line.get("error")) or "unknown"
    text += f" (HTTP {status})" if status else " (no HTTP answer)"
    if (most := whole(line.get("max_retries"))) is not None:
        text += f", retry {attempt} of {most}"
    if (delay := whole(line.get("retry_delay_ms"))) is not None:
        text += f" in {delay / 1000:.1f} s"
    return "retry", {"attempt": attempt, "error": advised(text, line.get("error")), **parent_of(line)}


def compaction(line: Line) -> Draft:
    """Return the event for a `compact_boundary` line."""
    told = table(line.get("compact_metadata"))
    sizes = [
        f"{size:,}" for key in ("pre_tokens", "post_tokens") if (size := whole(told.get(key))) is not None
    ]
    text = "The agent's context was compacted: what came before is a summary to it now"
    text += f" ({' → '.join(sizes)} tokens)." if sizes else "."
    return "notice", {"text": text, **parent_of(line)}


def rate_limit(line: Line) -> list[Draft]:
    """Return the event for a `rate_limit_event` line, none where all is well."""
    told = table(line.get("rate_limit_info"))
    wording = {"allowed_warning": "is nearly reached", "rejected": "is reached"}.get(
        string(told.get("status"))
    )
    if not wording:
        return []
    which = f", {name.replace('_', ' ')}," if (name := short(told.get("rateLimitType"))) else ""
    text = f"The rate limit of the agent's account{which} {wording}"
    resets = whole(told.get("resetsAt"))
    if resets is not None and resets < 1 << 33:
        from datetime import UTC, datetime  # 2 ms, for a line that hardly ever comes

        at = datetime.fromtimestamp(resets, UTC)
        text += f"; it is lifted on {at:%Y-%m-%d} at {at:%H:%M} UTC"
    return [("notice", {"text": f"{text}."})]


def result(line: Line) -> dict[str, Any]:
    """Return the fields of a `result` event, without its cost."""
    fields: dict[str, Any] = {
        "is_error": bool(line.get("is_error")),  # never by subtype: an API failure says `success`
        "result": fit(_conclusion(line))[0],
        "duration_ms": whole(line.get("duration_ms")) or 0,
    }
    usage = table(line.get("usage"))
    tokens = {key: usage[key] for key in TOKENS if whole(usage.get(key)) is not None}
    return fields | {"usage": tokens} if tokens else fields


def dollars(value: Any) -> float:
    """Return `value` if it is a sane amount of US dollars, else 0."""
    return float(value) if type(value) in (int, float) and 0 <= value < 1e9 else 0.0


def newly_spent(line: Line) -> float | None:
    """Return the US dollars spent since the `result` before, in this process; None where it is not said."""
    used = line.get("model_usage_since_last_result")
    if not isinstance(used, dict):
        return None
    return sum(dollars(table(model).get("costUSD")) for model in used.values())


def names_no_session(text: str) -> bool:
    """Whether `text` is the CLI's complaint that the session to resume does not exist."""
    return bool(_NO_SESSION.search(text))


def failure(line: Line) -> str:
    """Return why the turn of a `result` line failed, "" for one that did not."""
    if not line.get("is_error"):
        return ""
    return _conclusion(line) or f"The agent gave up: {short(line.get('subtype')) or 'it did not say why'}."


def advised(text: str, error: Any) -> str:
    """Return `text` with what a person can do about an API error of the class `error`."""
    advice = _ADVICE.get(string(error))
    return f"{text}\n{advice}" if advice else text


def cause(stderr: str) -> str:
    """Return what a person can do about a CLI that did not begin, or what it said."""
    return next((advice for mark, advice in _CAUSES.items() if mark in stderr), stderr)


def _conclusion(line: Line) -> str:
    errors = line.get("errors")
    texts = [string(text) for text in errors] if isinstance(errors, list) else []
    told = "\n".join(text for text in texts if text and not text.startswith(_DIAGNOSTIC))
    aborted = string(line.get("terminal_reason")).startswith("aborted")
    return string(line.get("result")) or told or ("Interrupted." if aborted else "")


# --- the lines that are written -------------------------------------------------------------------

INTERRUPT: Line = {"type": "control_request", "request_id": "stop", "request": {"subtype": "interrupt"}}


def user_message(prompt: str) -> Line:
    """Return the line that begins a turn."""
    message = {"role": "user", "content": prompt}
    return {"type": "user", "message": message, "parent_tool_use_id": None, "session_id": "default"}


def response(question: Line, verdict: Line) -> Line:
    """Return the line that answers a `control_request` line."""
    answer = {"subtype": "success", "request_id": question.get("request_id"), "response": verdict}
    return {"type": "control_response", "response": answer}


def unsupported(question: Line) -> Line:
    """Return the line that answers a `control_request` which is not understood: it would wait for ever."""
    answer = {"subtype": "error", "request_id": question.get("request_id"), "error": "not supported"}
    return {"type": "control_response", "response": answer}


def denying(message: str) -> Line:
    """Return the verdict that refuses a tool; the model reads `message` as the tool's result."""
    return {"behavior": "deny", "message": message or "The operator refused."}


def allowing(question: Line, message: str) -> Line:
    """Return the verdict that lets a tool run."""
    return {"behavior": "allow", "updatedInput": _with_choices(table(question.get("request")), message)}


def _with_choices(asked: Line, message: str) -> Line:
    given = table(asked.get("input"))
    if asked.get("tool_name") != "AskUserQuestion" or not message:
        return given
    questions = [string(item.get("question")) for item in tables(given.get("questions"))]
    choices = message.split("\n", max(0, len(questions) - 1))
    return {**given, "answers": dict(zip(questions, choices, strict=False))}
