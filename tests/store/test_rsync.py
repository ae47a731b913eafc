"""A data root that is copied with the rsync command of docs/operate.md is correct, also after a repair in place."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from breakglass import verify
from breakglass.config import Config
from breakglass.store import sessions
from breakglass.turns.end import current_state
from tests.help import turns
from tests.help.log_files import append_bytes, path_of

OPERATE = Path(__file__).parent.parent.parent / "docs" / "operate.md"


def copy_as_documented(root: Path, copy: Path) -> None:
    """Run the two commands of the page, with these paths in place of those of the page."""
    commands = re.findall(r"^rsync .* backup:\S*$", OPERATE.read_text(), re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        typed = command.replace("/var/lib/breakglass/", f"{root}/").replace("backup:breakglass/", f"{copy}/")
        subprocess.run(shlex.split(typed), check=True)


@pytest.mark.parametrize("torn", [b"torn", b"torn" * 1000, b'{"id":2,"ts":"'])
def test_a_copy_of_a_torn_line_is_corrected_by_the_next_copy_after_its_repair(
    torn: bytes, root: Path
) -> None:
    session = sessions.create(root, "shell")
    copy = root.with_name("copy")
    append_bytes(session.directory, torn)
    copy_as_documented(root, copy)
    sessions.change(session, title="after")
    copy_as_documented(root, copy)
    copied = path_of(f"{copy}/sessions/{session.id}").read_bytes()
    assert copied == path_of(session.directory).read_bytes()
    assert [*verify.findings(copied.splitlines(keepends=True))] == []


def test_what_is_appended_between_two_copies_is_copied(root: Path) -> None:
    session = sessions.create(root, "shell")
    copy = root.with_name("copy")
    for title in ("one", "two", "three"):
        sessions.change(session, title=title)
        copy_as_documented(root, copy)
        assert (
            path_of(f"{copy}/sessions/{session.id}").read_bytes() == path_of(session.directory).read_bytes()
        )


def test_a_backup_that_is_made_while_a_turn_runs_is_correct_when_it_is_restored(settings: Config) -> None:
    script = "for i in $(seq 2000); do echo $i; sleep .002; done"
    session, turn = turns.begin_turn(settings, script)
    turns.wait_for_output(session, turn, "20\n")
    copy = settings.data.with_name("copy")
    for _ in range(3):
        copy_as_documented(settings.data, copy)
    assert session.state().turn == turn, "the turn has ended before the backup"
    copied = sessions.get(copy, session.id)
    assert path_of(session.directory).read_bytes().startswith(path_of(copied.directory).read_bytes())
    assert turns.find_broken_rules(copied) == []
    assert current_state(copied).status == "lost"
    assert turns.find_broken_rules(copied) == []
    assert session.state().turn == turn, "the look at the copy has ended the turn of the original"
    turns.kill_runner(session)
