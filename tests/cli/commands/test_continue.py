"""`breakglass continue`: after a restart of the machine, the agent gets a prompt that says what happened."""

import shutil

from breakglass.store import sessions
from tests.cli.program import USER, Data

SETTINGS = '[agents.gone]\nprotocol = "claude"\ncommand = ["no-such-program"]\n'


def test_a_session_continues_once_after_a_restart(data: Data) -> None:
    (data.folder / "breakglass.toml").write_text(SETTINGS)
    with sessions.create(data.root, "gone", title="", by="ann").open_log() as opened:
        opened.append("user", turn=2, text="look", by="ann", boot_id="00000000-1111-2222-3333-444444444444")
        opened.append_end(("turn_end", {"turn": 2, "status": "ok", "duration_ms": 5}))
    session = data.only_session()
    with data.terminal("attach", session) as attached:
        attached.until(f"to let the agent continue: breakglass continue {session[:8]}".encode())
    copied = data.root / "hosts" / "db1" / "sessions" / session
    shutil.copytree(data.log(session).parent, copied)
    with data.terminal("attach", "--host", "db1", session) as attached:
        attached.until(b"(this is all so far")
        attached.type(b"\x03")
        assert attached.end() == 0
    assert b"breakglass continue" not in attached.screen
    assert data.ok("continue", session[:6]) == f"{session} 5\n"
    assert data.wait_for_end(session) == "error"
    prompt = data.events(session)[4]
    assert (prompt["kind"], prompt["by"]) == ("user", USER)
    assert prompt["text"].startswith("Your last turn has ended. The machine has restarted since it began.")
    again = data.run("continue", session)
    assert again.returncode == 1
    assert again.stderr.startswith(f"breakglass: nothing to continue in session {session[:8]}: ".encode())
