"""Pieces: whole bytes at an offset, cut at newlines, and refused if anything about them is wrong."""

import pytest

from breakglass.relay import piece
from breakglass.relay.piece import MAX_BYTES, NOTHING, START, BadPiece, Piece


@pytest.mark.parametrize(
    ("data", "sizes"),
    [
        (b"", []),
        (b"a\n", [2]),
        (b"a\n" * MAX_BYTES, [MAX_BYTES] * 2),
        (b"a" * (MAX_BYTES - 2) + b"\nbb\n", [MAX_BYTES - 1, 3]),
        (b"a" * (2 * MAX_BYTES) + b"\n", [MAX_BYTES, MAX_BYTES, 1]),
        (b"a" * MAX_BYTES + b"\nb\n", [MAX_BYTES, 3]),
    ],
)
def test_a_piece_ends_at_a_newline_unless_its_line_is_longer(data: bytes, sizes: list[int]) -> None:
    pieces = [*piece.divide(NOTHING, data)]
    assert [len(each.data) for each in pieces] == sizes
    assert b"".join(each.data for each in pieces) == data


def test_pieces_follow_each_other_and_come_back_from_their_headers() -> None:
    data = b"one\ntwo\n" + b"x" * MAX_BYTES + b"\n\xff\x00\n"
    pieces = [*piece.divide(NOTHING, data)]
    assert [piece.read(each.headers, each.data) for each in pieces] == pieces
    assert [each.offset for each in pieces] == [0, 8, 8 + MAX_BYTES]
    assert [each.line for each in pieces] == [0, 2, 2]
    assert pieces[1].previous == pieces[0].head.chain
    assert piece.read_head(pieces[-1].headers) == pieces[-1].head
    assert pieces[-1].head.line == 4


def test_a_log_that_is_another_one_begins_a_new_generation() -> None:
    (first,) = piece.divide(NOTHING, b"a\n")
    (other,) = piece.divide(piece.next_generation(first.head), b"b\n")
    assert (other.generation, other.offset, other.line, other.previous) == (2, 0, 0, START)


GOOD = Piece(1, 10, 3, "ab" * 32, b"x\ny\n")


@pytest.mark.parametrize(
    "wrong",
    [
        {"Bg-Offset": "-1"},
        {"Bg-Offset": "010"},
        {"Bg-Offset": "1e3"},
        {"Bg-Offset": "11"},
        {"Bg-Offset": "9" * 30},
        {"Bg-Bytes": "5"},
        {"Bg-Bytes": "0"},
        {"Bg-Bytes": str(MAX_BYTES + 1)},
        {"Bg-Lines": "1"},
        {"Bg-Generation": "0"},
        {"Bg-Chain": "cd" * 32},
        {"Bg-Previous": "../../etc/passwd"},
        {"Bg-Line": "\uff11"},
    ],
    ids=str,
)
def test_a_piece_with_a_wrong_header_is_refused(wrong: dict[str, str]) -> None:
    headers = GOOD.headers | wrong
    if wrong == {"Bg-Offset": "11"}:  # the offset is not in the chain; the copy finds it
        assert piece.read(headers, GOOD.data).offset == 11
        return
    with pytest.raises(BadPiece):
        piece.read(headers, GOOD.data)


@pytest.mark.parametrize("missing", [*piece.NUMBERS, *piece.CHAINS])
def test_a_piece_without_one_of_its_headers_is_refused(missing: str) -> None:
    with pytest.raises(BadPiece):
        piece.read({key: value for key, value in GOOD.headers.items() if key != missing}, GOOD.data)


def test_other_bytes_are_refused() -> None:
    with pytest.raises(BadPiece):
        piece.read(GOOD.headers, b"x\nz\n")
