"""A server in an environment without /proc and without inotify says once, at its start, what does not work."""

from pathlib import Path

import pytest

from breakglass.store import log, sessions
from breakglass.turns.processes import proc_message
from tests.help.commands import breakglass
from tests.help.servers import Attached, Server, assert_is_the_log
from tests.help.session_logs import output_of
from tests.help.waiting import wait_until

PROC = "/proc does not show the processes of this system: processes that outlive their turn or its runner are not found"
INOTIFY = "files cannot be watched ("


class Confined(Server):
    """A server that has an empty /proc and no inotify instance."""

    prefix = (
        *("unshare", "--user", "--map-root-user", "--mount", "sh", "-c"),
        'echo 0 > /proc/sys/user/max_inotify_instances && mount -t tmpfs none /proc && exec "$@"',
        "sh",
    )


def test_turns_streams_and_repairs_work_without_proc_and_inotify_and_the_start_says_what_does_not(
    root: Path,
) -> None:
    torn = sessions.create(root, "shell")
    with open(f"{torn.directory}/{log.NAME}", "ab") as file:
        file.write(b'{"id":2,"ts":"2026-01-02T03:04:05')
    server = Confined(root)
    try:
        client = Attached(server, torn.id)
        server.prompt(torn.id, "echo hello")
        assert server.wait_for_end(torn.id) == "ok"
        last = server.state(torn.id)["last_event_id"]
        wait_until(lambda: client.has(last), "the end of the turn")
        client.disconnect()
        assert_is_the_log(client.received, server.log(torn.id))
        assert output_of(torn) == "hello\n"
    finally:
        server.kill()
    assert (server.printed.count(PROC), server.printed.count(INOTIFY)) == (1, 1)
    assert breakglass(root, "verify", "--all").returncode == 0


@pytest.mark.parametrize("content", ["missing", "empty", "of other processes"])
def test_a_proc_that_does_not_show_this_process_is_told(content: str, tmp_path: Path) -> None:
    proc = tmp_path / "proc"
    if content != "missing":
        proc.mkdir()
    if content == "of other processes":
        (proc / "self").symlink_to("1")
    assert proc_message(str(proc)).startswith(f"{proc} does not show the processes")
    assert proc_message() == ""
