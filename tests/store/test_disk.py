"""The file system under the data root: its type, and whether its locks can be trusted."""

from pathlib import Path

import pytest

from breakglass.store import disk


@pytest.mark.parametrize(
    ("kind", "untrusted"),
    [
        ("nfs4", True),
        ("cifs", True),
        ("9p", True),
        ("fuse", True),
        ("fuse.sshfs", True),
        ("fuse.bindfs", True),
        ("virtiofs", True),
        ("vboxsf", True),
        ("lustre", True),
        ("fuseblk", False),
        ("ext4", False),
        ("", False),
    ],
)
def test_network_and_user_space_file_systems_are_untrusted(kind: str, untrusted: bool) -> None:
    assert disk.is_untrusted(kind) == untrusted


def test_the_type_of_a_file_system_is_found() -> None:
    assert (disk.file_system_type(Path("/proc")), disk.file_system_type(Path("/dev/shm"))) == (
        "proc",
        "tmpfs",
    )
