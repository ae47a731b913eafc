"""Compares the copies of one host with what the host has signed: `breakglass mirror --verify HOST`.

Signed heads come from two places: the file that the mirror keeps beside the copies, and the engine, which has the
newest ones. So a copy that was changed or taken back to an older state is noticed. If the engine has the bytes, they
show the first line that differs.
"""

import asyncio
import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from breakglass.errors import EngineLost, EngineRefused
from breakglass.relay import engine as engines
from breakglass.relay import heads, piece
from breakglass.relay.copies import generation_of
from breakglass.relay.engine import Engine
from breakglass.relay.enroll import Hub
from breakglass.relay.heads import SignedHead
from breakglass.relay.piece import BadPiece
from breakglass.relay.prune import read_pruned
from breakglass.store import hosts, log, sessions

SETTLE_ATTEMPTS = 20
SETTLE_SECONDS = 0.1
"""A running mirror writes the bytes first, and their signed heads a moment later."""
_BLOCK = 1 << 20
Say = Callable[[str], object]


class Difference(Exception):
    """A copy is not what its host has signed."""

    def __init__(self, first: int, last: int, text: str) -> None:
        super().__init__(text)
        self.first, self.last = first, last
        """The lines between which the difference is."""

    def __str__(self) -> str:
        where = f"line {self.first}" if self.first >= self.last else f"lines {self.first} to {self.last}"
        return f"{where}: {self.args[0]}"


async def verify(data: Path, host: str, say: Say) -> int:
    """Check all copies of a host, and say what differs. Return 0 if nothing does, else 1. Raises NotFound."""
    root, keys = hosts.root_of(data, host), Hub(data).public_keys(host)
    engine = await _connect(data, host, say)
    try:
        newest = await _newest(engine) if engine else []
        kept = Kept(root)
        signed = _by_log([*kept.read(), *newest], host, keys)
        sizes = await _settle(root, kept, signed, (host, keys))
        bad = 0
        present, pruned = set(sessions.ids(root)), read_pruned(root)
        names = sorted(present | {session for session, _ in signed} - pruned.keys())
        for session in names:
            for problem in await _check(root, session, signed, sizes, engine):
                say(f"{host}/{session}: {problem}")
                bad += 1
        gone = f", {len(pruned.keys() - present):,} removed by --prune" if pruned.keys() - present else ""
        say(f"{host}: {len(names):,} sessions{gone}, {bad:,} differences from what the host has signed")
        return 1 if bad else 0
    finally:
        if engine:
            await engine.close()


async def _connect(data: Path, host: str, say: Say) -> Engine | None:
    for each in Hub(data).hub_credentials():
        if each.host == host:
            try:
                return await engines.connect(each, f"breakglass mirror --verify {host}")
            except (EngineLost, EngineRefused) as error:
                say(f"note: {error}. A copy that was taken back together with {heads.FILE} is not noticed")
    return None


async def _newest(engine: Engine) -> list[SignedHead]:
    asked = await engine.ask()
    found = (heads.read(name, head, asked.last[name].headers) for name, head in asked.heads.items())
    return [head for head in found if head]


