"""A real sshd on the loopback interface, with keys of its own."""

import os
import socket
import subprocess
from pathlib import Path

import pytest

from tests.help.waiting import wait_until

SSHD = "/usr/sbin/sshd"


class Sshd:
    """The files of an sshd in a directory: `host` and `client` are its keys, each with `.pub`."""

    def __init__(self, folder: Path) -> None:
        if not os.path.exists(SSHD):
            (pytest.fail if os.environ.get("CI") else pytest.skip)("no sshd here: run .ci/tools test")
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)  # sshd refuses to start without it
        self.folder = folder
        for name in ("host", "other", "client"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
            subprocess.run(command, check=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.allow((folder / "client.pub").read_text())

    def allow(self, line: str) -> None:
        """Write the keys that the far side accepts."""
        (self.folder / "authorized").write_text(line + "\n")

    def start(self) -> subprocess.Popen[bytes]:
        """Start it, and return when it answers."""
        rows = {
            "HostKey": self.folder / "host",
            "AuthorizedKeysFile": self.folder / "authorized",
            "ListenAddress": "127.0.0.1",
            "Port": self.port,
            "PidFile": "none",
            "StrictModes": "no",
            "UsePAM": "no",
            "PasswordAuthentication": "no",
            "SetEnv": f"BREAKGLASS_VERBS_LOG={self.folder / 'log'}",
        }
        config = self.folder / "sshd_config"
        config.write_text("".join(f"{key} {value}\n" for key, value in rows.items()))
        process = subprocess.Popen([SSHD, "-D", "-e", "-f", config], stderr=subprocess.DEVNULL)
        wait_until(self.answers, "sshd")
        return process

    def answers(self) -> bool:
        """Return whether it accepts connections."""
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0
