"""How much memory there is, by the kernel's files."""

from pathlib import Path

import pytest

from breakglass.store import memory


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files as the kernel's, without any control group."""
    monkeypatch.setattr(memory, "CGROUPS", tmp_path)
    monkeypatch.setattr(memory, "OWN", tmp_path / "own")
    return tmp_path


FIRST = "3:cpuset:/box\n2:cpu,memory:/box\n1:name=systemd:/\n"


@pytest.mark.parametrize(
    ("own", "file", "text", "limit"),
    [
        (FIRST, "memory/box/memory.limit_in_bytes", "268435456\n", 268435456),
        (
            "0::/system.slice/breakglass.service\n",
            "system.slice/breakglass.service/memory.max",
            "1048576\n",
            1048576,
        ),
    ],
)
def test_a_control_group_of_either_version_is_a_limit(
    own: str, file: str, text: str, limit: int, kernel: Path
) -> None:
    (kernel / "own").write_text(own)
    (kernel / file).parent.mkdir(parents=True)
    (kernel / file).write_text(text)
    assert memory.limit() == limit


@pytest.mark.parametrize("text", ["max\n", "9223372036854771712\n", "", "nonsense"])
def test_what_limits_nothing_leaves_the_machines_memory(text: str, kernel: Path) -> None:
    machine = memory.limit()
    assert machine > 1 << 20
    (kernel / "own").write_text("0::/\n")
    (kernel / "memory.max").write_text(text)
    assert memory.limit() == machine
