"""The values of a call arrive exactly as they are, as one argument each, or they are refused."""

from typing import Any

import pytest

from breakglass.actions import Action, Param
from breakglass.errors import BadInput
from tests.help.hostile_values import EXACT, OPTIONS, REFUSED

ANY_TEXT = Param("value", "text", pattern="(?s).*")
TARGETS = ("pve1", "db1")


def action(*command: str, **params: Param) -> Action:
    return Action("probe", command, "reads", params=params)


def run(made: Action, **values: Any) -> tuple[str, ...]:
    return made.arguments(made.read_values(values, TARGETS))


def test_the_tables_have_enough_values() -> None:
    assert len({*EXACT, *OPTIONS, *REFUSED}) >= 100


@pytest.mark.parametrize("value", [*EXACT, *OPTIONS], ids=ascii)
def test_a_value_arrives_as_one_exact_argument(value: str) -> None:
    made = action("show", "--", "{value}", "[{value}]", "{ value }", value=ANY_TEXT)
    assert run(made, value=value) == ("show", "--", value, f"[{value}]", "{ value }")


@pytest.mark.parametrize("value", OPTIONS, ids=ascii)
def test_a_value_does_not_become_an_option(value: str) -> None:
    with pytest.raises(BadInput, match="would be an option of show"):
        run(action("show", "{value}.service", value=ANY_TEXT), value=value)
    assert run(action("show", "--unit={value}", value=ANY_TEXT), value=value) == ("show", f"--unit={value}")


@pytest.mark.parametrize("value", REFUSED, ids=lambda value: ascii(value)[:20])
def test_a_value_that_no_argument_can_hold_is_refused(value: str) -> None:
    with pytest.raises(BadInput, match=r"^value: "):
        run(action("show", "--", "{value}", value=ANY_TEXT), value=value)


def test_a_value_with_a_placeholder_is_not_replaced_again() -> None:
    made = action("show", "--", "{value}{other}", value=ANY_TEXT, other=Param("other", "text", pattern=".*"))
    assert run(made, value="{other}", other="{value}") == ("show", "--", "{other}{value}")


@pytest.mark.parametrize(
    "value", ["nginx\n", "nginx\n; id", "\nnginx", "nginx ", "NGINX", "", "nginx;id", "é"]
)
def test_the_pattern_matches_the_whole_text(value: str) -> None:
    with pytest.raises(BadInput, match=r"unit: expected a text that \^\[a-z\]\+\$ matches as a whole"):
        run(action("show", "--", "{unit}", unit=Param("unit", "text", pattern="^[a-z]+$")), unit=value)


NUMBERS: list[object] = [
    *(
        "",
        " 1",
        "1 ",
        "1\n",
        "+1",
        "01",
        "-0",
        "1.0",
        "1e3",
        "0x1",
        "1_000",
        "\u0661",
        "\uff11",
        "--1",
        "10",
        "-3",
        "nan",
    ),
    *(10, -3, 1.0, True, None, [1], {"a": 1}, 1 << 70, "9" * 5000),
]


@pytest.mark.parametrize("value", NUMBERS, ids=lambda value: ascii(value)[:20])
def test_what_is_no_whole_number_within_the_limits_is_refused(value: object) -> None:
    made = action("show", "--", "{n}", n=Param("n", "int", min=-2, max=9))
    with pytest.raises(BadInput, match="n: expected a whole number from -2 to 9"):
        run(made, n=value)


def test_a_whole_number_may_be_a_number_or_its_text() -> None:
    made = action("show", "--", "{n}", n=Param("n", "int", min=-2, max=9))
    assert made.read_values({"n": 9}, ()) == made.read_values({"n": "9"}, ()) == {"n": 9}
    assert run(made, n="-2") == ("show", "--", "-2")


@pytest.mark.parametrize("value", ["", "stop ", "STOP", "stop;id", "stop,start", 1, None, ["stop"]])
def test_only_a_choice_is_accepted(value: object) -> None:
    made = action("show", "{verb}=1", verb=Param("verb", "choice", choices=("start", "stop")))
    with pytest.raises(BadInput, match="verb: expected"):
        run(made, verb=value)
    assert run(made, verb="stop") == ("show", "stop=1")


@pytest.mark.parametrize("value", ["", "pve2", "pve1,db1", "PVE1", "pve1\n"])
def test_only_a_configured_target_is_accepted(value: str) -> None:
    made = action("ssh", "--", "{host}", host=Param("host", "target"))
    with pytest.raises(BadInput, match="host: expected one of pve1, db1"):
        run(made, host=value)
    with pytest.raises(BadInput, match="host: expected a target; none is set"):
        made.read_values({"host": "pve1"}, ())
    assert run(made, host="db1") == ("ssh", "--", "db1")


def test_unknown_and_missing_parameters_are_refused_by_name() -> None:
    made = action("show", "--", "{value}", value=ANY_TEXT)
    with pytest.raises(BadInput, match="other: no such parameter; expected value"):
        run(made, value="a", other="b")
    with pytest.raises(BadInput, match="value: this parameter of probe is missing"):
        run(made)
    with pytest.raises(BadInput, match="value: no such parameter; probe has none"):
        run(action("show"), value="a")


CONFIRMATIONS = {
    "what reads needs no word": ("reads", "", None, ""),
    "what changes needs no word": ("changes", "", None, ""),
    "what disrupts needs the machine's name": ("disrupts", "", None, "box"),
    "what disrupts a target needs its name": ("disrupts", "", "host", "db1"),
    "a word of the settings": ("reads", "sure", None, "sure"),
    "a word with a value": ("disrupts", "reset {host}", "host", "reset db1"),
}


@pytest.mark.parametrize("name", CONFIRMATIONS)
def test_the_word_that_confirms(name: str) -> None:
    effect, confirm, target, word = CONFIRMATIONS[name]
    params = {target: Param(target, "target")} if target else {}
    values = {target: "db1"} if target else {}
    command = ("reset", "--", "{host}") if target else ("reset",)
    made = Action("x", command, effect, confirm=confirm, params=params)  # type: ignore[arg-type]
    made.check_confirmed(word or None, values, "box")
    for wrong in (word.upper() + "x", f" {word}x", "x"):
        if word:
            with pytest.raises(BadInput, match=f"confirm: type {word} to run x"):
                made.check_confirmed(wrong, values, "box")
