"""`breakglass vitals`."""

import json
import os
import time

from tests.cli.program import Data


def test_it_prints_a_line_for_each_sign_and_a_hung_program_costs_two_seconds(data: Data) -> None:
    (data.folder / "systemctl").write_text("#!/bin/sh\nexec sleep 1000\n")
    (data.folder / "systemctl").chmod(0o755)
    path = f"{data.folder}:{os.environ['PATH']}"
    began = time.monotonic()
    lines = data.ok("vitals", PATH=path).splitlines()
    assert time.monotonic() - began < 6
    assert any(line.startswith("? Failed units ") and "no answer within 2 s" in line for line in lines)
    assert any(line.startswith("✓ shell ") and line.endswith("  ready") for line in lines)
    assert not data.root.exists()


def test_json_is_the_object_of_the_api(data: Data) -> None:
    found = json.loads(data.ok("vitals", "--json"))
    assert {"taken", "status", "signs"} == found.keys()
    assert {"load", "pressure", "memory", "swap", "oom_kills", "disk", "inodes"} <= found["signs"].keys()
