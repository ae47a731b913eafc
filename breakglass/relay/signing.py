"""Signatures of commands, made and checked by ssh-keygen. So administrators use the ssh keys that they have already.

A command is signed in the namespace `<verb>.breakglass@<host>`. The file of allowed signers says in each line who
signs, in which namespaces, and with which key (ssh-keygen(1), ALLOWED SIGNERS).
"""

import base64
import os
import re
import subprocess
from pathlib import Path

from breakglass.errors import BadConfig, BadInput, Forbidden
from breakglass.relay_settings import fingerprint
from breakglass.trusted_path import check_trusted

NAME_OF_FILE = "allowed_signers"
MAX_SIGNERS = 1000
_SIGNATURE = re.compile(
    r"-----BEGIN SSH SIGNATURE-----\n([A-Za-z0-9+/=\n]{1,20000})\n-----END SSH SIGNATURE-----\n?"
)
PATH_ONLY = {"PATH": os.pathsep.join(os.get_exec_path())}
"""The environment of a program that needs no more. Every process of this user can read it."""
_PREAMBLE = b"SSHSIG\0\0\0\1"


def namespace(verb: str, host: str) -> str:
    """Return the namespace of a signature: the verb and the host that it is for."""
    return f"{verb}.breakglass@{host}"


def sign(text: bytes, wanted: str, identity: str) -> str:
    """Return the signature of a text. ssh-keygen may ask for a passphrase on the terminal. Raises BadInput."""
    path = os.path.expanduser(identity)
    if not os.path.exists(path):
        raise BadInput(f"{identity}: there is no such ssh key; name one with --identity or relay.identity")
    command = ["ssh-keygen", "-q", "-Y", "sign", "-n", wanted, "-f", path]
    try:
        done = subprocess.run(command, input=text, stdout=subprocess.PIPE, check=False)
    except FileNotFoundError:
        raise BadInput("ssh-keygen is not installed, and it signs the commands") from None
    if done.returncode:
        raise BadInput(f"ssh-keygen could not sign with {identity}")
    return done.stdout.decode()


def find_signer(text: bytes, signature: str, wanted: str, signers: Path) -> str:
    """Return the name of the signer of a text, as the file of allowed signers has it.

    Raises Forbidden if no line of the file allows the signature, BadConfig if others may change the file.
    """
    key = _key_in(signature)
    try:
        check_trusted(signers)
        lines = signers.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        raise Forbidden(f"no key may sign commands here: there is no {signers}") from None
    except (OSError, UnicodeDecodeError, BadConfig) as error:
        raise BadConfig(f"{signers}: {error}") from error
    for line in lines[:MAX_SIGNERS]:
        if key in line.split() and not line.startswith("#"):
            name = line.split()[0].strip('"').split(",")[0]
            if _verifies(text, signature, wanted, name, line):
                return name
    known = f"ssh key {key[-12:]}"
    raise Forbidden(f"{known} may not sign {wanted} here, or did not sign this text")


def fingerprints(signers: Path) -> list[str]:
    """Return the SHA-256 fingerprint of each key in the file of allowed signers, as ssh-keygen shows them."""
    try:
        lines = signers.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError):
        return []
    found = {
        fingerprint(word) for line in lines[:MAX_SIGNERS] if not line.startswith("#") for word in line.split()
    }
    return sorted(filter(None, found))


def _key_in(signature: str) -> str:
    """Return the public key in a signature, in base 64. Raises Forbidden."""
    match = _SIGNATURE.fullmatch(signature)
    data = b""
    if match:
        try:
            data = base64.b64decode(match[1].replace("\n", ""), validate=True)
        except ValueError:
            data = b""
    size = int.from_bytes(data[len(_PREAMBLE) : len(_PREAMBLE) + 4], "big")
    key = data[len(_PREAMBLE) + 4 :][:size]
    if not data.startswith(_PREAMBLE) or not size or len(key) < size:
        raise Forbidden("the command has no ssh signature")
    return base64.b64encode(key).decode()


def _verifies(text: bytes, signature: str, wanted: str, name: str, line: str) -> bool:
    """Return whether a line of the allowed signers allows a signature. ssh-keygen gets both as files in memory."""
    given = [_in_memory(signature.encode()), _in_memory(f"{line}\n".encode())]
    paths = [f"/proc/self/fd/{fd}" for fd in given]
    command = ["ssh-keygen", "-Y", "verify", "-n", wanted, "-I", name, "-s", paths[0], "-f", paths[1]]
    try:
        done = subprocess.run(
            command, env=PATH_ONLY, input=text, pass_fds=given, capture_output=True, check=False
        )
    except FileNotFoundError:
        raise BadConfig("ssh-keygen is not installed, and it checks the signatures of commands") from None
    finally:
        for fd in given:
            os.close(fd)
    return done.returncode == 0


def _in_memory(data: bytes) -> int:
    fd = os.memfd_create("breakglass")
    os.write(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
