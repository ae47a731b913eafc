"""How soon a slow phone on a slow network shows a session. `make bench` runs it: the time depends on the machine."""

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import NewUser
from tests.browser.server import ScriptedServer
from tests.browser.user import PHONE

SLOW = {"offline": False, "latency": 150, "downloadThroughput": 1.6e6 / 8, "uploadThroughput": 0.75e6 / 8}
"""The network that Chrome's developer tools call fast 3G: ms and bytes a second."""
BUDGET_MS = 10_000


@pytest.mark.bench
def test_the_first_paint_is_soon_on_a_slow_phone_and_a_slow_network(
    new_user: NewUser, server: ScriptedServer
) -> None:
    session = server.run_script(*(f"say Line {number} of **what** it said." for number in range(300)))
    server.wait_for_end(session)
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
    assert paint < BUDGET_MS
