"""The names and the types of files that users send."""

import pytest

from breakglass import uploads


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("panel.jpg", "panel.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ann\\panel.jpg", "panel.jpg"),
        ("..", "file"),
        ("", "file"),
        (".bashrc", "file.bashrc"),
        ("-rf", "rf"),
        ("a b;rm -rf $(x)`y`.png", "a_b_rm_-rf_x_y_.png"),
        ("Störung Nürnberg.png", "Störung_Nürnberg.png"),
        ("u\u0308ber.txt", "über.txt"),
        ("gpj.\u202eexe", "gpj._exe"),
        ("a\nb\0c\x1b[31m.log", "a_b_c_31m.log"),
        ("<img src=x onerror=1>.svg", "img_src_x_onerror_1_.svg"),
        ("archive.tar.gz", "archive.tar.gz"),
        ("\udcff.png", "file.png"),
        ("x" * 255, "x" * 100),
        ("x" * 251 + ".png", "x" * 96 + ".png"),
        ("ü" * 200 + ".png", "ü" * 48 + ".png"),
        ("a." + "b" * 250, "a." + "b" * 98),
    ],
)
def test_a_name_becomes_one_that_nothing_gives_a_meaning_to(given: str, stored: str) -> None:
    assert uploads.clean_name(given) == stored
    assert len(stored.encode()) <= 100


@pytest.mark.parametrize(
    ("name", "other"), [("panel.jpg", "panel-2.jpg"), ("core", "core-2"), ("a.tar.gz", "a.tar-2.gz")]
)
def test_a_name_that_is_taken_gets_a_number(name: str, other: str) -> None:
    assert uploads.numbered(name, 2) == other


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"\x89PNG\r\n\x1a\n....", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a=1;alert(1)", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\0\0\0\0WAVE", "application/octet-stream"),
        (b"\0\0\0\x18ftypheic", "image/heic"),
        (b"%PDF-1.7", "application/pdf"),
        (b"PK\x03\x04", "application/zip"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>", "text/plain"),
        (b"<!doctype html><script>1</script>", "text/plain"),
        (b"#!/bin/sh\n", "text/plain"),
        ("Störung\n".encode(), "text/plain"),
        (b"caf\xe9\n", "application/octet-stream"),
        (b"text with a NUL\0", "application/octet-stream"),
        (b"\x1b[31mred\x1b[0m\n", "text/plain"),
        (b"\xff\xd8", "application/octet-stream"),
        (b"a line\n\xe2\x82", "text/plain"),
    ],
)
def test_the_type_follows_from_the_first_bytes(data: bytes, found: str) -> None:
    assert uploads.media_type(data) == found


@pytest.mark.parametrize("path", ["", "/etc/passwd", "a//b", "../x", "a/../b", "./a", "a/", "a\0b", None, 5])
def test_a_path_out_of_the_workspace_is_none(path: object) -> None:
    assert not uploads.is_relative(path)


def test_an_agent_is_told_which_files_belong_to_the_prompt() -> None:
    files = (uploads.PromptFile("uploads/a.png", "image/png", 12), uploads.PromptFile("uploads/b", "", 0))
    assert uploads.listing(files) == (
        "\n\n[Files from the user, in your working directory:"
        "\n* uploads/a.png (image/png, 12 bytes)\n* uploads/b (it is not there any more)]"
    )
    assert uploads.listing(()) == ""
