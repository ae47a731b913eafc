"""The memory limit of this process is the smaller one of the machine's memory and the limits of its control groups."""

from pathlib import Path

import pytest

from breakglass.store import memory


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory instead of the kernel's files, without any control group."""
    monkeypatch.setattr(memory, "CGROUPS", tmp_path)
    monkeypatch.setattr(memory, "OWN_GROUPS", tmp_path / "own")
    return tmp_path


VERSION_1 = "3:cpuset:/box\n2:cpu,memory:/box\n1:name=systemd:/\n"


@pytest.mark.parametrize(
    ("own", "file", "text", "limit"),
    [
        (VERSION_1, "memory/box/memory.limit_in_bytes", "268435456\n", 268435456),
        (
            "0::/system.slice/breakglass.service\n",
            "system.slice/breakglass.service/memory.max",
            "1048576\n",
            1048576,
        ),
    ],
)
def test_a_control_group_of_either_version_limits_memory(
    own: str, file: str, text: str, limit: int, kernel: Path
) -> None:
    (kernel / "own").write_text(own)
    (kernel / file).parent.mkdir(parents=True)
    (kernel / file).write_text(text)
    assert memory.limit() == limit


@pytest.mark.parametrize("text", ["max\n", "9223372036854771712\n", "", "nonsense"])
def test_a_control_group_without_a_limit_leaves_the_machines_memory(text: str, kernel: Path) -> None:
    machine = memory.limit()
    assert machine > 1 << 20
    (kernel / "own").write_text("0::/\n")
    (kernel / "memory.max").write_text(text)
    assert memory.limit() == machine
