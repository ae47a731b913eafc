"""Adopt a session that a user began with the agent's own program: a session of ours continues it."""

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from breakglass.agents import environ
from breakglass.agents.claude import transcripts
from breakglass.config import Config
from breakglass.config.agents import AgentConfig
from breakglass.errors import BadInput, Conflict, NotFound
from breakglass.plain_file import open_plain_file
from breakglass.store import sessions
from breakglass.store.log import timestamp
from breakglass.store.sessions import Session
from breakglass.text import cut, one_line
from breakglass.turns import processes
from breakglass.turns.adopt_acp import list_sessions

_PROTOCOLS = ("claude", "acp")
"""The protocols whose agents keep sessions that can be adopted, the preferred one first."""
_MAX_TITLE = 80


class OwnSession(NamedTuple):
    """A session that the agent's own program keeps."""

    id: str
    title: str
    directory: str
    cost: float
    updated: str
    """When it was changed last, in the format of events; "" if the agent does not say."""
    pid: int
    """The process that has it open, 0 if none is known. An ACP agent does not say."""
    session: str | None
    """The id of our session that continues it already, None without one."""


def agent_to_adopt_from(config: Config, name: str | None) -> AgentConfig:
    """Return the agent with that name, or without a name the first one whose sessions can be adopted. Raises BadInput.

    An adopted session works in the directory where it was begun. A sandbox hides that, so its agent cannot adopt.
    """
    able = [each for each in config.agents.values() if each.protocol in _PROTOCOLS]
    if name is None:
        able.sort(
            key=lambda each: (
                each.sandbox != "none",
                _PROTOCOLS.index(each.protocol),
                each.name != config.agent,
            )
        )
        if not able:
            raise BadInput(
                f"no agent with protocol = {' or '.join(_PROTOCOLS)} is configured; only their sessions can be adopted"
            )
        name = able[0].name
    agent = config.agent_named(name)
    if agent.protocol not in _PROTOCOLS:
        names = ", ".join(sorted(each.name for each in able)) or "none is configured"
        raise BadInput(f"the sessions of {name} cannot be adopted, only those of {names}")
    if agent.sandbox != "none":
        raise BadInput(f"{name} has a sandbox, which hides the directories and the sessions of this user")
    return agent


def own_sessions(config: Config, agent: AgentConfig) -> list[OwnSession]:
    """Return the agent's own sessions of this user that do not belong to this data root, the latest first.

    Raises NotFound if an ACP agent does not list them.
    """
    found = list(_listed(config, agent) if agent.protocol == "acp" else _transcripts(config, agent))
    return sorted(found, key=lambda each: each.updated, reverse=True)


def _listed(config: Config, agent: AgentConfig) -> Iterator[OwnSession]:
    """Yield the sessions that an ACP agent lists."""
    for each in list_sessions(config, agent):
        if not _is_of_this_root(config, each.directory):
            title = cut(one_line(each.title), _MAX_TITLE)
            ours = _ours(config, agent, each.id)
            yield OwnSession(each.id, title, each.directory, 0.0, _own_format(each.updated), 0, ours)


def _own_format(ts: str) -> str:
    """Return a time in the format of events, "" if it cannot be read."""
    try:
        return timestamp(datetime.fromisoformat(ts).timestamp())
    except (ValueError, OverflowError):
        return ""


def _is_of_this_root(config: Config, directory: str) -> bool:
    return Path(directory).is_relative_to(os.path.realpath(config.data / "workspaces"))


def _ours(config: Config, agent: AgentConfig, session_id: str) -> str | None:
    """Return the id of our session that continues one of the agent's own, None without one."""
    ours = Session(config.data, sessions.id_from_key(_key(agent, session_id)))
    return ours.id if os.path.isdir(ours.directory) else None


def _transcripts(config: Config, agent: AgentConfig) -> Iterator[OwnSession]:
    """Yield the sessions of Claude Code, by its files."""
    place = _directory(config, agent)
    open_ones = {each.session: each.pid for each in _open_sessions(place)}
    for path in place.glob("projects/*/*.jsonl") if place.parts else ():
        if not sessions.ID.fullmatch(path.stem):
            continue
        read = _read(path)
        if read is None or _is_of_this_root(config, read[0].directory):
            continue
        transcript, updated = read
        title = cut(one_line(transcript.title), _MAX_TITLE)
        known, pid = _ours(config, agent, path.stem), open_ones.get(path.stem, 0)
        yield OwnSession(path.stem, title, transcript.directory, transcript.cost, updated, pid, known)


def adopt(config: Config, agent: AgentConfig, session_id: str, *, by: str) -> Session:
    """Return our session that continues one of the agent's own. If it is adopted again, our session is the same.

    `session_id` may be the beginning of the id. Raises NotFound, BadInput if several begin so, Conflict if a program
    has it open or its directory is gone, ReadOnly and CannotRecord.
    """
    found = [each for each in own_sessions(config, agent) if each.id.lower().startswith(session_id.lower())]
    if not found:
        raise NotFound(
            f"{agent.name} has no session {session_id} of this user; to list them: breakglass adopt"
        )
    found = [each for each in found if each.id == session_id] or found
    if len(found) > 1:
        raise BadInput(f"several sessions of {agent.name} begin with {session_id}; write more of the id")
    (own,) = found
    if own.session:
        return sessions.get(config.data, own.session)
    if own.pid:
        raise Conflict(
            f"session {own.id} is in use by process {own.pid}: two programs would write two different continuations;"
            " close that one first"
        )
    if not os.path.isdir(own.directory):
        raise Conflict(f"session {own.id} was begun in {own.directory}, which is not there any more")
    adopted = {"session_id": own.id, "directory": own.directory, "cost_usd": own.cost}
    return sessions.create(
        config.data, agent.name, title=own.title, by=by, key=_key(agent, own.id), adopted=adopted
    )


def _key(agent: AgentConfig, session_id: str) -> str:
    return f"adopt:{agent.name}:{session_id}"


def _directory(config: Config, agent: AgentConfig) -> Path:
    variables = environ.environment(config.environ, agent.protocol, agent.pass_env, agent.env)
    return Path(transcripts.config_directory(variables))


def _open_sessions(place: Path) -> Iterator[transcripts.OpenSession]:
    """Yield the sessions that programs on this machine have open."""
    for path in place.glob("sessions/*.json") if place.parts else ():
        try:
            with open(open_plain_file(path, os.O_RDONLY), "rb") as file:
                found = transcripts.read_open_session(file.read(transcripts.TAIL))
        except OSError:
            continue
        if found and processes.is_alive(found.pid, found.started or processes.start_time(found.pid)):
            yield found


def _read(path: Path) -> tuple[transcripts.Transcript, str] | None:
    """Return what a transcript says and when it was written last, None if it cannot be read."""
    try:
        with open(open_plain_file(path, os.O_RDONLY), "rb") as file:
            status = os.fstat(file.fileno())
            head = file.read(transcripts.HEAD)
            file.seek(max(len(head), status.st_size - transcripts.TAIL))
            found = transcripts.read_transcript(head, file.read(transcripts.TAIL))
    except OSError:
        return None
    return (found, timestamp(status.st_mtime)) if found else None
