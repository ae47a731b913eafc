"""Programs that tests of a real server run: breakglass itself, curl and openssl."""

import subprocess
from pathlib import Path

from tests.help import warm
from tests.help.servers import environment
from tests.help.waiting import DEADLINE


def breakglass(data: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command of breakglass on a data root and return its exit status and output."""
    set_ones = {key: value for key, value in environment(data, **env).items() if value}
    done = warm.run(arguments, set_ones, data.parent, timeout=DEADLINE)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def curl(*arguments: str) -> str:
    """Return what curl prints: the head of the response and its body."""
    completed = subprocess.run(
        ["curl", "-sS", "-i", "--max-time", "20", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE,
    )
    assert completed.returncode in (0, 28), completed.stderr
    return completed.stdout


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for localhost and ops.example.com, and return it and its key."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    )
    names = "subjectAltName=DNS:localhost,DNS:ops.example.com,IP:127.0.0.1"
    subprocess.run(
        [*command.split(), "-addext", names, "-keyout", key, "-out", cert], check=True, capture_output=True
    )
    return cert, key
