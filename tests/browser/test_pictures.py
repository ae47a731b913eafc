"""A picture that a tool returned is shown from our own origin, inert; `verify` knows its file."""

from base64 import b64decode
from hashlib import sha256

from playwright.sync_api import expect

from tests.browser.conftest import NewUser
from tests.browser.server import ScriptedServer
from tests.help import warm
from tests.help.servers import environment

DOT = "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEElEQVR4nGP4z8AARAwQCgAf7gP9i18U1AAAAABJRU5ErkJggg=="


def test_a_picture_of_a_tool_is_shown_and_checked(new_user: NewUser, server: ScriptedServer) -> None:
    session = server.run_script("call t Screenshot db1", f"picture t {DOT}", "say Look.")
    server.wait_for_end(session)
    result = next(event for event in server.events(session) if event["kind"] == "tool_result")
    name = f"{sha256(b64decode(DOT)).hexdigest()}.png"
    assert result["pictures"] == [
        {"file": f"pictures/{name}", "type": "image/png", "bytes": len(b64decode(DOT))}
    ]
    assert result["output"].startswith("[image, ")
    page = new_user().open(session)
    page.locator(".tool summary").click()
    picture = page.locator(".tool .output img")
    expect(picture).to_be_visible()
    page.wait_for_function("document.querySelector('.output img').naturalWidth === 2")
    status, body, headers = server.ask("GET", f"/sessions/{session}?picture={name}")
    assert (status, body) == (200, b64decode(DOT))
    assert headers["content-type"] == "image/png"
    assert headers["x-content-type-options"] == "nosniff"
    assert server.ask("GET", f"/sessions/{session}?picture=../events.jsonl")[0] == 404
    file = server.data / "sessions" / session / "pictures" / name
    assert verified(server, session) == (0, "")
    file.write_bytes(b"other")
    assert verified(server, session) == (1, f"its picture was changed: pictures/{name}")
    file.unlink()
    assert verified(server, session) == (0, f"note: its picture is not beside the log: pictures/{name}")


def verified(server: ScriptedServer, session: str) -> tuple[int, str]:
    """Return the exit code of `verify`, and what it says about a line."""
    ended = warm.run(("verify", session), environment(server.data), server.data)
    *found, _ = ended.stdout.decode().splitlines()
    return ended.returncode, "\n".join(each.split(": ", 1)[1] for each in found)
