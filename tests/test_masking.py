"""Known secrets are masked everywhere in an agent's events, even if they are split between events."""

import time
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breakglass.events import MAX_DEPTH, Draft, encode
from breakglass.masking import MASK, Fingerprint, Masker, fingerprints

TOKEN = "HslpQTWgAF7RcPbJ0PwJ_v-C3M9ZTVhAD_dq4TJ0EGU"
KEY = "sk-ant-0123456789"
PEM = f"-----BEGIN PRIVATE KEY-----\n{TOKEN[::-1]}\n{TOKEN.lower()}\n-----END PRIVATE KEY-----\n"


def masker() -> Masker:
    return Masker(fingerprints([TOKEN], {"ANTHROPIC_API_KEY": KEY, "TLS_KEY": PEM, "LANG": "not-a-secret"}))


def delta(text: str, **more: Any) -> Draft:
    return "delta", {"text": text, **more}


def joined(drafts: list[Draft]) -> str:
    return "".join(fields["text"] for _, fields in drafts)


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [
        *[
            (name, True)
            for name in ("OPENAI_API_KEY", "GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "db_password")
        ],
        *[(name, False) for name in ("PATH", "LANG", "HOME", "SSH_AUTH_SOCK")],
    ],
)
def test_the_name_of_a_variable_says_whether_it_is_secret(name: str, is_secret: bool) -> None:
    assert bool(fingerprints([], {name: "long enough to be one"})) is is_secret


def test_a_value_that_is_too_short_is_not_masked() -> None:
    assert fingerprints([], {"MAX_TOKENS": "32000"}) == ()


@pytest.mark.parametrize("secret", ["hunter2x", "hunter2xyza"])
def test_a_secret_below_12_characters_has_no_fingerprint_of_its_value(secret: str) -> None:
    found = fingerprints([], {"DB_PASSWORD": secret})
    assert {(each.head, each.size, each.digest, each.middle) for each in found} == {
        (f"DB_PASSWORD={quote}", len(f"DB_PASSWORD={quote}{secret}"), "", "") for quote in ("", "'", '"')
    }
    (long,) = fingerprints([], {"DB_PASSWORD": "hunter2xyzab"})
    assert (long.head, bool(long.digest)) == ("hun", True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PW_KEY=hunter2x", f"PW_KEY={MASK}"),
        ("PW_KEY=hunter2x\nLANG=C", f"PW_KEY={MASK}\nLANG=C"),
        ('declare -x PW_KEY="hunter2x"', f'declare -x PW_KEY="{MASK}"'),
        ("PW_KEY='hunter2x' PW_KEY=hunter2x", f"PW_KEY='{MASK}' PW_KEY={MASK}"),
        ("it is hunter2x", "it is hunter2x"),
        ("PW_KEY=$(cat file)", "PW_KEY=$(cat file)"),
        ("PW_KEY=abc\nLANG=C", "PW_KEY=abc\nLANG=C"),
    ],
)
def test_a_short_secret_is_masked_only_after_its_name(text: str, expected: str) -> None:
    made = Masker(fingerprints([], {"PW_KEY": "hunter2x"}))
    assert made.text(text) == expected
    for cut in range(len(text) if MASK in expected else 0):
        drafts = [*made.take([delta(text[:cut])]), *made.take([delta(text[cut:])]), *made.flush()]
        assert joined(drafts) == expected


def test_a_fingerprint_does_not_contain_the_secret() -> None:
    (found,) = fingerprints([TOKEN])
    assert isinstance(found, Fingerprint)
    assert TOKEN[4:] not in repr(found)


def test_a_secret_is_masked_at_any_place_in_a_draft() -> None:
    fields = {"input": {"command": f"echo {KEY}", "more": [{"a": TOKEN, KEY: 1}], "n": 1}, "tool_id": "t1"}
    assert masker().take([("tool", fields)]) == [
        (
            "tool",
            {"input": {"command": f"echo {MASK}", "more": [{"a": MASK, MASK: 1}], "n": 1}, "tool_id": "t1"},
        )
    ]


