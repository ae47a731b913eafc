"""A replay shows each event after its pause, shortened by the speed, and never waits long."""

import pytest

from breakglass.cli.replay import MAX_PAUSE, parse_speed, show_past, with_pauses
from breakglass.cli.transcript import Transcript
from breakglass.errors import BadInput
from breakglass.events import Event
from breakglass.store import sessions
from tests.help.log_files import append_bytes
from tests.help.logs import line


def at(second: str) -> Event:
    return {"id": 1, "kind": "text", "ts": f"2026-11-23T01:02:{second}Z"}


def test_pauses_are_divided_by_the_speed_and_limited() -> None:
    events = [
        at("00.000"),
        at("04.000"),
        at("04.000"),
        at("59.000"),
        at("50.000"),
        {"id": 5, "kind": "foreign"},
    ]
    assert [pause for pause, _ in with_pauses(events, 4)] == [0, 1, 0, MAX_PAUSE, 0, 0]
    assert [pause for pause, _ in with_pauses([at("00.000"), {"kind": "x", "ts": 5}, at("01.000")], 2)] == [
        0,
        0,
        0.5,
    ]


@pytest.mark.parametrize("text", ["0", "-1", "", "fast", "nan", "inf", "1001", "٤"])
def test_a_speed_is_a_number_between_limits(text: str) -> None:
    assert parse_speed("4") == 4
    with pytest.raises(BadInput):
        parse_speed(text)


def test_the_past_from_a_line_on_is_shown_to_its_end(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    session = sessions.create(tmp_path_factory.mktemp("replay"), "shell")
    append_bytes(
        session.directory,
        line(2, "notice", text="two", parent=None) + line(3, "notice", text="three", parent=None),
    )
    slept: list[float] = []
    assert show_past(session, Transcript(), 3, 2.0, slept.append) == 0
    assert capsys.readouterr().out == "     3   three\n"
    assert show_past(session, Transcript(), 2, 2.0, slept.append) == 0
    assert capsys.readouterr().out == "     2   two\n     3   three\n"
    assert slept == []
