"""What is derived from the states of sessions is derived again only if a state has changed."""

from pathlib import Path

from breakglass.state import SessionState
from breakglass.store import sessions
from breakglass.store.derived import Derived
from breakglass.store.sessions import Session


def test_only_a_session_that_has_changed_is_derived_again(tmp_path: Path) -> None:
    derived: list[str] = []

    def title(session: Session, state: SessionState) -> str:
        derived.append(session.id)
        return state.title

    titles = Derived(title)
    one, two = (sessions.create(tmp_path, "shell", title=name) for name in ("one", "two"))

    def listed() -> set[str]:
        derived.clear()
        return set(titles.of_all(tmp_path, sessions.list_sessions(tmp_path)))

    assert (listed(), set(derived)) == ({"one", "two"}, {one.id, two.id})
    assert (listed(), derived) == ({"one", "two"}, [])
    sessions.change(two, title="new")
    assert (listed(), derived) == ({"one", "new"}, [two.id])
    titles.of_all(tmp_path, [(one, one.state())])
    assert (listed(), derived) == ({"one", "new"}, [two.id])  # it was not listed in between


def test_values_of_other_data_roots_are_kept(tmp_path: Path) -> None:
    derived: list[Path] = []
    roots = Derived(lambda session, _: derived.append(session.root))
    for root in (tmp_path / "a", tmp_path / "b"):
        sessions.create(root, "shell")
    for _ in range(2):
        for root in (tmp_path / "a", tmp_path / "b"):
            roots.of_all(root, sessions.list_sessions(root))
    assert derived == [tmp_path / "a", tmp_path / "b"]
