"""Hostile text in a real browser: in a log, a title or an error it neither acts nor loads anything."""

import json
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import NewUser
from tests.browser.server import ScriptedServer
from tests.browser.user import User
from tests.help.attacks import ATTACKS, events_with
from tests.help.questions import open_turn

INERT = """() => [...document.querySelectorAll('*')].filter((one) =>
  [...one.attributes].some(({ name, value }) => name.startsWith('on')
    || (name === 'style' && one !== document.documentElement && !one.matches('#prompt, .copy'))
    || (['href', 'src', 'action'].includes(name) && /^\\s*(javascript|data|vbscript|file):/i.test(value)))
  || (one.closest('#log, #sessions, h1')
    && one.matches('script, img, svg, iframe, object, embed, form, base, meta, link, style'))
).map((one) => one.outerHTML.slice(0, 200))"""
OPEN = "for (const one of document.querySelectorAll('details')) one.open = true"


def corpus() -> list[dict[str, Any]]:
    """Return each attack in each string of each event kind, without the kinds that begin, end or stop a turn."""
    left_out = ("created", "user", "turn_end", "cancelled", "queued", "withdrawn", "archived")
    return [event for attack in ATTACKS for event in events_with(attack) if event["kind"] not in left_out]


def encoded(events: list[dict[str, Any]], first: int) -> bytes:
    """Return events as lines of a log; the first gets number `first`."""
    lines = ({**event, "id": number} for number, event in enumerate(events, first))
    text = "".join(
        json.dumps(
            {key: line[key] for key in ("id", "ts", "kind", *line) if key in line}, separators=(",", ":")
        )
        + "\n"
        for line in lines
    )
    return text.encode()


def assert_inert(user: User) -> None:
    """Fail if anything on the page could act. Anything that did act is in `User.problems`."""
    user.page.evaluate(OPEN)
    assert user.page.evaluate(INERT) == []


@pytest.mark.parametrize("share", [29, pytest.param(1, marks=pytest.mark.torture)])
def test_the_corpus_is_inert_on_the_stream_and_on_the_page(
    share: int, new_user: NewUser, server: ScriptedServer
) -> None:
    """Each twenty-ninth event still has every attack, and every kind with some of them."""
    session = server.new_session(title=ATTACKS[3])
    user = new_user()
    page = user.open(session)
    with open_turn(server.data, session) as log:
        number = log.end.number
        events = corpus()[::-share][::-1]  # the last one has an element of its own
        for at in range(0, len(events), 100):
            with server.log(session).open("ab") as file:
                file.write(encoded(events[at : at + 100], number + 1 + at))
            expect(page.locator("#badge")).to_have_text("Live")
        last = number + len(events)
        page.wait_for_function('(last) => document.body.innerHTML.includes(`id="e${last}"`)', arg=last)
        assert_inert(user)
        page.goto(f"/sessions/{session}")  # the same events, rendered with the page
        for _ in range(200):
            assert_inert(user)
            if page.locator("#earlier").is_hidden():
                break
            first = user.shown()[0]
            page.evaluate("scrollTo(0, 0)")
            page.wait_for_function(
                "(first) => document.querySelector('#earlier').hidden"
                " || document.querySelector('#log [id]').id !== `e${first}`",
                arg=first,
            )
        for card in page.locator(".permission.open .card").all()[:5]:
            card.focus()


def test_titles_prompts_and_errors_are_inert(new_user: NewUser, server: ScriptedServer) -> None:
    user = new_user()
    user.expected = "status of 404|status of 400"
    sessions = []
    for attack in ATTACKS:
        title = "".join(letter for letter in attack if letter.isprintable())[:200]
        sessions.append(server.new_session(title=title, agent="shell"))
    server.prompt(sessions[0], "true #" + "".join(attack for attack in ATTACKS if "\x00" not in attack))
    user.open()
    assert_inert(user)
    user.page.locator("input[type=search]").fill(ATTACKS[3])
    assert_inert(user)
    for session in sessions[:2]:
        user.open(session)
        assert_inert(user)
    for place in (
        "/sessions/%3Cscript%3Ealert(1)%3C%3E",
        "/?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E",
        "/login?next=javascript:alert(1)",
    ):
        user.page.goto(place)
        assert_inert(user)


@pytest.mark.torture
def test_a_login_redirects_only_within_this_site(new_user: NewUser, server: ScriptedServer) -> None:
    from tests.help.servers import TOKEN

    user = new_user(logged_in=False)
    page = user.page
    for place in ("https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"):
        page.goto(f"/login?next={place}")
        page.locator("#token").fill(TOKEN)
        page.locator("button.primary").click()
        expect(page.locator("#badge")).to_have_text("Live")
        assert page.url == f"{server.address}/"


def test_the_code_of_a_login_address_is_in_no_url_history_or_output_and_works_once(
    new_user: NewUser, server: ScriptedServer
) -> None:
    user, other = new_user(logged_in=False), new_user(logged_in=False)
    login = server.login_address()
    code = login.partition("#code=")[2]
    user.page.goto(login)
    expect(user.badge).to_have_text("Live")
    assert not [url for url in user.requests if code in url.partition("#")[0]]
    assert code not in user.page.evaluate("location.href + JSON.stringify(history.state)")
    assert code not in server.printed
    other.expected = "status of 401"
    other.page.goto(login)
    expect(other.page.locator(".failed")).to_contain_text("has expired or was used already")
    expect(other.page.locator(".failed")).to_contain_text("breakglass login")
    assert code not in other.page.evaluate("location.href + JSON.stringify(history.state)")


@pytest.mark.parametrize("wrong", ["code=100%wrong", pytest.param("code=%", marks=pytest.mark.torture)])
def test_a_wrong_code_is_removed_from_the_address_too(
    wrong: str, new_user: NewUser, server: ScriptedServer
) -> None:
    user = new_user(logged_in=False)
    user.expected = "status of 401"
    user.page.goto(f"/login#{wrong}")
    expect(user.page.locator(".failed")).to_contain_text("has expired or was used already")
    assert user.page.url == f"{server.address}/login"


@pytest.mark.torture
def test_a_token_after_the_hash_does_not_log_in(new_user: NewUser, server: ScriptedServer) -> None:
    from tests.help.servers import TOKEN

    user = new_user(logged_in=False)
    user.page.goto(f"/login#{TOKEN}")
    expect(user.page.locator("#token")).to_have_value("")
    assert user.page.url == f"{server.address}/login"
    user.page.locator("#token").fill(TOKEN)
    user.page.locator("button.primary").click()
    expect(user.badge).to_have_text("Live")


@pytest.mark.torture
def test_a_login_address_works_in_a_window_that_shows_the_login_page(
    new_user: NewUser, server: ScriptedServer
) -> None:
    user = new_user(logged_in=False)
    user.expected = "status of 401"
    page = user.page
    page.goto("/login")
    page.goto("/login#code=wrong")
    expect(page.locator(".failed")).to_contain_text("has expired or was used already")
    page.goto(server.login_address())
    expect(user.badge).to_have_text("Live")
    assert "code" not in page.evaluate("location.href + JSON.stringify(history.state)")
