"""Frames: any line N of a log is sent with id N, and a browser reads exactly that line."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakglass import events
from breakglass.web import sse, stream
from tests.help.logs import line, log_of
from tests.help.sse_parser import Message, Parser, parse
from tests.test_events import FOREIGN

VALID = [
    line(number, "text", text=text)
    for number, text in enumerate(["a", "né", "\u2028\0\r\n", "", "😀" * 99], 5)
]


def frame_one_by_one(lines: bytes, first: int) -> bytes:
    """Return the frames of lines, each framed by itself. All lines framed together must give the same frames."""
    return b"".join(
        sse.frame(each + b"\n", number) for number, each in enumerate(lines.split(b"\n")[:-1], first)
    )


def test_our_lines_are_sent_unchanged() -> None:
    assert parse(sse.frame(b"".join(VALID), 5)) == [
        Message("message", raw[:-1].decode(), str(number)) for number, raw in enumerate(VALID, 5)
    ]


def test_a_frame_is_exactly_id_data_and_an_empty_line() -> None:
    raw = line(12, "delta", text="x")
    assert sse.frame(raw, 12) == b"id: 12\ndata: " + raw + b"\n"


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_lines_are_sent_as_foreign_events(name: str) -> None:
    (message,) = parse(sse.frame(FOREIGN[name] + b"\n", 4))
    assert message.last_event_id == "4"
    if message.data != FOREIGN[name].decode(errors="replace"):
        assert json.loads(message.data) == events.foreign(FOREIGN[name], 4)


@pytest.mark.parametrize(
    "name", ["CRLF", "a raw NUL", "bad utf-8", "the number of another line", "torn", "empty", "prose"]
)
def test_bytes_that_could_break_the_stream_are_never_sent_raw(name: str) -> None:
    (message,) = parse(sse.frame(FOREIGN[name] + b"\n", 4))
    assert json.loads(message.data)["kind"] == "foreign"


def test_a_padded_repair_line_is_sent_unchanged() -> None:
    raw = line(4, "repaired")[:-1] + b"   "
    (message,) = parse(sse.frame(raw + b"\n", 4))
    assert message.data == raw.decode()


def test_a_foreign_line_does_not_change_the_lines_around_it() -> None:
    log = log_of([("created", {}), b"hello\r", ("user", {}), line(3, "error")[:-1], ("text", {})])
    messages = parse(sse.frame(log, 1))
    assert [message.last_event_id for message in messages] == ["1", "2", "3", "4", "5"]
    kinds = [json.loads(message.data)["kind"] for message in messages]
    assert kinds == ["created", "foreign", "user", "foreign", "text"]


@given(
    st.lists(
        st.sampled_from([*VALID, line(7, "repaired")[:-1] + b"  \n"]) | st.binary(max_size=40), max_size=8
    ),
    st.integers(1, 10**12),
)
def test_framing_all_lines_at_once_equals_framing_one_by_one(drawn: list[bytes], first: int) -> None:
    lines = b"".join(raw.replace(b"\n", b"") + b"\n" for raw in drawn) or b"\n"
    framed = sse.frame(lines, first)
    assert framed == frame_one_by_one(lines, first)
    assert [message.last_event_id for message in parse(framed)] == [
        str(first + index) for index in range(lines.count(b"\n"))
    ]


@given(st.lists(st.sampled_from(VALID), min_size=1, max_size=6), st.integers(1, 10**12))
def test_framing_all_lines_at_once_checks_their_numbers(lines: list[bytes], first: int) -> None:
    for number, message in enumerate(parse(sse.frame(b"".join(lines), first)), first):
        assert json.loads(message.data)["id"] == number


@given(st.lists(st.text(), min_size=1, max_size=9), st.lists(st.integers(0, 2_000)))
def test_a_stream_that_arrives_in_pieces_parses_the_same(texts: list[str], cuts: list[int]) -> None:
    log = log_of([("text", {"text": text}) for text in texts])
    stream = sse.frame(log, 1) + sse.caught_up(len(texts)) + sse.KEEPALIVE + sse.RESET
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    parser = Parser()
    assert [m for begin, end in pairwise(places) for m in parser.feed(stream[begin:end])] == parse(stream)


def test_marks_have_no_id_and_keep_the_last_one() -> None:
    stream = sse.frame(line(5, "text"), 5) + sse.caught_up(5) + sse.KEEPALIVE + sse.RESET
    parser = Parser()
    assert [(m.type, m.data, m.last_event_id) for m in list(parser.feed(stream))[1:]] == [
        ("caught-up", '{"id":5}', "5"),
        ("reset", "{}", "5"),
    ]
    assert parser.comments == ["keepalive"]


# --- the parser itself, on the standard's own examples (section 9.2.6) --------------------------


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: YHOO\ndata: +2\ndata: 10\n\n", [("message", "YHOO\n+2\n10", "")]),
        (
            b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
            [
                ("message", "first event", "1"),
                ("message", "second event", ""),
                ("message", " third event", ""),
            ],
        ),
        (b"data\n\ndata\ndata\n\n", [("message", "", ""), ("message", "\n", "")]),
        (b"data:test\n\ndata: test\n\n", [("message", "test", ""), ("message", "test", "")]),
        (b"event: add\r\ndata: 73857293\r\n\r\n", [("add", "73857293", "")]),
        (b"\xef\xbb\xbfdata: a\r\rdata: b\n\n", [("message", "a", ""), ("message", "b", "")]),
        (b"id: a\0b\ndata: x\n\n", [("message", "x", "")]),
        (b"event: nothing\n\nid: 9\n\ndata: x\n\n", [("message", "x", "9")]),
    ],
)
def test_the_parser_follows_the_standard(stream: bytes, expected: list[tuple[str, str, str]]) -> None:
    assert parse(stream) == expected


@pytest.mark.parametrize("stream", [b"data: x\n", b"data: \xff\n\n", b"dato: x\n\n", b"{}\n\n"])
def test_the_parser_rejects_malformed_streams(stream: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse(stream)


@pytest.mark.parametrize(("keepalive", "tick"), [(20, 5), (6, 3), (5, 5), (11, 11 / 3), (0.2, 0.2)])
def test_a_keepalive_is_a_whole_number_of_ticks(keepalive: float, tick: float) -> None:
    assert stream.tick(keepalive) == tick
