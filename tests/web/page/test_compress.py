"""Pages and static files are compressed for clients that accept gzip, and have the same content without."""

import gzip
from pathlib import Path

import pytest

from breakglass.web.page import compress, render
from tests.help.servers import serving


@pytest.mark.parametrize(
    ("header", "accepted"),
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
def test_gzip_is_sent_to_clients_that_accept_it(header: str, accepted: bool) -> None:
    assert compress.accepts(header) == accepted


def test_compression_loses_nothing_and_always_gives_the_same_bytes() -> None:
    data = b"<li>line</li>" * 1000
    assert gzip.decompress(compress.compress(data)) == data
    assert compress.compress(data) == compress.compress(data)


def test_scripts_and_styles_are_served_without_comments_and_with_all_their_code(tmp_path: Path) -> None:
    script = """// About.
/** Doc
 * more. */
export const a = "// no comment"; // stays
  /* one line */
/* first */ const b = 1; /* last */
const c = "/*";
"""
    (tmp_path / "a.js").write_text(script)
    (tmp_path / "b.svg").write_text("// not a script\n")
    found = compress.files(tmp_path)
    assert found["a.js"].plain.decode().splitlines() == [
        'export const a = "// no comment"; // stays',
        "/* first */ const b = 1; /* last */",
        'const c = "/*";',
    ]
    assert found["b.svg"].plain == b"// not a script\n"
    for path in render.STATIC.glob("*.js"):
        assert b"`\n//" not in path.read_bytes(), "a text of several lines may look like a comment"


def test_every_static_file_and_page_is_served_plain_and_compressed(tmp_path: Path) -> None:
    with serving(tmp_path / "var") as server:
        paths = [f"{render.static_root()}/{path.name}" for path in render.STATIC.iterdir()]
        for path in [*paths, "/", "/login", "/sw.js", "/manifest.webmanifest", "/favicon.ico"]:
            status, plain, plain_headers = server.ask("GET", path)
            _, body, headers = server.ask("GET", path, headers={"Accept-Encoding": "gzip"})
            assert status == 200
            assert "content-encoding" not in plain_headers
            assert headers["content-type"] == plain_headers["content-type"]
            assert int(headers["content-length"]) == len(body)
            if not path.endswith(".png"):
                assert headers["content-encoding"] == "gzip"
                assert headers["vary"] == "Accept-Encoding"
                body = gzip.decompress(body)
            if path not in ("/", "/login"):  # these pages contain the current time
                assert body == plain
        status, _, _ = server.ask("GET", f"{render.static_root()}/../pages.py")
        assert status == 400
        status, _, _ = server.ask("GET", f"{render.static_root()}/pages.py")
        assert status == 404
