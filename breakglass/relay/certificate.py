"""Makes the certificate of the engine with openssl. The credentials of each host contain it."""

import os
import re
import subprocess
from pathlib import Path

from breakglass.errors import BadInput
from breakglass.relay.signing import PATH_ONLY


def make_certificate(directory: Path, hosts: list[str]) -> None:
    """Make `cert.pem` and `key.pem` for the addresses of an engine's servers. Raises BadInput."""
    subjects = ",".join(dict.fromkeys(map(_subject, hosts)))
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650"]
    names = ["-subj", f"/CN={hosts[0]}", "-addext", f"subjectAltName={subjects}"]
    files = ["-keyout", str(directory / "key.pem"), "-out", str(directory / "cert.pem")]
    try:
        command = ["openssl", "req", "-x509", *key, *names, *files]
        subprocess.run(command, env=PATH_ONLY, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BadInput(
            f"a certificate for {', '.join(hosts)} could not be made with openssl: {error}"
        ) from error
    os.chmod(directory / "key.pem", 0o600)


def _subject(host: str) -> str:
    kind = "IP" if re.fullmatch(r"[0-9.]+|\[[0-9a-f:]+\]", host) else "DNS"
    return f"{kind}:{host.strip('[]')}"
