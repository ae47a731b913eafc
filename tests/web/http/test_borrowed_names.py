"""The private functions of hypercorn, h11 and quart that web/http overrides, calls or depends on, with digests.

A renamed private function fails silently: nothing calls the override any more, and a defence is lost. So a new
version of a dependency that changes such a function fails here. Then read the named file again, and put the
digest of the new version into the table.
"""

import ast
import hashlib
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from importlib.metadata import version
from types import FunctionType
from typing import Any

import pytest

import breakglass.web.http

READ = {
    "http1.py": {
        "h11._receivebuffer:ReceiveBuffer.__init__": "e12e530df7b8d32a",
        "h11._receivebuffer:ReceiveBuffer.maybe_extract_lines": "435e54e6db463e31",
        "h11._readers:maybe_read_from_IDLE_client": "b0ae12d92b2c4db9",
        "h11._connection:Connection.__init__": "d7d7aae703ba016a",
        "h11._connection:Connection.receive_data": "e0cf0ded695452eb",
        "h11._connection:Connection.next_event": "7d3288bcc261c49c",
        "h11._connection:Connection._extract_next_receive_event": "c0fc7051975f7a5b",
        "hypercorn.protocol.h11:H11Protocol.__init__": "c7c989fd6a352626",
        "hypercorn.protocol.h11:H11Protocol._check_protocol": "f95f6b38f43c62aa",
        "hypercorn.protocol.h11:H11Protocol._create_stream": "a2338a57ab343908",
        "hypercorn.protocol.h11:H11Protocol._handle_events": "bd4a76b2837e8722",
        "hypercorn.protocol.h11:H11Protocol._send_error_response": "58c2b47ae295d000",
        "hypercorn.protocol.h11:H11Protocol._send_h11_event": "5e40283daa303ec7",
    },
    "http2.py": {
        "hypercorn.protocol.h2:StreamBuffer.__init__": "d6c8c726e2c0cf88",
        "hypercorn.protocol.h2:StreamBuffer.close": "f6a32abdf98270c5",
        "hypercorn.protocol.h2:StreamBuffer.complete": "ae24c791d8a0aa7f",
        "hypercorn.protocol.h2:StreamBuffer.set_complete": "2f03411ed03fa4c0",
        "hypercorn.protocol.h2:StreamBuffer.push": "4ca8ee7b0fec5200",
        "hypercorn.protocol.h2:StreamBuffer.pop": "9eb73c8833891346",
        "hypercorn.protocol.h2:StreamBuffer.drain": "48e7a2a9a7be2b77",
        "hypercorn.protocol.h2:H2Protocol.__init__": "d577a96e2eb647a4",
        "hypercorn.protocol.h2:H2Protocol.handle": "c67e89eb79af9032",
        "hypercorn.protocol.h2:H2Protocol.stream_send": "d8fc824e2770ba5c",
        "hypercorn.protocol.h2:H2Protocol.send_task": "3f55a53766403935",
        "hypercorn.protocol.h2:H2Protocol._send_data": "a89ce4286f369820",
        "hypercorn.protocol.h2:H2Protocol._create_stream": "91eb123ddf247ede",
        "hypercorn.protocol.h2:H2Protocol._close_stream": "a292549791640b65",
        "hypercorn.protocol.h2:H2Protocol._flush": "1a771e85178d124c",
        "hypercorn.protocol.h2:H2Protocol._handle_events": "3378aef0a2348f0d",
    },
    "server.py": {
        "hypercorn.asyncio.tcp_server:TCPServer.__init__": "95a6f196b96bfa92",
        "hypercorn.asyncio.tcp_server:TCPServer.__await__": "49cacc7974a613d6",
        "hypercorn.asyncio.tcp_server:TCPServer.run": "9437d01a916d887b",
        "hypercorn.asyncio.tcp_server:TCPServer.protocol_send": "06144915fc094c1b",
        "hypercorn.asyncio.tcp_server:TCPServer._read_data": "8e7ad8f4bfca2fd2",
        "hypercorn.asyncio.tcp_server:TCPServer._close": "ea76225e14315206",
        "hypercorn.asyncio.tcp_server:TCPServer._initiate_server_close": "b133876f0613af93",
        "hypercorn.asyncio.tcp_server:TCPServer._idle_timeout": "cb99af7fa2cfa051",
    },
    "attached.py": {
        "quart.asgi:ASGIHTTPConnection.__init__": "b79099dc242bc7ef",
        "quart.asgi:ASGIHTTPConnection.__call__": "ebafa58faeb172a4",
        "quart.asgi:ASGIHTTPConnection.handle_messages": "c69dd49dbf636109",
        "quart.asgi:ASGIHTTPConnection.handle_request": "74515924391f2af4",
        "quart.asgi:ASGIHTTPConnection._send_response": "2958216ed9d8d2eb",
        "quart.app:Quart.asgi_app": "c122757e638bc434",
        "quart.wrappers.response:Response.__init__": "63e7a1384a2b76ef",
    },
}
"""File of web/http, to the functions whose source was read for it, to the first 16 digits of its SHA-256."""

