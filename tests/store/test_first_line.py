"""A log that does not begin with a `created` of this schema is read, but never written to. The error says why."""

import json
import os
from pathlib import Path

import pytest

from breakglass.errors import ReadOnly
from breakglass.store import log, sessions
from breakglass.turns.end import cancel_turn, current_state, end_if_lost
from tests.help.commands import breakglass
from tests.help.servers import serving

CREATED = (
    '{"id":1,"ts":"2026-01-02T03:04:05.678Z","kind":"created","schema":1,"agent":"shell","model":null,"title":"t"'
    ',"by":"ann","host":"box"'
)
OPEN_TURN = '{"id":2,"ts":"2026-01-02T03:04:05.678Z","kind":"user","turn":2,"text":"true","by":"ann"}\n'
WITHOUT_AGENT = '{"id":1,"ts":"2026-01-02T03:04:05.678Z","kind":"created","schema":1}\n'


def of_schema(value: str) -> str:
    return CREATED.replace('"schema":1', f'"schema":{value}') + "}\n" + OPEN_TURN


FIRST_LINES = {
    "a later schema": (of_schema("2"), "has schema 2; this version writes only schema 1"),
    "schema 0": (of_schema("0"), "has schema 0; this version writes only schema 1"),
    "a negative schema": (of_schema("-1"), "has schema -1; this version writes only schema 1"),
    "a schema that is a text": (of_schema('"1"'), 'has schema "1"; this version writes only schema 1'),
    "a schema that is a boolean": (of_schema("true"), "has schema true; this version writes only schema 1"),
    "a schema that is a float": (of_schema("1.0"), "has schema 1.0; this version writes only schema 1"),
    "a schema that is null": (of_schema("null"), "has schema null; this version writes only schema 1"),
    "a huge schema": (of_schema("9" * 400), f"has schema {'9' * 59}…; this version writes only schema 1"),
    "no schema": (
        CREATED.replace('"schema":1,', "") + "}\n" + OPEN_TURN,
        "names no schema; this version writes only schema 1",
    ),
    "the first line is lost": (OPEN_TURN, "does not begin with `created`: "),
    "a byte order mark": ("\ufeff" + CREATED + "}\n" + OPEN_TURN, "does not begin with `created`: "),
    "an empty first line": ("\n" + CREATED + "}\n", "does not begin with `created`: ''"),
    "a foreign first line": ("hello\n" + OPEN_TURN, "does not begin with `created`: 'hello'"),
    "a first line of 3 MB": ("x" * 3_000_000 + "\n", f"does not begin with `created`: '{'x' * 59}…'"),
    "another kind": (CREATED.replace("created", "renamed") + "}\n", "does not begin with `created`: "),
    "no agent": (WITHOUT_AGENT, "begins with a `created` without an agent, a model or a title"),
    "no line": ("", "is empty"),
    "half a line": (CREATED, "has no whole line"),
}


@pytest.mark.parametrize(("content", "problem"), FIRST_LINES.values(), ids=FIRST_LINES.keys())
def test_nothing_is_written_to_a_log_with_a_wrong_first_line(content: str, problem: str, root: Path) -> None:
    session = sessions.create(root, "shell")
    Path(session.directory, log.NAME).write_text(content, encoding="utf-8")
    message = f"the log of session {session.id[:8]} {problem}"
    before = Path(session.directory, log.NAME).read_bytes()
    for write in (
        session.open_log,
        lambda: sessions.change(session, title="other"),
        lambda: cancel_turn(session, by="ann"),
    ):
        with pytest.raises(ReadOnly) as raised:
            write()
        assert str(raised.value).startswith(message)
        assert str(raised.value).isprintable()
        assert len(str(raised.value)) < 200
    if current_state(session).turn is not None:
        with pytest.raises(ReadOnly):
            end_if_lost(session)
    assert Path(session.directory, log.NAME).read_bytes() == before
    assert os.listdir(session.directory) == [log.NAME]


