"""The pages "Statistics": the numbers of `breakglass stats`, and a timeline whose bars lead to their lines."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from breakglass.web.page import charts
from tests.help.html_check import check_html
from tests.help.servers import Server, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("stats") / "var") as started:
        yield started


def page(server: Server, path: str) -> str:
    status, html, _ = server.ask("GET", path)
    assert status == 200, html
    return str(html.decode())


def test_the_pages_show_the_numbers_and_link_to_the_lines(server: Server) -> None:
    assert "No turn has ended" in page(server, "/stats")
    session = server.new_session(title="<b>full</b>")
    for command in ("echo one", "false", "echo '<script>alert(1)</script>'"):
        server.prompt(session, command)
        server.wait_for_end(session)
    for html in (page(server, "/stats"), page(server, f"/sessions/{session}/stats")):
        assert "1 session · 1 error · 2 ok" in html
        assert f"/sessions/{session}?around=" in html
        assert "&lt;script&gt;" in html
        assert check_html(html).found == []
    assert '<rect class="amount" x=' in html
    assert "No turn has ended since then" in page(server, "/stats?since=2099-01-01")
    assert server.ask("GET", "/stats?since=soon")[0] == 422
    assert server.ask("GET", "/stats", None, {"Authorization": ""})[0] == 303


def test_several_processes_count_the_same(server: Server) -> None:
    """In a process of its own: this one has threads, and a process with threads must not be forked."""
    session = server.new_session()
    server.prompt(session, "echo more")
    server.wait_for_end(session)
    program = (
        "import sys; from pathlib import Path; from breakglass.store import counted, sessions\n"
        "root = Path(sys.argv[1]); ids = sorted(sessions.ids(root))\n"
        "alone = counted.count(root, ids).as_json(); counted.ALONE = 0\n"
        "assert counted.count(root, ids).as_json() == alone, alone"
    )
    subprocess.run([sys.executable, "-c", program, str(server.data)], check=True)


def test_a_label_of_a_chart_is_inert() -> None:
    span = {"kind": "tool", "line": 3, "label": "</title><script>alert(1)</script>", "begin": 0, "end": 1}
    html = charts.turn([span], 1.0, "/sessions/x")
    assert "<script>" not in html
    assert check_html(html).found == []
    assert "NaN" not in charts.columns([{}, {"ok": 2, "error": 1}]) + charts.bar(0.5) + charts.turn(
        [], 0, "/s"
    )