ROWS = [(file, name, digest) for file, names in READ.items() for name, digest in names.items()]
PACKAGES = ("hypercorn", "h11", "h2", "quart")


def function_named(name: str) -> FunctionType:
    """Return the function or the property's getter at `module:Class.function`."""
    module, _, path = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        found = inspect.getattr_static(found, part)
    getter = found.fget if isinstance(found, property) else found
    assert isinstance(getter, FunctionType)
    return getter


def own_classes() -> Iterator[tuple[str, type, list[type]]]:
    """Yield file, class and foreign bases of each class in web/http that derives from a dependency's class."""
    for found in pkgutil.iter_modules(breakglass.web.http.__path__):
        module = importlib.import_module(f"breakglass.web.http.{found.name}")
        for own in vars(module).values():
            if inspect.isclass(own) and own.__module__ == module.__name__:
                bases = [base for base in own.__mro__ if base.__module__.split(".")[0] in PACKAGES]
                if bases:
                    yield f"{found.name}.py", own, bases


def borrowed(own: type, bases: list[type]) -> set[str]:
    """Return the bases' functions that a class overrides, and their private functions that it calls."""
    private = {
        node.attr
        for node in ast.walk(ast.parse(inspect.getsource(own)))
        if isinstance(node, ast.Attribute) and node.attr.startswith("_")
    }
    return {
        f"{base.__module__}:{base.__qualname__}.{name}"
        for base in bases
        for name in vars(own).keys() | private
        if isinstance(vars(base).get(name), FunctionType)
    }


@pytest.mark.parametrize(("file", "name", "digest"), ROWS, ids=[name for _, name, _ in ROWS])
def test_a_function_that_was_read_is_unchanged(file: str, name: str, digest: str) -> None:
    package, function = name.split(".")[0].split(":")[0], name.partition(":")[2]
    now = hashlib.sha256(inspect.getsource(function_named(name)).encode()).hexdigest()[:16]
    assert now == digest, (
        f"{package}'s {function} changed: read web/http/{file} again. Its digest in {version(package)} is {now}."
    )


def test_every_overridden_or_called_private_function_is_in_the_table() -> None:
    found = {(file, name) for file, own, bases in own_classes() for name in borrowed(own, bases)}
    assert len(found) > 20
    assert sorted(found - {(file, name) for file, name, _ in ROWS}) == []


def test_a_private_attribute_that_is_used_belongs_to_a_class_that_was_read() -> None:
    """An attribute has no source of its own. It must occur in a function of the table, or be ours."""
    sources = "".join(inspect.getsource(function_named(name)) for _, name, _ in ROWS)
    for file, own, _ in own_classes():
        tree = ast.parse(inspect.getsource(own))
        used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        ours = vars(own).keys() | {
            node.attr
            for function in ast.walk(tree)
            if isinstance(function, ast.FunctionDef) and function.name == "__init__"
            for node in ast.walk(function)
            if isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and isinstance(node.value, ast.Name)
        }
        foreign = {name for name in used - ours if name.startswith("_") and not name.startswith("__")}
        assert {name for name in foreign if name not in sources} == set(), file


def test_a_changed_function_is_found_and_named() -> None:
    with pytest.raises(AssertionError, match=r"h11's Connection.next_event changed: read web/http/http1.py"):
        test_a_function_that_was_read_is_unchanged("http1.py", "h11._connection:Connection.next_event", "")
