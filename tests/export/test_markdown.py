"""A session as Markdown: what was asked and done, in tables, and no text can change the document around it."""

from breakglass.events import Event
from breakglass.export import markdown, selected
from breakglass.masking import MASK, Masker, fingerprints
from tests.help.sample_session import history

SESSION = "5c1b0a63-1111-4111-8111-111111111111"


def rendered(events: list[Event]) -> str:
    return "".join(markdown.render(events, SESSION))


def session(prompt: str, *events: dict[str, object]) -> list[Event]:
    """Return a session with one turn. Each event is three seconds after the one before."""
    all_events: list[dict[str, object]] = [
        {
            "kind": "created",
            "schema": 1,
            "agent": "claude",
            "model": None,
            "title": "",
            "by": "a",
            "host": "db1",
        },
        {"kind": "user", "turn": 2, "text": prompt, "by": "ada"},
        *events,
        {"kind": "turn_end", "turn": 2, "status": "ok", "duration_ms": 61_000},
    ]
    return [
        {"id": number, "ts": f"2026-11-23T03:12:{number * 3:02d}.000Z", **event}
        for number, event in enumerate(all_events, 1)
    ]


def test_a_turn_has_its_prompt_its_calls_with_outcome_and_time_and_its_answer() -> None:
    text = rendered(
        session(
            "Free the disk",
            {"kind": "tool", "turn": 2, "tool_id": "t", "name": "Bash", "input": {"command": "df -h | tail"}},
            {"kind": "tool_result", "turn": 2, "tool_id": "t", "output": "full", "is_error": True},
            {"kind": "tool", "turn": 2, "tool_id": "u", "name": "Edit", "input": {"file_path": "/etc/fstab"}},
            {"kind": "text", "turn": 2, "text": "It is **full**."},
            {"kind": "result", "turn": 2, "is_error": False, "result": "", "duration_ms": 1, "cost_usd": 0.5},
        )
    )
    assert text.startswith("# Free the disk\n")
    assert "on db1, agent claude, began 2026-11-23 03:12 UTC. 1 turn, $0.50." in text
    assert "| 2026-11-23 03:12:06 | 2 | ada | Free the disk | ok | 1 min 1 s |" in text
    assert "| 2026-11-23 03:12:09 | 3 | Bash | `df -h \\| tail` | failed | 3.0 s |" in text
    assert "| 2026-11-23 03:12:15 | 5 | Edit | `/etc/fstab` | no result |  |" in text
    assert "## Files changed\n\n* `/etc/fstab`\n" in text
    assert "> It is **full**.\n" in text


def test_a_document_that_begins_within_a_turn_shows_its_rest() -> None:
    call = {"kind": "tool", "turn": 2, "tool_id": "t", "name": "Bash", "input": {"command": "df -h"}}
    done = {"kind": "tool_result", "turn": 2, "tool_id": "t", "output": "full", "is_error": False}
    text = rendered(session("Free the disk", call, done)[2:])
    assert "| 2026-11-23 03:12:09 | 2 |  | (before line 3) | ok | 1 min 1 s |" in text
    assert "| 2026-11-23 03:12:09 | 3 | Bash | `df -h` | ok | 3.0 s |" in text


def test_no_text_ends_its_cell_its_fence_or_its_code() -> None:
    text = rendered(
        session(
            "a | b\n```\n# not a heading\n<script>",
            {
                "kind": "tool",
                "turn": 2,
                "tool_id": "t",
                "name": "x|y",
                "input": {"command": "a `b` ``c`` | d"},
            },
            {"kind": "text", "turn": 2, "text": "one\n\n# two <b>"},
        )
    )
    assert "````text\na | b\n```\n# not a heading\n<script>\n````" in text
    assert "| x\\|y | ``` a `b` ``c`` \\| d ``` |" in text
    assert "> # two &lt;b>" in text
    headings = [line for line in text.split("\n") if line.startswith("#") and line != "# not a heading"]
    assert headings == ["# a \\| b \\`\\`\\` \\# not a heading \\<script\\>", "## Timeline", "## Turn 2: ok"]


def test_every_kind_of_event_and_none_gives_a_document() -> None:
    assert rendered(history()).count("\n## Turn ") == 4
    assert rendered([]).startswith(f"# {SESSION}\n")


def test_a_redacted_session_has_no_output_no_pieces_and_no_known_secret() -> None:
    secret = "s3cret-of-enough-characters"
    masker = Masker(fingerprints([secret]))
    events = session(
        f"use {secret}",
        {"kind": "delta", "turn": 2, "text": "piece"},
        {"kind": "tool_result", "turn": 2, "tool_id": "t", "output": "né" * 700, "is_error": False},
    )
    prompt, result = [*selected.redacted(events, masker)][1:3]
    assert prompt["text"] == f"use {MASK}"
    assert (result["id"], result["output"]) == (4, "[2 KB of output left out]")


def test_the_lines_of_a_document_can_be_chosen() -> None:
    events = session("a", {"kind": "notice", "turn": 2, "text": "b"})
    assert [event["id"] for event in selected.between(events, 2, 3)] == [2, 3]
    assert [event["id"] for event in selected.between(events, 3, None)] == [3, 4]
