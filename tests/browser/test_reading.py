"""A turn is read as it happens: prose that streams, tools as one line, everything under its number."""

import json
import re
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.house import House, missing


def test_prose_that_streams_is_replaced_by_its_text_and_never_doubled(
    visit: Visit, shared: House, gate: Path
) -> None:
    session = shared.play("begin The disk is", f"wait {gate}", "say **full**.")
    person = visit()
    page = person.open(session)
    expect(page.locator(".prose.live")).to_contain_text("The disk is")
    gate.touch()
    expect(page.locator(".turn_end")).to_be_visible()
    prose = page.locator("#log .prose:not(.result *)")
    expect(prose).to_have_count(1)
    assert prose.locator(".b").inner_text().strip() == "The disk is full."
    expect(page.locator(".prose strong")).to_have_text("full")
    assert missing(person, session) == set()
    page.reload()
    expect(person.badge).to_have_text("Live")
    assert prose.locator(".b").inner_text().strip() == "The disk is full."
    assert missing(person, session) == set()
