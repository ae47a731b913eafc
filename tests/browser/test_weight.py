"""Light enough for one bar of signal: what a first new_user loads, and how soon it is seen."""

from typing import Any

from playwright.sync_api import expect

from tests.browser.conftest import NewUser
from tests.browser.server import ScriptedServer
from tests.browser.user import NETWORK, PHONE

BUDGET = 60_000
"""Bytes of a first new_user: login, list and a session, scripts, styles, icons, everything."""
SLOW = {"offline": False, "latency": 150, "downloadThroughput": 1.6e6 / 8, "uploadThroughput": 0.75e6 / 8}
"""What Chrome's tools call fast 3G."""


def test_a_first_visit_weighs_less_than_60_kb(own_server: ScriptedServer, new_user: NewUser) -> None:
    """Of a scripted_server of its own: what the list weighs must not hang on how many tests ran before."""
    for number in range(20):
        own_server.new_session(title=f"what somebody looked at in night {number}")
    session = own_server.run_script("call t Bash df", "call t full", "say It is **full**.")
    own_server.ended(session)
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
    print(f"{sum(loaded):,.0f} bytes in {len(loaded)} answers")
    assert sum(loaded) < BUDGET


def test_the_first_paint_is_soon_on_a_slow_phone_and_a_slow_network(
    new_user: NewUser, server: ScriptedServer
) -> None:
    session = server.run_script(*(f"say Line {number} of **what** it said." for number in range(300)))
    server.ended(session)
    user = new_user(**PHONE)
    page = user.page
    tools: Any = user.context.new_cdp_session(page)
    tools.send("Emulation.setCPUThrottlingRate", {"rate": 4})
    tools.send("Network.enable")
    tools.send("Network.emulateNetworkConditions", SLOW)
    page.goto(f"/sessions/{session}")
    expect(user.badge).to_have_text("Live")
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    print(f"first paint after {paint:.0f} ms")
    assert paint < 10_000  # under 1000 where the machine is idle; the number is in the report


def test_the_server_says_what_may_be_kept(new_user: NewUser, server: ScriptedServer) -> None:
    user = new_user()
    kept = {}
    user.page.on("response", lambda answer: kept.update({answer.url: answer.headers["cache-control"]}))
    user.open()
    assert all(("max-age" in rule) == ("/static/" in url) for url, rule in kept.items()), kept
    assert all("private" in rule or rule == "no-store" for rule in kept.values())
