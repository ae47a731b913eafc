"""The runner decodes the same plan that was encoded, or refuses it."""

import json
from typing import Any

import pytest

from breakglass.masking import fingerprints
from breakglass.store.seek import Position
from breakglass.turn_limits import TurnLimits
from breakglass.turns import plan as plans
from breakglass.turns.plan import Plan
from breakglass.turns.sandbox import Sandbox

PLAN = Plan(
    directory="/var/lib/breakglass/sessions/a",
    workspace="/var/lib/breakglass/workspaces/a",
    turn=2,
    end=Position(2, 345),
    lock=(5, 6),
    protocol="claude",
    command=("claude", "--verbose"),
    environ={"PATH": "/bin", "ODD": "\udcff é"},
    sandbox=Sandbox((65534, 65534), "/home/a", "/var/lib/breakglass", "", ("/opt",), (), network=True),
    secrets=fingerprints(["a-token-of-some-length", "another-token" * 9]),
    ask=True,
    allow=("Read",),
    deny=(),
    choice_tools=("AskUserQuestion",),
    thinking=False,
    model=None,
    agent_session="s-1",
    agent_cost=0.25,
    allowed=("Bash",),
    queued=(7, 9),
    timeout=1800,
    permission_timeout=0.5,
    limits=TurnLimits(kill=1),
)


def test_a_decoded_plan_equals_the_encoded_one() -> None:
    decoded = plans.decode(plans.encode(PLAN))
    assert decoded == PLAN
    assert [type(each) for each in decoded] == [type(each) for each in PLAN]
    assert isinstance(decoded.secrets[0], type(PLAN.secrets[0]))


WRONG: dict[str, dict[str, Any]] = {
    "a text for a number": {"turn": "2"},
    "a boolean for a number": {"turn": True},
    "a number for a boolean": {"ask": 1},
    "null for a text": {"directory": None},
    "a number for an optional text": {"model": 4},
    "a text for a list": {"command": "claude"},
    "a list with a wrong item": {"queued": [7, "9"]},
    "a position that is too short": {"end": [2]},
    "limits with a wrong value": {"limits": [None] * 6},
    "an environment with a wrong value": {"environ": {"PATH": None}},
    "an unknown field": {"colour": "red"},
}


@pytest.mark.parametrize("name", WRONG)
def test_a_plan_with_a_wrong_field_is_refused(name: str) -> None:
    fields = {**json.loads(plans.encode(PLAN)), **WRONG[name]}
    with pytest.raises(ValueError, match="plan"):
        plans.decode(json.dumps(fields).encode())


@pytest.mark.parametrize("field", Plan._fields)
def test_a_plan_without_one_of_its_fields_is_refused(field: str) -> None:
    fields = json.loads(plans.encode(PLAN))
    del fields[field]
    with pytest.raises(ValueError, match="plan"):
        plans.decode(json.dumps(fields).encode())
