"""What is typed wrong is answered with one line that says what to do, and the contract's exit status."""

import re
from pathlib import Path

import pytest

from breakglass.cli import arguments, commands, main
from breakglass.load_config import load_config
from tests.cli.program import Data

ONE_LINE = re.compile(rb"breakglass: [^\n]+\n")
CONTRACT = (Path(__file__).parents[2] / "docs" / "contract.md").read_text()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "expected a command: serve, new"),
        (("atach",), "did you mean attach?"),
        (("--data", "x", "ls"), "there is no command '--data'"),
        (("ls", "--jsno"), "unrecognized arguments: --jsno; see: breakglass ls --help"),
        (("ls", "--js"), "unrecognized arguments: --js"),
        (("ls", "3f2a"), "unrecognized arguments: 3f2a"),
        (("ls", "--", "3f2a"), "expected no words, got '3f2a'"),
        (("new", "--agent"), "expected one argument"),
        (("new", "--agent", "nobody"), "expected one of claude, shell, got 'nobody'"),
        (("new", "--model", "--version"), "expected one argument"),
        (("new", "--model=-x"), "--model: expected a model's name"),
        (("new", "--title", "x" * 201), "title: at most 200 characters, got 201"),
        (("new", "--title", b"\xff"), "--title: expected text in UTF-8"),
        (("send",), "expected [ID] PROMPT; see: breakglass send --help"),
        (("send", ""), "prompt: expected a text that is not empty"),
        (("send", " \n"), "prompt: expected a text that is not empty"),
        (("send", "-"), "prompt: expected a text that is not empty"),
        (("send", b"\xff"), "prompt: expected text in UTF-8"),
        (("send", "fix", "it"), "'fix' is no session's id; put a prompt of several words in quotes"),
        (("send", "fix", "all", "of", "it"), "got 'fix' 'all' 'of' 'it'; put the prompt in quotes"),
        (("send", "", "it"), "'' is no session's id"),
        (("send", "3f2a", "it", "--agent", "shell"), "leave out the id, or them"),
        (("send", "it", "--model", "a b"), "--model: expected a model's name"),
        (("send", "it", "--agent", "nobody"), "expected one of claude, shell, got 'nobody'"),
        (("attach", "--after", "-1"), "--after: expected a whole number, got '-1'"),
        (("attach", "--after", "1_0"), "--after: expected a whole number, got '1_0'"),
        (("attach", "--after", "٣"), "--after: expected a whole number"),
        (("attach", "--after", "9" * 19), "--after: expected a whole number"),
        (("cancel", "a", "b"), "expected [ID], got 'a' 'b'; see: breakglass cancel --help"),
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
        (("attach",), "; make one with: breakglass new"),
        (("cancel",), "; make one with: breakglass new"),
        (("attach", "3f2a"), "there is no session '3f2a'"),
        (("cancel", "../../etc"), "there is no session '../../etc'"),
        (("send", "3f2a", "it"), "there is no session '3f2a'"),
    ],
)
def test_what_is_not_there_is_one_line_and_exit_1(data: Data, words: tuple[str, ...], says: str) -> None:
    done = data.run(*words)
    assert done.returncode == 1
    assert ONE_LINE.fullmatch(done.stderr)
    assert says in done.stderr.decode()


def test_a_setting_that_is_wrong_is_named_with_what_was_expected(data: Data) -> None:
    done = data.run("ls", BREAKGLASS_PORT="eighty")
    assert done.returncode == 2
    assert (
        done.stderr == b"breakglass: BREAKGLASS_PORT: expected a whole number from 0 to 65535, got 'eighty'\n"
    )


def test_an_error_of_the_system_is_one_line(data: Data) -> None:
    data.root.write_text("a file where the data should be")
    for words in (("new",), ("ls",), ("attach",)):
        done = data.run(*words)
        assert done.returncode == 1
        assert ONE_LINE.fullmatch(done.stderr)


def test_a_mistake_of_ours_is_one_line_too(
    data: Data, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(commands.RUN, "ls", lambda *_: 1 // 0)
    assert main(["ls", "--data", str(data.root)]) == 1
    said = capsys.readouterr().err
    assert re.fullmatch(
        r"breakglass: a mistake .* ZeroDivisionError: .* at test_usage.py:\d+ \(breakglass .*\)\n", said
    )


def test_an_error_message_cannot_steer_the_terminal(data: Data) -> None:
    done = data.run("ls", "--config", "\x1b]0;title\x07\x1b[31m\nname")
    assert ONE_LINE.fullmatch(done.stderr)
    assert b"\x1b" not in done.stderr


# --- help ---------------------------------------------------------------------------------------


def test_every_command_of_the_contract_is_there_and_no_other() -> None:
    assert set(re.findall(r"^\| `breakglass (\w+)", CONTRACT, re.MULTILINE)) == arguments.COMMANDS.keys()
    assert arguments.COMMANDS.keys() == commands.RUN.keys()


def test_help_teaches_commands_exit_statuses_and_settings(data: Data) -> None:
    text = data.ok("--help")
    assert text == data.ok("-h")
    for name, command in arguments.COMMANDS.items():
        assert f"  {name:<8} {command.summary}" in text
    for status in ("0 ok", "1 something", "2 bad usage", "3 a turn is running", "130"):
        assert status in text
    for setting in re.findall(r"BREAKGLASS_\w+", CONTRACT):
        assert setting in text


@pytest.mark.parametrize("name", arguments.COMMANDS)
def test_help_of_a_command_has_its_options_and_examples(data: Data, name: str) -> None:
    text = data.ok(name, "--help")
    rows = re.findall(rf"^\| `breakglass {name}\b.*", CONTRACT, re.MULTILINE)
    assert rows
    for option in re.findall(r"--[a-z-]+", "".join(rows)):
        assert option in text
    assert "examples:" in text
    assert max(map(len, text.splitlines())) <= 120


def test_version_is_the_packages(data: Data) -> None:
    assert data.ok("--version") == "breakglass 0.1.0\n"


def test_options_stand_before_between_or_after_the_words(data: Data) -> None:
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


def test_the_command_line_overrides_the_environment_and_that_the_file(data: Data) -> None:
    file = data.folder / "settings.toml"
    file.write_text('data = "of-the-file"\n')
    data.ok("new", "--config", str(file), "--data", "of-the-option")
    data.ok("new", "--config", str(file))
    assert (data.folder / "of-the-option").is_dir()
    assert data.root.is_dir()
    loaded = load_config({}, str(file))
    assert loaded.data == Path("of-the-file")
