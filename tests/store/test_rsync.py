"""A data root that is copied with the rsync command of docs/deploy.md is correct, also after a repair in place."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from breakglass import verify
from breakglass.store import sessions
from tests.help.log_files import append_bytes, path_of

DEPLOY = Path(__file__).parent.parent.parent / "docs" / "deploy.md"


def copy_as_documented(root: Path, copy: Path) -> None:
    """Run the two commands of the page, with these paths in place of those of the page."""
    commands = re.findall(r"^rsync .*$", DEPLOY.read_text(), re.MULTILINE)
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