@pytest.mark.parametrize("which", ["a later schema", "the first line is lost", "no line"])
def test_every_command_and_request_that_writes_says_what_is_wrong_with_the_log(
    which: str, root: Path
) -> None:
    content, message = FIRST_LINES[which]
    session = sessions.create(root, "shell")
    path = Path(session.directory, log.NAME)
    path.write_text(content)
    message = f"the log of session {session.id[:8]} {message}"
    for words in (
        ("send", session.id, "true"),
        ("send", session.id, "true", "--queue"),
        ("cancel", session.id),
        ("answer", session.id, "allow"),
        ("rename", session.id, "other"),
        ("archive", session.id),
    ):
        done = breakglass(root, *words)
        assert done.returncode == 1, (words, done)
        assert done.stderr.startswith(f"breakglass: {message}"), words
        assert done.stderr.count("\n") == 1
    with serving(root) as server:
        for method, end, body in (
            ("PATCH", "", {"title": "other"}),
            ("POST", "/turns", {"prompt": "true"}),
            ("POST", "/cancel", None),
            ("POST", "/answers", {"request": "r", "allow": True}),
            ("DELETE", "/queue/2", None),
        ):
            status, answer, _ = server.ask(method, f"/api/sessions/{session.id}{end}", body)
            assert status == 403, (method, end)
            assert answer["detail"].startswith(message), (method, end)
        assert server.ask("GET", f"/api/sessions/{session.id}")[0] == 200
        assert server.ask("GET", f"/sessions/{session.id}")[0] == 200
    assert path.read_text() == content


@pytest.mark.parametrize("count", [1, 3])
def test_a_log_whose_creation_an_older_version_repaired_opens_as_any_other(count: int, root: Path) -> None:
    """Older versions put `repaired` in place of the torn line, and then appended `created`."""
    session = sessions.create(root, "shell", title="t")
    path = Path(session.directory, log.NAME)
    created = path.read_bytes()
    padding = " " * (len(created) // 2)
    before = b""
    for number in range(1, count + 1):
        before += (
            f'{{"id":{number},"ts":"2026-01-02T03:04:05.678Z","kind":"repaired","offset":{len(before)},"bytes":90'
            f',"saved_as":"events.jsonl.torn-{len(before)}"}}{padding}\n'
        ).encode()
    path.write_bytes(before + created.replace(b'"id":1,', f'"id":{count + 1},'.encode()))
    done = breakglass(root, "send", session.id, "--wait", "echo hello")
    assert (done.returncode, done.stderr) == (0, "")
    assert "hello" in done.stdout
    sessions.change(session, title="other")
    assert json.loads(breakglass(root, "ls", "--json").stdout)["title"] == "other"
    done = breakglass(root, "verify", session.id)
    assert done.returncode == 0
    assert done.stdout.count("note: before `created`: an older version repaired a torn line") == count


def test_repaired_lines_without_created_are_only_read(root: Path) -> None:
    session = sessions.create(root, "shell")
    line = '{"id":1,"ts":"2026-01-02T03:04:05.678Z","kind":"repaired","offset":0,"bytes":9,"saved_as":"x"}\n'
    for rest in ("", OPEN_TURN):
        Path(session.directory, log.NAME).write_text(line + rest)
        with pytest.raises(ReadOnly, match="does not begin with `created`"):
            session.open_log()


def test_a_log_of_a_later_schema_is_listed_and_shown(root: Path) -> None:
    session = sessions.create(root, "shell")
    Path(session.directory, log.NAME).write_text(of_schema("2"))
    assert json.loads(breakglass(root, "ls", "--json").stdout)["status"] == "running"
    assert breakglass(root, "verify", session.id).returncode == 0


def test_an_interrupted_creation_with_a_torn_line_is_completed_on_line_1(root: Path) -> None:
    made = sessions.create(root, "shell", key="k-1")
    path = Path(made.directory, log.NAME)
    torn = path.read_bytes()[:50]
    path.write_bytes(torn)
    assert sessions.create(root, "shell", title="again", key="k-1") == made
    (created,) = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert (created["id"], created["kind"], created["title"]) == (1, "created", "again")
    assert Path(f"{path}.torn-0").read_bytes() == torn


def test_a_session_whose_creation_was_interrupted_is_not_the_latest_session(root: Path) -> None:
    older, newer = sessions.create(root, "shell"), sessions.create(root, "shell")
    Path(newer.directory, log.NAME).write_bytes(b"")
    assert sessions.find(root) == older
