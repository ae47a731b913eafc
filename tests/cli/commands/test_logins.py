"""`breakglass logins`: a terminal gets a heading, a pipe only the logins."""

from breakglass.access.credentials import Access
from tests.cli.program import Data
from tests.help.servers import TOKEN


def test_only_a_terminal_gets_a_heading(data: Data) -> None:
    data.root.mkdir(mode=0o700)
    access = Access(data.root, token=TOKEN)
    access.log_in(TOKEN, address="192.0.2.7", user_agent="Firefox")
    (row,) = data.ok("logins").splitlines()
    with data.terminal("logins") as terminal:
        assert terminal.end() == 0
        heading, shown = terminal.screen.decode().split("\r\n")[:2]
    assert (shown, heading.split()) == (
        row,
        ["login", "begin", "to", "end", "UTC", "user", "access", "address", "browser"],
    )
    assert [heading.index(word) for word in ("user", "access", "address", "browser")] == [
        row.index(word) for word in ("owner", "full", "192.0.2.7", "Firefox")
    ]
