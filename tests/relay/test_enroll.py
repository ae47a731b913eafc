"""A host gets an account only under a name that is neither a path nor a piece of the engine's configuration."""

from pathlib import Path

import pytest

from breakglass.errors import BadInput
from breakglass.relay.enroll import Hub


@pytest.mark.parametrize("name", ["../../../outside", "a/b", ".hidden", 'a" {', "a\nb", "", "x" * 64])
def test_a_first_host_with_a_bad_name_is_refused_and_writes_nothing(name: str, tmp_path: Path) -> None:
    hub = Hub(tmp_path / "var" / "data")
    hub.directory.parent.mkdir(parents=True)
    hub.prepare(None)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BadInput, match="host: expected up to 63 letters"):
        hub.enroll(name)
    assert sorted(tmp_path.rglob("*")) == before
    assert hub.enrolled() == []
