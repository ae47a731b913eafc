"""`breakglass export` writes a session as HTML, Markdown or an archive whose log is the log, byte for byte."""

import base64
import hashlib
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import Data
from tests.help.html_check import check_html
from tests.help.logs import line
from tests.help.sample_session import history

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(40))


@pytest.fixture
def sample(data: Data) -> str:
    """A session whose log has every kind of event."""
    session = data.new()
    with data.log(session).open("wb") as log:
        for event in history():
            text = event["text"] if event["kind"] == "foreign" else json.dumps(event, separators=(",", ":"))
            log.write(text.encode() + b"\n")
    return session


def test_html_is_one_inert_file_with_a_line_for_each_event(data: Data, sample: str) -> None:
    html = data.ok("export", sample, "--html")
    assert check_html(html).found == ["meta http-equiv", "<style>"]  # its own policy and styles
    style = html.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:"
    assert f'<meta http-equiv="Content-Security-Policy" content="{policy}">' in html
    assert not any(
        word in html for word in ("<script", "<link", "<form", "<button", "url(", 'http-equiv="refresh')
    )
    shown = [event["id"] for event in history() if event["kind"] != "delta"]
    assert [number for number in shown if f'id="e{number}"' not in html] == []


def test_lines_are_chosen_and_output_is_left_out(data: Data, sample: str) -> None:
    html = data.ok("export", sample, "--html", "--from", "10", "--to", "20", "--redact")
    assert 'id="e10"' in html
    assert 'id="e20"' in html
    assert 'id="e9"' not in html
    assert 'id="e21"' not in html
    assert "of output left out" in html


def test_a_bundle_has_the_log_byte_for_byte_and_the_sums_of_its_files(data: Data, tmp_path: Path) -> None:
    session = data.new()
    (tmp_path / "panel 1.png").write_bytes(PNG)
    data.ok("send", session, "echo hello", "--wait", "--file", str(tmp_path / "panel 1.png"))
    target = tmp_path / "bundle.tar.gz"
    assert data.ok("export", session, "--bundle", "-o", str(target)) == ""
    with tarfile.open(fileobj=io.BytesIO(target.read_bytes())) as archive:
        files = {Path(name).name: archive.extractfile(name) for name in archive.getnames()}
        content = {name: file.read() for name, file in files.items() if file}
    assert {*content} == {"events.jsonl", "session.html", "seal", "SHA256SUMS", "panel_1.png"}
    assert content["panel_1.png"] == PNG
    picture = f'<img src="data:image/png;base64,{base64.b64encode(PNG).decode()}"'
    assert picture in content["session.html"].decode()
    assert "<img" not in data.ok("export", session, "--html", "--redact")
    assert content["events.jsonl"] == data.log(session).read_bytes()
    seal = data.json("ls")[0]["seal"]
    assert content["seal"].decode() == f"{seal['lines']}:{seal['sha256']}\n"
    for each in content["SHA256SUMS"].decode().splitlines():
        digest, name = each.split("  ")
        assert hashlib.sha256(content[Path(name).name]).hexdigest() == digest


def test_a_log_from_anywhere_is_exported_and_a_wrong_use_writes_no_file(
    data: Data, sample: str, tmp_path: Path
) -> None:
    copied = tmp_path / "copy.jsonl"
    copied.write_bytes(data.log(sample).read_bytes())
    assert "disk full on db1" in data.ok("export", "--file", str(copied), "--md")
    target = str(tmp_path / "out")
    for words in (
        [],
        ["--html", "--md"],
        ["--bundle", "--redact"],
        ["--html", "--from", "5", "--to", "4"],
        ["--html", "--file", str(copied), sample],
        ["--html", "--from", "x"],
    ):
        assert data.run("export", *words, "-o", target).returncode == 2, words
    assert data.run("export", "--file", str(tmp_path / "none"), "--html", "-o", target).returncode == 1
    assert data.run("export", "ffff", "--html", "-o", target).returncode == 1
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("out")] == []


def test_an_error_names_the_file_that_was_asked_for(data: Data, sample: str, tmp_path: Path) -> None:
    for target, reason in (
        (f"{tmp_path}/", f"-o {tmp_path}/ is a directory; name a file in it"),
        (str(tmp_path), f"-o {tmp_path} is a directory; name a file in it"),
        (f"{tmp_path}/none/out", f"{tmp_path}/none/out: No such file or directory"),
    ):
        done = data.run("export", sample, "--md", "-o", target)
        assert done.stderr.decode() == f"breakglass: {reason}\n"
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


