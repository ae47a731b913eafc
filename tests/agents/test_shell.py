"""The shell agent: pieces of output, their limits, how a script ends; and scripts in real shells."""

import os
import shutil
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakglass import agents
from breakglass.agents import Exit, TurnInput, new_dialogue
from breakglass.agents.shell.dialogue import HEAD, PIECE, Dialogue
from breakglass.events import MAX_OUTPUT, Draft
from tests.agents.drafts import check, joined
from tests.help.waiting import DEADLINE

SHELLS = [name for name in ("sh", "bash", "dash", "busybox") if shutil.which(name)]


def begun(prompt: str = "ls", **given: Any) -> Dialogue:
    return Dialogue(TurnInput(prompt, ("bash",), turn=7, **given))


def ended(chunks: list[bytes], end: Exit) -> list[Draft]:
    """Return the events of a whole script, with the pieces of its output joined."""
    dialogue = begun()
    drafts = [draft for chunk in chunks for draft in dialogue.translate(chunk)] + dialogue.close(end)
    for draft in drafts:
        check(draft)
    return joined(drafts)


def test_the_tool_call_comes_before_any_output() -> None:
    [draft] = begun("make -k").begin()
    assert draft == ("tool", {"tool_id": "shell-7", "name": "shell", "input": {"command": "make -k"}})
    check(draft)


def test_the_script_is_all_that_is_written() -> None:
    dialogue: agents.Dialogue = begun("-x\r\necho é\ud83d\r\n")
    assert dialogue.open() == "-x\necho é?\n".encode()
    assert dialogue.finished
    assert (dialogue.reply(), dialogue.interrupt(), dialogue.answer("q", allow=True)) == (b"", b"", False)


def test_the_script_is_not_in_the_arguments() -> None:
    assert "secret" not in " ".join(begun("secret").argv)


@pytest.mark.parametrize(
    ("end", "is_error", "text", "failed"),
    [
        (Exit(0, duration_ms=12), False, "exit status 0", False),
        (Exit(3), True, "exit status 3", True),
        (Exit(137), True, "exit status 137, signal KILL", True),
        (Exit(255), True, "exit status 255", True),
        (Exit(-15), True, "ended by signal TERM", True),
        (Exit(-2, cancelled=True), True, "ended by signal INT", False),
    ],
)
def test_the_last_piece_and_the_result_say_how_the_script_ended(
    end: Exit, is_error: bool, text: str, failed: bool
) -> None:
    dialogue = begun()
    assert dialogue.close(end) == [
        ("tool_result", {"tool_id": "shell-7", "output": "", "is_error": is_error}),
        ("result", {"is_error": is_error, "result": text, "duration_ms": end.duration_ms}),
    ]
    assert dialogue.failed == failed
    assert not dialogue.start_over


@pytest.mark.parametrize(
    ("data", "output"),
    [
        (b"", ""),
        (b"plain\n", "plain\n"),
        ("é😀\u2028".encode(), "é😀\u2028"),
        (b"a\xff\xfeb\xe2\x82", "a��b�"),
        (b"\x00\x1b[31mred\r50%\r", "\x00\x1b[31mred\r50%\r"),
    ],
)
def test_output_is_decoded_wherever_the_bytes_are_cut(data: bytes, output: str) -> None:
    for chunks in ([data], [bytes([byte]) for byte in data]):
        [(_, fields), _] = ended(chunks, Exit(0))
        assert fields["output"] == output


def test_no_piece_is_larger_than_64_kib() -> None:
    drafts = begun().translate(b"x" * (3 * PIECE + 1))
    assert [len(fields["output"]) for _, fields in drafts] == [PIECE, PIECE, PIECE, 1]


def test_an_empty_read_or_half_a_character_gives_no_event() -> None:
    dialogue = begun()
    assert dialogue.translate(b"") == []
    assert dialogue.translate(b"\xf0\x9f") == []
    assert [fields["output"] for _, fields in dialogue.translate(b"\x98\x80")] == ["😀"]


