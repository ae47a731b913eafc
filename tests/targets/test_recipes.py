"""The recipes of docs/targets.md: each action is run against a fake program that shows its arguments."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from breakglass.load_config import load_config

PAGE = (Path(__file__).parents[2] / "docs" / "targets.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
CURL = ["-sS", "--fail", "--max-time", "30", "--netrc-file", "/etc/breakglass/netrc"]
RESET = "https://10.0.10.11/redfish/v1/Systems/1/Actions/ComputerSystem.Reset"
BMC = "-I lanplus -H 10.0.10.11 -U ops -f /etc/breakglass/ipmi chassis power cycle".split()
EXPECTED: dict[str, tuple[dict[str, Any], str, list[str]]] = {
    "proxmox-reset": ({"vm": 105}, "reset 105", ["qm", "reset", "--", "105"]),
    "libvirt-reset": (
        {"domain": "db1"},
        "reset db1",
        ["virsh", "--connect", "qemu:///system", "reset", "--domain=db1"],
    ),
    "ipmi-cycle": ({}, "cycle db1", ["ipmitool", *BMC]),
    "redfish-reset": (
        {"how": "ForceRestart"},
        "ForceRestart db1",
        ["curl", *CURL, "-H", "Content-Type: application/json", "-d", '{"ResetType": "ForceRestart"}', RESET],
    ),
    "pikvm-button": (
        {"button": "reset"},
        "reset db1",
        ["curl", *CURL, "-X", "POST", "https://pikvm.lan/api/atx/click?button=reset"],
    ),
    "wake": ({}, "", ["wakeonlan", "-i", "10.0.10.255", "00:11:22:33:44:55"]),
    "far": (
        {"host": "pve1", "verb": "reset"},
        "pve1",
        ["ssh", "-F", "/var/lib/breakglass/ssh/config", "--", "pve1", "reset"],
    ),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_recipe_calls_its_program_with_the_right_arguments(name: str, tmp_path: Path) -> None:
    values, word, argv = EXPECTED[name]
    settings = tmp_path / "settings.toml"
    settings.write_text("\n".join(BLOCKS))
    config = load_config({}, str(settings))
    assert {*EXPECTED} == {each for each in config.actions if f"[actions.{each}]" in PAGE}
    action = config.actions[name]
    checked = action.read_values(values, tuple(config.targets))
    action.check_confirmed(word or None, checked, "here")
    program = tmp_path / argv[0]
    program.write_text(f"#!{sys.executable}\nimport json, os, sys\nprint(json.dumps(sys.argv[1:]))\n")
    program.chmod(0o755)
    shown = subprocess.check_output(list(action.arguments(checked)), env={"PATH": str(tmp_path)})
    assert json.loads(shown) == argv[1:]