def test_what_is_no_log_is_refused_and_writes_no_file(data: Data, tmp_path: Path) -> None:
    text, empty, pipe, target = (tmp_path / name for name in ("text", "empty", "pipe", "out"))
    text.write_text("root:x:0:0:root:/root:/bin/bash\n{}\n")
    empty.touch()
    os.mkfifo(pipe)
    for path, reason in (
        (text, "has no event of Breakglass, so it is no log"),
        (empty, "has no whole line, so it is no log"),
        (pipe, "is no file, so it is no log"),
        (tmp_path, "is no file, so it is no log"),
    ):
        done = data.run("export", "--file", str(path), "--md", "-o", str(target))
        assert (done.returncode, done.stderr.decode()) == (2, f"breakglass: {path} {reason}\n")
        assert not target.exists()


def test_formats_for_tools_have_the_chosen_lines_and_no_secret(
    data: Data, sample: str, tmp_path: Path
) -> None:
    copied = tmp_path / "copy.jsonl"
    copied.write_bytes(data.log(sample).read_bytes().replace(b"What fills", b"s3cret-value-of-this-machine"))
    words = ["--file", str(copied), "--from", "2", "--to", "20"]
    known = "s3cret-value-of-this-machine"
    (resource,) = json.loads(data.ok("export", "--otlp", "--redact", *words, ANTHROPIC_API_KEY=known))[
        "resourceSpans"
    ]
    spans = resource["scopeSpans"][0]["spans"]
    assert [span["name"] for span in spans[:2]] == ["invoke_agent claude", "execute_tool Bash"]
    text = data.ok("export", "--atif", "--redact", *words, ANTHROPIC_API_KEY=known)
    assert "s3cret" not in text + json.dumps(spans)
    trajectory = json.loads(text)
    assert (trajectory["session_id"], trajectory["steps"][0]["extra"]) == ("copy.jsonl", {"line": 2})
    assert trajectory["steps"][-1]["extra"]["line"] <= 20
    assert "of output left out]" in text


def test_a_redacted_document_has_no_secret_in_its_title_and_not_a_part_of_one(data: Data) -> None:
    known = "s3cret-value-of-this-machine"
    prompted, titled = data.new(), data.new("--title", f"down {known}")
    for session, prompt in ((prompted, "x" * 190 + known), (titled, "echo hello")):
        with data.log(session).open("ab") as log:
            log.write(line(2, "user", text=prompt) + line(3, "turn_end"))
        html = data.ok("export", session, "--html", "--redact", ANTHROPIC_API_KEY=known)
        assert "s3cret" not in html
        assert "<title>" in html
        assert "s3cret" in data.ok("export", session, "--html", ANTHROPIC_API_KEY=known)


def test_a_part_has_the_title_of_its_session_whatever_files_its_lines_name(data: Data) -> None:
    session = data.new()
    odd: tuple[dict[str, Any], ...] = (
        {"type": "image/png"},
        {"type": ["a"], "path": "x"},
        {"type": "image/png", "path": 7},
    )
    with data.log(session).open("ab") as log:
        log.write(line(2, "user", text="why is it slow") + line(3, "turn_end"))
        log.writelines(line(number, "file", **fields) for number, fields in enumerate(odd, 4))
    assert "<title>why is it slow" in data.ok("export", session, "--html", "--from", "3")


def test_a_file_that_another_user_put_beside_the_target_gets_nothing(data: Data, sample: str) -> None:
    """In a shared directory another user makes the file first, keeps it open, and reads what is written."""
    target, planted = data.folder / "out.md", data.folder / "out.md.partial"
    planted.touch(0o666)
    victim = data.folder / "victim"
    victim.write_text("mine")
    target.symlink_to(victim)
    data.ok("export", sample, "--md", "-o", str(target))
    assert (planted.read_text(), victim.read_text()) == ("", "mine")
    assert target.read_text().startswith("# ")
    assert not target.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o600
    assert sorted(each.name for each in data.folder.glob("*partial*")) == ["out.md.partial"]


def test_a_device_or_a_named_pipe_is_written_to_and_not_replaced(data: Data, sample: str) -> None:
    pipe, link = data.folder / "pipe", data.folder / "link"
    os.mkfifo(pipe)
    link.symlink_to("/dev/null")
    reader = os.open(pipe, os.O_RDWR)  # so that the pipe holds what is written
    try:
        data.ok("export", sample, "--md", "--to", "1", "-o", str(pipe))
        assert os.read(reader, 1 << 16).startswith(b"# ")
    finally:
        os.close(reader)
    data.ok("export", sample, "--md", "-o", str(link))
    assert (pipe.is_fifo(), link.is_char_device()) == (True, True)
    assert data.ok("export", sample, "--md", "-o", "/dev/stdout").startswith("# ")
