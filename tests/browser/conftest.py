"""One Chromium and one server for these tests; those that kill servers have their own."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.visits import FLAGS, House, Person, executable, house

Visit = Callable[..., Person]


# Not of the session: Playwright's loop runs in this thread, and other tests have loops of their own.
@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("house")) as opened:
        yield opened


@pytest.fixture
def visit(chromium: Browser, shared: House) -> Iterator[Visit]:
    people: list[Person] = []

    def come(server: House = shared, **options: Any) -> Person:
        people.append(Person(chromium, server, **options))
        return people[-1]

    yield come
    for person in people:
        person.leave()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[House]:
    with house(tmp_path) as opened:
        yield opened


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A file that an actor waits for."""
    return tmp_path / "gate"
