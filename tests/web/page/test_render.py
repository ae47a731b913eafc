"""The pages: nothing inline, nothing that acts, the CSRF token in every form, and small static files."""

import gzip
import re

import pytest
from jinja2 import UndefinedError
from msgspec.structs import replace

from breakglass.web.page import render
from breakglass.web.page.page_data import ErrorPage, Page, PromptBox
from tests.help.attacks import ATTACKS
from tests.help.html_check import check_html
from tests.help.preview import FRAME, PAGES, pages, row, session_page

LATER = {
    *("actions.css", "files.js", "filter.css", "find.css", "find.js", "jumps.js", "replay.css", "replay.js"),
    "growing.js",
    "push.js",
    "tables.css",
}
"""Files that only a user who needs them loads."""


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_no_inline_script_or_style_and_loads_nothing_from_other_servers(name: str) -> None:
    html = pages()[name]
    checked = check_html(html)
    assert checked.found == []
    assert "style" not in checked.tags
    assert "<script>" not in html
    assert html.count("<script") == html.count('src="static/')


def test_the_preview_has_every_kind_of_page() -> None:
    assert [*pages()] == [*PAGES]


def test_every_form_carries_the_csrf_token() -> None:
    for html in pages().values():
        forms = [form.partition("</form>")[0] for form in html.split("<form")[1:]]
        posts = [form for form in forms if 'method="post"' in form]
        assert all('name="csrf" value="csrf"' in form for form in posts)
        assert all(form in posts or 'method="get"' in form or 'role="search"' in form for form in forms)


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_title_is_inert_on_every_page(attack: str) -> None:
    shown = row(attack, attack, status="ok", first_prompt=attack, agent=attack, model=attack)
    frame = replace(FRAME, csrf=attack)
    box = PromptBox(presets=(), key=attack, is_shell=False)
    html = render.page(frame, session_page(shown, earlier=True, later=True, box=box))
    assert check_html(html).found == []
    html = render.page(frame, ErrorPage(500, attack, attack))
    assert check_html(html).found == []


def test_a_name_that_a_template_needs_and_is_not_given_is_an_error() -> None:
    class Incomplete(Page, frozen=True):
        template = "login.html"
        next: str = "/"

    with pytest.raises(UndefinedError):
        render.page(FRAME, Incomplete())


def test_an_empty_list_says_what_to_do() -> None:
    assert "No sessions yet. Describe the problem, and the agent will start looking." in pages()["empty"]


def test_the_static_files_of_a_first_visit_and_a_page_weigh_less_than_60_kb() -> None:
    files = [path.read_bytes() for path in render.STATIC.iterdir() if path.name not in LATER]
    assert sum(len(gzip.compress(data)) for data in [*files, pages()["session"].encode()]) < 60_000


def test_the_path_of_the_static_files_has_a_digest_of_their_content() -> None:
    assert render.static_root() == render.static_root()
    assert len(render.static_root()) == len("/static/") + 12


def test_scripts_use_no_function_that_runs_markup() -> None:
    for path in render.STATIC.glob("*.js"):
        text = path.read_text(encoding="utf-8")
        for sink in (
            "inner" + "HTML",
            "outerHTML =",
            "insertAdjacent",
            "document.write",
            "eval(",
            "new Function",
        ):
            assert sink not in text, path.name


def test_a_page_preloads_every_script_it_needs_at_once() -> None:
    html = pages()["session"]
    not_at_once = {"login.js", "sw.js", *LATER}
    for path in render.STATIC.glob("*.js"):
        assert (f"static/{path.name}" in html) == (path.name not in not_at_once)
        if path.name not in not_at_once:
            assert f'"{path.name}"' in (render.STATIC / "sw.js").read_text(encoding="utf-8")


def test_text_grows_with_the_font_size_of_the_browser() -> None:
    for path in render.STATIC.glob("*.css"):
        css = path.read_text(encoding="utf-8")
        assert re.findall(r"(?:font|font-size|line-height): [^;}]*px[^;}]*", css) == [], path.name
