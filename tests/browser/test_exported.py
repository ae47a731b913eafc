"""An exported session in a real browser without a network: nothing in it acts or loads, and its lines are there."""

from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.browser.server import ScriptedServer
from tests.browser.test_attacks import INERT, corpus, encoded
from tests.browser.user import DEADLINE_MS
from tests.cli.program import Data
from tests.help.attacks import ATTACKS
from tests.help.questions import open_turn


def test_an_exported_hostile_session_is_inert_without_a_network(
    chromium: Browser, server: ScriptedServer, tmp_path: Path
) -> None:
    session = server.new_session(title=ATTACKS[3])
    with open_turn(server.data, session) as log:
        events = corpus()
        with server.log(session).open("ab") as file:
            file.write(encoded(events, log.end.number + 1))
        last = log.end.number + len(events)
    document = tmp_path / "session.html"
    Data(server.data.parent).ok("export", session, "--html", "-o", str(document))
    context = chromium.new_context(offline=True)
    page = context.new_page()
    page.set_default_timeout(DEADLINE_MS)
    requests, problems = list[str](), list[str]()
    page.on("request", lambda request: requests.append(request.url))
    page.on("dialog", lambda dialog: problems.append(dialog.message))
    page.on("console", lambda message: problems.append(message.text))
    page.goto(f"file://{document}#e{last}")
    expect(page.locator(f"#e{last}")).to_be_attached()
    policy = page.locator("meta[http-equiv='Content-Security-Policy']").get_attribute("content")
    assert (policy or "").startswith("default-src 'none'; style-src 'sha256-")
    assert page.evaluate(INERT) == []
    assert page.evaluate("getComputedStyle(document.body).fontFamily").startswith("system-ui"), (
        "its styles hold"
    )
    assert ([url for url in requests if not url.startswith(("file:", "data:"))], problems) == ([], [])
    context.close()
