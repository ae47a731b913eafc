"""An ACP agent that must log in: `fake_acp_login.py DIRECTORY`. It is logged in once DIRECTORY has a file `logged-in`.

Its ways: `browser` prints an address on standard error and succeeds, `link` asks the user to open an address, `broken`
is refused, `key` needs a variable, and `tui` needs a terminal.
"""

import json
import sys
from pathlib import Path
from typing import Any

LOGGED_IN = Path(sys.argv[1], "logged-in")
ADDRESS = "https://login.example/device?code=ABCD"
WAYS: list[dict[str, Any]] = [
    {"id": "browser", "name": "Browser", "description": "Log in with a browser"},
    {"id": "link", "name": "Link"},
    {"id": "broken", "name": "Broken"},
    {"id": "key", "name": "Key", "type": "env_var", "vars": [{"name": "FAKE_KEY"}]},
    {"id": "tui", "name": "Terminal", "type": "terminal", "args": ["login", "it's"], "env": {"TUI": "1"}},
]


def write(**message: Any) -> None:
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def authenticate(number: int, way: str) -> None:
    if way == "broken":
        write(
            id=number,
            error={"code": -32603, "message": "Internal error", "data": {"details": "no such account"}},
        )
        return
    if way == "link":
        form = {"mode": "url", "elicitationId": "e", "url": ADDRESS, "message": "Open this"}
        write(id="q", method="elicitation/create", params=form)
        if json.loads(sys.stdin.readline())["result"]["action"] != "accept":
            write(id=number, error={"code": -32603, "message": "declined"})
            return
    print(f"Open {ADDRESS}", file=sys.stderr, flush=True)
    LOGGED_IN.touch()
    write(id=number, result={})


def main() -> None:
    """Answer until the end of the input."""
    for line in sys.stdin:
        message = json.loads(line)
        number, method = message["id"], message["method"]
        if method == "initialize":
            offers = message["params"]["clientCapabilities"].get("auth", {}).get("terminal")
            ways = [way for way in WAYS if way.get("type") != "terminal" or offers]
            write(id=number, result={"protocolVersion": 1, "agentCapabilities": {}, "authMethods": ways})
        elif method == "authenticate":
            authenticate(number, message["params"]["methodId"])
        elif LOGGED_IN.exists():
            write(id=number, result={"sessionId": "s"})
        else:
            write(id=number, error={"code": -32000, "message": "Authentication required"})


if __name__ == "__main__":
    main()
