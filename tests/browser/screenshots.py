"""Takes screenshots of the page: `python -m tests.browser.screenshots DIR`. Also makes docs/session.png.

The list, a session, a question and the login, on a phone and a desktop, light and dark.
"""

import base64
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, expect, sync_playwright

from breakglass.events import Draft
from breakglass.store.sessions import Session
from breakglass.store.turnlock import TurnLock
from tests.browser.server import ScriptedServer, scripted_server
from tests.browser.user import DESKTOP, FLAGS, PHONE, User, executable
from tests.help.sample_session import DISK, FOUND, history

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "session.png"
COMPOSED = """<!doctype html><style>
body {{ margin: 0; background: #d9dadc; }} img {{ position: absolute; }}
.desktop {{ left: 24px; top: 46px; border-radius: 10px; }} .phone {{ left: 1328px; top: 24px; border-radius: 28px; }}
</style><img class="desktop" src="data:image/png;base64,{desktop}">
<img class="phone" src="data:image/png;base64,{phone}">"""
"""The pictures are not scaled: scaled text needs twice the bytes."""
OTHER_SESSIONS = (
    ("backup of srv", "ok", "All four volumes are **complete**."),
    ("certificates that end this month", "ok", "Two of eleven end within 14 days."),
    ("dns", "error", "The resolver does not answer."),
)


@contextmanager
def sample_sessions(server: ScriptedServer) -> Iterator[tuple[str, str]]:
    """Make sessions. Yields the id of one with an open question, and of one with every kind of event."""
    for title, status, text in OTHER_SESSIONS:
        result = {"turn": 2, "is_error": False, "result": "", "duration_ms": 9000, "cost_usd": 0.0212}
        drafts: list[Draft] = [
            ("user", {"turn": 2, "text": title, "by": "ada"}),
            ("text", {"turn": 2, "text": text}),
            ("result", result),
            ("turn_end", {"turn": 2, "status": status, "duration_ms": 9100}),
        ]
        server.written(drafts, title)
    rows = [
        (event["kind"], {k: v for k, v in event.items() if k not in ("id", "ts", "kind")})
        for event in history()
    ]
    every = server.written(
        [row for row in rows if row[0] not in ("created", "foreign", "weather", "archived", "permission")]
    )
    asking = server.new_session(agent="claude", title="disk full on db1")
    session = Session(server.data, asking)
    lock = TurnLock(session)
    lock.take()
    with session.open_log() as log:
        turn = log.append("user", text="What fills /var? The database refuses writes since 02:50.", by="ada")

        def call(words: str, output: str | None) -> None:
            tool = f"t{log.end.number}"
            log.append("tool", turn=turn, tool_id=tool, name="Bash", input={"command": words})
            if output is not None:
                log.append("tool_result", turn=turn, tool_id=tool, output=output, is_error=False)

        log.append(
            "text", turn=turn, text="I'll look at the disk first, then at what grew **since yesterday**."
        )
        call("df -h", DISK)
        call("du -x /var --max-depth=3 | sort -rn | head -20", "31457280 /var/log/journal\n")
        log.append("text", turn=turn, text=FOUND.partition("\n```")[0])
        call("journalctl --vacuum-size=2G --dry-run", None)
        command = {"command": "journalctl --vacuum-size=2G\nsystemctl restart postgresql"}
        expires = "2026-11-23T03:29:00.000Z"
        log.append("permission", turn=turn, request="r", name="Bash", input=command, expires=expires)
    yield asking, every
    lock.release()


def shoot(
    browser: Browser, server: ScriptedServer, directory: Path, asking: str, every: str
) -> dict[str, bytes]:
    """Take all screenshots, write them to `directory`, and return them by name."""
    taken: dict[str, bytes] = {}
    screens: dict[str, dict[str, Any]] = {"phone": {**PHONE, "device_scale_factor": 1}, "desktop": DESKTOP}
    for size, options in screens.items():
        for scheme in ("light", "dark"):
            user = User(browser, server, color_scheme=scheme, **options)
            for name, place in (("list", ""), ("every", every), ("asking", asking)):
                page = user.open(place)
                if name == "every":
                    page.evaluate("scrollTo(0, 300)")
                if name == "asking":
                    expect(page.locator(".running").first).to_be_attached()
                taken[f"{name}-{size}-{scheme}"] = page.screenshot()
            user.context.clear_cookies()
            user.page.goto("/login")
            taken[f"login-{size}-{scheme}"] = user.page.screenshot()
            user.context.close()
    for name, picture in taken.items():
        (directory / f"{name}.png").write_bytes(picture)
    return taken


def compose(browser: Browser, desktop: bytes, phone: bytes) -> bytes:
    """Return one picture of two: the phone beside the desktop."""
    page = browser.new_page(viewport={"width": 1742, "height": 892})
    page.set_content(
        COMPOSED.format(desktop=base64.b64encode(desktop).decode(), phone=base64.b64encode(phone).decode())
    )
    return page.screenshot()


def main() -> None:
    """Write the screenshots to the directory named on the command line, and the composed one to docs."""
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as root,
        sync_playwright() as playwright,
        scripted_server(Path(root)) as server,
        sample_sessions(server) as (asking, every),
    ):
        browser = playwright.chromium.launch(executable_path=executable(), args=FLAGS)
        taken = shoot(browser, server, directory, asking, every)
        PICTURE.write_bytes(compose(browser, taken["asking-desktop-light"], taken["asking-phone-dark"]))
        browser.close()
    print(f"{len(taken)} pictures in {directory}; {PICTURE.stat().st_size:,} bytes in {PICTURE}")


if __name__ == "__main__":
    main()
