"""What goes out is packed for who takes it so, and the same bytes otherwise."""

import gzip
from pathlib import Path

import pytest

from breakglass.web.page import compress, render
from tests.help.servers import serving


@pytest.mark.parametrize(
    ("header", "takes"),
    [
        ("gzip", True),
        ("gzip, deflate, br, zstd", True),
        ("br;q=1.0, GZIP;q=0.8, *;q=0.1", True),
        ("deflate,gzip ; q=0.001", True),
        ("", False),
        ("identity", False),
        ("br, gzip;q=0", False),
        ("gzip;q=0.000, br", False),
        ("x-gzip-like", False),
    ],
)
def test_gzip_is_sent_to_who_takes_it(header: str, takes: bool) -> None:
    assert compress.accepts(header) == takes


def test_packing_loses_nothing_and_is_the_same_every_time() -> None:
    data = b"<li>line</li>" * 1000
    assert gzip.decompress(compress.pack(data)) == data
    assert compress.pack(data) == compress.pack(data)


def test_every_static_file_and_page_comes_plain_and_packed_alike(tmp_path: Path) -> None:
    with serving(tmp_path / "var") as server:
        paths = [f"{render.static_root()}/{path.name}" for path in render.STATIC.iterdir()]
        for path in [*paths, "/", "/login", "/sw.js", "/manifest.webmanifest", "/favicon.ico"]:
            status, plain, own = server.ask("GET", path)
            _, packed, headers = server.ask("GET", path, headers={"Accept-Encoding": "gzip"})
            assert status == 200
            assert "content-encoding" not in own
            assert headers["content-type"] == own["content-type"]
            assert int(headers["content-length"]) == len(packed)
            if not path.endswith(".png"):
                assert headers["content-encoding"] == "gzip"
                assert headers["vary"] == "Accept-Encoding"
                packed = gzip.decompress(packed)
            if path not in ("/", "/login"):  # a page says when it was made
                assert packed == plain
        status, _, _ = server.ask("GET", f"{render.static_root()}/../pages.py")
        assert status == 400
        status, _, _ = server.ask("GET", f"{render.static_root()}/pages.py")
        assert status == 404
