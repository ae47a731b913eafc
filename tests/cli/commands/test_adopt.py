"""`breakglass adopt`: what was begun with Claude Code in a terminal goes on in a session of ours."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from breakglass.turns import processes
from tests.cli.program import USER, Data

FIRST, SECOND = "61ff635c-048e-4769-896b-c816948b456f", "71ff635c-048e-4769-896b-c816948b456f"


def write(home: Path, session: str, *lines: dict[str, Any] | str) -> None:
    """Write a transcript as Claude Code 2.1.330 writes it."""
    path = home / ".claude" / "projects" / "-srv" / f"{session}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{each if isinstance(each, str) else json.dumps(each)}\n" for each in lines))


def user(text: Any, **more: Any) -> dict[str, Any]:
    return {"type": "user", "message": {"role": "user", "content": text}, "isSidechain": False, **more}


@pytest.fixture
def home(data: Data, tmp_path: Path) -> Path:
    """The HOME of a user with four transcripts, two of them of conversations."""
    (tmp_path / "srv").mkdir()
    (tmp_path / "breakglass.toml").write_text(
        '[agents.claude]\ncommand = ["no-such-program"]\n[agents.boxed]\nprotocol = "claude"\nsandbox = "bwrap"\n'
        'command = ["no-such-program"]\n'
    )
    data.env["HOME"] = str(tmp_path)
    cwd = str(tmp_path / "srv")
    meta = user("<command-name>/clear</command-name>", cwd="/elsewhere")
    write(
        tmp_path,
        FIRST,
        {"type": "mode"},
        "not JSON",
        meta,
        user("why is\nnginx down?", cwd=cwd),
        {"type": "ai-title", "aiTitle": "Nginx"},
        {"type": "cost-state", "totalCostUSD": 0.25},
    )
    write(tmp_path, SECOND, user([{"type": "text", "text": "is the \x1b[31mdisk full?"}], cwd=cwd))
    write(
        tmp_path, "81ff635c-048e-4769-896b-c816948b456f", user("a subagent", cwd=cwd) | {"isSidechain": True}
    )
    write(tmp_path, "agent-1", user("no session", cwd=cwd))
    for age, session in enumerate((SECOND, FIRST)):
        path = tmp_path / ".claude" / "projects" / "-srv" / f"{session}.jsonl"
        os.utime(path, (1_700_000_000 + age, 1_700_000_000 + age))
    return tmp_path


def test_the_own_sessions_are_listed_and_one_becomes_ours_once(data: Data, home: Path) -> None:
    rows = data.json("adopt")
    assert rows[0] == {
        "agent": "claude",
        "session_id": FIRST,
        "title": "Nginx",
        "directory": str(home / "srv"),
        "updated": "2023-11-14T22:13:21.000Z",
        "in_use": False,
        "session": None,
    }
    assert [row["session_id"] for row in rows] == [FIRST, SECOND]
    assert rows[1]["title"].startswith("is the ")
    assert "\x1b" not in rows[1]["title"]
    assert f"{FIRST}  " in data.ok("adopt", "claude")
    session = data.ok("adopt", "claude", FIRST).strip()
    created = data.events(session)[0]
    assert (created["title"], created["by"], created["agent"]) == ("Nginx", USER, "claude")
    assert created["adopted"] == {"session_id": FIRST, "directory": str(home / "srv"), "cost_usd": 0.25}
    assert data.ok("adopt", FIRST[:8]).strip() == session
    assert data.json("adopt", "claude", FIRST) == [{"session": session}]
    assert data.json("adopt")[0]["session"] == session
    assert len(os.listdir(data.root / "sessions")) == 1


def test_a_session_in_use_or_without_its_directory_is_refused(data: Data, home: Path) -> None:
    (home / ".claude" / "sessions").mkdir()
    open_one = {"pid": os.getpid(), "sessionId": FIRST, "procStart": str(processes.start_time(os.getpid()))}
    dead = {"pid": os.getpid(), "sessionId": SECOND, "procStart": "1"}  # another process has the number now
    for name, content in (("1", open_one), ("2", dead)):
        (home / ".claude" / "sessions" / f"{name}.json").write_text(json.dumps(content))
    assert [row["in_use"] for row in data.json("adopt")] == [True, False]
    done = data.run("adopt", "claude", FIRST)
    assert done.returncode == 1
    assert f"session {FIRST} is in use by process {os.getpid()}: ".encode() in done.stderr
    (home / "srv").rmdir()
    done = data.run("adopt", "claude", SECOND)
    assert (done.returncode, b"which is not there any more" in done.stderr) == (1, True)
    assert not (data.root / "sessions").exists() or not os.listdir(data.root / "sessions")


def test_a_number_that_is_too_large_does_not_hide_the_other_sessions(data: Data, home: Path) -> None:
    third = "91ff635c-048e-4769-896b-c816948b456f"
    cost = '{"type": "cost-state", "totalCostUSD": 1%s}' % ("0" * 400)
    write(home, third, user("why?", cwd=str(home / "srv")), cost)
    (home / ".claude" / "sessions").mkdir()
    found = {"pid": os.getpid(), "sessionId": FIRST, "procStart": "9" * 5000}
    (home / ".claude" / "sessions" / "1.json").write_text(json.dumps(found))
    assert {row["session_id"] for row in data.json("adopt")} == {FIRST, SECOND, third}
    session = data.ok("adopt", "claude", third).strip()
    assert data.events(session)[0]["adopted"]["cost_usd"] == 0


def test_a_named_pipe_among_the_transcripts_does_not_stop_the_command(data: Data, home: Path) -> None:
    """An agent in a sandbox may write that directory."""
    (home / ".claude" / "sessions").mkdir()
    os.mkfifo(home / ".claude" / "sessions" / "1.json")
    os.mkfifo(home / ".claude" / "projects" / "-srv" / "91ff635c-048e-4769-896b-c816948b456f.jsonl")
    assert {row["session_id"] for row in data.json("adopt")} == {FIRST, SECOND}


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("shell",), 2, "the sessions of shell cannot be adopted, only those of boxed, claude"),
        (("nope", FIRST), 2, "agent: expected one of boxed, claude, shell, got 'nope'"),
        (("nope",), 2, "'nope' is neither an agent (boxed, claude, shell) nor a session's id"),
        (("claude", "../../etc"), 2, "'../../etc' is neither an agent"),
        (("boxed", FIRST), 2, "boxed has a sandbox"),
        (("claude", "91ff635c"), 1, "claude has no session 91ff635c of this user"),
        (("claude", FIRST[1:2]), 1, "claude has no session 1 of this user"),
    ],
)
@pytest.mark.usefixtures("home")
def test_a_mistake_is_an_error_that_says_so(
    data: Data, words: tuple[str, ...], status: int, message: str
) -> None:
    done = data.run("adopt", *words)
    assert done.returncode == status
    assert message in done.stderr.decode()


@pytest.mark.usefixtures("home")
def test_in_a_read_only_data_root_they_are_listed_and_none_is_adopted(data: Data) -> None:
    data.root.mkdir()
    (data.root / "read-only").write_text("a copy")
    assert len(data.json("adopt")) == 2
    done = data.run("adopt", "claude", FIRST)
    assert done.returncode == 1
    assert b"this data root is read-only: " in done.stderr