@pytest.mark.parametrize("depth", [MAX_DEPTH - 2, MAX_DEPTH - 1, MAX_DEPTH, 600, 100_000])
def test_no_event_contains_a_secret_at_any_depth_of_nesting(depth: int) -> None:
    value: Any = KEY
    for _ in range(depth):
        value = [value]
    ((kind, fields),) = masker().take([("tool", {"tool_id": "t", "name": "n", "input": {"a": value}})])
    line = encode(1, "2026-11-23T00:00:00.000Z", kind, {**fields, "turn": 1}).decode()
    assert KEY not in line
    assert MASK in line or "nested too deeply" in line


@pytest.mark.parametrize("around", ["{}", "{0}{0}", "sk-{}", "HslHsl{} Hs", "é{}\n{0}"])
def test_only_the_secrets_in_a_text_are_changed(around: str) -> None:
    for secret in (TOKEN, KEY, PEM):
        text = around.replace("{}", "{0}").format(secret)
        assert masker().text(text) == text.replace(secret, MASK)


def test_a_secret_that_contains_another_is_masked_completely() -> None:
    both = Masker(fingerprints([KEY, f"{KEY}-and-more"]))
    assert both.text(f"{KEY}-and-more {KEY}") == f"{MASK} {MASK}"


def test_half_a_surrogate_pair_before_a_secret_does_not_prevent_masking() -> None:
    assert masker().text(f"HslpQ possib\ud83d {'x' * 40} {TOKEN}") == f"HslpQ possib\ud83d {'x' * 40} {MASK}"


@pytest.mark.parametrize("odd", ["\udcff", "\x00", "é", "😀"])
def test_a_secret_of_odd_characters_is_masked(odd: str) -> None:
    secret = f"{odd}4711{odd}0815{odd}42"  # a byte in the environment that is not UTF-8 becomes U+DCxx
    assert Masker(fingerprints([], {"KEY": secret})).text(f"it is {secret}.") == f"it is {MASK}."


@given(st.lists(st.integers(0, 400), max_size=6), st.sampled_from([TOKEN, KEY, PEM]))
def test_a_secret_split_between_drafts_is_masked_and_no_other_text_is_changed(
    cuts: list[int], secret: str
) -> None:
    text = f"before sk- Hs -- {secret} sk-ant and ---{secret}----, H after Hsl"
    ends = sorted({0, len(text), *(cut % len(text) for cut in cuts)})
    made = masker()
    drafts = [one for a, b in pairwise(ends) for one in made.take([delta(text[a:b])])]
    assert joined([*drafts, *made.flush()]) == text.replace(secret, MASK)


def cost(secret: str, text: str) -> float:
    """Return the seconds of CPU time to search a text for one secret."""
    made, began = Masker(fingerprints([secret])), time.process_time()
    made.text(text)
    return time.process_time() - began


def test_the_search_for_a_long_secret_is_as_fast_as_for_a_short_one() -> None:
    dashes = "-" * (1 << 17)
    assert cost("---" + TOKEN * 1000, dashes) < 3 * cost("---" + TOKEN, dashes)


def test_the_cost_of_masking_grows_in_proportion_to_the_number_of_secrets() -> None:
    assert cost(KEY, f"{KEY}\n" * (1 << 16)) < 40 * cost(KEY, f"{KEY}\n" * (1 << 12))


def test_a_draft_that_is_held_back_comes_before_the_next_one() -> None:
    made = masker()
    assert made.take([delta("it is sk-ant")]) == []
    assert made.take([("tool", {"tool_id": "t"})]) == [delta("it is sk-ant"), ("tool", {"tool_id": "t"})]
    assert made.take([delta("a", parent="p"), delta("s")]) == [delta("a", parent="p")]
    assert made.flush() == [delta("s")]
    assert made.flush() == []


def test_a_tool_result_that_is_held_back_keeps_its_fields() -> None:
    made = masker()
    result = ("tool_result", {"tool_id": "t", "output": "ends in Hs", "is_error": True, "truncated": 5})
    assert made.take([result]) == []
    assert made.flush() == [result]


def test_no_draft_is_held_back_if_no_secret_is_known() -> None:
    drafts = [delta("sk-")]
    assert Masker([]).take(drafts) == drafts
