"""`breakglass archive` and `breakglass rename`: they change how lists show a session, and nothing else."""

import pytest

from tests.cli.program import Data


def test_a_session_can_be_renamed_archived_and_taken_out_of_the_archive(data: Data) -> None:
    session = data.new("--title", "before")
    data.ok("rename", session[:8], "after")
    assert "after" in data.ok("ls")
    data.ok("archive", session)
    assert "after" not in data.run("ls").stdout.decode()
    assert "after" in data.ok("ls", "--archived")
    data.ok("archive", session, "--undo")
    assert "after" in data.ok("ls")
    assert data.kinds(session) == ["created", "renamed", "archived", "archived"]


@pytest.mark.parametrize(
    "words", [["rename"], ["rename", "3f2a"], ["rename", "", "x"], ["archive"], ["archive", ""]]
)
def test_rename_and_archive_require_an_id(data: Data, words: list[str]) -> None:
    session = data.new()
    assert data.run(*words).returncode == 2
    assert data.kinds(session) == ["created"]


def test_the_default_session_is_never_an_archived_one(data: Data) -> None:
    kept, archived = data.new(), data.new()
    data.ok("archive", archived)
    assert data.ok("send", "true", "--wait")
    assert (data.kinds(archived)[-1], data.kinds(kept)[-1]) == ("archived", "sealed")
