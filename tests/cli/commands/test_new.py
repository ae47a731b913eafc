"""`breakglass new`: the session has the given options, and only its owner can read it."""

import pytest

from tests.cli.program import USER, Data


def test_new_prints_the_id_of_a_session_with_the_given_options(data: Data) -> None:
    session = data.ok("new", "--agent", "shell", "--model", "m-1", "--title", "disk full ✓").strip()
    (created,) = data.events(session)
    wanted = {"kind": "created", "agent": "shell", "model": "m-1", "title": "disk full ✓", "by": USER}
    assert wanted.items() <= created.items()


def test_only_the_owner_can_read_the_data_root(data: Data) -> None:
    session = data.new("--data", "new")
    root = data.folder / "new"
    private = [
        root,
        root / "sessions",
        root / "workspaces",
        root / "sessions" / session,
        root / "workspaces" / session,
    ]
    assert [path.stat().st_mode & 0o777 for path in private] == [0o700] * 5
    assert (root / "sessions" / session / "events.jsonl").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("words", [("new",), ("token", "show"), ("send", "--wait", "true")])
def test_a_command_says_that_it_created_the_default_data_root(words: tuple[str, ...], data: Data) -> None:
    """In the wrong directory, its session and its token are not those of the server."""
    note = f"breakglass: note: created the data root {data.folder / 'var'}; --data DIR names another one\n"
    script = f"unset BREAKGLASS_DATA; breakglass {' '.join(words)}"
    done = data.sh(script)
    assert (done.returncode, done.stderr.decode()) == (0, note)
    assert data.sh(script).stderr == b""
