"""A mistake on the command line gives one line that says what to do, and the contract's exit status."""

import re
from pathlib import Path

import pytest

from breakglass.cli import arguments, commands, main
from breakglass.cli.command import Command
from breakglass.load_config import load_config
from tests.cli.program import Data

ONE_LINE = re.compile(rb"breakglass: [^\n]+\n")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "expected a command: serve, new"),
        (("atach",), "did you mean attach?"),
        (("--data", "x"), "expected a command: serve, new"),
        (("--data",), "expected a command: serve, new"),
        (("--port", "1", "ls"), "there is no command '--port'"),
        (("answer", "maybe"), "expected [ID] [allow|deny], got maybe"),
        (("ls", "--jsno"), "unrecognized arguments: --jsno; did you mean --json? See: breakglass ls --help"),
        (("ls", "--js"), "unrecognized arguments: --js"),
        (("ls", "3f2a"), "unrecognized arguments: 3f2a"),
        (("ls", "--", "3f2a"), "expected no words, got '3f2a'"),
        (("new", "--agent"), "expected one argument"),
        (("new", "--agent", "x"), "expected one of claude, shell, got 'x'"),
        (("new", "--model", "--version"), "expected one argument"),
        (("new", "--model=-x"), "--model: expected a model's name"),
        (("new", "--title", "x" * 201), "title: at most 200 characters, got 201"),
        (("new", "--title", b"\xff"), "--title: expected text in UTF-8"),
        (("send",), "expected [ID] PROMPT; put the prompt in quotes; see: breakglass send --help"),
        (("send", ""), "prompt: expected a text that is not empty"),
        (("send", " \n"), "prompt: expected a text that is not empty"),
        (("send", "-"), "prompt: expected a text that is not empty"),
        (("send", b"\xff"), "prompt: expected text in UTF-8"),
        (("send", "fix", "it"), "'fix' is not a session's id; put a prompt of several words in quotes"),
        (("send", "fix", "all", "of", "it"), "got 'fix' 'all' 'of' 'it'; put the prompt in quotes"),
        (("send", "", "it"), "'' is not a session's id"),
        (("send", "it", "--model", "a b"), "--model: expected a model's name"),
        (("send", "it", "--agent", "x"), "expected one of claude, shell, got 'x'"),
        (("attach", "--after", "-1"), "--after: expected a whole number, got '-1'"),
        (("attach", "--after", "1_0"), "--after: expected a whole number, got '1_0'"),
        (("attach", "--after", "٣"), "--after: expected a whole number"),
        (("attach", "--after", "9" * 19), "--after: expected a whole number"),
        (("cancel", "a", "b"), "expected [ID], got 'a' 'b'; see: breakglass cancel --help"),
        (
            ("rename",),
            "expected ID TITLE; put a title of several words in quotes; see: breakglass rename --help",
        ),
        (("rename", "3f2a"), "expected ID TITLE, got '3f2a'; put a title"),
        (("archive",), "expected ID; breakglass ls lists the ids"),
        (("token",), "expected show|rotate; breakglass token show prints the token"),
        (("token", "shwo"), "expected breakglass token show or breakglass token rotate, got 'shwo'"),
        (("serve", "--port", "http"), "--port: expected a whole number from 0 to 65535, got 'http'"),
        (("serve", "--workers", "0"), "--workers: expected 1 or more, got 0"),
        (("serve", "--workers", "two"), "--workers: expected a whole number, got 'two'"),
        (("ls", "--config", "absent.toml"), "absent.toml: could not be read"),
        (("ls", "--data", ""), "--data: expected a text that is not empty"),
    ],
)
def test_bad_usage_is_one_line_and_exit_2_and_changes_nothing(
    data: Data, words: tuple[str, ...], says: str
) -> None:
    done = data.run(*words)
    assert done.returncode == 2
    assert ONE_LINE.fullmatch(done.stderr)
    assert says in done.stderr.decode()
    assert done.stdout == b""
    assert not data.root.exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("attach",), "breakglass new"),
        (("cancel",), "breakglass new"),
        (("attach", "3f2a"), "there is no session '3f2a'"),
        (("cancel", "../../etc"), "there is no session '../../etc'"),
        (("send", "3f2a", "it"), "there is no session '3f2a'"),
    ],
)
def test_a_missing_session_is_one_line_and_exit_1(data: Data, words: tuple[str, ...], says: str) -> None:
    done = data.run(*words)
    assert done.returncode == 1
    assert ONE_LINE.fullmatch(done.stderr)
    assert says in done.stderr.decode()


def test_a_bad_setting_is_reported_with_what_was_expected(data: Data) -> None:
    done = data.run("ls", BREAKGLASS_PORT="eighty")
    assert done.returncode == 2
    assert (
        done.stderr == b"breakglass: BREAKGLASS_PORT: expected a whole number from 0 to 65535, got 'eighty'\n"
    )


def test_an_error_of_the_operating_system_is_one_line(data: Data) -> None:
    data.root.write_text("a file where the data should be")
    for words in (("new",), ("ls",), ("attach",)):
        done = data.run(*words)
        assert done.returncode == 1
        assert ONE_LINE.fullmatch(done.stderr)


def test_a_bug_is_reported_in_one_line(
    data: Data, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(commands, "command", lambda _: Command(lambda *_: 1 // 0, examples=""))
    assert main(["ls", "--data", str(data.root)]) == 1
    said = capsys.readouterr().err
    assert re.fullmatch(
        r"breakglass: a bug .* ZeroDivisionError: .* at test_usage.py:\d+ \(breakglass .*\)\n", said
    )


def test_an_error_message_cannot_contain_escape_sequences(data: Data) -> None:
    done = data.run("ls", "--config", "\x1b]0;title\x07\x1b[31m\nname")
    assert ONE_LINE.fullmatch(done.stderr)
    assert b"\x1b" not in done.stderr


def test_options_may_stand_before_between_or_after_the_words() -> None:
    for words in (["--after", "3", "3f2a", "--json"], ["3f2a", "--json", "--after", "3"]):
        args = arguments.parse("attach", words)
        assert (args.words, args.after, args.json) == (["3f2a"], 3, True)
    for words in (
        ["3f2a", "--wait", "it"],
        ["--wait", "3f2a", "it"],
        ["3f2a", "it", "--wait"],
        ["3f2a", "--wait", "--", "it"],
    ):
        args = arguments.parse("send", words)
        assert (args.words, args.wait) == (["3f2a", "it"], True)


def test_the_command_line_overrides_the_environment_and_the_environment_overrides_the_file(
    data: Data,
) -> None:
    file = data.folder / "settings.toml"
    file.write_text('data = "of-the-file"\n')
    data.ok("new", "--config", str(file), "--data", "of-the-option")
    data.ok("new", "--config", str(file))
    assert (data.folder / "of-the-option").is_dir()
    assert data.root.is_dir()
    loaded = load_config({}, str(file))
    assert loaded.data == Path("of-the-file")


@pytest.mark.parametrize("common", [("--data", "elsewhere"), ("--data=elsewhere",)])
def test_an_option_of_every_command_may_be_before_the_command(data: Data, common: tuple[str, ...]) -> None:
    session = data.ok(*common, "new").strip()
    assert session in data.ok("ls", "--json", *common)
    assert (data.root.parent / "elsewhere" / "sessions" / session).is_dir()


def test_help_and_version_are_words_too(data: Data) -> None:
    assert data.ok("help") == data.ok("--help")
    assert data.ok("help", "send") == data.ok("send", "--help")
    assert data.ok("version") == data.ok("--version")