class Kept:
    """The signed heads in the mirror's file. Each call of `read` returns those that were added since the one before."""

    def __init__(self, root: Path) -> None:
        self._path = root / heads.FILE
        self._offset = 0

    def read(self) -> list[SignedHead]:
        """Return the heads that are new, in the order of the file."""
        try:
            with open(self._path, "rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return []
        whole = data.rfind(b"\n") + 1  # the rest is being written
        self._offset += whole
        found = []
        for line in data[:whole].split(b"\n"):
            try:
                found.append(heads.from_line(json.loads(line)))
            except ValueError:
                continue  # a line that was torn by a power failure
        return [head for head in found if head]


Signed = dict[tuple[str, int], list[SignedHead]]


def _by_log(found: list[SignedHead], host: str, keys: list[str]) -> Signed:
    """Return the heads that the host has signed, by session and generation, in the order of their offsets."""
    by_log: Signed = defaultdict(list)
    for head in set(found):
        if sessions.ID.fullmatch(head.session) and heads.verifies(head, host, keys):
            by_log[head.session, head.generation].append(head)
    for each in by_log.values():
        each.sort(key=lambda head: head.offset)
    return by_log


async def _check(
    root: Path, session: str, signed: Signed, sizes: dict[str, int], engine: Engine | None
) -> list[str]:
    """Return what differs in the logs of one session."""
    directory = root / "sessions" / session
    present = generation_of(directory)
    newest = max((generation for name, generation in signed if name == session), default=present)
    if newest > present:
        return [f"line 1: the host has begun generation {newest}, and the copy is of generation {present}"]
    found = []
    for generation in range(1, present + 1):
        path = directory / (log.NAME if generation == present else f"{log.NAME}.{generation}")
        try:
            size = sizes.get(session) if generation == present else None
            _check_log(path, size, signed.get((session, generation), []))
        except Difference as difference:
            exact = await _exact_line(engine, path, session, generation) if engine else None
            if exact:
                difference.first = difference.last = exact
            found.append(f"{path.name}, {difference}")
    return found


async def _settle(root: Path, kept: Kept, signed: Signed, signer: tuple[str, list[str]]) -> dict[str, int]:
    """Return the size of each copy, at a moment at which its last head is signed, if that comes.

    A running mirror writes the bytes first. Adds to `signed` what comes meanwhile. `signer` is the host and its keys.
    """
    sizes: dict[str, int] = {}
    for _ in range(SETTLE_ATTEMPTS):
        waiting = [session for session in sessions.ids(root) if session not in sizes]
        sizes |= {session: size for session in waiting if (size := _signed_size(root, session, signed))}
        if len(waiting) == sum(session in sizes for session in waiting):
            break
        await asyncio.sleep(SETTLE_SECONDS)
        for key, added in _by_log(kept.read(), *signer).items():
            if key[0] not in sizes:
                signed[key] = sorted({*signed.get(key, []), *added}, key=lambda head: head.offset)
    return sizes


def _signed_size(root: Path, session: str, signed: Signed) -> int:
    """Return the size of a copy if the host has signed all of it, else 0."""
    directory = root / "sessions" / session
    try:
        size = os.stat(directory / log.NAME, follow_symlinks=False).st_size
    except OSError:
        return 0
    wanted = signed.get((session, generation_of(directory)))
    return size if wanted and wanted[-1].offset == size else 0


def _check_log(path: Path, size: int | None, wanted: list[SignedHead]) -> None:
    """Check one file, or its first `size` bytes. Raises Difference."""
    if size is None:
        size = path.stat().st_size if path.exists() else 0
    if size or wanted:
        _compare(path, size, wanted)


def _compare(path: Path, size: int, wanted: list[SignedHead]) -> None:
    """Compare the first `size` bytes of a copy with what was signed. Raises Difference."""
    digest, done, lines = hashlib.sha256(), 0, 0
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise Difference(1, wanted[-1].lines, "the copy is missing") from None
    try:
        for head in wanted:
            begin = lines
            while done < head.offset and (
                data := os.pread(fd, min(_BLOCK, head.offset - done, max(0, size - done)), done)
            ):
                digest.update(data)
                done += len(data)
                lines += data.count(b"\n")
            if done < head.offset:
                raise Difference(
                    lines + 1,
                    wanted[-1].lines,
                    "missing: the copy was taken back to an older state, cut, or is behind",
                )
            if digest.hexdigest() != head.sha256:
                raise Difference(begin + 1, head.lines, "not what the host has signed: the copy was changed")
        if done < size:
            rest = os.pread(fd, _BLOCK, done).count(b"\n")
            raise Difference(lines + 1, lines + max(1, rest), "the host has not signed this")
    finally:
        os.close(fd)


async def _exact_line(engine: Engine, path: Path, session: str, generation: int) -> int | None:
    """Return the first line at which a copy differs from the bytes that the engine has, None if it does not know."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        async for message in engine.read(0, session):
            try:
                found = piece.read(message.headers, message.data)
            except BadPiece:
                continue
            data = os.pread(fd, len(found.data), found.offset)
            if found.generation == generation and data != found.data:
                both = zip(data, found.data, strict=False)
                same = next((at for at, (a, b) in enumerate(both) if a != b), len(data))
                return found.line + data[:same].count(b"\n") + 1
            if not message.pending:
                return None
        return None
    except EngineLost:
        return None
    finally:
        os.close(fd)