def test_a_huge_output_keeps_its_start_and_end_and_counts_the_rest() -> None:
    size = 5 * MAX_OUTPUT
    data = (b"%07d\n" * (size // 8)) % tuple(range(size // 8))
    for step in (size, 100_001):
        [(_, fields), _] = ended([data[at : at + step] for at in range(0, size, step)], Exit(0))
        assert fields["output"].encode().startswith(data[:HEAD] + b"\n[breakglass:")
        assert fields["output"].encode().endswith(b"]\n" + data[-PIECE:])
        assert fields["truncated"] == size - HEAD - PIECE


def test_an_output_that_just_fits_is_kept_whole() -> None:
    data = b"\xc3\xa9" * (
        MAX_OUTPUT // 2
    )  # cut within a character where the head ends, if it ends at an odd byte
    [(_, fields), _] = ended([b"x", data[:-1]], Exit(0))
    assert "truncated" not in fields
    assert fields["output"].count("é") == MAX_OUTPUT // 2 - 1


@pytest.mark.parametrize("shift", range(4))
def test_no_half_character_is_shown_after_a_gap(shift: int) -> None:
    data = b"x" * shift + "😀".encode() * MAX_OUTPUT
    [(_, fields), _] = ended([data], Exit(0))
    note = fields["output"].index("\n[breakglass:")
    assert fields["output"][note:].count("\ufffd") == 0
    kept = len(fields["output"].replace("\ufffd", "").encode()) - len(_note(fields["output"]))
    assert len(data) - fields["truncated"] - kept in range(4)  # half a character at the end of the head


def _note(output: str) -> bytes:
    start = output.index("\n[breakglass:")
    return output[start : output.index("]\n", start) + 2].encode()


def test_a_huge_output_needs_little_memory() -> None:
    dialogue = begun()
    for _ in range(200):
        dialogue.translate(b"y\n" * (1 << 19))
    assert len(dialogue._tail) == PIECE


@given(st.lists(st.binary(max_size=300)), st.builds(Exit, st.integers(-80, 255), cancelled=st.booleans()))
def test_any_bytes_are_kept(chunks: list[bytes], end: Exit) -> None:
    [(_, fields), (kind, _)] = ended(chunks, end)
    assert fields["output"] == b"".join(chunks).decode(errors="replace")
    assert kind == "result"


# --- real shells ----------------------------------------------------------------------------------


def run(shell: str, prompt: str, *options: str, **environ: str) -> tuple[str, int]:
    """Return what the script `prompt` printed through `shell`, and its exit status."""
    program = shutil.which(shell) or shell
    command = (program, "sh") if shell == "busybox" else (program,)
    dialogue = new_dialogue("shell", TurnInput(prompt, (*command, *options)))
    done = subprocess.run(
        dialogue.argv,
        check=False,
        input=dialogue.open(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=DEADLINE,
        env={**os.environ, **environ},
    )
    drafts = dialogue.translate(done.stdout) + dialogue.close(Exit(done.returncode))
    return str(joined(drafts)[0][1]["output"]), done.returncode


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("script", "output", "status"),
    [
        ("echo one; echo two >&2; echo three", "one\ntwo\nthree\n", 0),
        ("if true; then\n  echo yes\nfi\n\n", "yes\n", 0),
        ("false", "", 1),
        ("exit 3", "", 3),
        ("cat; echo read", "read\n", 0),  # standard input is empty, not the rest of the script
        ("x=1; (exit 4)", "", 4),
        ("echo '$x' \"a b\" \\\\ `echo c`", "$x a b \\ c\n", 0),
        ("cat <<'EOF'\n$HOME\nEOF", "$HOME\n", 0),
        ("echo $0 $#", None, 0),
        ("kill -9 $$", "", -9),
        ("printf %s é", "é", 0),
        ("echo a\0b", "ab\n", 0),
        ("\n\n  printf '%s\\n' 'a\\\n  b\\t'  \n\n", "a\\\n  b\\t\n", 0),
        ("printf %s a\\", "a\\", 0),
    ],
)
def test_a_real_shell_runs_the_script(shell: str, script: str, output: str | None, status: int) -> None:
    printed, code = run(shell, script)
    assert code == status
    assert output is None or printed == output


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_that_begins_with_a_dash_is_no_option(shell: str) -> None:
    printed, status = run(shell, "-n echo hidden")
    assert status == 127
    assert "-n" in printed


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_larger_than_the_longest_argument_runs(shell: str) -> None:
    assert run(shell, ": " + "x" * (256 << 10) + "\necho done") == ("done\n", 0)


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
@pytest.mark.parametrize("shell", SHELLS)
def test_every_character_reaches_the_script(shell: str, locale: str) -> None:
    characters = "".join(map(chr, range(1, 0x900))).replace("\r\n", "") + "\u20ac\u2028\uffff😀"
    assert run(shell, f"cat <<'EOF'\n{characters}\nEOF", LC_ALL=locale) == (f"{characters}\n", 0)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_that_finds_no_program_runs_its_script_or_fails(shell: str) -> None:
    printed, status = run(shell, "echo rescued", PATH="/nonexistent")
    assert ("rescued" in printed) == (status == 0)


def test_bash_needs_no_program_to_read_its_script() -> None:
    assert run("bash", "echo rescued", PATH="/nonexistent") == ("rescued\n", 0)


def test_bash_reports_the_line_numbers_of_the_script() -> None:
    printed, _ = run("bash", "true\nno-such-command-here")
    assert "line 2: no-such-command-here" in printed


@pytest.mark.parametrize("shell", SHELLS)
def test_shell_options_and_variables_do_not_disturb_the_reading(shell: str) -> None:
    assert run(shell, "echo one; false; echo two", "-eu", script="echo three") == ("one\n", 1)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_with_a_syntax_error_fails_with_a_message(shell: str) -> None:
    printed, status = run(shell, "echo 'unclosed")
    assert status != 0
    assert printed
