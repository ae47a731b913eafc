"""What a notification is about: names a session and the address where a user can look."""

import contextlib
import socket

from breakglass.config import Config
from breakglass.errors import BreakglassError
from breakglass.notifier.watched import Watched, WatchedSession
from breakglass.notify.message import Subject
from breakglass.store.servers import running_servers


def subject_of(config: Config, watched: Watched) -> Subject:
    """Return what a notification says about a session, or about the logins."""
    base, host = base_address(config), socket.gethostname()
    if not isinstance(watched, WatchedSession):
        return Subject(host, f"{base}/" if base else "see: breakglass logins")
    session = watched.session
    address = f"{base}/sessions/{session.id}" if base else f"see: breakglass attach {session.id[:8]}"
    try:
        state = session.state()
    except (BreakglassError, OSError):
        return Subject(host, address)
    title = state.title or f"session {session.id[:8]}"
    sealed, digest = (state.seal.lines, state.seal.sha256) if state.seal else (0, "")
    return Subject(host, address, title, state.last_id, digest, sealed)


def path_of(config: Config, watched: Watched) -> str:
    """Return the path of the page where a user can look, for a browser that knows the server's address."""
    where = f"sessions/{watched.session.id}" if isinstance(watched, WatchedSession) else ""
    return f"{config.prefix}/{where}"


def base_address(config: Config) -> str:
    """Return the public address of the server, else where it runs, else ""."""
    if config.origins:
        return f"{config.origins[0]}{config.prefix}"
    with contextlib.suppress(OSError):
        pages = [each.login_page for each in running_servers(config.data) if each.login_page]
        return pages[0].removesuffix("/login") if pages else ""
    return ""
