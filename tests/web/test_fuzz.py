"""A fuzzer generates requests from the OpenAPI document. Every response is as documented, and never 5xx."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.help.servers import TOKEN, Server, serving

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
NO_CHECK_OF_THE_FUZZER = "--suppress-health-check=filter_too_much,too_slow"
"""Few texts match the pattern of a path, and a busy machine generates them slowly. Neither is a fault of the server."""
LONG = ("--max-examples", "100", NO_CHECK_OF_THE_FUZZER, "--request-timeout", "120")
NO_EXECUTION = '[agents.shell]\ncommand = ["true"]\n'
"""The agent for the fuzzer, whose prompts must not run as scripts."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    config = tmp_path / "breakglass.toml"
    config.write_text(NO_EXECUTION)
    with serving(tmp_path / "var", "--config", str(config)) as started:
        yield started


def fuzz(server: Server, folder: Path, *words: str, seconds: float = 570) -> str:
    """Run schemathesis to its end with the server's document and an existing session, and return its output."""
    document = server.ask("GET", "/api/openapi.json")[1]
    (folder / "openapi.json").write_text(json.dumps(document))
    (folder / "schemathesis.toml").write_text(f'[parameters]\n"path.id" = "{server.new_session()}"\n')
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(folder / "schemathesis.toml")),
            *("run", str(folder / "openapi.json"), "--url", server.address, "--no-color"),
            *("--header", f"Authorization: Bearer {TOKEN}", "--checks", CHECKS, "--seed", "7", *words),
        ],
        cwd=folder,
        env={**os.environ, "HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "hypothesis")},
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return done.stdout


def test_any_request_is_answered_as_documented(server: Server, tmp_path: Path) -> None:
    output = fuzz(server, tmp_path, "--max-examples", "8", "--phases", "examples,fuzzing")
    assert re.search(r"generated, [1-9][0-9]{2,} passed$", output, re.MULTILINE)
    assert server.ask("GET", "/health")[0] == 200
    assert server.process.poll() is None


@pytest.mark.torture
def test_a_long_fuzz_finds_nothing(server: Server, tmp_path: Path) -> None:
    assert " passed" in fuzz(server, tmp_path, *LONG, seconds=7_200)
