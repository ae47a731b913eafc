"""Functions on drafts for the tests of all agents: join their pieces, and encode them like a runner."""

from hashlib import sha256
from typing import Any

from breakglass.events import Draft, decode, encode
from breakglass.kinds import KINDS


def joined(drafts: list[Draft]) -> list[Draft]:
    """Return `drafts` with consecutive deltas joined, and consecutive pieces of one tool's output."""
    result: list[Draft] = []
    for kind, fields in drafts:
        last, before = result[-1] if result else ("", {})
        is_same = last == kind and all(before.get(key) == fields.get(key) for key in ("parent", "tool_id"))
        if is_same and kind == "delta":
            before["text"] += fields["text"]
        elif is_same and kind == "tool_result":
            result[-1] = (kind, {**before, **fields, "output": before["output"] + fields["output"]})
        else:
            result.append((kind, recordable(fields)))
    return result


def recordable(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of an event as a runner records them: each picture by its hash and size."""
    pictures = fields.get("pictures", ())
    names = [{"file": f"pictures/{sha256(data).hexdigest()}.png", "bytes": len(data)} for data in pictures]
    return {**fields, **({"pictures": names} if names else {})}


def check(draft: Draft) -> bytes:
    """Return the event line that a runner makes of `draft`. Fails if it is no event, or an unnecessarily long one."""
    kind, fields = draft
    own = {**recordable(fields), "turn": 1}
    if kind == "permission":
        own["expires"] = "2026-11-23T00:00:00.000Z"
    assert set(own) >= set(KINDS[kind].required)
    line = encode(1, "2026-11-23T00:00:00.000Z", kind, own)
    assert line.count(b"\n") == 1
    assert len(line) < 1.2 * (1 << 20), f"a {kind} of {len(line)} bytes"
    assert decode(line, 1)["kind"] == kind
    return line
