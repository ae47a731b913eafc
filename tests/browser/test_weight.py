"""What a first visit loads, and what a browser may cache."""

from tests.browser.conftest import NewUser
from tests.browser.server import ScriptedServer
from tests.browser.user import NETWORK, PHONE

BUDGET = 60_000
"""Bytes of a first visit: the login, the list and a session, with all scripts, styles and icons."""


def test_a_first_visit_weighs_less_than_60_kb(own_server: ScriptedServer, new_user: NewUser) -> None:
    """The server has only the sessions of this test, because the list is part of the weight."""
    for number in range(20):
        own_server.new_session(title=f"the problem of night number {number}")
    session = own_server.run_script("call t Bash df", "call t full", "say It is **full**.")
    own_server.wait_for_end(session)
    user = new_user(own_server, **PHONE)
    user.expected = NETWORK
    page = user.page
    tools = user.context.new_cdp_session(page)
    tools.send("Network.enable")
    loaded: list[float] = []
    tools.on("Network.loadingFinished", lambda event: loaded.append(event["encodedDataLength"]))
    page.goto("/login")
    user.open()
    user.open(session)
    print(f"{sum(loaded):,.0f} bytes in {len(loaded)} responses")
    assert sum(loaded) < BUDGET


def test_only_static_files_may_be_cached_by_the_browser(new_user: NewUser, server: ScriptedServer) -> None:
    user = new_user()
    kept = {}
    user.page.on("response", lambda answer: kept.update({answer.url: answer.headers["cache-control"]}))
    user.open()
    assert all(("max-age" in rule) == ("/static/" in url) for url, rule in kept.items()), kept
    assert all("private" in rule or rule == "no-store" for rule in kept.values())
