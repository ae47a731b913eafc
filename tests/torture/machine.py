"""A Debian system with its own systemd, made by debootstrap and run by systemd-nspawn. Needs root.

The files of Debian and the Python packages are kept in the cache of `tests.help.programs`. Each machine is a copy with
its own process ids, users and network, in which only the loopback interface works.
"""

import fcntl
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.help import programs
from tests.help.waiting import DEADLINE, wait_until

SUITE = "bookworm"
PYTHON = "3.11"
"""The version of that suite."""
PACKAGES = "systemd systemd-sysv dbus dbus-user-session libpam-systemd python3 python3-venv curl"
CHECKOUT = "/root/checkout"
ENVIRONMENT = "LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT += " PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels"
RESTART = 133
"""systemd-nspawn ends with this status after a reboot inside, because of --keep-unit (its manual)."""


class Machine:
    """A running machine. Its processes are those that `run` starts, and the services of its systemd."""

    def __init__(self, tree: Path) -> None:
        self.tree = tree
        self._console = tree.parent / "console"
        self._boot()

    def _boot(self) -> None:
        """Start the machine, and return when it has started its services."""
        words = ["systemd-nspawn", "--quiet", "--boot", f"--directory={self.tree}", "--private-network"]
        words += ["--register=no", "--keep-unit", "--console=pipe"]  # this machine may have no systemd
        with open(self._console, "ab") as console:
            self._nspawn = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=console, stderr=console)
        self._init = wait_until(self._find_init, "the machine's init process")
        wait_until(self._has_booted, "the machine to boot")

    def _find_init(self) -> int:
        assert self._nspawn.poll() is None, self._console.read_text()
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text().split()
        return next(
            (int(pid) for pid in children if b"systemd\0" in Path(f"/proc/{pid}/cmdline").read_bytes()), 0
        )

    def _has_booted(self) -> bool:
        return self.run("systemctl", "is-system-running").stdout in ("running\n", "degraded\n")

    def run(self, *words: str, user: str = "root") -> subprocess.CompletedProcess[str]:
        """Run a program in the machine, with no variable of this process."""
        home = "/root" if user == "root" else f"/home/{user}"
        clean = ["env", "-i", "-C", "/", *ENVIRONMENT.split(), f"HOME={home}", f"USER={user}"]
        become = [] if user == "root" else ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        return subprocess.run(
            ["nsenter", "--target", str(self._init), "--all", *become, *clean, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=2 * DEADLINE,
        )

    def sh(self, script: str, user: str = "root") -> str:
        """Return the output of a bash script, which must succeed."""
        done = self.run("bash", "-euo", "pipefail", "-c", script, user=user)
        assert done.returncode == 0, (script, done.stdout, done.stderr)
        return done.stdout

    def reboot(self) -> None:
        """Shut the machine down in an orderly way and boot it again."""
        self.run("systemctl", "reboot")
        assert self._nspawn.wait(DEADLINE) == RESTART, self._console.read_text()
        self._boot()

    def power_off(self) -> None:
        """Shut the machine down."""
        self._nspawn.terminate()
        try:
            self._nspawn.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self._nspawn.kill()
            self._nspawn.wait()


@contextmanager
def running_machine(folder: Path) -> Iterator[Machine]:
    """Run a new machine while in the context. This checkout is at `CHECKOUT`, and pip finds the locked packages."""
    tree = folder / "machine"
    subprocess.run(["cp", "-a", "--reflink=auto", _debian(), tree], check=True)
    shutil.copytree(_wheels(), tree / "wheels")
    names = ["breakglass", "pyproject.toml", "requirements.lock", "README.md", "LICENSE"]
    (tree / CHECKOUT[1:]).mkdir()
    subprocess.run(["cp", "-a", *(programs.ROOT / name for name in names), tree / CHECKOUT[1:]], check=True)
    subprocess.run(["chown", "-R", "0:0", tree / CHECKOUT[1:]], check=True)
    machine = Machine(tree)
    try:
        yield machine
    finally:
        machine.power_off()
        subprocess.run(["rm", "-rf", "--one-file-system", tree], check=True)  # pytest would keep it


def _debian() -> Path:
    """Return the directory with the files of Debian. The first call downloads them."""
    target = programs.cache() / f"debian-{SUITE}"
    with _making(target) as folder:
        if folder:
            words = ["--variant=minbase", f"--include={','.join(PACKAGES.split())}", SUITE]
            subprocess.run(["debootstrap", *words, folder], check=True, stdout=sys.stderr)
            (folder / "etc/machine-id").write_text("")  # systemd makes one at the first boot
            subprocess.run(["rm", "-rf", folder / "var/cache/apt", folder / "var/lib/apt/lists"], check=True)
    return target


def _wheels() -> Path:
    """Return the directory with the packages of the lock. The first call downloads them."""
    lock = programs.ROOT / "requirements.lock"
    version = subprocess.run(["sha256sum", lock], check=True, capture_output=True, text=True).stdout[:12]
    target = programs.cache() / f"wheels-{version}"
    with _making(target) as folder:
        if folder:
            words = ["--require-hashes", "--only-binary=:all:", f"--python-version={PYTHON}", "-qq"]
            words += ["-r", str(lock), "-d", str(folder)]
            subprocess.run([sys.executable, "-m", "pip", "download", *words], check=True)
    return target


@contextmanager
def _making(target: Path) -> Iterator[Path | None]:
    """Yield a directory to fill, which then gets the name `target`; None if that exists already."""
    programs.cache().mkdir(parents=True, exist_ok=True)
    with open(f"{target}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if target.exists():
            yield None
            return
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f"{target.name}.") as folder:
            made = Path(folder) / "complete"
            made.mkdir()
            yield made
            made.rename(target)
