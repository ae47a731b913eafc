"""`breakglass adopt AGENT`: the sessions that an ACP agent lists itself, if it offers that and can reopen them."""

import json
import sys
from pathlib import Path

import pytest

from tests.cli.program import Data

AGENT = """
import json, signal, sys
offers, folder = json.loads(sys.argv[1]), sys.argv[2]
pages = {None: ["ses_A", "ses_AB", "old"], "2": ["bad\\0id", "ours"]}
for line in sys.stdin:
    message = json.loads(line)
    result = {"protocolVersion": 1, "agentCapabilities": offers}
    if message["method"] == "session/list":
        cursor = message["params"].get("cursor")
        cwd = {"ours": folder + "/var/workspaces/x"}
        result = {"sessions": [
            {"sessionId": name, "cwd": cwd.get(name, folder), "title": f"about\\n{name}",
             **({"updatedAt": "2026-11-23T03:12:00+01:00"} if name == "ses_A" else {})}
            for name in pages[cursor]
        ]}
        result |= {} if cursor else {"nextCursor": "2"}
    print("a line of a log")
    print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
signal.pause()  # this agent does not end with its input
"""
LISTS = {"sessionCapabilities": {"list": {}}, "loadSession": True}


def write_settings(folder: Path, offers: dict[str, object]) -> None:
    command = [sys.executable, "-c", AGENT, json.dumps(offers), str(folder)]
    (folder / "breakglass.toml").write_text(
        f'[agents.other]\nprotocol = "acp"\ncommand = {json.dumps(command)}\n'
    )


def test_the_sessions_that_an_acp_agent_lists_are_adopted(data: Data, tmp_path: Path) -> None:
    write_settings(tmp_path, LISTS)
    rows = data.json("adopt", "other")
    assert [(row["session_id"], row["title"], row["updated"]) for row in rows] == [
        ("ses_A", "about ses_A", "2026-11-23T02:12:00.000Z"),
        ("ses_AB", "about ses_AB", None),
        ("old", "about old", None),
    ]
    assert b"several sessions of other begin with ses_;" in data.run("adopt", "other", "ses_").stderr
    session = data.ok("adopt", "other", "ses_A").strip()  # the whole id of one, and the beginning of another
    created = data.events(session)[0]
    assert (created["agent"], created["title"]) == ("other", "about ses_A")
    assert created["adopted"] == {"session_id": "ses_A", "directory": str(tmp_path), "cost_usd": 0.0}
    assert data.ok("adopt", "other", "ses_A").strip() == session
    assert f"[session {session[:8]}] about ses_A" in data.ok("adopt", "other")


@pytest.mark.parametrize(
    ("offers", "told"),
    [
        ({"loadSession": True}, "it does not offer the list of its sessions (session/list)"),
        ({"sessionCapabilities": {"list": {}}}, "it cannot reopen a session"),
    ],
)
def test_an_agent_that_lists_or_reopens_nothing_is_an_error(
    data: Data, tmp_path: Path, offers: dict[str, object], told: str
) -> None:
    write_settings(tmp_path, offers)
    done = data.run("adopt", "other")
    assert (done.returncode, done.stdout) == (1, b"")
    assert f"the sessions of other cannot be listed: {told}" in done.stderr.decode()


def test_an_agent_that_cannot_start_is_an_error(data: Data, tmp_path: Path) -> None:
    (tmp_path / "breakglass.toml").write_text('[agents.other]\nprotocol = "acp"\ncommand = ["no-such"]\n')
    done = data.run("adopt", "other")
    assert (done.returncode, b"could not be asked for its sessions" in done.stderr) == (1, True)
