"""Installs the other designs into .cache/bench: a Python environment and npm packages.

comparators/requirements.lock and comparators/package-lock.json pin the versions. A design that cannot be installed
here is left out of the comparison.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
CACHE = ROOT / ".cache" / "bench"
COMPARATORS = Path(__file__).parent / "comparators"
NCHAN = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")


@cache
def python() -> str | None:
    """Return an interpreter with FastAPI, uvicorn and sse-starlette. Installs them if needed; None if that fails."""
    if all(map(importlib.util.find_spec, ("fastapi", "uvicorn", "sse_starlette"))):
        return sys.executable
    lock, venv = COMPARATORS / "requirements.lock", CACHE / "venv"
    made = str(venv / "bin" / "python")
    install = [made, "-m", "pip", "--disable-pip-version-check", "install", "-qq", "--require-hashes", "-r"]
    commands = [[sys.executable, "-m", "venv", "--clear", str(venv)], [*install, str(lock)]]
    return made if _install(venv, lock, commands) else None


@cache
def node_modules() -> Path | None:
    """Return the folder with the durable-streams server. Installs it if needed; None if that fails."""
    folder, lock = CACHE / "node", COMPARATORS / "package-lock.json"
    if not shutil.which("npm"):
        return None
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json", "durable.mjs"):
        shutil.copy(COMPARATORS / name, folder)
    # The packages hold prebuilt binaries, so no install script needs to run.
    flags = ["--silent", "--no-save", "--no-fund", "--no-audit", "--ignore-scripts"]
    command = ["npm", "install", *flags, "--prefix", str(folder)]
    return folder if _install(folder, lock, [command]) else None


@cache
def nginx(module: Path | None = None) -> str | None:
    """Return the nginx program; None if it or the module is missing."""
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    return found if found and (module is None or module.exists()) else None


def _install(folder: Path, lock: Path, commands: list[list[str]]) -> bool:
    """Run the commands, unless that was done for this lock already. Return whether they succeeded."""
    stamp = folder / "installed-from"
    wanted = lock.read_text()
    if stamp.exists() and stamp.read_text() == wanted:
        return True
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    for command in commands:
        print(f"bench: {' '.join(command[:4])} ...", file=sys.stderr, flush=True)
        if subprocess.run(command, stdout=subprocess.DEVNULL, check=False, env=environ).returncode:
            return False
    stamp.write_text(wanted)
    return True
