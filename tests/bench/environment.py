"""What the other designs are installed into: a Python environment and npm packages, both under .cache/.

Pinned by comparators/requirements.lock and comparators/package-lock.json. What cannot be had here is not
compared with, and the results say so.
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
    """Return the interpreter that has FastAPI, uvicorn and sse-starlette; it is made where it can be."""
    if all(map(importlib.util.find_spec, ("fastapi", "uvicorn", "sse_starlette"))):
        return sys.executable
    lock, venv = COMPARATORS / "requirements.lock", CACHE / "venv"
    made = str(venv / "bin" / "python")
    install = [made, "-m", "pip", "--disable-pip-version-check", "install", "-qq", "--require-hashes", "-r"]
    commands = [[sys.executable, "-m", "venv", "--clear", str(venv)], [*install, str(lock)]]
    return made if _make(venv, lock, commands) else None


@cache
def node_modules() -> Path | None:
    """Return the folder in which the durable-streams server is installed; it is made where it can be."""
    folder, lock = CACHE / "node", COMPARATORS / "package-lock.json"
    if not shutil.which("npm"):
        return None
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json", "durable.mjs"):
        shutil.copy(COMPARATORS / name, folder)
    # Its prebuilt binaries come within packages: no install script needs to run.
    flags = ["--silent", "--no-save", "--no-fund", "--no-audit", "--ignore-scripts"]
    command = ["npm", "install", *flags, "--prefix", str(folder)]
    return folder if _make(folder, lock, [command]) else None


@cache
def nginx(module: Path | None = None) -> str | None:
    """Return the nginx program, None where it or the module is missing."""
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    return found if found and (module is None or module.exists()) else None


def _make(folder: Path, lock: Path, commands: list[list[str]]) -> bool:
    """Run the commands unless that was done for this lock already; return whether all is there."""
    stamp = folder / "made-from"
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
