"""Content blocks keep what a reader needs: their text, their address and title, their true size."""

import base64
from typing import Any

import pytest

from breakglass.agents.blocks import MAX_UNKNOWN, blocks_text
from tests.agents.claude.made_lines import assistant, begun, tool_result

DATA = base64.b64encode(b"x" * 16).decode()
LINK = "https://ops.example.com/a"


@pytest.mark.parametrize(
    ("block", "text"),
    [
        ({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "up"}}, "up"),
        ({"type": "document", "title": "T", "source": {"type": "text", "data": "up"}}, "T\nup"),
        ({"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "up"}]}}, "up"),
        ({"type": "document", "source": {"type": "content", "content": "up"}}, "up"),
        (
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": DATA}},
            "[document, application/pdf, 16 bytes]",
        ),
        ({"type": "document", "source": {"type": "url", "url": LINK}}, f"[document, {LINK}]"),
        ({"type": "image", "source": {"type": "url", "url": LINK}}, f"[image, {LINK}]"),
        ({"type": "image", "source": {"type": "file", "file_id": "f1"}}, "[image, f1]"),
        ({"type": "image", "data": DATA, "mimeType": "image/png"}, "[image, image/png, 16 bytes]"),
        ({"type": "audio", "data": DATA + "\n", "mimeType": "audio/wav"}, "[audio, audio/wav, 16 bytes]"),
        ({"type": "resource", "resource": {"uri": "file:///a", "text": "up"}}, "file:///a\nup"),
        (
            {"type": "resource", "resource": {"uri": "file:///a", "mimeType": "image/png", "blob": DATA}},
            "[resource, file:///a, image/png, 16 bytes]",
        ),
        ({"type": "resource_link", "uri": LINK, "name": "n", "title": "Runbook"}, f"[link: Runbook {LINK}]"),
        ({"type": "resource_link", "uri": LINK, "name": "n"}, f"[link: n {LINK}]"),
        (
            {"type": "search_result", "title": "T", "source": LINK, "content": [{"type": "text", "text": "up"}]},
            f"T {LINK}\nup",
        ),
        ({"type": "web_search_result", "title": "T", "url": LINK, "encrypted_content": "E"}, f"[link: T {LINK}]"),
        ({"type": "tool_reference", "tool_name": "Grep"}, "[tool: Grep]"),
        ({"type": "code_execution_result", "stdout": "out", "stderr": "err", "return_code": 2},
         "out\nerr\n[exit status 2]"),
        ({"type": "hologram", "depth": 3}, '{"type":"hologram","depth":3}'),
        ({"type": "document"}, "[document]"),
        ({"type": "text", "text": "up", "citations": [{"url": LINK, "title": "T"}, {"url": LINK, "title": "T"}]},
         f"up\n[source: T {LINK}]"),
        ({"type": "text", "text": "up", "citations": [{"document_title": "Log", "cited_text": "x"}]},
         "up\n[source: Log]"),
    ],
)  # fmt: skip
def test_a_block_keeps_what_a_reader_needs(block: dict[str, Any], text: str) -> None:
    assert blocks_text([block]) == text
    ((kind, fields),) = begun().translate(tool_result([block]))
    assert (kind, fields["output"]) == ("tool_result", text)


def test_an_unknown_block_is_shortened() -> None:
    text = blocks_text([{"type": "hologram", "data": "x" * 100_000}])
    assert text.startswith('{"type":"hologram"')
    assert len(text) < MAX_UNKNOWN + 100


def test_nested_blocks_of_any_depth_raise_nothing() -> None:
    block: dict[str, Any] = {"type": "text", "text": "up"}
    for _ in range(200):
        block = {"type": "search_result", "content": [block]}
    assert "search_result" in blocks_text([block])


@pytest.mark.parametrize(
    ("call", "name"),
    [
        ({"type": "server_tool_use", "name": "web_search"}, "web_search"),
        ({"type": "mcp_tool_use", "name": "query", "server_name": "db"}, "mcp__db__query"),
    ],
)
def test_a_tool_that_ran_elsewhere_is_a_tool(call: dict[str, Any], name: str) -> None:
    ((kind, fields),) = begun().translate(assistant({**call, "id": "s1", "input": {"q": 1}}))
    assert (kind, fields) == ("tool", {"tool_id": "s1", "name": name, "input": {"q": 1}})


@pytest.mark.parametrize(
    ("result", "output", "is_error"),
    [
        (
            {
                "type": "web_search_tool_result",
                "content": [{"type": "web_search_result", "title": "T", "url": LINK}],
            },
            f"[link: T {LINK}]",
            False,
        ),
        (
            {
                "type": "web_search_tool_result",
                "content": {"type": "web_search_tool_result_error", "error_code": "no"},
            },
            '{"type":"web_search_tool_result_error","error_code":"no"}',
            True,
        ),
        (
            {"type": "mcp_tool_result", "content": [{"type": "text", "text": "up"}], "is_error": True},
            "up",
            True,
        ),
        (
            {
                "type": "code_execution_tool_result",
                "content": {"type": "code_execution_result", "stdout": "out"},
            },
            "out",
            False,
        ),
    ],
)
def test_the_result_of_a_tool_that_ran_elsewhere_is_a_tool_result(
    result: dict[str, Any], output: str, is_error: bool
) -> None:
    ((kind, fields),) = begun().translate(assistant({**result, "tool_use_id": "s1"}))
    assert (kind, fields) == ("tool_result", {"tool_id": "s1", "output": output, "is_error": is_error})


def test_an_unknown_block_of_the_agent_is_a_notice_with_its_json() -> None:
    ((kind, fields),) = begun().translate(assistant({"type": "hologram", "depth": 3}))
    assert kind == "notice"
    assert fields["text"].endswith('{"type":"hologram","depth":3}')


def test_the_citations_of_the_agents_text_are_kept() -> None:
    block = {
        "type": "text",
        "text": "Up.",
        "citations": [{"type": "web_search_result_location", "url": LINK}],
    }
    assert begun().translate(assistant(block)) == [("text", {"text": f"Up.\n[source: {LINK}]"})]
