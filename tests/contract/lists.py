"""The lists of docs/contract.md: the keys of each event, the routes, the options, and the rules of a line."""

import json
import re
from typing import Any

Event = dict[str, Any]

KEYS = {
    "created": "schema agent model title by host target? adopted?",
    "user": "turn text by model? key? queued? action? agent? brief? files? boot_id?",
    "queued": "text by model? key? agent? files? steer?",
    "steered": "turn text by queued",
    "withdrawn": "queued by",
    "session": "turn session_id model? models?",
    "delta": "turn text",
    "text": "turn text",
    "tool": "turn tool_id name input",
    "tool_result": "turn tool_id output is_error truncated? pictures?",
    "permission": "turn request name input expires",
    "answer": "turn request allow by message? for_session?",
    "revoked": "name by",
    "plan": "turn items",
    "thinking": "turn text",
    "notice": "turn text",
    "retry": "turn attempt error delay_ms?",
    "result": "turn is_error result duration_ms usage? cost_usd? model?",
    "error": "turn error",
    "cancelled": "turn by",
    "turn_end": "turn status duration_ms",
    "beside": "session action by",
    "file": "name path bytes sha256 type by key?",
    "vitals": "signs",
    "renamed": "title by",
    "archived": "archived by",
    "notified": "cause about to sent error?",
    "repaired": "offset bytes saved_as",
    "sealed": "from lines prev sha256",
}
"""The own keys of each event kind, in order. An optional key has a question mark."""

ROUTES = [
    ("GET", "/health"),
    ("POST", "/api/sessions"),
    ("GET", "/api/sessions"),
    ("GET", "/api/sessions/{id}"),
    ("PATCH", "/api/sessions/{id}"),
    ("GET", "/api/sessions/{id}/events"),
    ("POST", "/api/sessions/{id}/turns"),
    ("POST", "/api/sessions/{id}/files"),
    ("GET", "/api/sessions/{id}/files"),
    ("GET", "/api/sessions/{id}/files/{path}"),
    ("DELETE", "/api/sessions/{id}/queue/{queued}"),
    ("POST", "/api/sessions/{id}/cancel"),
    ("POST", "/api/sessions/{id}/answers"),
    ("POST", "/api/sessions/{id}/revoke"),
    ("GET", "/api/search"),
    ("GET", "/api/hosts"),
    ("GET", "/api/push"),
    ("POST", "/api/push"),
    ("DELETE", "/api/push"),
    ("GET", "/api/actions"),
    ("POST", "/api/actions/{name}"),
    ("POST", "/api/sessions/{id}/actions/{name}"),
    ("GET", "/api/vitals"),
    ("GET", "/api/openapi.json"),
]
"""The methods and paths of the HTTP API."""

OPTIONS = {
    "serve": "--host --port --socket --tls-cert --tls-key --allow-plain --workers",
    "new": "--agent --model --title --target",
    "send": "--wait --queue --over-budget --steer --model --agent --title --file",
    "attach": "--after --from --speed --json",
    "log": "--plain --after --json",
    "answer": "--message --for-session --request",
    "cancel": "",
    "ls": "--json --archived --long",
    "grep": "--kind --session --since --json",
    "stats": "--since --json",
    "export": "--html --md --bundle --file --redact --from --to",
    "rename": "",
    "archive": "--undo",
    "rm": "--yes",
    "prune": "--older-than --archived --dry-run",
    "verify": "--all --against",
    "token": "--read-only",
    "login": "--read-only --qr",
    "logins": "--revoke",
    "agents": "--json",
    "doctor": "--json",
    "completion": "",
    "actions": "--json",
    "do": "--session --confirm --reason --show",
    "target": "--address",
    "vitals": "--json",
    "notify": "--test --json",
}
"""The options of each command, without --data and --config, which every command has."""


def check_line(line: bytes, number: int) -> Event:
    """Return line `number` of a log as an event. Fail if it breaks a rule of section 2."""
    text = line.decode()
    event: Event = json.loads(text)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", text), f"a raw control character: {text!r}"
    assert not re.search(r"\s", re.sub(r'"(?:[^"\\]|\\.)*"', "", text)), f"not compact: {text}"
    named = [key.partition("?") for key in KEYS[event["kind"]].split()]
    own = [key for key, optional, _ in named if not optional or key in event]
    assert list(event) == ["id", "ts", "kind", *own, *(["parent"] if "parent" in event else [])], text
    assert event["id"] == number
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["ts"]), text
    return event
