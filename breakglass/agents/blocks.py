"""Content blocks as text: what a tool returned, or an agent said, besides plain text. Pure.

Format: the content blocks of the Anthropic Messages API (2023-06-01) and of the Model Context Protocol (2025-06-18).
A block that is not known is kept as JSON, so that nothing disappears.
"""

from base64 import b64decode
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from breakglass.agents.lines import as_object, as_objects, as_short_text, as_text
from breakglass.events import MAX_DEPTH, clip, dumps

Block = dict[str, Any]

MAX_PICTURES = 20
"""Pictures of one result."""
MAX_UNKNOWN = 4 << 10
"""Bytes kept of a block that is not known."""


def blocks_text(content: Any, depth: int = MAX_DEPTH) -> str:
    """Return content as text: a string, a block, or a list of both, each on its own lines."""
    return "\n".join(block_text(block, depth) for block in content_blocks(content))


def content_blocks(content: Any) -> list[Block]:
    """Return the blocks of content of any shape. What is no block, or is text without a type, becomes a text block."""
    parts = content if isinstance(content, list) else [content]
    return [_as_block(part) for part in parts if part is not None]


def _as_block(part: Any) -> Block:
    if isinstance(part, dict):
        is_text = part.get("type") is None and isinstance(part.get("text"), str)
        return {**part, "type": "text"} if is_text else part
    return {"type": "text", "text": part if isinstance(part, str) else dumps(part)}


def pictures(content: Any, depth: int = MAX_DEPTH) -> tuple[bytes, ...]:
    """Return the pictures in content, at most `MAX_PICTURES` of them. What is no base64 is left out."""
    found: list[bytes] = []
    for block in content_blocks(content):
        source = as_object(block.get("source"))
        data = as_text(source.get("data")) or as_text(block.get("data"))
        if block.get("type") == "image" and data and source.get("type", "base64") == "base64":
            with suppress(ValueError):
                found.append(b64decode(data))
        elif depth and isinstance(block.get("content"), (dict, list)):
            found += pictures(block["content"], depth - 1)
    return tuple(found[:MAX_PICTURES])


def block_text(block: Block, depth: int = MAX_DEPTH) -> str:
    """Return one block as text. Text is kept, a link keeps its address and title, and data becomes its size."""
    if block.get("type") == "text" and isinstance(block.get("text"), str):
        return with_citations(block)
    reader = _READERS.get(as_text(block.get("type"))) if depth else None
    return (reader(block, depth - 1) if reader else "") or as_json(block)


def as_json(block: Block) -> str:
    """Return a block as JSON, shortened."""
    text, left_out = clip(dumps(block), MAX_UNKNOWN)
    return f"{text}… ({left_out} bytes left out)" if left_out else text


def with_citations(block: Block) -> str:
    """Return the text of a `text` block, followed by its sources, each once."""
    sources: dict[str, None] = {}
    for cited in as_objects(block.get("citations")):
        title = as_short_text(cited.get("title")) or as_short_text(cited.get("document_title"))
        address = as_short_text(cited.get("url")) or as_short_text(cited.get("source"))
        quoted = "" if title or address else as_short_text(cited.get("cited_text"))
        if source := _words(title, address, quoted):
            sources[f"[source: {source}]"] = None
    return "\n".join([as_text(block.get("text")), *sources])


def _document(block: Block, depth: int) -> str:
    """Return a document or an image: its text, its address, or its type and size."""
    source, kind = as_object(block.get("source")), as_short_text(block.get("type"))
    title = as_short_text(block.get("title"))
    if source.get("type") == "text":
        return _lines(title, as_text(source.get("data")))
    if source.get("type") == "content":
        return _lines(title, blocks_text(source.get("content"), depth))
    address = as_short_text(source.get("url")) or as_short_text(source.get("file_id"))
    address = address or as_short_text(block.get("uri"))
    data = source.get("data") or block.get("data")
    if not (address or data):
        return f"[{_words(kind, title)}]" if set(block) <= {"type", "title"} else ""
    media = as_short_text(source.get("media_type")) or as_short_text(block.get("mimeType"))
    size = f"{_decoded_size(as_text(data))} bytes" if data else ""
    return f"[{', '.join(part for part in (kind, title, address, media, size) if part)}]"


def _resource(block: Block, depth: int) -> str:
    resource = as_object(block.get("resource"))
    if text := as_text(resource.get("text")):
        return _lines(as_short_text(resource.get("uri")), text)
    size = f"{_decoded_size(blob)} bytes" if (blob := as_text(resource.get("blob"))) else ""
    about = (as_short_text(resource.get("uri")), as_short_text(resource.get("mimeType")), size)
    return f"[{', '.join(['resource', *(part for part in about if part)])}]" if any(about) else ""


def _link(block: Block, depth: int) -> str:
    title = as_short_text(block.get("title")) or as_short_text(block.get("name"))
    address = as_short_text(block.get("uri")) or as_short_text(block.get("url"))
    return f"[link: {_words(title, address)}]" if title or address else ""


def _search_result(block: Block, depth: int) -> str:
    about = _words(as_short_text(block.get("title")), as_short_text(block.get("source")))
    return _lines(about, blocks_text(block.get("content"), depth))


def _tool_reference(block: Block, depth: int) -> str:
    name = as_short_text(block.get("tool_name")) or as_short_text(block.get("name"))
    return f"[tool: {name}]" if name else ""


def _fetched(block: Block, depth: int) -> str:
    return _lines(as_short_text(block.get("url")), blocks_text(block.get("content"), depth))


def _execution(block: Block, depth: int) -> str:
    code = block.get("return_code")
    status = f"[exit status {code}]" if type(code) is int and code else ""
    return _lines(as_text(block.get("stdout")), as_text(block.get("stderr")), status)


_READERS: dict[str, Callable[[Block, int], str]] = {
    "image": _document,
    "audio": _document,
    "document": _document,
    "resource": _resource,
    "resource_link": _link,
    "web_search_result": _link,
    "search_result": _search_result,
    "tool_reference": _tool_reference,
    "web_fetch_result": _fetched,
    "code_execution_result": _execution,
    "bash_code_execution_result": _execution,
}
"""The type of a block, to the function that reads it. Other blocks are kept as JSON."""


def _words(*parts: str) -> str:
    return " ".join(part for part in parts if part)


def _lines(*parts: str) -> str:
    return "\n".join(part for part in parts if part)


def _decoded_size(data: str) -> int:
    """Return the bytes that base64 stands for. It may be wrapped in lines, and padded."""
    digits = len(data) - sum(data.count(other) for other in "=\r\n ")
    return digits * 3 // 4
